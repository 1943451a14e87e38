"""Who reaches the page, and under which names."""

import pytest

from birdwatchd.core.hosts import address, is_loopback, own_hosts
from birdwatchd.core.settings import Web


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("192.168.1.5", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("0", False),
        ("birds", False),
        ("::ffff:8.8.8.8", False),
    ],
)
def test_only_what_surely_stays_on_this_computer_counts_as_such(host: str, *, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_names_are_ours_with_their_port() -> None:
    assert own_hosts(Web(port=99)) == {"127.0.0.1:99", "localhost:99", "[::1]:99"}
    more = own_hosts(Web(host="192.168.1.5", port=99, hosts=("Birds.local", "garden.example:443")))
    assert {"192.168.1.5:99", "birds.local", "birds.local:99", "garden.example:443"} <= more
    assert "0.0.0.0:99" not in own_hosts(Web(host="0.0.0.0", port=99))  # noqa: S104
    assert "[fe80::1]:99" in own_hosts(Web(host="fe80::1", port=99))
    assert "localhost" in own_hosts(Web(port=80))
    assert "localhost" not in own_hosts(Web(port=8080))


def test_the_address_is_one_that_a_browser_here_can_open() -> None:
    assert address(Web(host="0.0.0.0", port=99)) == "http://127.0.0.1:99"  # noqa: S104
    assert address(Web(host="::1", port=99)) == "http://[::1]:99"
    assert address(Web(host="birds.local", port=99)) == "http://birds.local:99"

"""What the doctor says of the page: a token that others can read is told, and who can reach it."""

from pathlib import Path

import pytest

from birdwatchd.core import shelving
from birdwatchd.core.settings import Web
from birdwatchd.doctor.page import SERVICE, SOCKET, of_page
from birdwatchd.edges.files import Files
from birdwatchd.edges.systemd import Unit


def unit(state: str) -> Unit:
    return Unit(
        state=state, sub_state="", result="", exit_code=0, restarts=0, is_stale=False, drop_ins=(), properties={}
    )


def said(root: Path, web: Web | None = None, units: dict[str, Unit] | None = None) -> list[tuple[str, str | None]]:
    found = of_page(Files(root), web or Web(), (units or {}).get)
    return [(one.what, one.advice) for one in found]


def test_of_a_page_that_nobody_wants_nothing_is_said(root: Path) -> None:
    assert said(root, Web(enabled=False)) == []


@pytest.mark.fault("W13")
def test_a_token_that_others_can_read_is_told(root: Path) -> None:
    ((what, advice),) = said(root)
    assert ("never opened" in what, advice) == (True, None)
    token = root / shelving.WEB_TOKEN
    token.parent.mkdir()
    token.write_text("x")
    token.chmod(0o600)
    ((what, advice),) = said(root)
    assert ("its owner alone" in what, advice) == (True, None)
    for mode in (0o640, 0o604, 0o622):
        token.chmod(mode)
        ((what, advice),) = said(root)
        assert "others can read its token" in what
        assert f"rm {token}" in (advice or "")


@pytest.mark.fault("W12")
def test_who_lets_others_in_is_told_what_that_means(root: Path) -> None:
    _, (what, advice) = said(root, Web(host="0.0.0.0"))  # noqa: S104
    assert "plain http" in what
    assert advice is None  # it was asked for


def test_a_service_that_nobody_can_reach_is_told(root: Path) -> None:
    well = {SOCKET: unit("active"), SERVICE: unit("inactive")}
    assert len(said(root, units=well)) == 1
    _, (what, advice) = said(root, units=well | {SOCKET: unit("inactive")})
    assert "nobody listens" in what
    assert "enable --now birdwatchd-web.socket" in (advice or "")
    _, (what, advice) = said(root, units=well | {SERVICE: unit("failed"), SOCKET: unit("failed")})
    assert "does not start" in what
    assert "journalctl -u birdwatchd-web" in (advice or "")

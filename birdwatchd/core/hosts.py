"""Under which names the page is reached, and by whom."""

import ipaddress

from birdwatchd.core.settings import Web

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104
HTTP_PORT = 80


def address(web: Web) -> str:
    """What a person types into the browser on this computer."""
    host = web.host if web.host not in EVERYWHERE else "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{web.port}"


def own_hosts(web: Web) -> frozenset[str]:
    """The Host headers that are ours, lower case: this computer's own names, where it listens, and what the settings add."""
    names = {"127.0.0.1", "localhost", "[::1]", *web.hosts}
    if web.host not in EVERYWHERE:
        names.add(f"[{web.host}]" if ":" in web.host else web.host)
    as_told = names if web.port == HTTP_PORT else {*web.hosts}  # browsers leave out the port that all know
    return frozenset(name.lower() for name in {f"{name}:{web.port}" for name in names} | as_told)


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

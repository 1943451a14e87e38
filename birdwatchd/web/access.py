"""The doorman: who may see the page, and who may change something through it.

A web page that a browser shows can send requests to every server on the same computer. So being local proves nothing here:

    Host      must be one of our names, on every request       else a foreign name could be made to point here (DNS rebinding)
    token     a cookie from the login form, or a bearer token  else 401
    changes   only by POST, from our own page: with the session's CSRF token, and a Sec-Fetch-Site or Origin that is ours

Rules: shared nothing with the network beyond that; no CORS header is ever sent.
"""

import base64
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from birdwatchd.core.errors import ConfigError, DiskTrouble

TOKEN_BYTES = 32
TOKEN_FILE_MODE = 0o600
SESSION_S = 30 * 24 * 3600
"""How long a browser stays logged in."""

SET_BACK_S = 12 * 3600
"""A clock may be set back that far, and nobody has to log in again for it."""

COOKIE = "birdwatchd_session"
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf"

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that is logged in; all its tabs are the same one."""

    id: str

    @property
    def mark(self) -> str:
        """What tells its wishes in the log from those of others, and lets nobody in."""
        return hashlib.sha256(b"birdwatchd browser " + self.id.encode()).hexdigest()[:16]


class Keys:
    """The token, and what is made of it. Exchanging the token ends all sessions."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._key = hashlib.sha256(b"birdwatchd session " + token.encode()).digest()

    @property
    def token(self) -> str:
        """What a person or a program proves itself with."""
        return self._token

    def fits(self, token: str) -> bool:
        """Whether this is the token; takes as long whatever it is."""
        return hmac.compare_digest(token.encode(), self._token.encode())

    def new_session(self, now_s: float) -> str:
        """The value of a new cookie."""
        content = f"{secrets.token_urlsafe(16)}.{int(now_s)}"
        return f"{content}.{self._mark('session', content)}"

    def session(self, cookie: str, now_s: float) -> Session | None:
        """Who a cookie is from; None if it is not ours, or too old."""
        content, _, mark = cookie.rpartition(".")
        session_id, _, began = content.partition(".")
        if not hmac.compare_digest(mark.encode(), self._mark("session", content).encode()):
            return None
        # The mark is ours, and so is the number.
        return Session(session_id) if -SET_BACK_S < now_s - int(began) < SESSION_S else None

    def csrf(self, session: Session) -> str:
        """What a form or script of ours sends along, and no other page knows."""
        return self._mark("csrf", session.id)

    def csrf_fits(self, session: Session, given: str) -> bool:
        """Whether that was sent by our own page."""
        return hmac.compare_digest(given.encode(), self.csrf(session).encode())

    def _mark(self, purpose: str, content: str) -> str:
        digest = hmac.digest(self._key, f"{purpose}:{content}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def token_of(path: Path, *, make: bool) -> str:
    """The token in a file; a new one is made where there is none.

    Raises:
        ConfigError: others may read it, it holds something else, or there is none and `make` is off.
        DiskTrouble: it can be neither read nor made.
    """
    try:
        if make:
            _make_token(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(file.fileno())
            content = file.read(1024)
    except FileNotFoundError as error:
        raise ConfigError("the page has no token yet", hint="start it once: `birdwatchd web`") from error
    except OSError as error:
        raise DiskTrouble(
            f"cannot use {path}: {error.strerror}", hint="it belongs to the user that birdwatchd runs as"
        ) from error
    if not stat.S_ISREG(facts.st_mode) or stat.S_IMODE(facts.st_mode) & 0o077:
        raise ConfigError(
            f"others can read {path}, which lets in whoever knows it",
            hint=f"remove it: `birdwatchd web` makes a new one, and everybody logs in again ({path})",
        )
    token = content.decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(token):
        raise ConfigError(
            f"{path} holds no token", hint="remove it: the next start of `birdwatchd web` makes a new one"
        )
    return token


def _make_token(path: Path) -> None:
    if os.path.lexists(path):
        return
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")  # it gets its name only when it is whole
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, TOKEN_FILE_MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), TOKEN_FILE_MODE)  # whatever the umask
            file.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was faster
            path.hardlink_to(part)
    finally:
        part.unlink()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not served: the status, and a sentence for people."""

    status: int
    error: str
    hint: str = ""


class Doorman:
    """Judges requests by their headers alone.

    Args:
        hosts: values of the Host header that are ours, lower case, with port.
    """

    def __init__(self, keys: Keys, hosts: frozenset[str]) -> None:
        self.keys = keys
        self._hosts = hosts

    def check_host(self, hosts: list[str]) -> Refusal | None:
        """Whether the request was meant for us.

        Args:
            hosts: all Host headers that it has.
        """
        if len(hosts) != 1:
            return Refusal(400, "this request does not say once what host it is for")
        if hosts[0].lower() not in self._hosts:
            return Refusal(
                421,
                "this page is not served under that name",
                hint="open it under the address that `birdwatchd web` tells, or add the name to `hosts` under [web] in config.toml",
            )
        return None

    def who(self, headers: Mapping[str, str], cookies: Mapping[str, str], now_s: float) -> Session | str | None:
        """The session of a cookie, or "bearer" for a program with the token; None for a stranger."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return "bearer" if self.keys.fits(token.strip()) else None
        return self.keys.session(cookies[COOKIE], now_s) if COOKIE in cookies else None

    def check_change(self, who: Session | str, headers: Mapping[str, str], csrf: str) -> Refusal | None:
        """Whether a request that changes something was sent by our own page, or by a program with the token.

        Args:
            csrf: what was sent as CSRF token, "" for nothing.
        """
        if refusal := self.check_origin(headers, is_program=isinstance(who, str)):
            return refusal
        if isinstance(who, Session) and not self.keys.csrf_fits(who, csrf):
            return Refusal(403, "this page is older than your login", hint="reload it and try again")
        return None

    def check_origin(self, headers: Mapping[str, str], *, is_program: bool) -> Refusal | None:
        """Whether a request comes from our own page. A program says nothing of where it comes from; a browser always does."""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        foreign = Refusal(403, "that came from another page", hint="use the buttons of this page")
        host = headers.get("host", "").lower()  # of all our names the one that this request was sent to
        ours = origin is not None and origin.lower() in (f"http://{host}", f"https://{host}")
        if site is not None:
            # Under our own Referrer-Policy a form's Origin is "null" even where it is ours.
            return None if site == "same-origin" and (ours or origin in (None, "null")) else foreign
        if origin is not None:  # browsers say no Sec-Fetch-Site to a plain http address that is not this computer
            return None if ours else foreign
        return None if is_program else foreign

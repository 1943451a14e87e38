"""What an attacker has: bytes of any kind on a line of their own. And what must not have moved afterwards."""

import hashlib
import os
import socket
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.web.serving import Served


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 if nothing did."""

    status: int
    headers: dict[str, str]
    body: bytes


Headers = Iterable[tuple[str, str]]


def raw(served: Served, data: bytes, *, timeout_s: float = 30) -> Answer:
    """Send bytes, and read until the line is closed or one answer is whole."""
    with socket.create_connection(("127.0.0.1", served.port), timeout_s) as line:
        with suppress(BrokenPipeError, ConnectionResetError):  # they had heard enough
            line.sendall(data)
        return read_answer(line)


def read_answer(line: socket.socket) -> Answer:
    """One answer."""
    came = b""
    try:
        while b"\r\n\r\n" not in came and (piece := line.recv(65536)):
            came += piece
        if b"\r\n\r\n" not in came:
            return Answer(0, {}, came)
        head, _, body = came.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
        while len(body) < int(headers.get("content-length", 0)) and (piece := line.recv(65536)):
            body += piece
    except ConnectionResetError:
        return Answer(0, {}, came)
    return Answer(int(first.split()[1]), headers, body)


def request(
    served: Served, method: str, target: str, headers: Headers, body: bytes = b"", *, host: str | None = None
) -> Answer:
    """One request with exactly these headers, and those that it cannot be without."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host or f'127.0.0.1:{served.port}'}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return raw(served, "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body)


def footprint(root: Path) -> str:
    """All rows of the log and every name in the bird folder, with size and time; SQLite's own helpers apart."""
    digest = hashlib.sha256()
    with closing(sqlite3.connect(f"file:{root / 'birdwatchd.db'}?mode=ro", uri=True)) as db:
        for line in db.iterdump():
            digest.update(line.encode("utf-8", "surrogateescape"))
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            path = Path(folder, name)
            if name.startswith("birdwatchd.db"):
                continue
            found = path.lstat()
            digest.update(
                f"{path} {found.st_size} {found.st_mtime_ns} {found.st_ino}".encode("utf-8", "surrogateescape")
            )
    return digest.hexdigest()

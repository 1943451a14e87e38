"""Pictures by number: what is given out, and what is not."""

import ctypes
import errno
import os
from pathlib import Path

import httpx
import pytest

from birdwatchd.core.errors import PhotoVanished
from birdwatchd.edges.files import Files, shown
from tests.gardens import Garden
from tests.web.serving import page_of

NAMES = [
    "../secret",
    "/etc/passwd",
    "library/../../secret",
    "library//x.jpg",
    "library/./x.jpg",
    "library/x\0.jpg",
    "",
    "library",
]


@pytest.fixture(params=["openat2", "step by step"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to open, also where the kernel knows the better one."""
    if request.param == "step by step":

        class OldKernel:
            @staticmethod
            def syscall(*_: object) -> int:
                ctypes.set_errno(errno.ENOSYS)
                return -1

        monkeypatch.setattr(shown, "_libc", OldKernel)


@pytest.mark.fault("W05")
def test_nothing_outside_is_opened(root: Path, way: None) -> None:
    outside = root.parent / "secret"
    outside.mkdir()
    (outside / "x.jpg").write_bytes(b"secret")
    shelf = root / "library" / "robin"
    shelf.mkdir()
    (shelf / "x.jpg").write_bytes(b"bird")
    (root / "library" / "linked").symlink_to(outside)
    (shelf / "linked.jpg").symlink_to(outside / "x.jpg")
    (shelf / "near.jpg").symlink_to("x.jpg")
    (root / "quarantine" / "x.jpg").write_bytes(b"refused")
    os.mkfifo(shelf / "pipe.jpg")
    with shown.photo(root, "library/robin/x.jpg") as file:
        assert file.read() == b"bird"
    bad = ["linked/x.jpg", "robin/linked.jpg", "robin/near.jpg", "robin/pipe.jpg", "robin/x.jpg/y", "robin"]
    for name in [*NAMES, *(f"library/{one}" for one in bad), "quarantine/x.jpg", "inbox/x.jpg", "birdwatchd.db"]:
        with pytest.raises(PhotoVanished):
            shown.photo(root, name)


def test_a_thumbnail_is_kept_by_the_browser_until_it_is_another(root: Path) -> None:
    garden = Garden(root)
    garden.drop(("redstart", 0))
    garden.close()
    with page_of(root) as served, served.client() as client:
        first = client.get("/thumbnails/1")
        assert (first.status_code, first.headers["content-type"]) == (200, "image/jpeg")
        assert first.headers["cache-control"] == "private, max-age=86400"
        assert first.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert b"JFIF" in first.content[:16]
        again = client.get("/thumbnails/1", headers={"If-None-Match": f'"x", {first.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        sha256 = Path(_thumbnails(root)[0]).stem
        Files(root).write_thumbnail(sha256, first.content + b"\0")
        assert client.get("/thumbnails/1", headers={"If-None-Match": first.headers["etag"]}).status_code == 200
        Path(_thumbnails(root)[0]).unlink()
        sign = client.get("/thumbnails/1")
        assert (sign.status_code, sign.headers["content-type"]) == (200, "image/svg+xml")
        assert sign.headers["cache-control"] == "no-store"


@pytest.mark.fault("W07")
def test_an_original_is_given_whole_and_never_shown_in_place(root: Path) -> None:
    garden = Garden(root)
    garden.drop(("redstart", 0))
    kept = garden.store.questions.photo(1)
    garden.close()
    assert kept is not None
    with page_of(root) as served, served.client() as client:
        answer = client.get("/originals/1")
        assert answer.content == (root / kept["path"]).read_bytes()
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith('attachment; filename="redstart-0-')
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
        head = client.head("/originals/1")
        assert (head.status_code, head.headers["content-length"], head.content) == (
            200,
            answer.headers["content-length"],
            b"",
        )
        (root / kept["path"]).unlink()
        gone = client.get("/originals/1")
        assert (gone.status_code, gone.json()["error"]) == (404, "photo 1 is not on the shelves now")
        for odd in ("2", "0", "-1", "x", str(2**63), "1.jpg", "+1", "1_0"):
            for place in ("thumbnails", "originals"):
                missing: httpx.Response = client.get(f"/{place}/{odd}")
                assert missing.status_code == 404, odd
                assert missing.json()["error"]


def _thumbnails(root: Path) -> list[str]:
    return [str(path) for path in (root / ".birdwatchd" / "thumbs").rglob("*.jpg")]

"""Makes the pictures of the README: `python -m tests.web.portraits docs/pictures`.

The birds are drawn: photos belong to who took them.
"""

import io
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, ViewportSize, sync_playwright

from birdwatchd.edges.files import Files
from birdwatchd.edges.trainer import build_spotter
from tests.service.running import daemon
from tests.web import showing
from tests.web.conftest import CHROMIUM
from tests.web.drawn import PLUMAGES, draw_tree
from tests.web.serving import Served, page_of

NAMED, NEW = 12, 8
WIDE: ViewportSize = {"width": 1180, "height": 860}
PHONE: ViewportSize = {"width": 390, "height": 780}
QUALITY = 82
GAP_PX = 24


def make(place: Path) -> None:
    """Write them into a folder."""
    *species, stranger = PLUMAGES
    with tempfile.TemporaryDirectory() as work:
        photos = draw_tree(Path(work) / "photos", PLUMAGES, each=NAMED + NEW, bare=2)
        root = Path(work) / "birdwatch"
        Files(root).create()
        build_spotter(root / ".birdwatchd" / "models")
        showing.make(root, photos, today=datetime.now(), species=species, stranger=stranger, named=NAMED, new=NEW)
        with daemon(root, environment=showing.QUIET), page_of(root) as served, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            for name, path in (("garden", "/?period=year"), ("review", "/review")):
                shot(browser, served, path, phone=False).save(place / f"{name}.webp", quality=QUALITY)
            phones = [shot(browser, served, path, phone=True) for path in ("/review", "/?period=year", "/photos")]
            beside(phones).save(place / "phones.webp", quality=QUALITY)
            browser.close()


def shot(browser: Browser, served: Served, path: str, *, phone: bool) -> Image.Image:
    """One screen, dark on a phone and light elsewhere."""
    context = browser.new_context(
        color_scheme="dark" if phone else "light",
        viewport=PHONE if phone else WIDE,
        has_touch=phone,
    )
    page = context.new_page()
    page.goto(f"{served.address}/login?to=/health#token={served.token}")
    page.wait_for_url(f"{served.address}/health")
    page.goto(served.address + path)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)  # the plots grow
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    context.close()
    return image


def beside(images: list[Image.Image]) -> Image.Image:
    """Several in a row."""
    wide = sum(image.width for image in images) + GAP_PX * (len(images) - 1)
    row = Image.new("RGB", (wide, max(image.height for image in images)), "white")
    at = 0
    for image in images:
        row.paste(image, (at, 0))
        at += image.width + GAP_PX
    return row


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    make(folder)

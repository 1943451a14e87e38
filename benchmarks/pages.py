"""The page over a log of a million predictions: how soon it is painted and answered, by which plans, in how much memory."""

import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx

from benchmarks.biglog import SPECIES, big_log
from benchmarks.figures import at_most, skipped
from birdwatchd.core import shelving
from birdwatchd.edges.store import Store

CROWD, CROWDED_TIMES = 24, 20
PAINTED_MS, ANSWERED_MS, MEMORY_MB = 500, 100, 120

PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"

ANSWERABLE = '#review[aria-busy="false"] .pick'

FROM_KEY_TO_PAINT = """() => {
  window.movedOn = [];
  document.addEventListener("keydown", () => {
    const began = performance.now();
    requestAnimationFrame(() => setTimeout(() => window.movedOn.push(performance.now() - began), 0));
  }, true);
}"""
"""What follows a frame has come after its painting."""

PAGES = (
    "/",
    "/?period=year",
    "/review",
    "/photos",
    "/photos?species={species}",
    "/photos/{photo}",
    "/species/{species}",
    "/days/{day}",
    "/cleaner",
    "/models",
    "/health",
)
ANSWERS = (
    "/api/garden?period=today",
    "/api/garden?period=week",
    "/api/garden?period=month",
    "/api/garden?period=year",
    "/api/garden/year",
    "/api/garden/year?species={species}",
    "/api/photos",
    "/api/photos?species={species}&by=human",
    "/api/photos?camera=pond&which=named",
    "/api/photos?by=machine",
    "/api/photos?which=empty&since=2025-03-01",
    "/api/photos/{photo}",
    "/api/species/{species}",
    "/api/days/{day}",
    "/api/queue",
    "/api/queue/count",
    "/api/models",
)


def pages(photos: int = 1_000_000, repeats: int = 9) -> None:
    """Make the log, then ask the page for everything."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "birds"
        began = time.monotonic()
        update_s = big_log(root, photos)
        size = (root / shelving.DATABASE).stat().st_size
        print(f"log of {photos:,} predictions, {size / 1e6:.0f} MB, made in {time.monotonic() - began:.0f} s")
        print(f"  brought up to date (once, at the first start): {update_s:.1f} s")
        with Store.read_only(root / shelving.DATABASE) as log:
            waiting = int(log.connection.value("SELECT max(id) FROM photos WHERE state = 'review'"))
        facts = {"species": SPECIES[3], "photo": str(waiting), "day": f"{datetime.now(UTC):%Y-%m-%d}"}
        with _page(root) as (address, token, process):
            _answered(address, token, facts, repeats)
            _painted(address, token, facts, repeats)
            memory = _memory_mb(process.pid)
            print(
                f"memory of the page's process after all of them: {memory:.0f} MB; {at_most(memory, MEMORY_MB, 'MB')}"
            )
            _in_a_crowd(address, token, facts)
            memory = _memory_mb(process.pid)
            print(
                f"the same after {CROWD} at a time asked for all: {memory:.0f} MB; {at_most(memory, MEMORY_MB, 'MB')}"
            )


def _answered(address: str, token: str, facts: dict[str, str], repeats: int) -> None:
    slowest = 0.0
    client = httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    for path in ANSWERS:
        took = []
        for _ in range(repeats + 1):
            began = time.perf_counter()
            client.get(path.format(**facts)).raise_for_status()
            took.append(1000 * (time.perf_counter() - began))
        middle = statistics.median(took[1:])
        slowest = max(slowest, middle)
        print(f"  {path.format(**facts):45} {middle:6.1f} ms (first {took[0]:.1f}, most {max(took[1:]):.1f})")
    client.close()
    print(f"the slowest answer, median: {slowest:.0f} ms; {at_most(slowest, ANSWERED_MS, 'ms')}")


def _in_a_crowd(address: str, token: str, facts: dict[str, str]) -> None:
    with (
        httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client,
        ThreadPoolExecutor(CROWD) as pool,
    ):
        for answer in pool.map(client.get, [path.format(**facts) for path in (*PAGES, *ANSWERS) * CROWDED_TIMES]):
            answer.raise_for_status()


def _painted(address: str, token: str, facts: dict[str, str], repeats: int) -> None:
    program = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)
    if program is None:
        skipped("first paint", "there is no Chromium: apt-get install chromium")
        return
    from playwright.sync_api import sync_playwright

    slowest = 0.0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(f"{address}/login?to=/photos#token={token}")
        page.wait_for_url(f"{address}/photos")
        state = page.context.storage_state()
        for path in PAGES:
            took = []
            for _ in range(repeats):  # a browser that has nothing of the page yet, each time
                context = browser.new_context(storage_state=state)
                one = context.new_page()
                answer = one.goto(address + path.format(**facts))
                if answer is None or answer.status == 404:
                    context.close()
                    break
                while (painted := one.evaluate(PAINTED)) is None:  # the page's policy lets nobody wait inside of it
                    time.sleep(0.02)
                took.append(float(painted))
                context.close()
            if not took:
                skipped(f"  first paint of {path}", "there is no such page")
                continue
            middle = statistics.median(took)
            slowest = max(slowest, middle)
            print(
                f"  first paint of {path.format(**facts):40} {middle:4.0f} ms (least {min(took):.0f}, most {max(took):.0f})"
            )
        page.goto(f"{address}/review")
        page.wait_for_selector(ANSWERABLE)
        cards = page.locator(".pick").count()
        page.evaluate(FROM_KEY_TO_PAINT)
        for _ in range(max(5, 4 * repeats)):
            page.keyboard.press("x")
            page.wait_for_selector(ANSWERABLE)
        moved_on = [float(one) for one in page.evaluate("window.movedOn")]
        browser.close()
    middle = statistics.median(moved_on)
    print(f"  from a key to the next of {cards} cards, painted: {middle:.0f} ms (most {max(moved_on):.0f})")
    print(f"an answer, median: {middle:.0f} ms; {at_most(middle, ANSWERED_MS, 'ms')}")
    print(f"the slowest first paint, median: {slowest:.0f} ms; {at_most(slowest, PAINTED_MS, 'ms')}")


@contextmanager
def _page(root: Path) -> Iterator[tuple[str, str, subprocess.Popen[bytes]]]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    words = [sys.executable, "-m", "birdwatchd", "web", "--root", str(root)]
    process = subprocess.Popen(
        words,
        env=os.environ | {"BIRDWATCHD_WEB__PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _until_it_answers(address)
        yield address, (root / shelving.WEB_TOKEN).read_text().strip(), process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _until_it_answers(address: str) -> None:
    for _ in range(300):
        try:
            httpx.get(f"{address}/login")
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError("the page does not answer")


def _memory_mb(pid: int) -> float:
    """What the process has for itself and its part of what it shares (PSS)."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1000

"""Three people who name photos at the same time, each in their own way: on the page, on the command line, and by moving files."""

import json
import random
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from birdwatchd.edges.store import Store
from tests.service.running import STUBBED
from tests.web.serving import Served

NAMES = ("robin", "wren", "jay", "kite", "magpie")
PAGE_AT_ONCE, COMMAND_AT_ONCE = 20, 50
BUSY = "database is locked"


@dataclass
class Said:
    """What one of them has said and was told that it counts: photo to the names, in that order."""

    words: dict[int, list[str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def note(self, photo_id: int, name: str) -> None:
        self.words.setdefault(photo_id, []).append(name)


def groups(photo_ids: Sequence[int], size: int) -> list[Sequence[int]]:
    return [photo_ids[start : start + size] for start in range(0, len(photo_ids), size)]


def on_the_page(served: Served, photo_ids: Sequence[int], said: Said, chance: random.Random) -> None:
    """Groups by HTTP. A stale card is looked at once more, and answered again."""
    with served.client() as client:
        for group in groups(photo_ids, PAGE_AT_ONCE):
            name, seen = chance.choice(NAMES), dict.fromkeys(group)
            wish = {"key": str(uuid.uuid4()), "species": name, "new_species": True}
            while True:
                photos = [{"photo_id": one, "seen": word} for one, word in seen.items()]
                answer = client.post("/api/answers", json=wish | {"photos": photos})
                if answer.status_code == 200:
                    for one in group:
                        said.note(one, name)
                    break
                told = answer.json()
                if answer.status_code != 409:
                    said.refused.append(answer.text)
                    break
                for one in told["stale"]:
                    seen[one] = last_word(served.root, one)


def last_word(root: Path, photo_id: int) -> str | None:
    with Store.read_only(root / "birdwatchd.db") as store:
        word = store.queue.last_word(photo_id)
    return None if word is None else word["label"]


def on_the_command_line(root: Path, photo_ids: Sequence[int], said: Said, chance: random.Random) -> None:
    """The real command, a process for each group."""
    for group in groups(photo_ids, COMMAND_AT_ONCE):
        name = chance.choice(NAMES)
        words = [*STUBBED, "label", *map(str, group), name, "--json", "--root", str(root)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
        if not done.stdout:
            said.refused.append(done.stderr)
            continue
        told = json.loads(done.stdout)
        for one in told.get("named", group):
            said.note(one, name)
        said.refused += [f"{one['error']}" for one in told.get("left", [])]


def by_moving_files(
    root: Path, places: Mapping[int, str], said: Said, chance: random.Random, *, pause_s: float
) -> None:
    """As in a file manager: the file is taken from where it lies."""
    for photo_id, digits in places.items():
        name = chance.choice(NAMES)
        folder = root / "library" / name
        folder.mkdir(exist_ok=True)
        if move(root, photo_id, digits, folder):
            said.note(photo_id, name)
        time.sleep(pause_s)


def move(root: Path, photo_id: int, digits: str, folder: Path) -> bool:
    """Whether it was moved. Whose file has just gone looks where it is, and tries again; who finds it there has nothing to do."""
    for _ in range(50):
        with Store.read_only(root / "birdwatchd.db") as store:
            photo = store.questions.photo(photo_id)
        path = root / photo["path"] if photo else None
        if path is not None and path.parent == folder:
            return False
        try:
            if path is not None:
                path.rename(folder / path.name)
                return True
        except FileNotFoundError:
            time.sleep(0.05)
    return False


def together(*voices: Callable[[], None]) -> None:
    """All at once, to the end of the last."""
    threads = [threading.Thread(target=voice) for voice in voices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

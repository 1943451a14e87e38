"""A person at the review page, who sees what each photo shows and presses keys; and what the log says of it at the end."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

from birdwatchd.edges.store import Store
from tests.service.running import until

NEVER_ENDS = 1000


@dataclass
class Person:
    """Knows every bird, and is lazy: names the odd ones of a group one by one, and takes the rest with two keys.

    Args:
        truth: photo id to species.
        looks_at: so many photos of a group are compared with its heading at once.
    """

    page: Page
    truth: Mapping[int, str]
    presses: int = 0

    def press(self, key: str) -> None:
        self.presses += 1
        self.page.keyboard.press(key)

    def wait(self) -> None:
        """Until what is on the screen is what the next key is about."""
        self.page.wait_for_selector('#review[aria-busy="false"]')

    def here(self) -> int | None:
        """The photo at hand."""
        one = self.page.query_selector(".pick.here")
        return None if one is None else int(one.get_attribute("data-id") or 0)

    def group(self) -> tuple[str, list[int]]:
        """Heading and photos of the group that the photo at hand is in."""
        section = self.page.query_selector(".group:has(.pick.here)")
        assert section is not None
        heading = section.query_selector("h2")
        assert heading is not None
        ids = [int(pick.get_attribute("data-id") or 0) for pick in section.query_selector_all(".pick")]
        return heading.inner_text().removeprefix("Probably "), ids

    def digit_of(self, species: str) -> str:
        """The key that stands beside a name."""
        key = self.page.query_selector(f'#names [data-species="{species}"] kbd')
        assert key is not None, f"{species} has no digit"
        return key.inner_text()

    def name_of(self, species: str) -> str:
        """How it is called on the screen."""
        button = self.page.query_selector(f'#names [data-species="{species}"]')
        assert button is not None
        return button.inner_text()[1:].strip()

    def answer_all(self) -> None:
        """Until nothing is left."""
        for _ in range(NEVER_ENDS):
            self.wait()
            photo_id = self.here()
            if photo_id is None:
                return
            heading, ids = self.group()
            kinds = {self.truth[one] for one in ids}
            suggested = next((one for one in sorted(set(self.truth.values())) if self.name_of(one) == heading), None)
            if kinds == {suggested} and len(ids) > 1:
                self.press("e")
                self.press("Enter")
            elif len(kinds) == 1 and len(ids) > 2:
                self.press("e")
                self.press(self.digit_of(kinds.pop()))
            elif self.truth[photo_id] == suggested:
                self.press("Enter")
            else:
                self.press(self.digit_of(self.truth[photo_id]))
        raise AssertionError("it never ends")


def labels(root: Path) -> dict[int, tuple[str, str]]:
    """Of each photo that was answered on the page: its name and its folder."""
    with Store.read_only(root / "birdwatchd.db") as store:
        rows = store.connection.rows(
            "SELECT photos.id, said.label, photos.path FROM current_labels AS said JOIN photos ON photos.id = said.photo_id"
            " WHERE said.source = 'web'"
        )
    return {row["id"]: (row["label"], row["path"].rpartition("/")[0]) for row in rows}


def wait_for_answers(root: Path) -> None:
    """Until the daemon has fulfilled all wishes."""

    def fulfilled() -> bool:
        with Store.read_only(root / "birdwatchd.db") as store:
            return not store.requests.open() and store.journeys.under_way_count() == 0

    until("all answers are carried out", fulfilled)

"""Commands that carry a human word: label, import, undo."""

import difflib
from pathlib import Path
from typing import Annotated, Any

import typer

from birdwatchd.cli.app import ConfigOption, JsonOption, RootOption, app, chosen_settings
from birdwatchd.cli.printing import as_json, moment, progress_bar, say, tell
from birdwatchd.cli.words import moment_meant, open_log, photo_meant, place_in_root
from birdwatchd.core import shelving
from birdwatchd.edges.clock import now_utc

MOST_SHOWN = 10


@app.command()
def label(
    photos: Annotated[list[str], typer.Argument(metavar="FILE|ID...")],
    species: Annotated[str, typer.Argument(help="Its species, or `empty` for no bird.")],
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Name the bird in a photo, or in several; they move to library/."""
    from birdwatchd.cli.wishing import wish

    settings = chosen_settings(root, config)
    name = shelving.species_name(species)
    with open_log(settings) as store:
        photo_ids = [photo_meant(store, photo) for photo in photos]
        known = store.questions.species()
        name = _known_spelling(name, known)
    with progress_bar("naming", shown=len(photos) > 1 and not json) as advance:
        if len(photos) > 1:
            wanted: dict[str, Any] = {"photo_ids": list(dict.fromkeys(photo_ids)), "species": name, "source": "cli"}
            result = wish(settings, "answers", wanted, advance)
        else:
            wanted = {"photo_id": photo_ids[0], "species": name, "seen_at": place_in_root(settings, photos[0])}
            result = wish(settings, "label", wanted, advance)
    if (note := _note_on(name, known)) is not None:
        tell(note)
    if json:
        as_json(result)
    elif len(photos) > 1:
        say(f"{len(result['named'])} photos are {name}")
        for one in result["left"]:
            say(f"  not photo {one['photo_id']}: {one['error']} ({one['hint']})")
    else:
        _say_of_one(photo_ids[0], name, result)
    if result.get("left"):
        raise typer.Exit(1)


def _say_of_one(photo_id: int, name: str, result: dict[str, Any]) -> None:
    if result["changed"]:
        copy = f" (photo {photo_id} is a copy of it)" if photo_id != result["photo_id"] else ""
        say(f"photo {result['photo_id']} is {name}: {result['path']}{copy}")
    else:
        sure = "; noted that you are sure" if result["confirmed"] else ""
        say(f"photo {result['photo_id']} is {name} already: {result['path']}{sure}")


@app.command(name="import")
def bring_in(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="One folder per species.")],
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Copy a tree of named photos into the library.

    One folder per species. The tree is left as it is; a photo that is known already gets this name and moves.
    """
    from birdwatchd.cli.wishing import wish

    settings = chosen_settings(root, config)
    with progress_bar("photos", shown=not json) as advance:
        result = wish(settings, "import", {"folder": str(Path.cwd() / folder)}, advance)
    if json:
        as_json(result)
        return
    say(f"{result['imported']} photos imported, {result['known']} known already, {len(result['bad'])} not taken")
    for one in result["bad"]:
        say(f"  {one['file']}: {one['what']} ({one['hint']})")


@app.command()
def undo(
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="ISO time, or how long ago: 90m, 2h, 7d.")],
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Take back what the machine did; names stay.

    What it filed or called empty since then goes to review/. What people named stays.
    """
    from birdwatchd.cli.wishing import wish

    settings = chosen_settings(root, config)
    with progress_bar("photos", shown=not json) as advance:
        result = wish(settings, "undo", {"since": moment_meant(since), "until": now_utc()}, advance)
    if json:
        as_json(result)
        return
    say(f"{len(result['undone'])} photos taken back since {moment(result['since'])} UTC")
    for one in result["undone"][:MOST_SHOWN]:
        say(f"  {one['from']} -> {one['to']}")
    if len(result["undone"]) > MOST_SHOWN:
        say(f"  … and {len(result['undone']) - MOST_SHOWN} more; all of them with --json")


def _known_spelling(name: str, known: list[str]) -> str:
    """The name as it is in use here already, if it differs only in case, blanks, `-` or `_`."""
    return {_folded(one): one for one in known}.get(_folded(name), name)


def _note_on(name: str, known: list[str]) -> str | None:
    """What to say of a name that nobody has used here yet."""
    if name in known or name == shelving.NO_BIRD:
        return None
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
    return f"note: {name} is a new species here" + (
        f"; if you meant {near[0]}, say it again with that name" if near else ""
    )


def _folded(name: str) -> str:
    return "".join(char for char in name.casefold() if char not in " -_")

"""Commands that carry a human word: label, import, undo."""

import difflib
from pathlib import Path
from typing import Annotated

import typer

from birdwatchd.cli.app import ConfigOption, JsonOption, RootOption, app, chosen_settings
from birdwatchd.cli.printing import as_json, moment, progress_bar, say, tell
from birdwatchd.cli.words import moment_meant, open_log, photo_meant
from birdwatchd.core import shelving
from birdwatchd.edges.clock import now_utc

MOST_SHOWN = 10


@app.command()
def label(
    photo: Annotated[str, typer.Argument(metavar="FILE|ID")],
    species: Annotated[str, typer.Argument(help="Its species, or `empty` for no bird.")],
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Name the bird in a photo; the photo moves to library/SPECIES/."""
    from birdwatchd.cli.wishing import wish

    settings = chosen_settings(root, config)
    name = shelving.species_name(species)
    with open_log(settings) as store:
        photo_id = photo_meant(store, photo)
        name = _known_spelling(name, store.questions.species())
    with progress_bar("naming", shown=False) as advance:
        result = wish(settings, "label", {"photo_id": photo_id, "species": name}, advance)
    if json:
        as_json(result)
    elif result["changed"]:
        copy = f" (photo {photo_id} is a copy of it)" if photo_id != result["photo_id"] else ""
        say(f"photo {result['photo_id']} is {name}: {result['path']}{copy}")
    else:
        say(f"photo {result['photo_id']} is {name} already: {result['path']}")


@app.command(name="import")
def bring_in(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="One folder per species.")],
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Copy a tree of named photos into the library; the tree is left as it is."""
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
    """Take back what the machine filed or called empty; it goes to review/. What people named stays."""
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
    """The name as it is in use here already, if it differs only in case, blanks, `-` or `_`; a note if it is new and close to one."""
    spellings = {_folded(one): one for one in known}
    if _folded(name) in spellings:
        return spellings[_folded(name)]
    if name != shelving.NO_BIRD:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
        tell(
            f"note: {name} is a new species here"
            + (f"; did you mean {near[0]}? Then say it again with that name" if near else "")
        )
    return name


def _folded(name: str) -> str:
    return "".join(char for char in name.casefold() if char not in " -_")

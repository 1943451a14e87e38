"""Commands that keep the log: backup, restore."""

import contextlib
import os
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from birdwatchd.cli.app import Chosen, ConfigOption, JsonOption, RootOption, app, chosen_settings
from birdwatchd.cli.printing import as_json, moment, say, table, tell
from birdwatchd.core import shelving
from birdwatchd.core.errors import AlreadyRunning, Refused
from birdwatchd.edges.clock import as_utc_text, now_utc

GENTLY = 10
"""How much a daily backup steps back behind everything else that wants the processor (nice(2))."""


@app.command()
def backup(
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    daily: Annotated[
        int | None, typer.Option("--daily", hidden=True, help="The daemon's own: keep so many, step back.")
    ] = None,
) -> None:
    """Copy the log into .birdwatchd/backups now.

    Works beside a running daemon, which makes one each day by itself.
    """
    from birdwatchd.edges.files import Files
    from birdwatchd.keeping import make_backup

    given = root or Chosen.root
    if daily is not None and given is not None:  # the daemon knows its settings already
        folder, keep = given, daily
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.nice(GENTLY)
    else:
        settings = chosen_settings(root, config)
        folder, keep = settings.root, settings.retention.backups
    files = Files(folder)
    made = make_backup(files, keep=keep, at=now_utc(), gently=daily is not None)
    if json:
        one = made.backup
        as_json(_as_row(one.path, one.made_at, one.size_bytes, made.proof.photos))
        return
    say(f"{made.backup.path}  ({made.proof.photos} photos, {made.backup.size_bytes / 1e6:.1f} MB)")
    if made.removed:
        say(f"  the oldest made room: {', '.join(path.name for path in made.removed)}")


@app.command()
def restore(
    backup: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A backup; none: list them.")] = None,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List the backups, or put one in the log's place.

    Only while no daemon runs. The log that is there is kept beside the backups; no photo is touched.
    """
    from birdwatchd.doctor import kept_files
    from birdwatchd.edges.files import Files
    from birdwatchd.edges.store import Store
    from birdwatchd.restoring import restore as put_in_place
    from birdwatchd.restoring import unknown_to

    files = Files(chosen_settings(root, config).root)
    files.check()
    if backup is None:
        _list_backups(files.root, json=json)
        return
    try:
        lock = files.lock()
    except AlreadyRunning as error:
        raise AlreadyRunning(
            error.message, hint="stop it first, `sudo systemctl stop birdwatchd` or Ctrl-C; start it again afterwards"
        ) from error
    with lock:
        done = put_in_place(files, _meant(files.path(shelving.BACKUPS), backup), at=now_utc())
        with Store.open(files.path(shelving.DATABASE)) as store:  # an older one is brought up to date here
            unknown = unknown_to(store, kept_files(files))
    if json:
        as_json({"photos": done.photos, "replaced": done.replaced, "not_in_log": len(unknown)})
        return
    say(f"The log is as it was then: it knows {done.photos} photos.")
    if done.replaced:
        before = files.path(done.replaced) / shelving.DATABASE
        say(f"  the log before is kept; to go back to it: birdwatchd restore {before}")
    if unknown:
        say(f"  {len(unknown)} files in the folders are not in it, such as {unknown[0]}; they stay where they are")
        say(
            "  those that you had named are named by their folders again; what you move into the inbox is looked at again"
        )
    say("Start birdwatchd again: `sudo systemctl start birdwatchd`, or `birdwatchd run`.")


def _meant(folder: Path, backup: Path) -> Path:
    """A path, or only the name of one of the listed backups.

    Raises:
        Refused: there is no such file.
    """
    for path in (Path.cwd() / backup, folder / backup):
        if path.is_file():
            return path
    raise Refused(f"there is no backup {backup}", hint="`birdwatchd restore` lists them")


def _list_backups(root: Path, *, json: bool) -> None:
    from birdwatchd.edges.files import Files
    from birdwatchd.edges.store.copies import backups_in, photos_in
    from birdwatchd.restoring import finish_restore

    files = Files(root)
    if os.path.lexists(files.path(shelving.RESTORE_PLAN)):
        with files.lock():
            finish_restore(files)
        tell("A restore that was cut short is finished now.")
    rows = [
        _as_row(one.path, one.made_at, one.size_bytes, photos_in(one.path))
        for one in reversed(backups_in(files.path(shelving.BACKUPS)))
    ]
    if json:
        as_json(rows)
        return
    if not rows:
        say("There are no backups yet. birdwatchd makes one each day while it runs; `birdwatchd backup` makes one now.")
        return
    for row in rows:
        row["when"] = moment(row["made_at"])
        row["megabytes"] = f"{row['bytes'] / 1e6:.1f}"
        row["known"] = "cannot be read" if row["photos"] is None else row["photos"]
    table(rows, [("when", "made (UTC)"), ("known", "photos"), ("megabytes", "MB"), ("name", "backup")])
    say("Put one in the log's place with `birdwatchd restore BACKUP`, while birdwatchd is stopped.")


def _as_row(path: Path, made_at: datetime, size_bytes: int, photos: int | None) -> dict[str, Any]:
    return {
        "name": path.name,
        "path": str(path),
        "made_at": as_utc_text(made_at),
        "bytes": size_bytes,
        "photos": photos,
    }

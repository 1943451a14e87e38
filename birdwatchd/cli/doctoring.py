"""The command that looks at everything: doctor, with its walls and its report."""

import itertools
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from birdwatchd.cli.app import ConfigOption, JsonOption, RootOption, app, chosen_settings
from birdwatchd.cli.printing import as_json, progress_bar, say
from birdwatchd.core.errors import ConfigError, UsageError
from birdwatchd.core.settings import Settings

if TYPE_CHECKING:
    from birdwatchd.doctor import Finding


@app.command()
def doctor(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Where the report goes; only with --bundle.")
    ] = None,
    root: RootOption = None,
    config: ConfigOption = None,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Try from inside what a photo could do that took birdwatchd over.")
    ] = False,
    bundle: Annotated[
        bool, typer.Option("--bundle", help="Pack a report for whoever helps: no photos, no names, no secrets.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Look at everything and say what to do.

    Ends with 1 if something is wrong.
    """
    if file is not None and not bundle:
        raise UsageError("a file is only written with --bundle", hint="`birdwatchd doctor --bundle FILE`")
    if sandbox and bundle:
        raise UsageError("--sandbox and --bundle are two things", hint="give one after the other")
    if sandbox:
        return _try_walls(chosen_settings(root, config), json=json)
    if bundle:
        return _pack(file, root, config, json=json)
    with progress_bar("looking at everything", shown=not json):
        findings = list(_look(root, config))
    return _tell(findings, json=json)


def _look(root: Path | None, config: Path | None) -> "Iterator[Finding]":
    from birdwatchd import doctor as examination
    from birdwatchd.edges import systemd
    from birdwatchd.edges.files import Files
    from birdwatchd.service import spotter_loader

    try:
        settings = chosen_settings(root, config)
    except ConfigError as error:
        for mistake in error.message.splitlines():
            yield examination.Finding("settings", mistake, error.hint)
        yield examination.of_unit(systemd.unit())
        return
    yield from examination.examine(
        Files(settings.root),
        load_spotter=spotter_loader(settings),
        settings=settings,
        age_s=_age_s,
        unit=systemd.unit(),
        find_unit=systemd.unit,
    )


def _tell(findings: "Sequence[Finding]", *, json: bool, **more: object) -> int:
    """Say what was found; 1 if something is wrong. Advice that goes for several is said once, after the last."""
    told = [{"subject": one.subject, "ok": one.ok, "what": one.what, "advice": one.advice} for one in findings]
    well = all(one.ok for one in findings)
    if json:
        as_json({"ok": well, **more, "findings": told})
        return int(not well)
    for finding, after in itertools.zip_longest(findings, findings[1:]):
        say(f"{'ok ' if finding.ok else 'BAD'}  {finding.subject}: {finding.what}")
        if finding.advice and (after is None or after.advice != finding.advice):
            say(f"       do this: {finding.advice}")
    return int(not well)


def _try_walls(settings: Settings, *, json: bool) -> int:
    from birdwatchd import doctor as examination
    from birdwatchd.cli.wishing import wish
    from birdwatchd.edges.files import Files
    from birdwatchd.edges.walls import Trial, Wall

    files = Files(settings.root)
    files.check(mend=False)
    by = os.getpid()
    if files.is_locked():
        with progress_bar("the daemon tries its walls", shown=not json) as advance:
            answer = wish(settings, "sandbox", {}, advance)
        by, walls = int(answer["pid"]), [Wall(**one) for one in answer["walls"]]
    else:
        with Trial(settings.root) as trial:
            while not trial.is_over():
                pass
            walls = trial.walls()
    daemon = by != os.getpid()
    if not json:
        who = (
            f"Tried by the daemon (process {by}), from inside:"
            if daemon
            else "No daemon runs. This is what this terminal may do; it says nothing of the service:"
        )
        say(who)
    tried_by = "daemon" if daemon else "this command"
    code = _tell(list(examination.of_walls(walls, daemon=daemon)), json=json, tried_by=tried_by)
    if not json:
        standing = sum(wall.holds for wall in walls)
        say(f"{standing} of {len(walls)} walls hold.")
    return code


def _pack(file: Path | None, root: Path | None, config: Path | None, *, json: bool) -> int:
    from birdwatchd.core.shelving import printable
    from birdwatchd.doctor import pack, parts

    path = Path.cwd() / (file or f"birdwatchd-report-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz")
    try:
        settings: Settings | None = chosen_settings(root, config)
    except ConfigError:  # it is among the findings
        settings = None
    with progress_bar("looking at everything", shown=not json):
        report = parts(settings.root if settings else None, settings, list(_look(root, config)))
    pack(report, path)
    if json:
        as_json({"file": printable(str(path)), "parts": {part.name: part.about for part in report}})
        return 0
    say(f"Packed into {path}:")
    for part in report:
        say(f"  {part.name:15}{len(part.text.encode()):8,} bytes  {part.about}")
    say("Nothing was sent. Look into it before you send it to anybody:")
    say(f"  tar -xzOf '{path}' | less")
    return 0


def _age_s(iso_utc: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(iso_utc)).total_seconds()

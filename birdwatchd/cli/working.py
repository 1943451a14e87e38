"""Commands that set up, watch and look: init, run, scan, classify."""

import contextlib
import logging
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birdwatchd.cli.app import ConfigOption, JsonOption, RootOption, app, chosen_file, chosen_settings
from birdwatchd.cli.printing import as_json, progress_bar, say, table, tell, tell_error
from birdwatchd.cli.serving import HOW_TO_INSTALL, missing_for_page
from birdwatchd.core import shelving
from birdwatchd.core.configuring import as_toml
from birdwatchd.core.errors import AlreadyRunning, BirdwatchdError, PhotoError, UsageError
from birdwatchd.core.settings import Settings

if TYPE_CHECKING:
    from birdwatchd.examining import Examiner


@app.command()
def init(root: RootOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Make the bird folder; may be repeated.

    With its settings, its log, and the network that looks at photos. What is there already is left alone.
    """
    from birdwatchd.edges.files import Files, write_whole
    from birdwatchd.edges.store import Store
    from birdwatchd.edges.trainer import build_spotter
    from birdwatchd.restoring import finish_restore

    settings = chosen_settings(root, config)
    files = Files(settings.root)
    new = files.create()
    files.check()
    settings_file = files.path(shelving.CONFIG)
    if not settings_file.exists():
        write_whole(settings_file, as_toml(root=str(settings.root)).encode())
    with contextlib.suppress(AlreadyRunning), files.lock():  # who works here has set the log up already
        finish_restore(files)
        Store.open(files.path(shelving.DATABASE)).close()
    with progress_bar("building the network that looks at your photos", shown=not json):
        spotter = build_spotter(files.path(shelving.MODELS))
    if json:
        as_json({"root": str(settings.root), "new": new, "spotter": spotter.name})
        return
    say(f"{'A new bird folder' if new else 'The bird folder'}: {settings.root}")
    say(f"  drop photos into   {files.path(shelving.INBOX)}")
    say(f"  settings           {settings_file}")
    here = "" if settings.root == Path("~/birdwatch").expanduser() else f" --root {settings.root}"
    say(f"Start it with `birdwatchd run{here}`.")


@app.command()
def run(
    root: RootOption = None,
    config: ConfigOption = None,
    ingest_only: Annotated[
        bool, typer.Option("--ingest-only", help="Only take photos; no review page. For the service.")
    ] = False,
    allow_remote: Annotated[
        bool,
        typer.Option(
            "--allow-remote", help="Serve the page where others in the network can reach it, if `host` says so."
        ),
    ] = False,
    log: Annotated[
        str,
        typer.Option("--log", metavar="text|json", help="How its messages look: sentences, or a JSON object a line."),
    ] = "text",
) -> None:
    """Watch the inbox until stopped, and serve the page beside that."""
    from birdwatchd import service
    from birdwatchd.cli.journal import tell_on_stderr

    if log not in ("text", "json"):
        raise UsageError(f"--log is text or json, not {shelving.printable(log)}")
    settings = chosen_settings(root, config)
    tell_on_stderr("json" if log == "json" else "text")
    wanted = settings.web.enabled and not ingest_only
    if wanted and (missing := missing_for_page()):
        tell(f"birdwatchd: there is no page in the browser: {missing[0]} is not installed")
        tell(f"  hint: {HOW_TO_INSTALL}")
        wanted = False
    page = ["web", "--root", str(settings.root), "--log", log]
    if (file := chosen_file(config)) is not None:
        page += ["--config", str(file)]
    if allow_remote:
        page.append("--allow-remote")
    service.run(settings, announce=_announce, page=page if wanted else None)


def _announce(line: str) -> None:
    say(f"{line}  (stop with Ctrl-C)")
    sys.stdout.flush()


@app.command()
def scan(root: RootOption = None, config: ConfigOption = None, json: JsonOption = False) -> int:
    """Empty the inbox once, and say what came of it."""
    from birdwatchd import service

    settings = chosen_settings(root, config)
    logging.basicConfig(level=logging.ERROR, format="%(message)s", stream=sys.stderr)
    with progress_bar("photos", shown=not json) as advance:
        done = service.scan(settings, sleep=time.sleep, progress=advance)
    waiting = [{"file": shelving.printable(path), "why": str(why)} for path, why in sorted(done.waiting.items())]
    if json:
        as_json(
            {
                "photos": done.photos,
                "verdicts": done.verdicts,
                "waiting": len(waiting),
                "waiting_files": waiting,
                "seconds": round(done.seconds, 3),
                "problems": done.problems,
            }
        )
        return int(bool(done.problems))
    say(
        f"{done.photos} photos in {done.seconds:.1f} s"
        + "".join(f", {count} {state}" for state, count in sorted(done.verdicts.items()))
    )
    for one in waiting:
        say(f"  still in the inbox: {one['file']} ({one['why']})")
    for problem in done.problems:
        tell(f"birdwatchd: {problem}")
    return int(bool(done.problems))


@app.command()
def classify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Say what would become of photos; touches nothing."""
    from birdwatchd.core import deciding
    from birdwatchd.core.photo import State
    from birdwatchd.edges.files import read_outside
    from birdwatchd.examining import Examiner, content_hash
    from birdwatchd.service import spotter_loader

    settings = chosen_settings(root, config)
    examiner = Examiner.by_settings(settings, spotter_loader(settings)())
    rules = deciding.Rules(settings.spotter.empty_below, settings.deciding.confirm_first)
    answers: list[dict[str, Any]] = []
    failed = False
    with ExitStack() as stack, progress_bar("photos", shown=not json and len(files) > 1) as advance:
        seen_before = _open_mind(settings, examiner, stack)
        for number, path in enumerate(files):
            advance(number, len(files))
            answer: dict[str, Any] = {"file": shelving.printable(str(path))}
            try:
                data = read_outside(path, max_bytes=examiner.limits.max_bytes)
                examined = examiner.examine(data)
                decision = deciding.judge(examined.spotting, rules, examined.naming, seen_before=seen_before)
                answer |= {
                    "sha256": content_hash(data),
                    "verdict": decision.outcome,
                    "reason": decision.reason,
                    "label": decision.label,
                    "probability": decision.probability,
                    "birdness": decision.birdness,
                    "top": decision.ranking,
                    "box": astuple(decision.box),
                    "birds": [
                        {"box": astuple(bird.box), "birdness": bird.birdness}
                        for bird in deciding.birds_of(examined.spotting, decision)
                    ],
                    "what": deciding.IN_WORDS[decision.reason],
                }
            except PhotoError as error:
                answer |= {
                    "verdict": State.QUARANTINED,
                    "reason": error.reason,
                    "what": error.message,
                    "hint": error.hint,
                }
            except BirdwatchdError as error:
                failed = True
                answer |= {"verdict": None, "what": error.message, "hint": error.hint}
                tell_error(error)
            answers.append(answer)
    if json:
        as_json(answers)
    else:
        table(
            [answer for answer in answers if answer["verdict"]],
            [
                ("file", "file"),
                ("verdict", "verdict"),
                ("label", "guess"),
                ("probability", "p"),
                ("birdness", "bird"),
                ("what", "why"),
            ],
        )
    return int(failed)


def _open_mind(settings: Settings, examiner: "Examiner", stack: ExitStack) -> Callable[[str], bool]:
    """Give the examiner the model in use, if there is one; returns who knows whether a label was given before."""
    from birdwatchd.edges.store import Store
    from birdwatchd.serving import load_serving

    path = settings.root / shelving.DATABASE
    if not path.is_file():
        return lambda _: False
    store = stack.enter_context(Store.read_only(path))
    examiner.classifier = load_serving(store, settings.root, examiner.spotter.id, settings.inference)
    return store.models.was_named

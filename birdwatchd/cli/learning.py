"""Commands about learning: train, and the shelf of models."""

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer

from birdwatchd.cli.app import ConfigOption, JsonOption, RootOption, app, chosen_settings
from birdwatchd.cli.printing import as_json, moment, progress_bar, say, table
from birdwatchd.cli.words import open_log
from birdwatchd.core.errors import Refused
from birdwatchd.core.meter import needed
from birdwatchd.edges.store import Store

models = typer.Typer(help="The models that name birds: list, show, promote, rollback.", no_args_is_help=True)
app.add_typer(models, name="models")


@app.command()
def train(
    finetune: Annotated[
        bool,
        typer.Option(
            "--finetune/--linear",
            help="Train the whole network, which takes minutes to hours and PyTorch; or only what names are told by, in seconds.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be learned from.")] = False,
    show_batch: Annotated[
        bool,
        typer.Option("--show-batch", help="Only draw some photos as the long training would be taught them."),
    ] = False,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Learn from your labels now, whether it is time or not.

    Ends with 1 if the new model was not better and the old one stays.
    """
    from birdwatchd.cli.wishing import wish

    settings = chosen_settings(root, config)
    if dry_run and show_batch:
        raise Refused("--dry-run and --show-batch do different things", hint="give one of them")
    if dry_run:
        preview = wish(settings, "train", {"dry_run": True}, _no_bar)
        as_json(preview) if json else _say_preview(preview)
        return 0
    if show_batch:
        with progress_bar("drawing", shown=not json, counted=False) as advance:
            drawn = wish(settings, "train", {"show_batch": True}, advance)
        as_json(drawn) if json else say(f"Look at it: {settings.root / drawn['path']}")
        return 0
    with progress_bar("learning", shown=not json, counted=False) as advance:
        result = wish(settings, "train", {"kind": "finetuned" if finetune else "linear"}, advance)
    if json:
        as_json(result)
    else:
        for sentence in result["reasons"]:
            say(sentence)
        if result["report"] is not None:
            say(f"Read about it: {settings.root / result['report']}")
    return int(result["outcome"] != "promoted")


def _no_bar(done: int, total: int, what: str = "") -> None:
    """Nothing is shown of what takes no time."""


def _say_preview(preview: dict[str, Any]) -> None:
    species = sorted(preview["species"].items(), key=lambda one: (-one[1], one[0]))
    say(f"It would learn from {preview['photos']} photos of {len(species)} species:")
    table(
        [{"species": name, "photos": photos} for name, photos in species],
        [("species", "species"), ("photos", "photos")],
    )
    if preview["held_out"]:
        say(f"{preview['held_out']} of them only judge what was learned.")
    for name, photos in sorted(preview["too_few"].items()):
        say(f"Not {name}: {photos} of {preview['min_labels_per_species']} photos.")
    for name, other in sorted(preview["doubtful_names"].items()):
        say(f"Not {name}: it looks like a slip for {other}.")
    if preview["straddling"]:
        say(f"Not {preview['straddling']} photos that look like both what is learned from and what judges it.")


@app.command()
def refile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would move.")] = False,
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Judge old photos again with the model in use.

    Those that it sees otherwise move; what people named or took back stays. `undo` takes it back.
    """
    from birdwatchd.cli.wishing import wish

    with progress_bar("photos", shown=not json) as advance:
        result = wish(chosen_settings(root, config), "refile", {"dry_run": dry_run}, advance)
    if json:
        as_json(result)
        return
    moves = "would move" if dry_run else "moved"
    changes = ", ".join(f"{one['photos']} {one['from']} -> {one['to']}" for one in result["changes"])
    say(f"{len(result['moves'])} of {result['judged']} photos {moves}{f': {changes}' if changes else ''}")
    if result["left"]:
        say(
            f"{result['left']} were left alone: they are not where they were, were changed, or wait to be looked at again"
        )


@models.command(name="list")
def list_models(root: RootOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Every model, the latest first; the one in use is marked."""
    settings = chosen_settings(root, config)
    with open_log(settings) as store:
        rows = [_shown(row, store, settings.root) for row in store.models.all()]
    if json:
        as_json(rows)
    elif not rows:
        enough = settings.training.min_labels_per_species
        say(f"No model yet: name some photos, at least {needed(enough)}, and one is made by itself.")
    else:
        columns = [
            ("id", "model"),
            ("use", "use"),
            ("kind", "kind"),
            ("made", "made"),
            ("knows", "species"),
            ("right", "right"),
            ("report", "report"),
        ]
        table([row | {"use": _use_in_words(row)} for row in rows], columns)


_IN_WORDS = {
    "photos": "learned from: {:.0f} photos",
    "judged": "judged on: {:.0f} photos that it had not seen",
    "accuracy": "named right: {:.1%} of these",
    "calibration_error": "how sure it says it is, against how often it is right: {:.1%} off",
}
"""What is measured of a model, for people; `--json` tells the rest as well."""


@models.command()
def show(model: int, root: RootOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """One model: what it knows, what it learned from, how well."""
    settings = chosen_settings(root, config)
    with open_log(settings) as store:
        row = store.models.get(model)
        if row is None:
            raise Refused(f"there is no model {model}", hint="see `birdwatchd models list`")
        shown = _shown(row, store, settings.root)
    shown |= {
        "labels": jsonlib.loads(row["labels"]),
        "metrics": jsonlib.loads(row["metrics"]),
        "path": row["path"],
    }
    if json:
        as_json(shown)
        return
    say(f"Model {model}, {shown['use'] or 'not in use'}, made {shown['made']}")
    if shown["taken_back"] is not None:
        say(f"  taken back {moment(shown['taken_back']['at'])}: {shown['taken_back']['why']}")
    say(f"  knows: {', '.join(shown['labels'])}")
    for name, value in shown["metrics"].items():
        if name in _IN_WORDS:
            say(f"  {_IN_WORDS[name].format(value)}")
    gone = " is gone, so it cannot be used again; only the newest models keep theirs" if shown["file_gone"] else ""
    say(f"  file: {shown['path']}{gone}")
    if shown["report"] is not None:
        say(f"  report: {settings.root / shown['report']}")


@models.command()
def promote(
    model: Annotated[int, typer.Argument(help="Its number in `birdwatchd models list`.")],
    root: RootOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Let this model name birds from now on."""
    _change("promote", {"model_id": model}, root, config, json=json)


@models.command()
def rollback(root: RootOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Let the model name birds that did so before."""
    _change("rollback", {}, root, config, json=json)


def _change(kind: str, arguments: dict[str, Any], root: RootOption, config: ConfigOption, *, json: bool) -> None:
    from birdwatchd.cli.wishing import wish

    with progress_bar("proving the model", shown=False) as advance:
        result = wish(chosen_settings(root, config), kind, arguments, advance)
    if json:
        as_json(result)
    else:
        say(f"Model {result['model_id']} names birds now: {', '.join(result['labels'])}")


def _use_in_words(row: dict[str, Any]) -> str:
    return ", ".join(filter(None, (row["use"], "file gone" if row["file_gone"] else "")))


def _shown(row: dict[str, Any], store: Store, root: Path) -> dict[str, Any]:
    metrics = jsonlib.loads(row["metrics"])
    taken_back = store.models.taken_back(row["id"])
    in_use = row["promoted_at"] is not None and row["retired_at"] is None
    return {
        "id": row["id"],
        "use": "in use" if in_use else "taken back" if taken_back else "retired" if row["retired_at"] else "",
        "taken_back": taken_back,
        "file_gone": not (root / row["path"]).exists(),
        "kind": row["kind"],
        "made": moment(row["created_at"]),
        "knows": len(jsonlib.loads(row["labels"])),
        "report": store.models.page_of(jsonlib.loads(row["recipe"]).get("training_id")),
        "right": f"{metrics['accuracy']:.1%} of {metrics['judged']:.0f}" if "accuracy" in metrics else "",
    }

"""Commands that ask the log: log, stats, audit, explain."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from birdwatchd.cli.app import ConfigOption, JsonOption, RootOption, SinceOption, app, chosen_settings
from birdwatchd.cli.printing import as_json, moment, say, table
from birdwatchd.cli.words import moment_meant, note_beside, open_log, photo_meant
from birdwatchd.core.errors import UnknownPhoto, UsageError


@app.command(name="log")
def show_log(
    root: RootOption = None,
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 20,
    state: Annotated[str | None, typer.Option(help="Only photos of this state, such as review or quarantined.")] = None,
    camera: Annotated[str | None, typer.Option(help="Only photos of this camera.")] = None,
    since: SinceOption = None,
    json: JsonOption = False,
) -> None:
    """The latest decisions."""
    from birdwatchd.core.photo import State

    if state is not None and state not in set(State):
        raise UsageError(f"no photo is ever {state!r}", hint=f"one of: {', '.join(State)}")
    with open_log(chosen_settings(root, config)) as store:
        rows = store.questions.recent(
            limit=limit, state=state, camera=camera, since=None if since is None else moment_meant(since)
        )
    if json:
        as_json(rows)
        return
    if not rows:
        say("No photos yet." if state is None and camera is None and since is None else "No photos of that kind.")
        return
    for row in rows:
        row["when"] = moment(row["received_at"])
        row["name"] = row["human_label"] or row["label"]
        if row["human_label"]:
            row["probability"] = None  # that was the machine's word for another name
    columns = [("id", "id"), ("when", "arrived (UTC)"), ("state", "state"), ("name", "bird"), ("probability", "p")]
    if any((row["birds"] or 0) > 1 for row in rows):
        columns.append(("birds", "birds"))
    table(rows, [*columns, ("reason", "reason"), ("path", "where")])


@app.command()
def stats(
    root: RootOption = None, config: ConfigOption = None, since: SinceOption = None, json: JsonOption = False
) -> None:
    """Counts by place, guess, day and species.

    Where the photos are, what waits for a look, which birds were named on which day, and how often the machine is right.
    """
    from birdwatchd.core.auditing import accuracies

    with open_log(chosen_settings(root, config)) as store:
        states, guesses = store.questions.states(), store.questions.guesses()
        days = store.questions.days(since=None if since is None else moment_meant(since)[:10])
        audited, right = store.audits.counts(), accuracies(store.audits.answered())
    if json:
        shown = {"states": states, "waiting_for_a_look": guesses, "days": days, "audits": audited}
        as_json(shown | {"accuracy": [asdict(one) for one in right]})
        return
    total = sum(states.values())
    say(f"{total} photos" + "".join(f", {count} {state}" for state, count in states.items()))
    if guesses:
        say("Waiting for a look, by guess:")
        table(guesses, [("guess", "guess"), ("photos", "photos")])
    if days:
        say("Named birds:")
        table(
            days,
            [("day", "day"), ("camera", "camera"), ("species", "species"), ("photos", "photos"), ("visits", "visits")],
        )
    else:
        say("No bird has a name yet. Name one with `birdwatchd label FILE SPECIES`.")
    if right:
        say("How often the machine's name is right:")
        rows = [
            {
                "species": one.label,
                "n": one.n,
                "right": f"{one.right / one.n:.0%}",
                "range": f"{one.low:.0%} to {one.high:.0%}",
            }
            for one in right
        ]
        table(rows, [("species", "filed as"), ("n", "looked at"), ("right", "right"), ("range", "95 % range")])
        say(
            f"This rests on {audited['answered']} of {audited['put_up']} photos that were chosen by their content alone and put up for"
            " a look (`birdwatchd audit`); other names are given to what waits or is wrong, and would say too little."
        )


@app.command()
def audit(
    root: RootOption = None,
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 20,
    json: JsonOption = False,
) -> None:
    """Filed photos that are put up for a look.

    Chosen among those that the machine was sure of. Your answers tell how often it is right (`birdwatchd stats`).
    """
    with open_log(chosen_settings(root, config)) as store:
        rows, waiting = store.audits.waiting(limit=limit), store.audits.counts()["waiting"]
    if json:
        as_json(rows)
        return
    if not rows:
        say("Nothing is put up for a look. While birdwatchd runs, one in so many filed photos is (`audit_one_in`).")
        return
    table(rows, [("photo_id", "id"), ("guess", "filed as"), ("path", "where")])
    if waiting > len(rows):
        say(f"… and {waiting - len(rows)} more")
    say(
        "Right or wrong, say what it is: `birdwatchd label ID SPECIES`, or move it; the name that it has already confirms it."
    )


@app.command()
def explain(
    photo: Annotated[str, typer.Argument(metavar="FILE|ID")],
    root: RootOption = None,
    config: ConfigOption = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="OUT.png", help="Also draw the photo with a frame round each bird."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Everything the log knows of one photo."""
    from birdwatchd.core.deciding import IN_WORDS
    from birdwatchd.core.photo import State

    settings = chosen_settings(root, config)
    with open_log(settings) as store:
        receipt = store.questions.receipt(photo_meant(store, photo))
    if receipt is None:
        raise UnknownPhoto(f"there is no photo {photo}")
    if picture is not None:
        from birdwatchd.picturing import picture_birds

        picture_birds(settings, receipt, picture)
    if json:
        as_json(receipt)
        return
    about = receipt["photo"]
    say(f"photo {about['id']}: {about['original_name']}")
    say(f"  arrived    {moment(about['received_at'])} UTC" + (f", camera {about['camera']}" if about["camera"] else ""))
    if about["captured_at"]:
        say(f"  taken      {about['captured_at'].replace('T', ' ')} by the camera's clock")
    if about["width_px"]:
        say(f"  picture    {about['width_px']} x {about['height_px']} pixels, {about['bytes']:,} bytes")
    say(f"  now        {about['state']}: {about['path']}")
    if about["state"] == State.MISSING and about["reason"] in IN_WORDS:
        say("  because    it is not in the bird folder any more")  # the reason tells why it lay where it lay
    elif about["reason"]:
        say(f"  because    {IN_WORDS.get(about['reason'], about['reason'])}")
    note = note_beside(settings.root / about["path"])
    if note is not None:
        say(f"  wrong is   {note['what_was_wrong']}")
        say(f"  do this    {note['what_to_do']}")
    _tell_looks(receipt)
    for one in receipt["labels"]:
        say(
            f"  named      {one['label'] or 'name withdrawn'} by {one['actor'] or one['source']}, {moment(one['labelled_at'])} UTC"
        )
    if receipt["twins"]:
        say(f"  same bytes as photo {', '.join(map(str, receipt['twins']))}")
    if picture is not None:
        say(f"  drawn in   {picture}" + ("" if receipt["birds"] else ", without a frame: no bird is known in it"))


def _tell_looks(receipt: dict[str, Any]) -> None:
    """What was seen in a photo at each look, and where its birds are."""
    from birdwatchd.core.deciding import IN_WORDS
    from birdwatchd.core.photo import Box
    from birdwatchd.core.whereabouts import in_words

    for one in receipt["predictions"]:
        say(f"  looked at  {moment(one['predicted_at'])} UTC by spotter {one['spotter_id']}, {one['took_ms']:.0f} ms")
        say(f"    bird in it  {one['birdness']:.3f}" if one["birdness"] is not None else "    bird in it  untold")
        say(f"    verdict     {one['verdict']}: {IN_WORDS.get(one['reason'], one['reason'])}")
        if one["label"]:
            say("    guesses     " + ", ".join(f"{label} {probability:.2f}" for label, probability in one["top"]))
    for one in receipt["birds"]:
        say(f"  bird {one['number']}     {in_words(Box(*one['box']))}, {one['birdness']:.2f}")
    if receipt["visit"] is not None:
        say(f"  taken in   {_visit_in_words(receipt['visit'])}")


def _visit_in_words(visit: dict[str, Any]) -> str:
    """What the photos of one visit tell together: `one visit of 3 photos, 10:02:11 to 10:02:15: robin 0.97, 3 of 3 agree`."""
    begin, end = (visit[name][len("2026-05-01T") :][: len("10:02:11")] for name in ("began_at", "ended_at"))
    agree, differ = visit["evidence"]["agree"], visit["evidence"]["differ"]
    name = (
        "no name"
        if visit["label"] is None
        else f"{visit['label']} {visit['probability']:.2f}, {agree} of {agree + differ} agree"
    )
    return f"one visit of {visit['photos']} photos, {begin} to {end}: {name}{_VISIT_VERDICTS[visit['verdict']]}"


_VISIT_VERDICTS = {
    "named": "",
    "disagrees": "; some are sure of another name",
    "unsure": "; not sure enough to say more than each photo by itself",
    "models-differ": "; different models looked at them",
}

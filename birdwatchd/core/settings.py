"""What a person may set: the schema, the one place that explains it, and how mistakes are told.

Each key lives once, as a pydantic field with its default, range, unit and a plain sentence. `config.toml`, the checks
and the words of every complaint are all made from that. Nothing here reads a disk: text and environment are arguments.
"""

import difflib
import json
import re
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from birdwatchd.core.errors import ConfigError

PREFIX = "BIRDWATCHD_"
ROOT_VARIABLE = f"{PREFIX}ROOT"
DEFAULT_ROOT = "~/birdwatch"

_COLUMNS = 100
_LONGEST_SHOWN = 80  # characters of a wrong value; enough to find it again in the file
_TOML_COMPLAINT = re.compile(r"(?P<reason>.*) \((?:at line (?P<line>\d+), column \d+|at end of document)\)", re.DOTALL)
_ROOT_FORM = "a whole path, beginning with / or ~/"


def _each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise ValueError("name each entry only once")
    return values


def _with_cpu(providers: tuple[str, ...]) -> tuple[str, ...]:
    if "cpu" not in providers:
        raise ValueError('contain "cpu", which takes over when the others cannot be used')
    return providers


def _opens_and_closes(hours: str) -> str:
    start, end = hours.split("-")
    if start == end:
        raise ValueError('begin and end at different times; "00:00-24:00" is the whole day')
    return hours


class Table(BaseModel):
    """One section of the file: closed, frozen, and strict, so that "2" is no number and true is not 1."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class Inbox(Table):
    """`[inbox]`: when a dropped file is taken."""

    settle_s: float = Field(
        default=2.0,
        ge=0,
        le=600,
        description="How long a photo must stand still, without a byte written to it, before it is taken. Raise it if "
        "your camera or network copies files with long pauses.",
        json_schema_extra={"unit": "seconds"},
    )
    sweep_s: float = Field(
        default=30,
        ge=1,
        le=3600,
        description="How often the whole inbox is looked through, so that no photo is missed even when the system does "
        "not tell of it.",
        json_schema_extra={"unit": "seconds"},
    )
    poll: bool = Field(
        default=False,
        description="false waits to be told of new files by the system, which is fast and costs nothing. true keeps "
        "looking instead; network folders (SMB, NFS) need that.",
    )
    ignore: tuple[Annotated[str, Field(pattern=r"\S")], ...] = Field(
        default=(),
        strict=False,
        description="Names of files to pass over. A * stands for any letters, a ? for one letter.",
        json_schema_extra={"allowed": 'a list of names or patterns, like ["*.tmp", "Thumbs.db"]'},
    )
    unfinished_s: float = Field(
        default=600,
        ge=0,
        le=86400,
        description="How long a photo whose end has not arrived may stand still before it is given up and set aside in "
        "quarantine/truncated/.",
        json_schema_extra={"unit": "seconds"},
    )


class Images(Table):
    """`[images]`: which photos are opened at all."""

    max_megapixels: float = Field(
        default=40,
        ge=1,
        le=170,
        description="Photos with more pixels than this are set aside in quarantine/too-large/ without being opened, "
        "because large ones need much memory.",
        json_schema_extra={"unit": "megapixels"},
    )
    formats: Annotated[tuple[Literal["jpeg", "png", "webp"], ...], AfterValidator(_each_once)] = Field(
        default=("jpeg", "png", "webp"),
        min_length=1,
        strict=False,
        description='Kinds of pictures that are taken; "jpeg" is .jpg too. All others are set aside in quarantine/unsupported/.',
    )


class Spotter(Table):
    """`[spotter]`: is there a bird, and where."""

    empty_below: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="A photo whose probability of showing a bird is below this goes to empty/. A higher number means "
        "fewer photos of bare branches, but more birds that are missed.",
    )
    detector: Literal["spotter"] = Field(
        default="spotter",
        description="What looks for the bird in the photo. There is one so far.",
    )


class Deciding(Table):
    """`[deciding]`: when a name is sure enough."""

    wanted_precision: float = Field(
        default=0.95,
        ge=0.5,
        le=0.999,
        description="The share of photos filed by birdwatchd that should carry the right name: 0.95 means 95 of 100. A "
        "higher number means fewer wrong names and more photos in review/.",
    )
    audit_one_in: int = Field(
        default=50,
        ge=0,
        le=100_000,
        description="One in so many photos that birdwatchd is sure of is put up for a look all the same, so that "
        "mistakes come to light. It is filed in the meantime. 0 means never.",
        json_schema_extra={"unit": "photos"},
    )
    confirm_first: bool = Field(
        default=True,
        description="Whether the first photo that birdwatchd would name as a species new to this bird folder waits in "
        "review/ for your word.",
    )
    protected: tuple[Annotated[str, Field(pattern=r"\S")], ...] = Field(
        default=(),
        strict=False,
        description="Species that are never filed without you: their photos always wait in review/. Write them as "
        "their folders below library/ are called.",
        json_schema_extra={"allowed": 'a list of species, like ["kestrel", "barn owl"]'},
    )


class Training(Table):
    """`[training]`: how birdwatchd learns from your labels."""

    enabled: bool = Field(
        default=True,
        description="Whether birdwatchd trains by itself when enough new labels have come together. `birdwatchd train` "
        "works either way.",
    )
    min_labels_per_species: int = Field(
        default=5,
        ge=2,
        le=1000,
        description="A species is learned once it has this many labelled photos.",
        json_schema_extra={"unit": "labels"},
    )
    min_new_labels: int = Field(
        default=10,
        ge=1,
        description="Training starts when this many labels are new since the last time.",
        json_schema_extra={"unit": "labels"},
    )
    fine_tune: Literal["auto", "never"] = Field(
        default="auto",
        description='Whether the whole network may be trained too, which takes hours instead of seconds. "auto" does '
        "so when PyTorch is installed and there are enough labels.",
    )
    hours: Annotated[str, AfterValidator(_opens_and_closes)] = Field(
        default="22:00-06:00",
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$",
        description="The part of the day in which the long training may run, by this computer's clock; it may pass "
        'midnight. "00:00-24:00" means at any time.',
        json_schema_extra={"allowed": 'two times of the day, like "22:00-06:00"'},
    )
    architecture: str = Field(
        default="tf_efficientnet_lite0",
        pattern=r"^[A-Za-z0-9_.]+$",
        description="The network that the long training starts from, by its name in timm.",
        json_schema_extra={"allowed": "a name made of letters, digits, dots and underscores"},
    )
    image_size: int = Field(
        default=224,
        ge=64,
        le=1024,
        description="Width and height to which each bird is scaled for the long training. Twice the size takes four "
        "times as long.",
        json_schema_extra={"unit": "pixels"},
    )
    resize: Literal["squish", "pad", "crop", "random-crop"] = Field(
        default="random-crop",
        description="How a photo becomes square for the long training: squeezed, with a border, cut out of the middle, "
        "or cut out at random places.",
    )
    epochs: int = Field(
        default=4,
        ge=1,
        le=100,
        description="How many times the long training goes through all photos.",
        json_schema_extra={"unit": "rounds"},
    )
    seed: int = Field(
        default=42,
        ge=0,
        le=2**32 - 1,
        description="Where the dice start. The same labels and the same seed give the same model.",
    )
    max_minutes: int = Field(
        default=240,
        ge=1,
        le=1440,
        description="A training that takes longer than this is stopped; the model in use stays in use.",
        json_schema_extra={"unit": "minutes"},
    )


class Inference(Table):
    """`[inference]`: what computes the answers."""

    providers: Annotated[
        tuple[Literal["tensorrt", "cuda", "cpu"], ...], AfterValidator(_each_once), AfterValidator(_with_cpu)
    ] = Field(
        default=("tensorrt", "cuda", "cpu"),
        min_length=1,
        strict=False,
        description='What may compute, tried in this order. What this computer lacks is passed over; "cpu" must be in '
        "the list and is always there.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=256,
        description="How many processor cores may compute at once. 0 means all of them.",
        json_schema_extra={"unit": "cores"},
    )


class Retention(Table):
    """`[retention]`: how long things are kept."""

    quarantine_days: int = Field(
        default=0,
        ge=0,
        le=3650,
        description="Files set aside in quarantine/ are deleted after this time. 0 means never.",
        json_schema_extra={"unit": "days"},
    )
    backups: int = Field(
        default=7,
        ge=0,
        le=365,
        description="How many copies of the log are kept; the oldest makes room for the newest. 0 means none are made.",
        json_schema_extra={"unit": "copies"},
    )


class Web(Table):
    """`[web]`: the review page."""

    enabled: bool = Field(default=True, description="Whether the review page is served.")
    host: str = Field(
        default="127.0.0.1",
        pattern=r"^[A-Za-z0-9.:_-]+$",
        description='Where the page listens. "127.0.0.1" means only this computer; "0.0.0.0" means everyone in your '
        "network can open it.",
        json_schema_extra={"allowed": "an address or name of this computer"},
    )
    port: int = Field(
        default=8765,
        ge=1,
        le=65535,
        description="The number after the colon in the address of the page.",
    )


def _absolute(root: Path) -> Path:
    if not root.is_absolute():
        raise ValueError(f"be {_ROOT_FORM}")
    return root


class Settings(Table):
    """All that can be set, read once and never changed.

    Attributes:
        root: the bird folder, absolute, with ~ already replaced.
    """

    root: Annotated[Path, AfterValidator(_absolute)] = Field(
        description="The bird folder. Inbox, library, log and everything else that birdwatchd keeps lie below it.",
        json_schema_extra={"allowed": _ROOT_FORM},
    )
    inbox: Inbox = Field(default_factory=Inbox, description="The inbox: when a photo you dropped is taken.")
    images: Images = Field(default_factory=Images, description="Which photos are opened.")
    spotter: Spotter = Field(default_factory=Spotter, description="Finding the bird in the photo.")
    deciding: Deciding = Field(
        default_factory=Deciding, description="How sure birdwatchd must be before it files a photo under a name."
    )
    training: Training = Field(default_factory=Training, description="Learning from the photos that you have named.")
    inference: Inference = Field(default_factory=Inference, description="What computes the answers.")
    retention: Retention = Field(default_factory=Retention, description="How long things are kept.")
    web: Web = Field(default_factory=Web, description="The review page in your browser.")


TABLES: dict[str, type[Table]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Table)
}
"""Every section with its model, in the order of the file."""

_VARIABLES = {
    f"{PREFIX}{section}__{key}".upper(): (section, key) for section, table in TABLES.items() for key in table.model_fields
}


def parse(text: str, *, where: str) -> dict[str, Any]:
    """Read the text of a configuration file.

    Args:
        where: what to call the file in a complaint.
    Raises:
        ConfigError: the text is no TOML; the message is one line and says which line of the file.
    """
    # Windows editors put an invisible mark in front; it means nothing.
    text = text.removeprefix("\ufeff")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(f"{_plain(where, limit=None)}: too many brackets inside each other") from error
    except ValueError as error:  # also numbers with thousands of digits, which tomllib lets through to int()
        if (found := _TOML_COMPLAINT.fullmatch(str(error))) is None:
            digits = re.search(r"[0-9_]{4000}", text)
            number = text.count("\n", 0, digits.start()) + 1 if digits else 1
            raise ConfigError(
                f"{_plain(where, limit=None)}: line {number}: this number has too many digits", hint="write a shorter one"
            ) from error
        lines = text.rstrip().split("\n")
        # The place may lie behind the last line, when something was opened and never closed.
        number = min(int(found["line"] or len(lines)), len(lines))
        twice = found["reason"].startswith(("Cannot ", "Duplicate "))
        trouble = "repeats what stands above" if twice else "is not understood"
        raise ConfigError(
            f"{_plain(where, limit=None)}: line {number} {trouble}: {_plain(lines[number - 1].strip())}",
            hint="every key and every [section] may stand there once"
            if twice
            else 'write key = value, text in "quotation marks", lists in [brackets], true and false in small letters',
        ) from error


def settings_from(document: Mapping[str, object], environment: Mapping[str, str], *, root: Path | None, where: str) -> Settings:
    """Put together what holds: the option `root` before the environment before the file before the defaults.

    Args:
        document: the file, as `parse` gave it; empty when there is none.
        environment: variables `BIRDWATCHD_SECTION__KEY` and `BIRDWATCHD_ROOT`; `HOME` for a root that begins with ~/.
        root: the folder given on the command line, made absolute by the caller; None when none was given.
        where: what to call the file in a complaint.
    Raises:
        ConfigError: one line for each mistake in file and environment, also for those that something else overrides.
    """
    problems: list[str] = []
    chosen: dict[str, dict[str, object]] = {section: {} for section in TABLES}
    file = _plain(where, limit=None)
    problems += (f"{file}: {problem}" for problem in _read_document(document, chosen))
    problems += (f"environment: {problem}" for problem in _read_environment(environment, chosen))

    roots: list[tuple[str, object]] = [] if root is None else [(f"--root {_plain(str(root))}", str(root))]
    if (variable := environment.get(ROOT_VARIABLE)) is not None:
        roots.append((f"environment: {ROOT_VARIABLE}={_plain(variable)}", variable))
    if "root" in document:
        roots.append((f"{file}: root = {_shown(document['root'])}", document["root"]))
    roots.append((f"default: root = {_shown(DEFAULT_ROOT)}", DEFAULT_ROOT))
    problems += (f"{shown}: must be {_ROOT_FORM}" for shown, value in roots if not _may_be_root(value))

    shown, value = roots[0]
    place = _expanded(value, environment)
    if place is None:
        problems.append(f"{shown}: HOME is not set, so ~ has no meaning; write the whole path or give --root")
    if problems or place is None:
        raise ConfigError("\n".join(problems))
    tables = {section: table.model_validate(chosen[section]) for section, table in TABLES.items()}
    return Settings.model_validate({"root": place, **tables})


def as_toml(*, root: str | None = None) -> str:
    """Write the whole configuration file with every key at its default, explained.

    Args:
        root: stands in the file as `root` in place of the default.
    Raises:
        ConfigError: `root` is no text that a TOML file can hold.
    """
    if root is not None and any("\ud800" <= letter <= "\udfff" for letter in root):
        raise ConfigError(f"root = {_shown(root)}: the name is not text", hint="choose a folder with a plain name")
    blocks = [
        _comment(
            "The settings of birdwatchd, each with its default. Change what you like, then start birdwatchd again.",
            "",
            "A line that you delete keeps its default. Mistakes are told at the start, all at once, and nothing is done"
            " until they are mended.",
            "",
            "A setting can also come from the environment: BIRDWATCHD_INBOX__SETTLE_S=5 is settle_s below [inbox], and"
            " BIRDWATCHD_ROOT is the bird folder. The environment goes before this file, and options of the command"
            " line go before both.",
        ),
        _entry("root", Settings.model_fields["root"], DEFAULT_ROOT, DEFAULT_ROOT if root is None else root),
    ]
    for section, table in TABLES.items():
        blocks.append(f"\n{_comment(str(Settings.model_fields[section].description))}\n[{section}]")
        blocks += (_entry(key, field, field.default, field.default) for key, field in table.model_fields.items())
    return "\n\n".join(blocks) + "\n"


def _read_document(document: Mapping[str, object], chosen: dict[str, dict[str, object]]) -> Iterator[str]:
    """Put what is right into `chosen`, tell what is not; `root` is looked at elsewhere."""
    for section, content in document.items():
        if section == "root":
            continue
        if section not in TABLES:
            yield _unknown_at_top(section, content)
        elif not isinstance(content, Mapping):
            yield f"{section} = {_shown(content)}: must be a section, so write [{section}] on a line of its own"
        else:
            for key, value in content.items():
                if key not in TABLES[section].model_fields:
                    yield f"[{section}] {_plain(key)} = {_shown(value)}: unknown key{_instead(section, key)}"
                elif problem := _problem(section, key, value):
                    yield f"[{section}] {key} = {_shown(value)}: {problem}{_unquote(section, key, value)}"
                else:
                    chosen[section][key] = value


def _read_environment(environment: Mapping[str, str], chosen: dict[str, dict[str, object]]) -> Iterator[str]:
    """The same for `BIRDWATCHD_SECTION__KEY`; other names may belong to tests or tools and are left alone."""
    for variable, text in sorted(environment.items()):
        if not variable.startswith(PREFIX) or "__" not in variable:
            continue
        if variable not in _VARIABLES:
            close = _closest(variable.removeprefix(PREFIX), (known.removeprefix(PREFIX) for known in _VARIABLES))
            remedy = f"did you mean {PREFIX}{close}?" if close else f"the form is {PREFIX}SECTION__KEY"
            yield f"{_plain(variable)}={_plain(text)}: unknown setting, {remedy}"
            continue
        section, key = _VARIABLES[variable]
        readings = [*_as_toml_value(text), text]
        problem = _problem(section, key, readings[0])
        fitting = [reading for reading in readings if _problem(section, key, reading) is None]
        if fitting:
            chosen[section][key] = fitting[0]
        else:
            yield f"{variable}={_plain(text)}: {problem}"


def _as_toml_value(text: str) -> list[object]:
    """The value that the text is in TOML; none when it is not exactly one value."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return []
    return [document["value"]] if set(document) == {"value"} else []


def _may_be_root(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("/", "~/")) and "\0" not in value


def _expanded(value: object, environment: Mapping[str, str]) -> Path | None:
    """The root without ~; None when it needs a home that is not known."""
    text = str(value)
    if not text.startswith("~/"):
        return Path(text)
    home = environment.get("HOME", "")
    return Path(home) / text.removeprefix("~/").lstrip("/") if home.startswith("/") else None


def _problem(section: str, key: str, value: object) -> str | None:
    """Say in plain words why the value does not fit; None when it does."""
    try:
        TABLES[section].model_validate({key: value})
    except ValidationError as failure:
        field = TABLES[section].model_fields[key]
        error = failure.errors(include_url=False, include_input=False)[0]
        unit = f" ({_unit(field)})" if _unit(field) else ""
        if error["type"] == "value_error":
            return f"must {error['ctx']['error']}"
        if error["type"] in {"greater_than_equal", "less_than_equal"}:
            return f"must be {_range(field)}{unit}"
        return f"must be {_allowed(field)}{unit}"
    return None


def _unquote(section: str, key: str, value: object) -> str:
    """The commonest slip deserves its remedy: a number or true in quotation marks."""
    if isinstance(value, str) and TABLES[section].model_fields[key].annotation in (int, float, bool):
        return ", without quotation marks"
    return ""


def _unknown_at_top(name: str, content: object) -> str:
    if isinstance(content, Mapping):
        close = _closest(name, TABLES)
        return f"[{_plain(name)}]: unknown section, " + (
            f"did you mean [{close}]?" if close else f"there are {', '.join(f'[{section}]' for section in TABLES)}"
        )
    return f"{_plain(name)} = {_shown(content)}: unknown key{_instead('', name)}"


def _instead(section: str, key: str) -> str:
    """What may have been meant: the key's true section, the nearest name, or the names there are."""
    homes = [f"[{name}]" for name, table in TABLES.items() if key in table.model_fields]
    if homes:
        return f", it belongs below {' or '.join(homes)}"
    known = list(TABLES[section].model_fields) if section else ["root", *TABLES]
    close = _closest(key, known)
    return f", did you mean {close}?" if close else f", there are {', '.join(known)}"


def _closest(name: str, known: Iterable[str]) -> str | None:
    spelled = {candidate.lower(): candidate for candidate in known}
    # Cut, because comparing takes time with the square of the length and a hostile name may be as long as a file.
    close = difflib.get_close_matches(name[:_LONGEST_SHOWN].lower(), spelled, n=1)
    return spelled[close[0]] if close else None


def _unit(field: FieldInfo) -> str:
    return str(_extra(field).get("unit", ""))


def _extra(field: FieldInfo) -> Mapping[str, object]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _range(field: FieldInfo) -> str:
    bounds = {name: getattr(rule, name) for rule in field.metadata for name in ("ge", "le") if hasattr(rule, name)}
    return f"between {bounds['ge']} and {bounds['le']}" if "le" in bounds else f"{bounds['ge']} or more"


def _allowed(field: FieldInfo) -> str:
    """What a field takes, in words that fit after "must be"."""
    if "allowed" in (extra := _extra(field)):
        return str(extra["allowed"])
    kind = field.annotation
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        return f"{'a whole' if kind is int else 'a'} number {_range(field)}"
    if get_origin(kind) is Literal:
        *others, last = map(_shown, get_args(kind))
        return f"{', '.join(others)} or {last}" if others else last
    entries = get_args(get_args(kind)[0])
    return f"a list with one or more of {', '.join(map(_shown, entries))}"


def _entry(key: str, field: FieldInfo, default: object, value: object) -> str:
    unit = f" {_unit(field)}" if _unit(field) else ""
    facts = f"Default: {_toml(default)}{unit}. Allowed: {_allowed(field)}."
    return f"{_comment(str(field.description), facts)}\n{key} = {_toml(value)}"


def _comment(*paragraphs: str) -> str:
    lines = (textwrap.wrap(text, _COLUMNS - 2, break_long_words=False, break_on_hyphens=False) for text in paragraphs)
    return "\n".join(f"# {line}".rstrip() for paragraph in lines for line in paragraph or [""])


def _toml(value: object) -> str:
    """One value as TOML spells it: as JSON does, but for one sign that JSON lets stand."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(text: str, *, limit: int | None = _LONGEST_SHOWN) -> str:
    """Text of unknown origin, on one line and without anything that moves a cursor or turns the writing around."""
    cut = text if limit is None or len(text) <= limit else f"{text[: limit - 1]}…"
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in cut)


def _shown(value: object) -> str:
    """A wrong value as it stood in the file, short, and never deeper than one list."""
    if isinstance(value, list | tuple):
        entries = ["[…]" if isinstance(entry, list) else _shown(entry) for entry in value[:6]]
        return f"[{', '.join(entries)}{', …' if len(value) > len(entries) else ''}]"
    if isinstance(value, Mapping):
        return "{…}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 1000:
        return "a number of more than 300 digits"  # Python refuses to write out the longest
    if isinstance(value, str):
        cut = value if len(value) <= _LONGEST_SHOWN else f"{value[: _LONGEST_SHOWN - 1]}…"
        return '"' + _plain(cut.replace("\\", "\\\\").replace('"', '\\"'), limit=None) + '"'
    return _plain(str(value))

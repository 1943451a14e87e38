"""From the words of file and environment to settings, and back to a commented file; every mistake told at once.

Nothing here reads a disk: text and environment are arguments.
"""

import difflib
import json
import re
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from birdwatchd.core.errors import ConfigError
from birdwatchd.core.settings import DEFAULT_ROOT, PREFIX, ROOT_FORM, ROOT_VARIABLE, TABLES, Settings

_COLUMNS = 100
_LONGEST_SHOWN = 80  # characters of a wrong value; enough to find it again in the file
_TOML_COMPLAINT = re.compile(r"(?P<reason>.*) \((?:at line (?P<line>\d+), column \d+|at end of document)\)", re.DOTALL)

_VARIABLES = {
    f"{PREFIX}{section}__{key}".upper(): (section, key)
    for section, table in TABLES.items()
    for key in table.model_fields
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
                f"{_plain(where, limit=None)}: line {number}: this number has too many digits",
                hint="write a shorter one",
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


def settings_from(
    document: Mapping[str, object], environment: Mapping[str, str], *, root: Path | None, where: str
) -> Settings:
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
    problems += (f"{shown}: must be {ROOT_FORM}" for shown, value in roots if not _may_be_root(value))

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
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in cut
    )


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

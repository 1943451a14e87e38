"""What may be set, who wins, and how mistakes are told."""

import math
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from birdwatchd.core.configuring import as_toml, parse, settings_from
from birdwatchd.core.errors import ConfigError
from birdwatchd.core.settings import DEFAULT_ROOT, TABLES, Settings

HOME = {"HOME": "/home/ann"}
CONFIG = Path(__file__).parents[2] / "config.toml"
KEYS = [(section, key) for section, table in TABLES.items() for key in table.model_fields]
NUMBERS = [place for place in KEYS if TABLES[place[0]].model_fields[place[1]].annotation in (int, float)]


def made(text: str = "", environment: Mapping[str, str] = {}, *, root: Path | None = None) -> Settings:
    """Settings of a file with this text, and a home."""
    return settings_from(parse(text, where="config.toml"), {**HOME, **environment}, root=root, where="config.toml")


def complaint(text: str = "", environment: Mapping[str, str] = {}, *, root: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        made(text, environment, root=root)
    return caught.value.message


def explanation(key: str, section: str) -> str:
    """The comment above one key, as one line."""
    block = ("\n" + as_toml().split(f"[{section}]\n")[1]).split(f"\n{key} = ")[0].rsplit("\n\n", 1)[1]
    return " ".join(line.removeprefix("# ") for line in block.splitlines())


# The file is the documentation


def test_the_file_in_the_repository_is_generated_from_the_models() -> None:
    assert CONFIG.read_text(encoding="utf-8") == as_toml()


def test_the_generated_file_says_exactly_the_defaults() -> None:
    document = parse(as_toml(), where="config.toml")
    assert made(as_toml()) == made() == Settings(root=Path("/home/ann/birdwatch"))
    assert document.pop("root") == DEFAULT_ROOT
    assert {section: list(keys) for section, keys in document.items()} == {
        section: list(table.model_fields) for section, table in TABLES.items()
    }
    for section, table in TABLES.items():
        assert table.model_validate(document[section]) == table()


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_key_is_explained_with_default_unit_and_range_or_choices(section: str, key: str) -> None:
    field = TABLES[section].model_fields[key]
    text = explanation(key, section)
    default = re.search(rf"^{key} = (.*)$", as_toml().split(f"[{section}]\n")[1], re.MULTILINE)
    assert default is not None
    assert str(field.description) in text
    assert f"Default: {default[1]}" in text
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "unit" in extra:
        assert f"{default[1]} {extra['unit']}." in text
    for rule in field.metadata:
        for name in ("ge", "le"):
            if hasattr(rule, name):
                assert str(getattr(rule, name)) in text.split("Allowed: ")[1]
    assert re.search(r"Allowed: \S.+\.$", text)


def test_keys_that_end_in_a_unit_tell_that_unit() -> None:
    units = {"_s": "seconds", "_days": "days", "_minutes": "minutes", "_megapixels": "megapixels"}
    for section, key in KEYS:
        for ending, unit in units.items():
            if key.endswith(ending):
                assert unit in explanation(key, section)


def test_the_generated_file_is_no_wider_than_a_window() -> None:
    assert max(map(len, as_toml().splitlines())) <= 100
    assert as_toml().endswith("\n")
    assert not as_toml().endswith("\n\n")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_root_written_into_the_file_is_read_back(root: str) -> None:
    assert tomllib.loads(as_toml(root=root))["root"] == root


def test_a_root_that_is_no_text_is_not_written() -> None:
    with pytest.raises(ConfigError, match="not text"):
        as_toml(root="/srv/b\udcffrds")


# Who wins


def test_option_goes_before_environment_before_file_before_default() -> None:
    file = 'root = "/file"'
    assert made().root == Path("/home/ann/birdwatch")
    assert made(file).root == Path("/file")
    assert made(file, {"BIRDWATCHD_ROOT": "/environment"}).root == Path("/environment")
    assert made(file, {"BIRDWATCHD_ROOT": "/environment"}, root=Path("/option")).root == Path("/option")
    assert made("[inbox]\nsettle_s = 5").inbox.settle_s == 5
    assert made("[inbox]\nsettle_s = 5\nsweep_s = 6", {"BIRDWATCHD_INBOX__SETTLE_S": "0.5"}).inbox.settle_s == 0.5
    assert made("[inbox]\nsettle_s = 5\nsweep_s = 6", {"BIRDWATCHD_INBOX__SETTLE_S": "0.5"}).inbox.sweep_s == 6


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("BIRDWATCHD_INBOX__POLL", "true", True),
        ("BIRDWATCHD_INBOX__IGNORE", '["*.tmp"]', ("*.tmp",)),
        ("BIRDWATCHD_WEB__HOST", "127.0.0.2", "127.0.0.2"),
        ("BIRDWATCHD_WEB__HOST", '"127.0.0.2"', "127.0.0.2"),
        ("BIRDWATCHD_TRAINING__HOURS", "00:00-24:00", "00:00-24:00"),
        ("BIRDWATCHD_TRAINING__ARCHITECTURE", "5", "5"),
        ("BIRDWATCHD_TRAINING__FINE_TUNE", "never", "never"),
        ("BIRDWATCHD_INFERENCE__PROVIDERS", '["cpu"]', ("cpu",)),
    ],
)
def test_a_variable_is_a_toml_value_where_that_fits_and_plain_text_elsewhere(
    variable: str, text: str, value: object
) -> None:
    section, key = variable.removeprefix("BIRDWATCHD_").lower().split("__")
    assert getattr(getattr(made("", {variable: text}), section), key) == value


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_key_can_come_from_the_environment(section: str, key: str) -> None:
    line = re.search(rf"^{key} = (.*)$", as_toml().split(f"[{section}]\n")[1], re.MULTILINE)
    assert line is not None
    assert made("", {f"BIRDWATCHD_{section}__{key}".upper(): line[1]}) == made()


def test_other_variables_are_left_alone() -> None:
    others = {"BIRDWATCHD_TEST_DATA": "/x", "BIRDWATCHD_CRASH": "a", "INBOX__SETTLE_S": "-1", "birdwatchd_a__b": "1"}
    assert made("", others) == made()


def test_a_home_is_needed_only_by_the_root_that_wins() -> None:
    document = {"root": "~/birds"}
    assert settings_from(document, {}, root=Path("/option"), where="c").root == Path("/option")
    assert settings_from(document, {"BIRDWATCHD_ROOT": "/e"}, root=None, where="c").root == Path("/e")
    assert settings_from(document, HOME, root=None, where="c").root == Path("/home/ann/birds")
    for environment in ({}, {"HOME": ""}, {"HOME": "home"}):
        with pytest.raises(ConfigError, match="HOME is not set"):
            settings_from(document, environment, root=None, where="c")


def test_the_root_is_always_absolute() -> None:
    assert complaint('root = "birds"') == 'config.toml: root = "birds": must be a whole path, beginning with / or ~/'
    for wrong in ("", "birds", "./birds", "~", "~bob/birds", "/a\0b"):
        assert "must be a whole path" in complaint("", {"BIRDWATCHD_ROOT": wrong})
    assert "must be a whole path" in complaint("root = 5")
    assert complaint("", root=Path("birds")).startswith("--root birds: must be a whole path")
    with pytest.raises(ValidationError):
        Settings(root=Path("birds"))


# Mistakes


def test_all_mistakes_are_told_at_once() -> None:
    text = """
    root = "birds"
    settle_s = 1
    bogus = 1
    spotter = 3
    [inbx]
    [inbox]
    settle_s = -3
    sweep_s = "30"
    settel_s = 1
    [images]
    formats = ["gif"]
    [web]
    host = "localhost"
    port = 80.0
    settle_s = 2
    [inference]
    providers = ["cuda"]
    [training]
    hours = "6-22"
    """
    environment = {
        "BIRDWATCHD_INBOX__SETTLE_S": "900",
        "BIRDWATCHD_INBOX__SETLE_S": "3",
        "BIRDWATCHD_WEB__PORT": "http",
        "BIRDWATCHD_ROOT": "there",
    }
    assert complaint(text, environment).splitlines() == [
        "config.toml: settle_s = 1: unknown key, it belongs below [inbox]",
        "config.toml: bogus = 1: unknown key, there are root, inbox, images, spotter, deciding, training, inference, "
        "retention, web",
        "config.toml: spotter = 3: must be a section, so write [spotter] on a line of its own",
        "config.toml: [inbx]: unknown section, did you mean [inbox]?",
        "config.toml: [inbox] settle_s = -3: must be between 0 and 600 (seconds)",
        'config.toml: [inbox] sweep_s = "30": must be a number between 1 and 3600 (seconds), without quotation marks',
        "config.toml: [inbox] settel_s = 1: unknown key, did you mean settle_s?",
        'config.toml: [images] formats = ["gif"]: must be a list with one or more of "jpeg", "png", "webp"',
        "config.toml: [web] port = 80.0: must be a whole number between 1 and 65535",
        "config.toml: [web] settle_s = 2: unknown key, it belongs below [inbox]",
        'config.toml: [inference] providers = ["cuda"]: must contain "cpu", which takes over when the others cannot be used',
        'config.toml: [training] hours = "6-22": must be two times of the day, like "22:00-06:00"',
        "environment: BIRDWATCHD_INBOX__SETLE_S=3: unknown setting, did you mean BIRDWATCHD_INBOX__SETTLE_S?",
        "environment: BIRDWATCHD_INBOX__SETTLE_S=900: must be between 0 and 600 (seconds)",
        "environment: BIRDWATCHD_WEB__PORT=http: must be a whole number between 1 and 65535",
        "environment: BIRDWATCHD_ROOT=there: must be a whole path, beginning with / or ~/",
        'config.toml: root = "birds": must be a whole path, beginning with / or ~/',
    ]


@pytest.mark.parametrize(("section", "key"), NUMBERS)
def test_numbers_are_taken_up_to_their_bounds_and_refused_beyond(section: str, key: str) -> None:
    field = TABLES[section].model_fields[key]
    for rule in field.metadata:
        for name, beyond in (("ge", -1), ("le", 1)):
            if (bound := getattr(rule, name, None)) is not None:
                taken = getattr(getattr(made(f"[{section}]\n{key} = {bound}"), section), key)
                assert taken == bound
                # Bounds are mostly whole; where a number may be broken it comes out as one.
                assert type(taken) is field.annotation
                assert str(bound) in complaint(f"[{section}]\n{key} = {bound + beyond}")


@pytest.mark.parametrize(("section", "key"), NUMBERS)
@pytest.mark.parametrize("wrong", ['"2"', "true", "[]", "nan", "inf", "-inf", "1979-05-27", "{}"])
def test_what_is_no_number_is_refused(section: str, key: str, wrong: str) -> None:
    assert " number " in complaint(f"[{section}]\n{key} = {wrong}")


@pytest.mark.parametrize("hours", ["22:00-06:00", "00:00-24:00", "09:30-09:31", "23:59-00:00"])
def test_hours_are_two_times_of_the_day(hours: str) -> None:
    assert made(f'[training]\nhours = "{hours}"').training.hours == hours


@pytest.mark.parametrize(
    "hours",
    ["", "always", "22-6", "24:00-06:00", "22:60-06:00", "22:00-24:01", "6:00-8:00", "٠٦:00-08:00", "08:00-08:00"],
)
def test_hours_that_mean_nothing_are_refused(hours: str) -> None:
    assert "hours" in complaint(f'[training]\nhours = "{hours}"')
    assert "hours" in complaint(f'[training]\nhours = "22:00-06:00\\n{hours}"')


@pytest.mark.parametrize(
    "line",
    [
        "[images]\nformats = []",
        '[images]\nformats = ["jpeg", "jpeg"]',
        '[images]\nformats = "jpeg"',
        "[inference]\nproviders = []",
        '[inference]\nproviders = ["CPU"]',
        '[inbox]\nignore = [""]',
        "[inbox]\nignore = [1]",
        '[deciding]\nprotected = [" "]',
        '[deciding]\nprotected = [["barn owl"]]',
        '[spotter]\ndetector = "megadetector"',
        '[training]\nresize = "zoom"',
        '[training]\nfine_tune = "always"',
        '[training]\narchitecture = "hf-hub:someone/something"',
        '[web]\nhost = ""',
        '[web]\nhost = "local host"',
        "[web]\nenabled = 1",
        "[[web]]",
    ],
)
def test_what_is_not_among_the_choices_is_refused(line: str) -> None:
    assert ": must " in complaint(line)


def test_a_mistake_counts_even_where_the_environment_overrides_it() -> None:
    assert "settle_s = -3" in complaint("[inbox]\nsettle_s = -3", {"BIRDWATCHD_INBOX__SETTLE_S": "1"})
    assert 'root = "birds"' in complaint('root = "birds"', root=Path("/birds"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[inbox]\nsettle_s = soon\n", "config.toml: line 2 is not understood: settle_s = soon"),
        ("[inbox]\r\npoll = True\r\n", "config.toml: line 2 is not understood: poll = True"),
        ("[inbox]\nsettle_s: 3", "config.toml: line 2 is not understood: settle_s: 3"),
        ("[web]\nport = 1\nport = 2", "config.toml: line 3 repeats what stands above: port = 2"),
        ("[web]\n[inbox]\n[web]\n", "config.toml: line 3 repeats what stands above: [web]"),
        ('[web]\nhost = """a\n\n', 'config.toml: line 2 is not understood: host = """a'),
        ("a\x1b[31m\x00 = 1", r"config.toml: line 1 is not understood: a\x1b[31m\x00 = 1"),
        ("[web]\nport = " + "9" * 5000, "config.toml: line 2: this number has too many digits"),
        ("port = " + "[" * 100_000, "config.toml: too many brackets inside each other"),
    ],
)
def test_text_that_is_no_toml_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, where="config.toml")
    assert caught.value.message == told
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_the_invisible_mark_of_windows_editors_is_no_mistake() -> None:
    assert parse("\ufeff[web]\r\nport = 1\r\n", where="c") == {"web": {"port": 1}}


def test_hostile_text_is_told_escaped_and_short() -> None:
    hostile = "x\n\x1b[2J\u202e\u2028\x7f" + "y" * 10_000
    documents: list[dict[str, object]] = [
        {hostile: hostile},
        {hostile: {}},
        {"web": {hostile: [hostile], "host": hostile}},
    ]
    told = [
        complaint("", {f"BIRDWATCHD_A__{hostile}": hostile}),
        complaint("", {"BIRDWATCHD_ROOT": hostile}),
        *map(message_of, documents),
    ]
    for message in told:
        assert all(line.isprintable() and len(line) < 500 for line in message.split("\n"))
        assert r"x\n\x1b[2J\u202e\u2028\x7f" in message


def message_of(document: dict[str, object]) -> str:
    with pytest.raises(ConfigError) as caught:
        settings_from(document, HOME, root=None, where="config\n.toml")
    return caught.value.message


def test_a_very_deep_or_very_large_value_is_told_like_any_other() -> None:
    deep = "[inbox]\nsettle_s." + ".".join("a" * 400) + " = 1"
    assert complaint(deep).startswith("config.toml: [inbox] settle_s = {…}: must be a number")
    assert "more than 300 digits" in complaint("[inbox]\nsettle_s = 0x1" + "0" * 20_000)
    assert "more than 300 digits" in complaint("[web]\nport = 0x1" + "0" * 20_000)


texts = st.text(max_size=20)
values = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.floats(), texts, st.dates(), st.times(), st.datetimes()),
    lambda inner: st.one_of(st.lists(inner, max_size=8), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)
tables = st.dictionaries(st.one_of(st.sampled_from(sorted({key for _, key in KEYS})), texts), values, max_size=4)
documents = st.dictionaries(st.one_of(st.sampled_from(["root", *TABLES]), texts), st.one_of(tables, values), max_size=4)
variables = st.dictionaries(
    st.one_of(
        st.sampled_from(["BIRDWATCHD_ROOT", *(f"BIRDWATCHD_{section}__{key}".upper() for section, key in KEYS)]),
        texts.map("BIRDWATCHD_".__add__),
    ),
    texts,
    max_size=4,
)


@given(documents, variables)
def test_anything_is_either_taken_whole_or_told_in_plain_lines(
    document: dict[str, object], environment: dict[str, str]
) -> None:
    try:
        settings = settings_from(document, {**environment, **HOME}, root=None, where="config.toml")
    except ConfigError as refused:
        told = refused.message.split("\n")
    else:
        told = []
        assert set(document) <= {"root", *TABLES}
        assert settings.root.is_absolute()
    for line in told:
        assert line.isprintable()
        assert re.match(r"(config\.toml|environment): .+: (must|unknown) ", line)


@given(st.text())
def test_any_text_is_either_read_or_refused_in_one_line(text: str) -> None:
    told = "config.toml: "
    try:
        parse(text, where="config.toml")
    except ConfigError as refused:
        told = refused.message
    assert told.isprintable()
    assert told.startswith("config.toml: ")


@given(st.sampled_from(KEYS), values)
def test_what_is_taken_from_the_file_is_what_was_written(place: tuple[str, str], value: object) -> None:
    section, key = place
    try:
        settings = settings_from({section: {key: value}}, HOME, root=None, where="c")
    except ConfigError:
        return
    taken = getattr(getattr(settings, section), key)
    assert taken == (tuple(value) if isinstance(value, list) else value)
    assert isinstance(taken, bool) == isinstance(value, bool)
    assert not isinstance(taken, float) or math.isfinite(taken)


# Manners


def test_settings_never_change() -> None:
    settings = made()
    with pytest.raises(ValidationError):
        settings.inbox.settle_s = 3
    assert hash(settings) == hash(made())


def test_settings_import_nothing_heavy() -> None:
    heavy = {"numpy", "torch", "onnx", "onnxruntime", "PIL", "sqlite_utils", "rich", "typer"}
    program = "import sys; import birdwatchd.core.settings; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert heavy.isdisjoint(loaded)

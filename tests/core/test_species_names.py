"""How birds are called on the page."""

import pytest

from birdwatchd.core.birds import IMAGENET_BIRDS
from birdwatchd.core.configuring import parse, settings_from
from birdwatchd.core.errors import ConfigError
from birdwatchd.core.species_names import ENGLISH, Names, beside, english, names_of, scientific, shown, spellings


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("house-finch", "House finch"),
        ("red-breasted-merganser", "Red-breasted merganser"),
        ("gray-crowned-rosy-finch", "Gray-crowned rosy finch"),
        ("worm-eating-warbler", "Worm-eating warbler"),
        ("great-spotted-woodpecker", "Great spotted woodpecker"),
        ("eurasian-collared-dove", "Eurasian collared dove"),
        ("baltimore-oriole", "Baltimore oriole"),
        ("Long-Eared OWL", "Long Eared OWL"),  # as the person wrote it
        ("blå_mes", "Blå mes"),
        ("--", "--"),
    ],
)
def test_a_folder_is_shown_as_words(label: str, name: str) -> None:
    assert english(label) == shown(label) == name


def test_what_is_no_species_is_told_in_words() -> None:
    assert [shown(label) for label in ("empty", "unknown", None)] == ["No bird", "Unknown", "Unknown"]
    assert shown("empty", Names("scientific")) == "No bird"
    assert beside("empty") == ""


def test_each_language_falls_back_on_english() -> None:
    local = {"house-finch": "Hausgimpel"}
    assert shown("house-finch", Names("local", local)) == "Hausgimpel"
    assert shown("House Finch", Names("local", local)) == "Hausgimpel"
    assert shown("house-finch", Names("english", local)) == "House finch"
    assert shown("house-finch", Names("scientific", local)) == "Haemorhous mexicanus"
    assert shown("dodo", Names("local", local)) == shown("dodo", Names("scientific", local)) == "Dodo"


def test_a_persons_scientific_name_goes_before_the_built_in_one() -> None:
    names = Names("scientific", scientific={"robin": "Erithacus rubecula"})
    assert shown("robin", names) == "Erithacus rubecula"
    assert beside("robin", names) == "Robin"
    assert beside("robin", ENGLISH) == "Turdus migratorius"
    assert beside("dodo", names) == ""


def test_every_bird_of_the_spotter_has_a_scientific_name() -> None:
    assert [label for _, label in IMAGENET_BIRDS if not scientific(label)] == []


def test_whatever_people_type_for_it_is_listed_once() -> None:
    names = Names("local", {"wren": "Zaunkönig"}, {"wren": "Troglodytes troglodytes"})
    assert spellings("wren", names) == ("Zaunkönig", "Wren", "Troglodytes troglodytes", "wren")


def test_names_come_from_the_settings() -> None:
    text = '[web]\nshow_names = "local"\n[web.names]\nhouse-finch = "Hausgimpel"\n"barn owl" = "Schleiereule"\n'
    settings = settings_from(parse(text, where="config.toml"), {"HOME": "/home/ann"}, root=None, where="config.toml")
    assert shown("barn owl", names_of(settings)) == "Schleiereule"
    with pytest.raises(TypeError):
        settings.web.names["robin"] = "Amsel"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("names = {robin = 3}", 'hold each name in "quotation marks", also the one of robin'),
        ('names = {robin = ""}', "hold names that can be read, also the one of robin"),
        ('names = "robin"', "must be folders with names, like"),
        ('show_names = "german"', 'must be "local", "english" or "scientific"'),
    ],
)
def test_a_wrong_name_is_told_by_its_entry(line: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_from(parse(f"[web]\n{line}", where="config.toml"), {}, root=None, where="config.toml")
    assert said in caught.value.message

"""What a person may set: the schema, the one place that explains it.

Each key lives once, as a pydantic field with its default, range, unit and a plain sentence. `config.toml`, the checks and the words
of every complaint are made from that, in `configuring`.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

PREFIX = "BIRDWATCHD_"
ROOT_VARIABLE = f"{PREFIX}ROOT"
DEFAULT_ROOT = "~/birdwatch"
Language = Literal["local", "english", "scientific"]
"""Which names of birds people read."""

ROOT_FORM = "a whole path, beginning with / or ~/"


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


class Dictionary(dict[str, str]):
    """Names by label, read once like all settings: it has a hash, and whoever would change it makes another one."""

    def __hash__(self) -> int:  # type: ignore[override]  # a dict may not have one because it changes
        return hash(frozenset(self.items()))

    def __setitem__(self, key: str, value: str) -> None:
        raise TypeError("settings never change")

    def __delitem__(self, key: str) -> None:
        raise TypeError("settings never change")


def _names_for_labels(names: object) -> object:
    """Told by the entry: one wrong name among sixty is not to be searched for."""
    if isinstance(names, dict):
        for label, name in names.items():
            if not isinstance(name, str):
                raise ValueError(f'hold each name in "quotation marks", also the one of {label}')
            if not name.strip() or not name.isprintable():
                raise ValueError(f"hold names that can be read, also the one of {label}")
    return names


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
    reserve_mb: int = Field(
        default=200,
        ge=0,
        le=1_000_000,
        description="When less than this is free on the disk of the bird folder, photos wait in the inbox until there is "
        "more. 0 means that nothing is kept in reserve.",
        json_schema_extra={"unit": "megabytes"},
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
    strangers_let_in: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="The share of birds of species you have never named that may be filed under a species you have. A lower "
        "number means fewer such mistakes and more photos in review/. 1 means that no strange species is expected.",
    )
    protected: tuple[Annotated[str, Field(pattern=r"\S")], ...] = Field(
        default=(),
        strict=False,
        description="Species that matter most to you: a newly trained model that knows one of them worse than the old model "
        "is refused. Write them as their folders below library/ are called.",
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
        description="The network that the long training starts from, by its name in timm or torchvision. All but the default one "
        "are downloaded at the first use.",
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
        description="The long training stops after so long and goes on with what is best so far.",
        json_schema_extra={"unit": "minutes"},
    )
    max_memory_mb: int = Field(
        default=6000,
        ge=200,
        le=1_000_000,
        description="A training that needs more memory than this is stopped; the model in use stays in use. The short "
        "training needs 600, the long one 4000.",
        json_schema_extra={"unit": "megabytes"},
    )
    run_by: Literal["child", "unit"] = Field(
        default="child",
        description='Who runs a training: birdwatchd itself ("child"), or a service beside it that has memory and priority of '
        'its own ("unit"). The service birdwatchd.service chooses "unit" by itself.',
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
        description="Files set aside in quarantine/ are deleted after so many days on which birdwatchd ran; photos of a kind "
        "that is not supported are whole and stay. 0 means never.",
        json_schema_extra={"unit": "days"},
    )
    backups: int = Field(
        default=7,
        ge=0,
        le=365,
        description="A copy of the log is made each day into .birdwatchd/backups; so many are kept, and the oldest makes room "
        "for the newest. 0 means none are made. `birdwatchd restore` puts one back.",
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
    hosts: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_\[\]-]+$")], ...] = Field(
        default=(),
        strict=False,
        description='Other names under which browsers open the page, such as "birds.local:8765" or the name of a proxy before '
        "it. Requests for any other name are refused.",
        json_schema_extra={"allowed": 'a list of names, like ["birds.local:8765"]'},
    )
    show_names: Language = Field(
        default="local",
        description='Which names of birds the page shows. "local" are those that you give under names; "scientific" ones are built in '
        "for birds that are common in gardens. Where a name is not known, the English one is shown, made from the folder: house-finch "
        "is "
        "the House finch.",
    )
    names: Annotated[dict[str, str], BeforeValidator(_names_for_labels), AfterValidator(Dictionary)] = Field(
        default=Dictionary(),
        description="What birds are called where you live, by their folders below library/. Many names are easier to write "
        "in a section of their own: delete this line, and write [web.names] at the end of the file and one name on each "
        "line below it.",
        json_schema_extra={"allowed": 'folders with names, like {house-finch = "Hausgimpel", robin = "Rotkehlchen"}'},
    )
    scientific_names: Annotated[dict[str, str], BeforeValidator(_names_for_labels), AfterValidator(Dictionary)] = Field(
        default=Dictionary(),
        description="Scientific names of birds for which none is built in, or where your folder means another bird than the "
        "built-in name; written like names.",
        json_schema_extra={"allowed": 'folders with names, like {robin = "Erithacus rubecula"}'},
    )
    review_budget: int = Field(
        default=0,
        ge=0,
        le=10000,
        description="How many photos you want to look at in a week. The page then shows the ones that teach most, and no more. "
        "0 means all.",
        json_schema_extra={"unit": "photos a week"},
    )


def _absolute(root: Path) -> Path:
    if not root.is_absolute():
        raise ValueError(f"be {ROOT_FORM}")
    return root


class Settings(Table):
    """All that can be set, read once and never changed.

    Attributes:
        root: the bird folder, absolute, with ~ already replaced.
    """

    root: Annotated[Path, AfterValidator(_absolute)] = Field(
        description="The bird folder. Inbox, library, log and everything else that birdwatchd keeps lie below it.",
        json_schema_extra={"allowed": ROOT_FORM},
    )
    inbox: Inbox = Field(default_factory=Inbox, description="The inbox: when a photo you dropped is taken.")
    images: Images = Field(default_factory=Images, description="Which photos are opened.")
    spotter: Spotter = Field(default_factory=Spotter, description="Finding the bird in the photo.")
    deciding: Deciding = Field(
        default_factory=Deciding, description="How sure birdwatchd must be before it files a photo under a name."
    )
    training: Training = Field(
        default_factory=Training,
        description="Learning from the photos that you have named.",
    )
    inference: Inference = Field(default_factory=Inference, description="What computes the answers.")
    retention: Retention = Field(default_factory=Retention, description="How long things are kept.")
    web: Web = Field(default_factory=Web, description="The page in your browser.")


TABLES: dict[str, type[Table]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Table)
}
"""Every section with its model, in the order of the file."""

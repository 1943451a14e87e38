"""The report to whoever helps: what this birdwatchd is like, without a photo, a name or a secret in it.

Every sentence goes through the black pen (`blanking`), every table is made of columns that hold no names. What is not known to be
harmless is left out, and the person is asked to look before sending.
"""

import io
import json
import re
import sys
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args, get_origin

from birdwatchd import __version__
from birdwatchd.core import shelving
from birdwatchd.core.errors import BirdwatchdError, Refused
from birdwatchd.core.settings import TABLES, Settings
from birdwatchd.doctor.blanking import STRUCK, Blanking
from birdwatchd.doctor.finding import Finding
from birdwatchd.edges import machine, systemd
from birdwatchd.edges.store import Row, Store
from birdwatchd.edges.store.summary import Summary

MOST_PHOTOS = 200
MOST_LINES = 200
MOST_NAMES = 100_000

_HOURS = re.compile(r"\d\d:\d\d-\d\d:\d\d")
_OF_STATUS = ("updated_at", "started_at", "version", "state", "waiting", "in_flight", "watcher", "disk_free_bytes",
              "spotter_id", "provider", "model_id", "last_photo_at")  # fmt: skip
_OF_UNIT = (
    "ActiveState", "SubState", "Result", "ExecMainStatus", "ExecMainCode", "NRestarts", "UnitFileState", "NeedDaemonReload", "Type",
    "WatchdogUSec", "TimeoutStartUSec", "TimeoutStopUSec", "Restart", "RestartUSec", "StartLimitBurst", "StartLimitIntervalUSec",
    "ActiveEnterTimestamp", "InactiveEnterTimestamp", "MemoryCurrent", "MemoryPeak", "MemoryHigh", "MemoryMax", "TasksCurrent",
    "TasksMax", "CPUUsageNSec", "LimitNOFILE", "LimitNPROC", "LimitCORE", "UMask", "OOMPolicy", "KillMode", "NoNewPrivileges",
    "CapabilityBoundingSet", "AmbientCapabilities", "ProtectSystem", "ProtectHome", "ProtectProc", "PrivateTmp", "PrivateDevices",
    "DevicePolicy", "PrivateNetwork", "PrivateUsers", "PrivateMounts", "RestrictAddressFamilies", "RestrictNamespaces",
    "MemoryDenyWriteExecute", "SystemCallArchitectures", "SystemCallErrorNumber",
)  # fmt: skip
_OUR_DROP_INS = frozenset({"gpu.conf", "inbox.conf", "override.conf"})


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the report.

    Attributes:
        about: what is in it, for people.
    """

    name: str
    about: str
    text: str


def parts(root: Path | None, settings: Settings | None, findings: Sequence[Finding]) -> list[Part]:
    """Everything that is told.

    Args:
        root: the bird folder; None where the settings do not even say which.
        settings: None where they cannot be read; the findings say why.
    """
    log = _Log(root)
    pen = Blanking(
        machine.names() | log.names(), {place: word for place, word in [(root, "ROOT"), *_PLACES] if place is not None}
    )
    found = [
        _as_json("findings.json", "what `birdwatchd doctor` found", [_finding(one, pen) for one in findings]),
        _as_json("versions.json", "birdwatchd, Python and the packages it uses", machine.versions("birdwatchd")),
        _as_json("machine.json", "system, processor, memory, disks", _machine(root), pen),
        _as_json("settings.json", "the settings in force; texts of your own are left out", _settings(settings)),
        _as_json("log.json", "how many photos are where, what the daemon says of itself", log.about(pen), pen),
        _as_json(
            "photos.json", f"the last {MOST_PHOTOS} photos: state, guess, size, times; no names", log.photos(), pen
        ),
        _as_json("service.json", "how systemd sees the service", _service(), pen),
        Part("journal.txt", "warnings and errors of the service, with names struck out", _journal(pen)),
    ]
    listed = "".join(f"{one.name:15}{one.about}\n" for one in found)
    intro = (
        "A report of birdwatchd, made by `birdwatchd doctor --bundle`.\n"
        "No photos, and no names of files, cameras, people or machines: in sentences, words that birdwatchd does not\n"
        f'use itself were replaced by "{STRUCK}".\n\n'
    )
    return [Part("README.txt", "this list", intro + listed), *found]


_PLACES: list[tuple[Path | None, str]] = [
    (Path(sys.prefix), "PROGRAM"),
    (Path(sys.base_prefix), "PYTHON"),
    (Path(__file__).parents[2], "PROGRAM"),
]
"""Where the program itself lies may be told only like this: it may be in a home."""


def pack(report: Sequence[Part], path: Path) -> None:
    """Write the report as one file, which nobody else may read.

    Raises:
        Refused: there is such a file already, or it cannot be written.
    """
    folder = PurePosixPath(path.name.removesuffix(".tar.gz"))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for part in report:
            data = part.text.encode()
            entry = tarfile.TarInfo(str(folder / part.name))
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    name = shelving.printable(str(path))
    try:
        with path.open("xb") as file:
            path.chmod(0o600)
            file.write(packed.getvalue())
    except FileExistsError as error:
        raise Refused(f"{name} is there already", hint="give another name, or remove that file") from error
    except OSError as error:
        raise Refused(f"cannot write {name}: {error.strerror}", hint="give another name: --bundle FILE") from error


def _as_json(name: str, about: str, value: object, pen: Blanking | None = None) -> Part:
    struck = value if pen is None else pen.value(value)
    return Part(name, about, json.dumps(struck, indent=1, ensure_ascii=False, default=str) + "\n")


def _finding(finding: Finding, pen: Blanking) -> dict[str, object]:
    advice = None if finding.advice is None else pen.text(finding.advice)
    return {"subject": finding.subject, "ok": finding.ok, "what": pen.text(finding.what), "advice": advice}


def _machine(root: Path | None) -> dict[str, object]:
    disks = {} if root is None else {"bird folder": machine.disk(root), "inbox": machine.disk(root / shelving.INBOX)}
    return {**machine.about(), "disks": disks}


def _settings(settings: Settings | None) -> dict[str, dict[str, object]] | None:
    if settings is None:
        return None
    return {
        section: {
            key: _told(getattr(getattr(settings, section), key), field.annotation, field.default)
            for key, field in table.model_fields.items()
        }
        for section, table in TABLES.items()
    }


def _told(value: object, annotation: object, default: object) -> object:
    """A setting that a person cannot have written a name into, or that nobody changed; anything else is struck out."""
    harmless = isinstance(value, bool | int | float) or value == default or _is_closed(annotation)
    return value if harmless or (isinstance(value, str) and _HOURS.fullmatch(value)) else STRUCK


def _is_closed(annotation: object) -> bool:
    if get_origin(annotation) is tuple:
        return all(one is Ellipsis or _is_closed(one) for one in get_args(annotation))
    return get_origin(annotation) is Literal


def _service() -> dict[str, object] | None:
    unit = systemd.unit()
    if unit is None:
        return None
    drop_ins = [
        {"name": path.name if path.name in _OUR_DROP_INS else STRUCK, "sets": systemd.keys_set_in(path)}
        for path in unit.drop_ins
    ]
    return {
        "drop_ins": drop_ins,
        "properties": {key: unit.properties[key] for key in _OF_UNIT if key in unit.properties},
    }


def _journal(pen: Blanking) -> str:
    lines = systemd.journal(most=MOST_LINES)
    if lines is None:
        return "There are none, or this user may not read them: try again with sudo.\n"
    told = (f"{line.at} {line.priority} {pen.text(one)}\n" for line in lines for one in line.text.splitlines())
    return "".join(told)


class _Log:
    """The log, or why it cannot be read."""

    def __init__(self, root: Path | None) -> None:
        self._root = root

    def names(self) -> set[str]:
        """What people named."""
        found = self._ask(lambda store: Summary(store.connection).names(MOST_NAMES))
        return found if isinstance(found, set) else set()

    def photos(self) -> object:
        """The latest."""
        return self._ask(lambda store: Summary(store.connection).last_photos(MOST_PHOTOS))

    def about(self, pen: Blanking) -> object:
        """Counts, what is under way, what was asked for, what the daemon says."""

        def told(store: Store) -> dict[str, Any]:
            summary = Summary(store.connection)
            return {
                **summary.sizes(),
                "states": summary.states(),
                "under_way": summary.under_way(MOST_PHOTOS),
                "open_requests": [
                    {"id": one.id, "kind": pen.text(one.kind), "arguments": sorted(one.arguments)}
                    for one in store.requests.open()
                ],
                "status": _status(store.requests.status(), pen),
            }

        found = self._ask(told)
        return found if isinstance(found, dict) else {"trouble": pen.text(str(found))}

    def _ask(self, question: Callable[[Store], Any]) -> Any:
        if self._root is None:
            return "there is no bird folder"
        try:
            with Store.read_only(self._root / shelving.DATABASE) as store:
                return question(store)
        except BirdwatchdError as error:
            return type(error).__name__


def _status(status: Row | None, pen: Blanking) -> dict[str, object] | None:
    if status is None:
        return None
    return {key: status[key] for key in _OF_STATUS if key in status} | {
        "problems": [pen.text(one) for one in json.loads(status["problems"])],
        "waiting_for": [pen.text(one["why"]) for one in json.loads(status["waiting_files"])],
        "version_here": __version__,
    }

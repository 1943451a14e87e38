"""Which bird folder, which settings: option before environment before file."""

from collections.abc import Mapping
from pathlib import Path

from birdwatchd.core import shelving
from birdwatchd.core.configuring import parse, settings_from
from birdwatchd.core.errors import ConfigError
from birdwatchd.core.settings import ROOT_VARIABLE, Settings


def load_settings(config: Path | None, root: Path | None, environment: Mapping[str, str]) -> Settings:
    """The settings that hold for this command.

    Args:
        config: `--config`; else the `config.toml` in the bird folder is read, if there is one.
        root: `--root`; may be relative.

    Raises:
        ConfigError: with every mistake in file and environment at once.
    """
    root = None if root is None else Path.cwd() / root
    if config is not None:
        return settings_from(_read(config), environment, root=root, where=shelving.printable(str(config)))
    first = settings_from(
        {}, {key: environment[key] for key in (ROOT_VARIABLE, "HOME") if key in environment}, root=root, where=""
    )
    path = first.root / shelving.CONFIG
    document = _read(path) if _is_there(path) else {}
    document.pop(
        "root", None
    )  # the file lies in the bird folder: the folder may be moved, and the line in it then lags behind
    return settings_from(document, environment, root=first.root, where=shelving.printable(str(path)))


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(
            f"cannot look into {shelving.printable(str(path.parent))}: {error.strerror}",
            hint="give this user the right to, or name another bird folder with --root",
        ) from error
    return True


def _read(path: Path) -> dict[str, object]:
    where = shelving.printable(str(path))
    try:
        return parse(path.read_text(encoding="utf-8"), where=where)
    except OSError as error:
        raise ConfigError(
            f"cannot read {where}: {error.strerror}", hint="check that it is a file this user may read"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where} is not UTF-8 text", hint="save it as UTF-8") from error

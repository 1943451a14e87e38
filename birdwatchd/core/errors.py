"""The tree of failures, sorted by what we do about them.

    BirdwatchdError
    ├── PhotoError          set this photo aside in quarantine/REASON/, go on with the next
    │   ├── NotAPicture       not-a-picture
    │   ├── Unsupported       unsupported
    │   ├── Truncated         truncated
    │   ├── Damaged           damaged
    │   ├── TooLarge          too-large
    │   ├── TooSmall          too-small
    │   ├── EmptyFile         empty-file
    │   ├── Unreadable        unreadable
    │   └── Crashed           crashed
    ├── TransientError      leave everything as it is, try again at the next sweep
    │   ├── DiskFull
    │   ├── DiskTrouble
    │   ├── StoreBusy
    │   ├── NotAllowed
    │   ├── PhotoVanished
    │   └── RootGone
    ├── ModelError          keep the photos where they are, say what to do
    │   ├── ModelMissing
    │   └── ModelDamaged
    │       └── ModelOfAnotherSpotter
    ├── ConfigError         stop; the person must change something first
    │   ├── RootUnsuitable
    │   ├── NewerDatabase
    │   └── DamagedDatabase
    ├── UsageError          the words of the command are wrong; nothing was changed
    ├── Refused             the command is understood but cannot be done; nothing was changed
    │   └── UnknownPhoto
    └── AlreadyRunning      another birdwatchd works in this bird folder

Every class says what happened, where, and what to do (`hint`). Edges translate foreign errors into these with `raise … from`.
"""

from typing import ClassVar


class BirdwatchdError(Exception):
    """Root of the tree.

    Attributes:
        message: what happened, one sentence without a full stop.
        hint: what the person can do or type now.
        exit_code: what a command ends with when nobody handles it.
    """

    exit_code: ClassVar[int] = 1
    default_hint: ClassVar[str] = "run `birdwatchd doctor`"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class PhotoError(BirdwatchdError):
    """This one file cannot be taken as a photo; the others can.

    Attributes:
        reason: short code, the folder below quarantine/ and `photos.reason`.
    """

    reason: ClassVar[str]


class NotAPicture(PhotoError):
    """The bytes are no picture of any kind we know."""

    reason = "not-a-picture"
    default_hint = "only photos belong into the inbox; this file may be deleted or kept elsewhere"


class Unsupported(PhotoError):
    """A picture or film, but of a kind that is not read here."""

    reason = "unsupported"
    default_hint = "save or export it as JPEG and drop that into the inbox"


class Truncated(PhotoError):
    """The file ends before the picture does."""

    reason = "truncated"
    default_hint = "copy it from the camera again; the copy was cut short"


class Damaged(PhotoError):
    """The file is as long as it should be, but what it says is broken."""

    reason = "damaged"
    default_hint = "copy it from the camera again; if that copy is refused too, the card may be failing"


class TooLarge(PhotoError):
    """More pixels or bytes than this machine should be asked to hold."""

    reason = "too-large"
    default_hint = "raise max_megapixels under [images] in config.toml, or drop a smaller copy"


class TooSmall(PhotoError):
    """Too few pixels to tell a bird from a leaf."""

    reason = "too-small"
    default_hint = "drop the original photo, not its thumbnail"


class EmptyFile(PhotoError):
    """No bytes at all."""

    reason = "empty-file"
    default_hint = "copy it from the camera again; nothing of it arrived"


class Unreadable(PhotoError):
    """The disk gave an error each time its bytes were asked for. The photo itself may be whole."""

    reason = "unreadable"
    default_hint = (
        "check the disk; copy the photo from the camera again, or move this file back into the inbox to try once more"
    )


class Crashed(PhotoError):
    """birdwatchd itself died twice while it read this file."""

    reason = "crashed"
    default_hint = "please report it with this file; to try once more, move it back into the inbox"


class TransientError(BirdwatchdError):
    """Not now. Nothing was lost; the next sweep tries again."""

    default_hint = "birdwatchd tries again by itself"


class DiskFull(TransientError):
    """No room, no inodes or no quota left."""

    default_hint = "make room on the disk of the bird folder; birdwatchd goes on by itself"


class DiskTrouble(TransientError):
    """The disk or its file system refuses: an input/output error, a read-only mount, missing rights."""

    default_hint = "check that disk and its rights; birdwatchd tries again by itself"


class StoreBusy(TransientError):
    """Another program keeps the log locked."""

    default_hint = "close programs that write into birdwatchd.db"


class NotAllowed(TransientError):
    """This one file may not be taken out of its folder; the others can."""

    default_hint = "give birdwatchd's user or group the right to write in its folder: chmod g+w"


class PhotoVanished(TransientError):
    """Gone or changed between the look and the grip."""

    default_hint = "it was moved or written to again; if it comes back it is taken then"


class RootGone(TransientError):
    """The bird folder is not the one that was there at the start."""

    default_hint = "is its disk still mounted? Nothing is done until it is back"


class ModelError(BirdwatchdError):
    """The eye cannot be trusted; photos wait."""

    default_hint = "run `birdwatchd init`"


class ModelMissing(ModelError):
    """There is no model file."""


class ModelDamaged(ModelError):
    """There is one, but it is not what was built."""


class ModelOfAnotherSpotter(ModelDamaged):
    """A classifier that reads what another spotter saw; whole, but of no use with this one."""

    default_hint = "birdwatchd makes a new one by itself, from your names, once it has looked at those photos again"


class ConfigError(BirdwatchdError):
    """Something must be set right by a person before birdwatchd can start."""

    exit_code = 2
    default_hint = "see config.toml; every key is explained there"


class RootUnsuitable(ConfigError):
    """The bird folder cannot be used as it is."""

    default_hint = "run `birdwatchd init`"


class NewerDatabase(ConfigError):
    """The log was written by a newer birdwatchd."""

    default_hint = (
        "install the newer birdwatchd again, or put back a backup made before the update: `birdwatchd restore`"
    )


class DamagedDatabase(ConfigError):
    """The log cannot be read as a database."""

    default_hint = (
        "stop birdwatchd; `birdwatchd restore` lists the backups, and keeps the damaged log when it puts one in its place;"
        " `sqlite3 birdwatchd.db .recover` can often save what no backup holds"
    )


class UsageError(BirdwatchdError):
    """A word of the command means nothing; nothing was changed."""

    exit_code = 2
    default_hint = "see `birdwatchd --help`"


class Refused(BirdwatchdError):
    """The command is understood, but cannot be done; nothing was changed."""

    default_hint = "see `birdwatchd --help`"


class UnknownPhoto(Refused):
    """No photo in the log is meant by this file or number."""

    default_hint = "see `birdwatchd log` for the photos it knows"


class AlreadyRunning(BirdwatchdError):
    """One birdwatchd per bird folder."""

    default_hint = "stop the other one first, or use another --root"

"""The walls, tried from inside: what could a photo do that took this program over?

`python -m birdwatchd.edges.walls ROOT` is started by the process whose walls are asked about, because a child has the same ones:
namespaces, rights, the filter of system calls. Each trial runs in a child of its own, which may die of it. Where a wall is missing
nothing is changed all the same: what is made is removed at once, what is opened is not read or written, and a call that would change
something gets arguments that make no sense, so that the kernel says "invalid" where it would have obeyed, and "not permitted" else.
"""

import contextlib
import ctypes
import errno
import json
import mmap
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from birdwatchd.core import mounts, shelving
from birdwatchd.core.errors import BirdwatchdError

MOMENT_S = 0.1
ANSWER_WITHIN_S = 60.0
TRIAL_S = 5
NAME = f"birdwatchd-wall-{os.getpid()}"
GRAPHICS = Path("/dev/nvidiactl")
"""Seen only by a service that was given a graphics card on purpose (systemd/drop-ins/gpu.conf)."""

EVERYBODYS = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/proc")  # noqa: S108  # tried, not trusted
"""Where everybody may write; the service has its own of the first two."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Wall:
    """One thing that must not be possible.

    Attributes:
        must_not: what was tried, such as "reach the network".
        holds: whether it was refused.
        what: how it was refused, or how far it went.
        meant: the wall is down on purpose, for a graphics card.
    """

    must_not: str
    holds: bool
    what: str
    meant: bool = False


class Trial:
    """All walls of this process, tried by a child.

    Args:
        root: the bird folder, where this process may write.

    Raises:
        BirdwatchdError: the child cannot be started.
    """

    def __init__(self, root: Path) -> None:
        # -P: whatever lies in the folder where somebody typed the command must not be imported.
        command = [sys.executable, "-P", "-m", "birdwatchd.edges.walls", str(root)]
        self._waited_s = 0.0
        try:
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise BirdwatchdError(f"the walls cannot be tried: {error.strerror}", hint="try again later") from error

    def __enter__(self) -> "Trial":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._child.kill()
        self._child.communicate()

    def is_over(self) -> bool:
        """Whether there is an answer; waits for it a moment."""
        try:
            self._child.wait(MOMENT_S)
        except subprocess.TimeoutExpired:
            self._waited_s += MOMENT_S
            return self._waited_s >= ANSWER_WITHIN_S
        return True

    def walls(self) -> list[Wall]:
        """What came of it.

        Raises:
            BirdwatchdError: nothing did.
        """
        self._child.kill()
        said, complaint = self._child.communicate()
        try:
            return [Wall(**one) for one in json.loads(said)]
        except ValueError as error:
            lines = complaint.decode(errors="replace").splitlines()
            raise BirdwatchdError(
                f"the walls could not be tried: {lines[-1] if lines else 'no answer'}",
                hint="`sudo journalctl -u birdwatchd` may say more; please report it",
            ) from error


class PassedError(Exception):
    """A trial went through; the words say how far."""


Attempt = Callable[[Path], None]
"""Tries one thing. OSError: it was refused. PassedError: it was not. Returning: there was nothing to try it on."""


def _attempt(code: int, passed: Sequence[int] = ()) -> None:
    """What a call into libc returned: an error is a refusal, but for those that only a permitted call gets."""
    if code != -1:
        return
    number = ctypes.get_errno()
    if number not in passed:
        raise OSError(number, os.strerror(number))


# -- files


def _write_elsewhere(root: Path) -> None:
    places = ["/", "/etc", "/usr", "/usr/bin", "/usr/local", "/boot", "/opt", "/srv", "/mnt", "/media", "/run", "/var",
              "/var/lib", "/var/log", "/var/spool", sys.prefix]  # fmt: skip
    told_to = {os.environ.get(name, "/tmp") for name in ("STATE_DIRECTORY", "CACHE_DIRECTORY")}  # noqa: S108
    own = [root, *map(Path, [*told_to, *EVERYBODYS])]
    everywhere = dict.fromkeys([*map(Path, places), *_where_it_may_write()])
    _all_refused(_make_file, [place for place in everywhere if not any(place.is_relative_to(one) for one in own)])


def _where_it_may_write() -> list[Path]:
    """Mounted file systems that take files of ours."""
    table = Path(mounts.TABLE).read_text(encoding="utf-8", errors="surrogateescape")
    points = [Path(mount.point) for mount in mounts.mounts_in(table)]
    return [point for point in dict.fromkeys(points) if point.is_dir() and os.access(point, os.W_OK)]


def _make_file(place: Path) -> None:
    path = place / NAME
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    path.unlink()
    raise PassedError(f"it can write into {place}")


def _read_homes(_: Path) -> None:
    _all_refused(_list_folder, [Path("/root"), Path("/home"), Path("/run/user")])


def _list_folder(place: Path) -> None:
    if any(place.iterdir()):
        raise PassedError(f"it can look into {place}")


def _read_passwords(_: Path) -> None:
    _all_refused(_open_to_read, [Path("/etc/shadow"), Path("/etc/gshadow")])


def _open_to_read(path: Path) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    raise PassedError(f"it can open {path}")


def _open_to_write(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    raise PassedError(f"it can open {path} for writing")


def _change_the_kernel(_: Path) -> None:
    _all_refused(_open_to_write, [Path("/proc/sys/vm/swappiness"), Path("/proc/sys/kernel/core_pattern"),
                                  Path("/proc/sysrq-trigger")])  # fmt: skip


def _change_limits(_: Path) -> None:
    _all_refused(_open_to_write, [Path("/sys/fs/cgroup/cgroup.procs"), *Path("/sys/fs/cgroup").glob("*/cgroup.procs")])


def _read_disks(_: Path) -> None:
    disks = [Path("/dev") / name for name in _names(Path("/sys/class/block"))]
    _all_refused(_open_to_read, [Path("/dev/mem"), Path("/dev/port"), Path("/dev/kmsg"), Path("/dev/fuse"), *disks])


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:  # not to be seen from here
        return []


# -- others on this machine


def _see_others(_: Path) -> None:
    others = [process for process in Path("/proc").iterdir() if process.name.isdigit() and _is_of_another(process)]
    if others:
        raise PassedError(f"it sees {len(others)} processes of other users")


def _is_of_another(process: Path) -> bool:
    try:
        return process.stat().st_uid != os.getuid()
    except OSError:  # it has ended, or is hidden
        return False


def _talk_to_the_system(_: Path) -> None:
    _all_refused(_connect, [Path("/run/dbus/system_bus_socket"), Path("/run/systemd/private"),
                            Path("/run/docker.sock"), Path("/run/containerd/containerd.sock")])  # fmt: skip


def _connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as plug:
        plug.settimeout(1)
        plug.connect(str(path))
    raise PassedError(f"it can talk to {path}")


def _trace(_: Path) -> None:
    _attempt(_libc.ptrace(0, 0, 0, 0))
    raise PassedError("it can look into running programs (ptrace)")


# -- network

_FAMILIES = {"AF_INET": socket.SOCK_STREAM, "AF_INET6": socket.SOCK_STREAM, "AF_NETLINK": socket.SOCK_RAW,
             "AF_PACKET": socket.SOCK_RAW, "AF_VSOCK": socket.SOCK_STREAM, "AF_ALG": socket.SOCK_SEQPACKET,
             "AF_BLUETOOTH": socket.SOCK_RAW}  # fmt: skip


def _reach_the_network(_: Path) -> None:
    _all_refused(_make_socket, list(_FAMILIES))


def _make_socket(family: str) -> None:
    if hasattr(socket, family):
        socket.socket(getattr(socket, family), _FAMILIES[family] | socket.SOCK_CLOEXEC).close()
        raise PassedError(f"it can make a socket of {family}")


def _see_networks(_: Path) -> None:
    lines = Path("/proc/self/net/dev").read_text(encoding="utf-8").splitlines()[2:]
    seen = [line.partition(":")[0].strip() for line in lines]
    if others := [name for name in seen if name != "lo"]:
        raise PassedError(f"it sees {len(others)} ways out of this machine")


# -- programs that did not come with it


def _write_and_run_memory(_: Path) -> None:
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    raise PassedError("it can have memory that is both written and run")


def _make_memory_run(_: Path) -> None:
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        held = ctypes.c_char.from_buffer(page)
        code = _libc.mprotect(ctypes.c_void_p(ctypes.addressof(held)), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC)
        del held
        _attempt(code)
    raise PassedError("it can run memory that it wrote")


def _run_a_written_file(root: Path) -> None:
    _all_refused(_run_from, [root / shelving.JOBS, *map(Path, EVERYBODYS), *_where_it_may_write()])


def _run_from(place: Path) -> None:
    path = place / NAME
    shutil.copyfile("/bin/true", path)
    try:
        path.chmod(0o700)
        _not_mapped(path)
        subprocess.run([str(path)], check=False)
    finally:
        path.unlink()
    raise PassedError(f"it can run a program that it wrote into {place}")


def _not_mapped(path: Path) -> None:
    with path.open("rb") as file, contextlib.suppress(PermissionError):
        mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()
        raise PassedError(f"it can load code that it wrote into {path.parent}")


def _run_from_memory(_: Path) -> None:
    handle = os.memfd_create(NAME)
    os.write(handle, Path("/bin/true").read_bytes())
    subprocess.run([f"/proc/self/fd/{handle}"], pass_fds=[handle], check=False)
    raise PassedError("it can run a program that is in no file (memfd_create)")


# -- more rights


def _become_root(_: Path) -> None:
    os.setresuid(0, 0, 0)
    raise PassedError("it can become root")


def _gain_by_programs(_: Path) -> None:
    if "NoNewPrivs:\t1" not in Path("/proc/self/status").read_text(encoding="utf-8"):
        raise PassedError("it gains rights by running programs such as sudo")
    raise PermissionError(errno.EPERM, "no program gives it rights")


def _lend_rights(root: Path) -> None:
    path = root / shelving.JOBS / NAME
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        path.chmod(stat.S_ISUID | 0o600)
    finally:
        path.unlink()
    raise PassedError("it can make programs that lend its rights to others (setuid)")


CAP_LEASE = 28


def _have_rights(_: Path) -> None:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    held = {line.split()[0]: int(line.split()[1], 16) for line in lines if line.startswith("Cap")}
    more = (held["CapPrm:"] | held["CapBnd:"]) & ~(1 << CAP_LEASE)
    if more:
        raise PassedError(f"it has or may get {more.bit_count()} rights of root (capabilities)")
    raise PermissionError(errno.EPERM, "it has none but to ask for leases")


def _make_a_device(root: Path) -> None:
    path = root / shelving.JOBS / NAME
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    path.unlink()
    raise PassedError("it can make device files")


# -- the machine itself


def _mount(_: Path) -> None:
    _attempt(_libc.mount(None, b"/", None, 0, None), passed=[errno.EINVAL])
    raise PassedError("it can mount and unmount disks")


_NAMESPACES = {"mount": 0x00020000, "user": 0x10000000, "network": 0x40000000, "process": 0x20000000, "ipc": 0x08000000}


def _build_rooms(_: Path) -> None:
    _all_refused(_unshare, list(_NAMESPACES))


def _unshare(kind: str) -> None:
    _attempt(_libc.unshare(_NAMESPACES[kind]))
    raise PassedError(f"it can make a {kind} namespace")


def _leave_its_rooms(_: Path) -> None:
    handle = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    _attempt(_libc.setns(handle, 0))
    raise PassedError("it can enter other namespaces")


def _load_a_module(_: Path) -> None:
    if hasattr(_libc, "init_module"):
        _attempt(_libc.init_module(None, 0, b""), passed=[errno.ENOEXEC, errno.EFAULT, errno.EINVAL])
        raise PassedError("it can load code into the kernel")


def _set_the_clock(_: Path) -> None:
    wanted = (ctypes.c_uint * 128)(0x4000)  # struct timex: only `modes`, "set the tick", to 0, which no kernel accepts
    _attempt(_libc.adjtimex(ctypes.byref(wanted)), passed=[errno.EINVAL])
    raise PassedError("it can set the clock")


def _rename_the_machine(_: Path) -> None:
    _attempt(_libc.sethostname(b"", ctypes.c_size_t(-1)), passed=[errno.EINVAL])
    raise PassedError("it can give the machine another name")


def _read_the_kernels_log(_: Path) -> None:
    _attempt(_libc.klogctl(10, None, 0))  # how large is it
    raise PassedError("it can read the kernel's messages")


def _take_the_processor(_: Path) -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    raise PassedError("it can take the processor for itself (real-time)")


def _undo_protections(_: Path) -> None:
    _attempt(_libc.personality(0x0040000))  # ADDR_NO_RANDOMIZE, for this child alone
    raise PassedError("it can switch off the kernel's protection of memory (personality)")


TRIALS: dict[str, tuple[Attempt, ...]] = {
    "write outside of the bird folder": (_write_elsewhere,),
    "read homes": (_read_homes,),
    "read passwords": (_read_passwords,),
    "reach the network": (_reach_the_network,),
    "see network cards": (_see_networks,),
    "see what others run": (_see_others,),
    "look into programs": (_trace,),
    "talk to the system's own services": (_talk_to_the_system,),
    "write memory and run it": (_write_and_run_memory, _make_memory_run),
    "run programs from memory": (_run_from_memory,),
    "run programs that it wrote": (_run_a_written_file,),
    "become root": (_become_root,),
    "gain rights by programs": (_gain_by_programs,),
    "lend rights to others": (_lend_rights,),
    "use rights of root": (_have_rights,),
    "make device files": (_make_a_device,),
    "read disks past the file system": (_read_disks,),
    "mount disks": (_mount,),
    "make namespaces": (_build_rooms,),
    "enter other namespaces": (_leave_its_rooms,),
    "load code into the kernel": (_load_a_module,),
    "change the kernel's settings": (_change_the_kernel,),
    "change limits of programs": (_change_limits,),
    "read the kernel's messages": (_read_the_kernels_log,),
    "set the clock": (_set_the_clock,),
    "rename the machine": (_rename_the_machine,),
    "take the processor for itself": (_take_the_processor,),
    "switch off protections": (_undo_protections,),
}
"""What must not be possible, and how it is tried; each way must be refused."""

OPEN_FOR_GRAPHICS = frozenset({"write memory and run it", "run programs from memory"})
"""What a graphics card needs: its libraries write programs while they run."""


def _all_refused(attempt: Callable[..., None], on: Sequence[object]) -> None:
    """Try it on each; the refusal told is the last one."""
    refusal: OSError | None = None
    for one in on:
        try:
            attempt(one)
        except FileNotFoundError as error:
            refusal = refusal or error
        except OSError as error:
            refusal = error
    if refusal is not None:
        raise refusal


def try_all(root: Path) -> Iterator[Wall]:
    """Each wall in turn.

    Args:
        root: the bird folder, where this process may write.
    """
    for must_not, attempts in TRIALS.items():
        answers = [_tried(attempt, root) for attempt in attempts]
        holds, what = next((one for one in answers if not one[0]), answers[0])
        yield Wall(must_not, holds, what, meant=not holds and must_not in OPEN_FOR_GRAPHICS and GRAPHICS.exists())


def _tried(attempt: Attempt, root: Path) -> tuple[bool, str]:
    """One attempt in a child, which it may end, or change for good."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(TRIAL_S)
        answer = _answer(attempt, root)
        os.write(theirs, json.dumps(answer).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if said:
        holds, what = json.loads(said)
        return bool(holds), str(what)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS:
        return True, "refused: whoever tries it is ended"
    return False, f"untold: the trial ended with {os.waitstatus_to_exitcode(status)}"


def _answer(attempt: Attempt, root: Path) -> tuple[bool, str]:
    try:
        attempt(root)
    except PassedError as error:
        return False, str(error)
    except OSError as error:
        return True, f"refused: {error.strerror or error}"
    except Exception as error:  # noqa: BLE001  # whatever it is, it is told, and it is no refusal
        return False, f"untold: {error!r}"
    return True, "there is none to be seen"


if __name__ == "__main__":
    json.dump(
        [{"must_not": one.must_not, "holds": one.holds, "what": one.what, "meant": one.meant}
         for one in try_all(Path(sys.argv[1]))],
        sys.stdout,
    )  # fmt: skip

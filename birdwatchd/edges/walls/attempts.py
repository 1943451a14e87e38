"""Attempts to reach what is not this program's own: files, others on this machine, the network, and code that did not come with it."""

import contextlib
import ctypes
import mmap
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from birdwatchd.core import mounts, shelving

NAME = f"birdwatchd-wall-{os.getpid()}"

EVERYBODYS = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/proc")  # noqa: S108  # tried, not trusted
"""Where everybody may write; the service has its own of the first two."""

libc = ctypes.CDLL(None, use_errno=True)


class PassedError(Exception):
    """A trial went through; the words say how far."""


Attempt = Callable[[Path], None]
"""Tries one thing. OSError: it was refused. PassedError: it was not. Returning: there was nothing to try it on."""


def call(code: int, passed: Sequence[int] = ()) -> None:
    """What a call into libc returned: an error is a refusal, but for those that only a permitted call gets."""
    if code != -1:
        return
    number = ctypes.get_errno()
    if number not in passed:
        raise OSError(number, os.strerror(number))


def all_refused(attempt: Callable[..., None], on: Sequence[object]) -> None:
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


# -- files


def write_elsewhere(root: Path) -> None:
    places = ["/", "/etc", "/usr", "/usr/bin", "/usr/local", "/boot", "/opt", "/srv", "/mnt", "/media", "/run", "/var",
              "/var/lib", "/var/log", "/var/spool", sys.prefix]  # fmt: skip
    told_to = {os.environ.get(name, "/tmp") for name in ("STATE_DIRECTORY", "CACHE_DIRECTORY")}  # noqa: S108
    own = [root, *map(Path, [*told_to, *EVERYBODYS])]
    everywhere = dict.fromkeys([*map(Path, places), *_where_it_may_write()])
    all_refused(_make_file, [place for place in everywhere if not any(place.is_relative_to(one) for one in own)])


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


def read_homes(_: Path) -> None:
    all_refused(_list_folder, [Path("/root"), Path("/home"), Path("/run/user")])


def _list_folder(place: Path) -> None:
    if any(place.iterdir()):
        raise PassedError(f"it can look into {place}")


def read_passwords(_: Path) -> None:
    all_refused(_open_to_read, [Path("/etc/shadow"), Path("/etc/gshadow")])


def _open_to_read(path: Path) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    raise PassedError(f"it can open {path}")


def _open_to_write(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    raise PassedError(f"it can open {path} for writing")


def change_the_kernel(_: Path) -> None:
    all_refused(_open_to_write, [Path("/proc/sys/vm/swappiness"), Path("/proc/sys/kernel/core_pattern"),
                                  Path("/proc/sysrq-trigger")])  # fmt: skip


def change_limits(_: Path) -> None:
    all_refused(_open_to_write, [Path("/sys/fs/cgroup/cgroup.procs"), *Path("/sys/fs/cgroup").glob("*/cgroup.procs")])


def read_disks(_: Path) -> None:
    disks = [Path("/dev") / name for name in _names(Path("/sys/class/block"))]
    all_refused(_open_to_read, [Path("/dev/mem"), Path("/dev/port"), Path("/dev/kmsg"), Path("/dev/fuse"), *disks])


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:  # not to be seen from here
        return []


# -- others on this machine


def see_others(_: Path) -> None:
    others = [process for process in Path("/proc").iterdir() if process.name.isdigit() and _is_of_another(process)]
    if others:
        raise PassedError(f"it sees {len(others)} processes of other users")


def _is_of_another(process: Path) -> bool:
    try:
        return process.stat().st_uid != os.getuid()
    except OSError:  # it has ended, or is hidden
        return False


def talk_to_the_system(_: Path) -> None:
    all_refused(_connect, [Path("/run/dbus/system_bus_socket"), Path("/run/systemd/private"),
                            Path("/run/docker.sock"), Path("/run/containerd/containerd.sock")])  # fmt: skip


def _connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as plug:
        plug.settimeout(1)
        plug.connect(str(path))
    raise PassedError(f"it can talk to {path}")


def trace(_: Path) -> None:
    call(libc.ptrace(0, 0, 0, 0))
    raise PassedError("it can look into running programs (ptrace)")


# -- network

_FAMILIES = {"AF_INET": socket.SOCK_STREAM, "AF_INET6": socket.SOCK_STREAM, "AF_NETLINK": socket.SOCK_RAW,
             "AF_PACKET": socket.SOCK_RAW, "AF_VSOCK": socket.SOCK_STREAM, "AF_ALG": socket.SOCK_SEQPACKET,
             "AF_BLUETOOTH": socket.SOCK_RAW}  # fmt: skip


def reach_the_network(_: Path) -> None:
    all_refused(_make_socket, list(_FAMILIES))


def _make_socket(family: str) -> None:
    if hasattr(socket, family):
        socket.socket(getattr(socket, family), _FAMILIES[family] | socket.SOCK_CLOEXEC).close()
        raise PassedError(f"it can make a socket of {family}")


def see_networks(_: Path) -> None:
    lines = Path("/proc/self/net/dev").read_text(encoding="utf-8").splitlines()[2:]
    seen = [line.partition(":")[0].strip() for line in lines]
    if others := [name for name in seen if name != "lo"]:
        raise PassedError(f"it sees {len(others)} ways out of this machine")


# -- programs that did not come with it


def write_and_run_memory(_: Path) -> None:
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    raise PassedError("it can have memory that is both written and run")


def make_memory_run(_: Path) -> None:
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        held = ctypes.c_char.from_buffer(page)
        code = libc.mprotect(ctypes.c_void_p(ctypes.addressof(held)), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC)
        del held
        call(code)
    raise PassedError("it can run memory that it wrote")


def run_a_written_file(root: Path) -> None:
    all_refused(_run_from, [root / shelving.JOBS, *map(Path, EVERYBODYS), *_where_it_may_write()])


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


def run_from_memory(_: Path) -> None:
    handle = os.memfd_create(NAME)
    os.write(handle, Path("/bin/true").read_bytes())
    subprocess.run([f"/proc/self/fd/{handle}"], pass_fds=[handle], check=False)
    raise PassedError("it can run a program that is in no file (memfd_create)")

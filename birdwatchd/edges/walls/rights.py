"""Attempts to get more rights than were given, and to change the machine itself."""

import ctypes
import errno
import os
import stat
from pathlib import Path

from birdwatchd.core import shelving
from birdwatchd.edges.walls.attempts import NAME, PassedError, all_refused, call, libc

# -- more rights


def become_root(_: Path) -> None:
    os.setresuid(0, 0, 0)
    raise PassedError("it can become root")


def gain_by_programs(_: Path) -> None:
    if "NoNewPrivs:\t1" not in Path("/proc/self/status").read_text(encoding="utf-8"):
        raise PassedError("it gains rights by running programs such as sudo")
    raise PermissionError(errno.EPERM, "no program gives it rights")


def lend_rights(root: Path) -> None:
    path = root / shelving.JOBS / NAME
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        path.chmod(stat.S_ISUID | 0o600)
    finally:
        path.unlink()
    raise PassedError("it can make programs that lend its rights to others (setuid)")


CAP_LEASE = 28


def have_rights(_: Path) -> None:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    held = {line.split()[0]: int(line.split()[1], 16) for line in lines if line.startswith("Cap")}
    more = (held["CapPrm:"] | held["CapBnd:"]) & ~(1 << CAP_LEASE)
    if more:
        raise PassedError(f"it has or may get {more.bit_count()} rights of root (capabilities)")
    raise PermissionError(errno.EPERM, "it has none but to ask for leases")


def make_a_device(root: Path) -> None:
    path = root / shelving.JOBS / NAME
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    path.unlink()
    raise PassedError("it can make device files")


# -- the machine itself


def mount(_: Path) -> None:
    call(libc.mount(None, b"/", None, 0, None), passed=[errno.EINVAL])
    raise PassedError("it can mount and unmount disks")


_NAMESPACES = {"mount": 0x00020000, "user": 0x10000000, "network": 0x40000000, "process": 0x20000000, "ipc": 0x08000000}


def build_rooms(_: Path) -> None:
    all_refused(_unshare, list(_NAMESPACES))


def _unshare(kind: str) -> None:
    call(libc.unshare(_NAMESPACES[kind]))
    raise PassedError(f"it can make a {kind} namespace")


def leave_its_rooms(_: Path) -> None:
    handle = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    call(libc.setns(handle, 0))
    raise PassedError("it can enter other namespaces")


def load_a_module(_: Path) -> None:
    if hasattr(libc, "init_module"):
        call(libc.init_module(None, 0, b""), passed=[errno.ENOEXEC, errno.EFAULT, errno.EINVAL])
        raise PassedError("it can load code into the kernel")


def set_the_clock(_: Path) -> None:
    wanted = (ctypes.c_uint * 128)(0x4000)  # struct timex: only `modes`, "set the tick", to 0, which no kernel accepts
    call(libc.adjtimex(ctypes.byref(wanted)), passed=[errno.EINVAL])
    raise PassedError("it can set the clock")


def rename_the_machine(_: Path) -> None:
    call(libc.sethostname(b"", ctypes.c_size_t(-1)), passed=[errno.EINVAL])
    raise PassedError("it can give the machine another name")


def read_the_kernels_log(_: Path) -> None:
    call(libc.klogctl(10, None, 0))  # how large is it
    raise PassedError("it can read the kernel's messages")


def take_the_processor(_: Path) -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    raise PassedError("it can take the processor for itself (real-time)")


def undo_protections(_: Path) -> None:
    call(libc.personality(0x0040000))  # ADDR_NO_RANDOMIZE, for this child alone
    raise PassedError("it can switch off the kernel's protection of memory (personality)")

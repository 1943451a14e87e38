"""Which walls there must be, and how each is tried: in a child of its own, which may die of it."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from birdwatchd.edges.walls import attempts, rights
from birdwatchd.edges.walls.attempts import Attempt, PassedError
from birdwatchd.edges.walls.trial import Wall

TRIAL_S = 5
GRAPHICS = Path("/dev/nvidiactl")
"""Seen only by a service that was given a graphics card on purpose (systemd/drop-ins/gpu.conf)."""

TRIALS: dict[str, tuple[Attempt, ...]] = {
    "write outside of the bird folder": (attempts.write_elsewhere,),
    "read homes": (attempts.read_homes,),
    "read passwords": (attempts.read_passwords,),
    "reach the network": (attempts.reach_the_network,),
    "see network cards": (attempts.see_networks,),
    "see what others run": (attempts.see_others,),
    "look into programs": (attempts.trace,),
    "talk to the system's own services": (attempts.talk_to_the_system,),
    "write memory and run it": (attempts.write_and_run_memory, attempts.make_memory_run),
    "run programs from memory": (attempts.run_from_memory,),
    "run programs that it wrote": (attempts.run_a_written_file,),
    "become root": (rights.become_root,),
    "gain rights by programs": (rights.gain_by_programs,),
    "lend rights to others": (rights.lend_rights,),
    "use rights of root": (rights.have_rights,),
    "make device files": (rights.make_a_device,),
    "read disks past the file system": (attempts.read_disks,),
    "mount disks": (rights.mount,),
    "make namespaces": (rights.build_rooms,),
    "enter other namespaces": (rights.leave_its_rooms,),
    "load code into the kernel": (rights.load_a_module,),
    "change the kernel's settings": (attempts.change_the_kernel,),
    "change limits of programs": (attempts.change_limits,),
    "read the kernel's messages": (rights.read_the_kernels_log,),
    "set the clock": (rights.set_the_clock,),
    "rename the machine": (rights.rename_the_machine,),
    "take the processor for itself": (rights.take_the_processor,),
    "switch off protections": (rights.undo_protections,),
}
"""What must not be possible, and how it is tried; each way must be refused."""

OPEN_FOR_GRAPHICS = frozenset({"write memory and run it", "run programs from memory"})
"""What a graphics card needs: its libraries write programs while they run."""


def try_all(root: Path) -> Iterator[Wall]:
    """Each wall in turn.

    Args:
        root: the bird folder, where this process may write.
    """
    for must_not, ways in TRIALS.items():
        answers = [_tried(way, root) for way in ways]
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

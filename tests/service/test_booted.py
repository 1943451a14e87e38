"""The service under real systemd, installed as the README says: it files photos, stands its walls, and comes back or stays down.

One system for all tests, in the order of a life: each begins with the service as the README leaves it. What the machine must offer is
told in `tests/service/nspawn.py`.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pictures import jpeg
from tests.service.nspawn import BIRDS, INBOX, Machine, service_blocks, skip_unless_possible
from tests.service.running import until

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(600)]

INSTALL, SERVICE, GROUP, START, LINK, REMOTE, ELSEWHERE, GRAPHICS, REMOVE = range(9)
"""The command blocks of the README's section, by what they do."""

OF_TRAINING = "/etc/systemd/system/birdwatchd-train.service.d"
"""The drop-ins of the other service."""

NAMED = 6
"""Photos of each of two species, to learn from."""

NEWER = """
cp -r /srv/code /srv/newer
sed -i 's/__version__ = ".*"/__version__ = "99.0"/' /srv/newer/birdwatchd/__init__.py
/opt/birdwatchd/venv/bin/pip wheel --quiet --no-deps --wheel-dir /srv/wheels /srv/newer
"""


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory, real_photos: Path) -> Iterator[Machine]:
    """A running system with the service in it."""
    skip_unless_possible()
    machine = Machine(tmp_path_factory.mktemp("machine"))
    try:
        machine.build()
        blocks = service_blocks()
        prepared = "\n".join(blocks[block] for block in (INSTALL, SERVICE, GROUP))
        machine.prepare(f"useradd --no-create-home member\nuseradd --no-create-home camera\n{prepared}\n{NEWER}")
        photos = machine.image / "srv" / "photos"
        photos.mkdir()
        (photos / "garden.jpg").write_bytes(next((real_photos / "scenes" / "no-bird").glob("*.jpg")).read_bytes())
        (photos / "mallard.jpg").write_bytes(next((real_photos / "birds" / "mallard").glob("*.jpg")).read_bytes())
        (photos / "mallard2.jpg").write_bytes(max((real_photos / "birds" / "mallard").glob("*.jpg")).read_bytes())
        for species in ("mallard", "blue-jay"):
            named = machine.image / "srv" / "named" / species
            named.mkdir(parents=True)
            for photo in sorted((real_photos / "birds" / species).glob("*.jpg"))[1 : NAMED + 1]:
                (named / photo.name).write_bytes(photo.read_bytes())
        for seed in range(60):
            (photos / f"{seed}.jpg").write_bytes(jpeg(seed=seed))
        machine.boot()
        machine.shell(blocks[START])
        yield machine
    finally:
        machine.switch_off()


@pytest.fixture
def machine(booted: Machine) -> Machine:
    """The system, with the service running as the README leaves it."""
    for drop_in in ("test", "gpu", "inbox"):
        booted.remove(drop_in)
    booted.shell(f"rm -rf {BIRDS}/config.toml {OF_TRAINING}; systemctl daemon-reload")
    if not booted.is_active() or booted.unit("NeedDaemonReload") == "yes" or booted.unit("DropInPaths"):
        booted.start()
    return booted


def drop(machine: Machine, *names: str, into: str = str(INBOX), user: str = "member") -> None:
    """Photos dropped by somebody whose umask lets nobody else read them."""
    copies = "; ".join(f"cp /srv/photos/{name} {into}/" for name in names)
    machine.shell(f"umask 077; mkdir -p {into}; {copies}", user=user)


def filed(machine: Machine) -> int:
    """Photos at rest."""
    (count,) = machine.query("SELECT count(*) AS n FROM photos WHERE state NOT IN ('claimed', 'decided')")[0]
    return int(count)


def until_filed(machine: Machine, count: int) -> None:
    until(f"{count} photos are filed", lambda: filed(machine) >= count)
    assert filed(machine) == count


def doctor(machine: Machine, *words: str) -> tuple[int, dict[str, object]]:
    """What the doctor says to a member."""
    done = machine.shell(f"birdwatchd doctor {' '.join(words)} --json --root {BIRDS}", user="member", check=False)
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, json.loads(done.stdout)


def open_walls(answer: dict[str, object]) -> list[str]:
    findings = answer["findings"]
    assert isinstance(findings, list)
    assert len(findings) == 28
    return [str(one["what"]) for one in findings if not one["ok"]]


# -- it works


@pytest.mark.fault("U01")
def test_it_boots_and_files_what_a_member_of_the_group_drops(machine: Machine) -> None:
    until("the service is ready", machine.is_active)
    drop(machine, "garden.jpg", "mallard.jpg", into=f"{INBOX}/feeder")
    until_filed(machine, 2)
    rows = machine.query("SELECT original_name, state, camera FROM photos ORDER BY original_name")
    assert rows == [["garden.jpg", "empty", "feeder"], ["mallard.jpg", "review", "feeder"]]
    assert "watching" in machine.unit("StatusText")
    code, answer = doctor(machine)
    assert (code, answer["ok"]) == (0, True), answer
    level = machine.ask("systemd-analyze security --no-pager birdwatchd | tail -n 1")
    assert float(level.rpartition("birdwatchd.service: ")[2].split()[0]) <= 0.6


@pytest.mark.fault("U03")
def test_from_inside_every_wall_holds(machine: Machine) -> None:
    code, answer = doctor(machine, "--sandbox")
    assert open_walls(answer) == []
    assert (code, answer["tried_by"]) == (0, "daemon")
    assert machine.ask("find / /etc /usr /run /var /var/lib /tmp /dev -maxdepth 1 -name 'birdwatchd-wall*'") == ""


@pytest.mark.fault("U03")
def test_a_hole_in_a_wall_is_found(machine: Machine) -> None:
    """The same trials, in a unit that somebody opened."""
    machine.add(
        "test",
        "[Service]\nPrivateNetwork=no\nRestrictAddressFamilies=AF_UNIX AF_INET\nNoExecPaths=\nTemporaryFileSystem=\n",
    )
    machine.start()
    code, answer = doctor(machine, "--sandbox")
    assert code == 1
    found = " / ".join(open_walls(answer))
    assert "AF_INET" in found
    assert f"it can load code that it wrote into {BIRDS}" in found
    assert "it can talk to /run/" in found


# -- drop-ins


@pytest.mark.fault("A05")
def test_the_inbox_may_lie_elsewhere_and_belong_to_a_server(machine: Machine) -> None:
    before = filed(machine)
    machine.shell(
        "mkdir -p /srv/camera; mountpoint -q /srv/camera || mount -t tmpfs -o mode=755 tmpfs /srv/camera; chown camera: /srv/camera"
    )
    machine.shell("umask 077; mkdir -p /srv/camera/pond; cp /srv/photos/1.jpg /srv/camera/pond/", user="camera")
    machine.shell(service_blocks()[ELSEWHERE])
    until("the service is ready", machine.is_active)
    drop(machine, "2.jpg", into="/srv/camera", user="camera")
    drop(machine, "3.jpg", into="/srv/camera/hedge", user="camera")
    until_filed(machine, before + 3)
    assert machine.query("SELECT camera FROM photos ORDER BY id DESC LIMIT 3").count(["hedge"]) == 1
    assert machine.ask("find /srv/camera -type f") == ""
    assert open_walls(doctor(machine, "--sandbox")[1]) == []
    drop(machine, "4.jpg")  # the folder of that name on the outside is another one now
    assert machine.ask(f"ls {INBOX}/4.jpg").strip() == f"{INBOX}/4.jpg"
    machine.remove("inbox")
    machine.start()
    until_filed(machine, before + 4)


def test_it_may_be_given_a_graphics_card(machine: Machine) -> None:
    """There is none in this system: it starts, computes on the processor, and opens no more walls than it says."""
    before = filed(machine)
    machine.shell(service_blocks()[GRAPHICS])
    until("the service is ready", machine.is_active)
    drop(machine, "5.jpg")
    until_filed(machine, before + 1)
    found = open_walls(doctor(machine, "--sandbox")[1])
    assert sorted(found) == [
        "it can have memory that is both written and run",
        "it can run a program that is in no file (memfd_create)",
    ]


# -- it learns

WATCH_TRAINING = """
for _ in $(seq 900); do
    pid=$(systemctl show --value --property=MainPID birdwatchd-train)
    if [ "$pid" != 0 ] && [ -e "/proc/$pid" ]; then
        grep --only-matching '/system.slice/.*' "/proc/$pid/cgroup" | sort -u
        ps -o ni= -p "$pid"
        cat "/proc/$pid/oom_score_adj"
        exit 0
    fi
    sleep 0.05
done
echo 'nobody has begun it'
"""


def of_training(machine: Machine, name: str) -> str:
    return machine.ask(f"systemctl show --value --property={name} birdwatchd-train").strip()


def test_a_service_of_its_own_learns_and_its_model_serves(machine: Machine) -> None:
    before = filed(machine)
    machine.shell(f"birdwatchd import /srv/named --root {BIRDS}", user="member")
    where = machine.ask(WATCH_TRAINING).split()
    assert where == ["/system.slice/birdwatchd-train.service", "19", "1000"]
    machine.shell("systemctl restart birdwatchd")  # by which no training is lost
    until("the model serves", lambda: machine.query("SELECT id FROM models WHERE promoted_at IS NOT NULL") == [[1]])
    assert machine.query("SELECT id, outcome FROM trainings") == [[1, "promoted"]]
    until("the unit has ended", lambda: of_training(machine, "ActiveState") == "inactive")
    assert (of_training(machine, "Result"), of_training(machine, "ExecMainStatus")) == ("success", "0")
    assert machine.ask("systemctl is-active birdwatchd-train.path").strip() == "active"
    until("the service is ready", machine.is_active)
    drop(machine, "mallard2.jpg")
    until_filed(machine, before + 2 * NAMED + 1)
    assert machine.query("SELECT model_id FROM predictions ORDER BY id DESC LIMIT 1") == [[1]]
    assert doctor(machine)[0] == 0


@pytest.mark.fault("U03")
def test_the_walls_around_what_learns_hold_but_for_the_one_that_pytorch_needs_open(machine: Machine) -> None:
    """The same trials in its place; what it finds goes to where it may write."""
    trial = f"/opt/birdwatchd/venv/bin/python -P -m birdwatchd.edges.walls {BIRDS}"
    said = f"{BIRDS}/.birdwatchd/jobs/walls.json"
    folder = "/run/systemd/system/birdwatchd-train.service.d"
    machine.shell(
        f"mkdir -p {folder}; touch {said}; chown birdwatchd: {said}; systemctl stop birdwatchd-train.path;"
        f"printf '[Service]\\nExecStart=\\nExecStart={trial}\\nStandardOutput=file:{said}\\n' > {folder}/walls.conf;"
        "systemctl daemon-reload; systemctl start birdwatchd-train"
    )
    walls = json.loads(machine.ask(f"cat {said}"))
    machine.shell(f"rm -r {folder} {said}; systemctl daemon-reload; systemctl start birdwatchd-train.path")
    assert len(walls) == 28
    found = sorted(wall["what"] for wall in walls if not wall["holds"])
    assert found == ["it can have memory that is both written and run"]


# -- the page


def page(machine: Machine, path: str, *words: str) -> str:
    """What the page answers to a request from the machine itself: the status, a line, and the content."""
    shown = "--silent --show-error --max-time 60 --write-out '\\n%{http_code}'"
    said = machine.ask(f"curl {shown} {' '.join(words)} http://127.0.0.1:8765{path}")
    content, _, status = said.rpartition("\n")
    return f"{status}\n{content}"


@pytest.mark.fault("U01")
def test_the_page_is_begun_by_its_socket_and_does_what_people_want(machine: Machine) -> None:
    until("the service is ready", machine.is_active)
    until("the socket listens", lambda: "active" in machine.ask("systemctl is-active birdwatchd-web.socket || true"))
    assert page(machine, "/login").startswith("200")
    assert page(machine, "/").startswith("303")
    link = machine.ask(service_blocks()[LINK]).split()[0]
    token = link.partition("#token=")[2]
    assert len(token) == 43
    login = page(
        machine, "/login", "-H 'Origin: http://127.0.0.1:8765'", f"--data token={token}", "--cookie-jar /tmp/jar"
    )
    assert login.startswith("303")
    assert page(machine, "/health", "--cookie /tmp/jar").startswith("200")
    drop(machine, "mallard2.jpg")
    waiting = "SELECT id FROM photos WHERE state = 'review'"
    until("a photo waits", lambda: machine.query(waiting) != [])
    (photo,) = machine.query(waiting)[-1]
    answer = json.dumps(
        {"key": "a-first-answer", "species": "mallard", "photos": [{"photo_id": photo}], "new_species": True}
    )
    bearer, form = f"-H 'Authorization: Bearer {token}'", "-H 'Content-Type: application/json'"
    said = page(machine, "/api/answers", bearer, form, f"--data '{answer}'")
    assert said.startswith("200"), said
    named = f"SELECT label, actor FROM labels WHERE photo_id = {int(photo)}"  # noqa: S608
    until("the wish is fulfilled", lambda: machine.query(named) != [])
    assert machine.query(named) == [["mallard", "web"]]
    assert page(machine, f"/thumbnails/{photo}", bearer, "--output /tmp/bird.jpg").startswith("200")
    assert page(machine, "/models", bearer).startswith("200")
    level = machine.ask("systemd-analyze security --no-pager birdwatchd-web | tail -n 1")
    assert float(level.rpartition("birdwatchd-web.service: ")[2].split()[0]) <= 0.3


@pytest.mark.fault("U03", "W10")
def test_the_page_has_its_walls_and_may_die(machine: Machine) -> None:
    machine.start()  # which makes config.toml again
    machine.shell("systemctl stop birdwatchd-web.service")
    assert page(machine, "/login").startswith("200")
    (machine.image / "var/lib/birdwatchd/quarantine/refused.jpg").write_bytes(b"refused")
    pid = machine.ask("systemctl show --value --property=MainPID birdwatchd-web").strip()
    inside = f"nsenter --target {pid} --mount --net -- setpriv --reuid=birdwatchd --regid=birdwatchd --clear-groups --"
    forbidden = [
        f"ls {INBOX}",
        f"cat {BIRDS}/quarantine/refused.jpg",
        f"touch {BIRDS}/library/x",
        f"touch {BIRDS}/.birdwatchd/x",
        f"touch {BIRDS}/.birdwatchd/models/x",
        f"touch {BIRDS}/config.toml",
        "touch /var/tmp/../lib/x",
        "curl --silent --max-time 9 http://127.0.0.1:8765/healthz",
        "ls /run/dbus",
        f"mv {BIRDS}/library {BIRDS}/elsewhere",
    ]
    for attempt in forbidden:
        assert machine.shell(f"{inside} {attempt}", check=False).returncode != 0, attempt
    machine.shell(f"{inside} touch {BIRDS}/birdwatchd.db {BIRDS}/.birdwatchd/web/token")
    machine.shell(f"kill -KILL {pid}")
    until("the page is back", lambda: page(machine, "/login").startswith("200"))
    assert machine.is_active()


def test_the_page_can_be_opened_to_other_computers(machine: Machine) -> None:
    machine.start()  # which makes config.toml again
    machine.shell(service_blocks()[REMOTE])
    try:
        assert page(machine, "/login", "-H 'Host: birds.local:8765'").startswith("200")
        assert page(machine, "/login", "-H 'Host: other.local:8765'").startswith("421")
        assert "0.0.0.0:8765" in machine.ask("ss --listening --tcp --numeric")
    finally:
        machine.shell(
            "rm -rf /etc/systemd/system/birdwatchd-web.socket.d; systemctl daemon-reload;"
            "systemctl stop birdwatchd-web.service; systemctl restart birdwatchd-web.socket"
        )


# -- it comes back, or stays down


@pytest.mark.fault("C07")
def test_a_stopped_daemon_is_ended_by_the_watchdog_and_the_next_files_everything(machine: Machine) -> None:
    before = filed(machine)
    machine.add("test", "[Service]\nWatchdogSec=5\n")
    machine.start()
    machine.shell("systemctl kill --signal=STOP birdwatchd")
    begun = time.monotonic()
    drop(machine, "6.jpg", "7.jpg")
    until("it is started again", lambda: machine.unit("NRestarts") == "1" and machine.is_active())
    assert time.monotonic() - begun < 5 + 5 + 10, "WatchdogSec and five seconds, and the start"
    until_filed(machine, before + 2)
    said = machine.ask("journalctl --unit birdwatchd --output cat --no-pager")
    assert "Failed with result 'watchdog'" in said
    assert 'service.py", line' in said, "where it hung"


@pytest.mark.fault("U02")
def test_with_bad_settings_it_stays_down_and_systemctl_says_why(machine: Machine) -> None:
    machine.shell("systemctl stop birdwatchd")
    machine.shell(f"printf '[inbox]\\nsettle = 3\\n' > {BIRDS}/config.toml")
    machine.shell("systemctl start birdwatchd", check=False)
    until("it has given up", lambda: machine.unit("ActiveState") == "failed")
    assert (machine.unit("ExecMainStatus"), machine.unit("NRestarts")) == ("2", "0")
    shown = machine.shell("systemctl status --no-pager birdwatchd", check=False).stdout
    assert "settle_s" in shown
    code, answer = doctor(machine)
    assert code == 1
    assert "systemctl status birdwatchd" in json.dumps(answer)
    machine.shell(f"rm {BIRDS}/config.toml")
    machine.start("start")


@pytest.mark.fault("U02")
def test_a_daemon_that_crashes_again_and_again_stays_down_after_ten_times(machine: Machine) -> None:
    crash = "[Service]\nExecStartPre=\nExecStart=\nExecStart=/bin/sh -c 'kill -SEGV $$$$'\nRestartSec=100ms\n"
    machine.shell("systemctl stop birdwatchd; systemctl reset-failed birdwatchd || true")
    machine.add("test", crash)
    machine.shell("systemctl start birdwatchd", check=False)
    until("it has given up", lambda: machine.unit("ActiveState") == "failed")
    assert machine.unit("NRestarts") == "10"
    code, answer = doctor(machine)
    assert code == 1
    assert "reset-failed" in json.dumps(answer)
    machine.remove("test")
    machine.start("start")


UNDER_WAY = f"""
import sys
from pathlib import Path
from birdwatchd.core.journey import Claim
from birdwatchd.edges.files import stamp_of
from birdwatchd.edges.store import Store, work_path

root = Path("{BIRDS}")
with Store.open(root / "birdwatchd.db") as store:
    photos = [Path("/srv/photos") / f"{{number}}.jpg" for number in range(20, 34)]
    claims = [Claim(photo.name, stamp_of(photo.stat()), None, "2026-01-01T00:00:00.000Z") for photo in photos]
    for photo_id, photo in zip(store.journeys.record_claims(claims), photos, strict=True):
        (root / work_path(photo_id)).write_bytes(photo.read_bytes())
"""
"""Photos that a crash left half-way."""

SLOW = """
import time
from birdwatchd import examining
look = examining.Examiner.examine
examining.Examiner.examine = lambda self, data: (time.sleep(3), look(self, data))[1]
from birdwatchd.cli import main
main()
"""
"""The program on a machine that needs three seconds for each photo; up to four are looked at at once."""


@pytest.mark.fault("U04")
def test_a_start_that_repairs_for_long_is_waited_for(machine: Machine) -> None:
    before = filed(machine)
    machine.shell("systemctl stop birdwatchd")
    machine.shell(f"cat > /srv/slow.py <<'END'\n{SLOW}\nEND")
    machine.shell(f"/opt/birdwatchd/venv/bin/python - <<'END'\n{UNDER_WAY}\nEND", user="birdwatchd")
    slow = f"/opt/birdwatchd/venv/bin/python /srv/slow.py run --root {BIRDS}"
    machine.add("test", f"[Service]\nExecStartPre=\nExecStart=\nExecStart={slow}\nTimeoutStartSec=8\n")
    begun = time.monotonic()
    machine.start("start")
    assert time.monotonic() - begun > 8, "it was ready before its time was up: nothing was tried"
    assert machine.unit("NRestarts") == "0"
    assert filed(machine) == before + 14, "ready is said when all is repaired"


@pytest.mark.fault("U06")
def test_replaced_while_it_runs_it_works_on_and_the_next_start_is_the_new_one(machine: Machine) -> None:
    before = filed(machine)
    drop(machine, "40.jpg")
    pip = "/opt/birdwatchd/venv/bin/pip install --quiet --no-deps --no-index --force-reinstall"
    machine.shell(f"{pip} /srv/wheels/*.whl")
    drop(machine, "41.jpg", "42.jpg")
    until_filed(machine, before + 3)
    _, answer = doctor(machine)
    assert "and 99.0 is installed" in json.dumps(answer)
    machine.start()
    drop(machine, "43.jpg")
    until_filed(machine, before + 4)
    assert machine.query("SELECT version FROM status") == [["99.0"]]
    assert doctor(machine)[0] == 0


@pytest.mark.fault("U06")
def test_an_older_program_leaves_a_newer_log_alone_and_says_so(machine: Machine) -> None:
    """After a downgrade."""
    version = machine.query("PRAGMA user_version")[0][0]
    drop(machine, "45.jpg")
    machine.shell("systemctl stop birdwatchd")
    machine.shell(f"sqlite3 {BIRDS}/birdwatchd.db 'PRAGMA user_version = 999'")
    machine.shell("systemctl start birdwatchd", check=False)
    until("it has given up", lambda: machine.unit("ActiveState") == "failed")
    assert (machine.unit("ExecMainStatus"), machine.unit("NRestarts")) == ("2", "0")
    assert "newer birdwatchd" in machine.shell("systemctl status --no-pager birdwatchd", check=False).stdout
    machine.shell(f"sqlite3 {BIRDS}/birdwatchd.db 'PRAGMA user_version = {version}'")
    machine.start("start")
    until("the photo that waited is filed", lambda: machine.ask(f"find {INBOX} -name '4[0-9].jpg'") == "")


# -- its end


@pytest.mark.fault("U01")
def test_removed_as_the_readme_says_it_leaves_the_photos(booted: Machine) -> None:
    until(
        "nothing is on its way",
        lambda: booted.ask(f"find {INBOX} {BIRDS}/.birdwatchd/work -type f -name '[!.]*'") == "",
    )
    photos = booted.ask(f"find {BIRDS} -name '*.jpg' -not -path '*/.birdwatchd/*' | sort")
    assert photos.count("\n") > 10
    booted.shell(service_blocks()[REMOVE])
    assert booted.shell("systemctl cat birdwatchd", check=False).returncode != 0
    assert booted.ask("find /etc/systemd /etc/tmpfiles.d /etc/sysusers.d -name 'birdwatchd*'") == ""
    assert booted.ask(f"find {BIRDS} -name '*.jpg' -not -path '*/.birdwatchd/*' | sort") == photos


def test_every_block_of_the_section_is_run_here() -> None:
    assert len(service_blocks()) == REMOVE + 1

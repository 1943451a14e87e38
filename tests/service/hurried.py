"""The stubbed daemon with a timetable for the impatient: chores from the first second on, looked at twice a second."""

from datetime import timedelta

from birdwatchd import service
from birdwatchd.cli import main
from tests.service.stubbed import stub_loader

if __name__ == "__main__":
    service.spotter_loader = stub_loader
    service.FIRST_CHORES_AFTER = timedelta()
    service.CHORES = tuple((name, 0.5 / 3600) for name, _ in service.CHORES)
    main()

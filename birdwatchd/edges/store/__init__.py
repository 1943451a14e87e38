"""The logbook: every SQL sentence of the program.

`Store` opens it once per thread. Who writes: the holder of the bird folder's lock writes journeys; any command may leave a request.
"""

from pathlib import Path

from birdwatchd.edges.store.answers import Answers
from birdwatchd.edges.store.audits import Audits
from birdwatchd.edges.store.connection import Connection, Row
from birdwatchd.edges.store.days import Days
from birdwatchd.edges.store.doubts import Doubts
from birdwatchd.edges.store.gallery import Gallery, Mark, Wanted
from birdwatchd.edges.store.histories import Histories
from birdwatchd.edges.store.journeys import Decided, Journeys, MovedByHand, Said, Twin, work_path
from birdwatchd.edges.store.looks import Looks
from birdwatchd.edges.store.models import Models, NewModel
from birdwatchd.edges.store.news import News
from birdwatchd.edges.store.questions import Questions
from birdwatchd.edges.store.queue import Queue
from birdwatchd.edges.store.requests import Elsewhere, Request, Requests
from birdwatchd.edges.store.seasons import Seasons
from birdwatchd.edges.store.second_looks import SecondLooks
from birdwatchd.edges.store.visits import Visit, Visits

__all__ = [
    "Answers",
    "Audits",
    "Connection",
    "Days",
    "Decided",
    "Doubts",
    "Elsewhere",
    "Gallery",
    "Histories",
    "Journeys",
    "Looks",
    "Mark",
    "Models",
    "MovedByHand",
    "NewModel",
    "News",
    "Questions",
    "Queue",
    "Request",
    "Requests",
    "Row",
    "Said",
    "Seasons",
    "SecondLooks",
    "Store",
    "Twin",
    "Visit",
    "Visits",
    "Wanted",
    "work_path",
]


class Store:
    """The open log and its desks."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.journeys = Journeys(connection)
        self.requests = Requests(connection)
        self.questions = Questions(connection)
        self.queue = Queue(connection)
        self.days = Days(connection)
        self.models = Models(connection)
        self.histories = Histories(connection)
        self.news = News(connection)
        self.second_looks = SecondLooks(connection)
        self.audits = Audits(connection)
        self.answers = Answers(connection)
        self.looks = Looks(connection)
        self.visits = Visits(connection)
        self.seasons = Seasons(connection)
        self.gallery = Gallery(connection)
        self.doubts = Doubts(connection)

    @classmethod
    def open(cls, path: Path, *, migrate: bool = True) -> "Store":
        """For writing; see `Connection.open`."""
        return cls(Connection.open(path, migrate=migrate))

    @classmethod
    def read_only(cls, path: Path) -> "Store":
        """For reading; see `Connection.read_only`."""
        return cls(Connection.read_only(path))

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

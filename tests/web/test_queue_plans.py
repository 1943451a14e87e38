"""However many photos the log knows, the review page finds what it needs by an index."""

from pathlib import Path

from birdwatchd.core.settings import Settings, Web
from birdwatchd.edges.clock import now_utc
from birdwatchd.edges.store import Store
from birdwatchd.web.asking import Asking, known_species, names_then, open_wishes
from birdwatchd.web.review import waiting_now
from tests.test_plans import Heard, heard, whole_tables_read, years_old

__all__ = ["heard"]


def test_nothing_that_the_review_page_asks_reads_a_growing_table_from_end_to_end(tmp_path: Path, heard: Heard) -> None:
    root = years_old(tmp_path / "birdwatch", 200)
    with Store.open(root / "birdwatchd.db") as store:
        with store.connection.writing():
            store.connection.execute("DELETE FROM labels WHERE photo_id > 150")
            store.connection.execute(
                "INSERT INTO models (kind, created_at, labels, metrics, path, recipe) VALUES ('linear', '2026', '[]', '{}', '', '{}')"
            )
            store.connection.execute(
                "INSERT INTO put_up (photo_id, model_id, label, put_up_at) VALUES (165, 1, 'jay', '2026')"
            )
            store.connection.execute("UPDATE embeddings SET vector = zeroblob(5120)")
        answer = store.requests.ask("answers", {"photo_ids": [162, 163], "species": "robin"}, actor="web", at=now_utc())
        store.requests.ask("take-back", {"request_id": answer}, actor="web", at=now_utc())
        heard.statements.clear()
        settings = Settings(root=root, web=Web(review_budget=5))
        asked = Asking(settings).asked(store, now_utc())
        assert (len(asked.rows) > 35, list(asked.blind), asked.left_this_week) == (True, [165], 5)
        names = names_then(store, open_wishes(store), [164])
        assert names == {162: None, 163: None, 164: None}
        assert "robin" in known_species(store, names)
        assert store.queue.used_lately(of_the_latest=100) == {"robin": 100}
        assert store.queue.guesses_put_up([165, 161]) == {165: "jay"}
        assert store.queue.last_word(150) is not None
        assert len(store.queue.words_after(150, 10)) == 1
        assert waiting_now(store) > 35
    assert len(heard.statements) > 15
    assert whole_tables_read(root / "birdwatchd.db", heard.statements) == []

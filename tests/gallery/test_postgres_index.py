"""How an HNSW index is built."""

import concurrent.futures
import threading
import time

import numpy as np
import pytest

from diface_jax.gallery import postgres_index
from diface_jax.gallery.entries import EnrolledFace, PhotoLabel
from diface_jax.gallery.row_checks import GalleryError
from diface_jax.gallery.store import Store
from diface_jax.runtime.progress_bar import ProgressBar

psycopg = pytest.importorskip('psycopg')
ENTRIES, WIDTH = 40, 8


@pytest.fixture
def filled(model, database):
    """A gallery that is about to get an index: `feature_1` has its features."""
    f_GxF = np.eye(WIDTH, dtype=np.float32)[np.arange(ENTRIES) % WIDTH]
    with Store(database, create=True) as opened:
        with opened.changing():
            faces = [EnrolledFace(None, None, f_F, f_F) for f_F in f_GxF]
            names = [str(row) for row in range(ENTRIES)]
            opened.add_embeddings(names, faces, [PhotoLabel()] * ENTRIES)
        yield opened


def refresh(opened):
    return opened.refresh(lambda embedding_NxD: embedding_NxD, {'model': 'x'}, 'hnsw')


def watched(opened, monkeypatch, query):
    """The rows of a query at the moment of each CREATE INDEX."""
    execute, rows = opened.database.execute, []

    def watch(statement, *arguments, **options):
        if statement.startswith('CREATE INDEX'):
            rows.append(execute(query).fetchone())
        return execute(statement, *arguments, **options)

    monkeypatch.setattr(opened.database, 'execute', watch)
    return rows


def indexes(opened):
    return opened._rows(
        "SELECT indisvalid FROM pg_index WHERE indexrelid::regclass::text LIKE '%hnsw'"
        " AND indrelid IN ('feature_0'::regclass, 'feature_1'::regclass)"
    )


SETTINGS = (
    "SELECT pg_size_bytes(current_setting('maintenance_work_mem')),"
    " current_setting('max_parallel_maintenance_workers')::int"
)


def test_the_graph_fits_into_the_memory_that_is_asked_for(filled, monkeypatch):
    filled.database.execute('SET max_parallel_workers_per_gather = 3')
    before = filled._rows(SETTINGS)
    rows = watched(filled, monkeypatch, SETTINGS)
    assert list(refresh(filled)) == [ENTRIES]
    ((size,),) = filled._rows('SELECT sum(pg_column_size(feature)) FROM feature_1')
    ((memory, workers),) = rows
    least = size + ENTRIES * postgres_index._GRAPH_BYTES
    assert max(least, 64 << 20) <= memory <= least + (70 << 20)
    assert (before[0][1], workers) == (2, 3)
    assert filled._rows(SETTINGS) == before
    assert indexes(filled) == [(True,)]


def test_a_server_that_may_not_use_as_much_is_named(filled, monkeypatch, caplog):
    filled.database.execute("SET effective_cache_size = '5MB'")
    filled.database.execute("SET maintenance_work_mem = '6MB'")
    rows = watched(filled, monkeypatch, SETTINGS)
    list(refresh(filled))
    assert rows[0][0] == 6 << 20
    assert 'needs 0.1 GiB, and the server may use 0.0 GiB (effective_cache_size)' in caplog.text


def test_workers_that_cannot_share_memory_are_done_without(filled, monkeypatch):
    rows, execute = watched(filled, monkeypatch, SETTINGS), filled.database.execute

    def full(statement, *arguments, **options):
        cursor = execute(statement, *arguments, **options)
        if statement.startswith('CREATE INDEX') and len(rows) == 1:
            raise GalleryError('no space left') from psycopg.errors.DiskFull()
        return cursor

    monkeypatch.setattr(filled.database, 'execute', full)
    list(refresh(filled))
    assert [workers for _, workers in rows] == [2, 0]
    assert indexes(filled) == [(True,)]


def test_a_build_that_is_killed_leaves_nothing(filled, database):
    steps = refresh(filled)
    next(steps)
    with (
        psycopg.connect(database, autocommit=True) as other,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        with other.transaction():
            other.execute('LOCK TABLE feature_1 IN ROW EXCLUSIVE MODE')  # the build waits for it
            building = pool.submit(list, steps)
            query = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND pid IN"
            query += ' (SELECT pid FROM pg_locks WHERE NOT granted)'
            while not (waiting := other.execute(query).fetchone()):
                time.sleep(0.005)
            other.execute('SELECT pg_terminate_backend(%s, 5000)', waiting)
        with pytest.raises(OSError, match='the server is gone'):
            building.result()
    with Store(database) as again:
        assert indexes(again) == []
        assert list(refresh(again)) == []  # it goes on with the index
        assert indexes(again) == [(True,)]


def test_the_bar_shows_what_the_server_says(filled, database, monkeypatch):
    monkeypatch.setattr(postgres_index, '_POLL_SECONDS', 0.001)
    with psycopg.connect(database) as connection:  # in place of the server's own, which is brief
        connection.execute(
            'CREATE VIEW pg_stat_progress_create_index AS SELECT 5 pid, 30::bigint tuples_done'
        )
    stop = threading.Event()
    with ProgressBar(total=ENTRIES) as bar:
        url = f'{database},pg_catalog'
        watcher = threading.Thread(target=postgres_index._watch, args=(url, 5, bar, stop))
        watcher.start()
        while bar.n < 30:
            assert watcher.is_alive()
            time.sleep(0.001)
        stop.set()
        watcher.join()
    assert bar.n == 30

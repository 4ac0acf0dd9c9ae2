"""Connections to PostgreSQL that stay open: what they keep, and what they must not."""

import concurrent.futures

import numpy as np
import pytest

from diface_jax.gallery import kept_connections
from diface_jax.gallery.entries import PhotoLabel
from diface_jax.gallery.row_checks import GalleryError
from diface_jax.gallery.search_options import SearchOptions
from diface_jax.gallery.server_search import ServerGallery
from diface_jax.gallery.store import Store
from diface_jax.runtime import mesh
from tests.gallery import world

psycopg = pytest.importorskip('psycopg')


@pytest.fixture(autouse=True)
def _empty():
    kept_connections.close_kept()
    yield
    kept_connections.close_kept()


def process_of(store):
    return store._rows('SELECT pg_backend_pid()')[0][0]


def test_the_next_one_goes_on_with_the_connection(model, database):
    model.count(database)
    with Store(database) as first, Store(database) as second:
        ours = {process_of(first), process_of(second)}
        assert len(ours) == 2
    with Store(database) as first, Store(database) as second:
        assert {process_of(first), process_of(second)} == ours
        assert not first.read_only


def test_claims_and_settings_end_with_their_use(model, database):
    model.count(database)
    hashes = [bytes([number]) * 32 for number in range(3)]
    with Store(database) as first:
        assert first.claim(hashes) == set(hashes)
        with Store(database) as other:
            assert other.claim(hashes) == set()
        refreshing = first.database.refreshing()
        refreshing.__enter__()
    with psycopg.connect(database) as connection:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = %s::oid"
        (here,) = connection.execute(
            'SELECT oid FROM pg_database WHERE datname = current_database()'
        ).fetchone()
        assert connection.execute(query, (here,)).fetchone() == (0,)


def test_one_within_a_transaction_is_closed(model, database):
    model.count(database)
    with Store(database) as opened:
        process = process_of(opened)
        opened.database.execute('BEGIN')
    with Store(database) as opened:
        assert process_of(opened) != process


def test_a_server_that_was_restarted_is_not_noticed(model, database):
    model.count(database)
    with Store(database) as first, Store(database) as second:
        ended = [process_of(first), process_of(second)]
    with psycopg.connect(database, autocommit=True) as connection:
        for process in ended:
            connection.execute('SELECT pg_terminate_backend(%s, 5000)', (process,))
    assert model.count(database)['entries'] == 0


def test_a_gallery_that_is_gone_is_not_taken_for_another(model, database):
    model.count(database)
    with psycopg.connect(database) as connection:
        connection.execute('DROP TABLE diface_gallery')
    with pytest.raises(GalleryError, match='no gallery in'):
        Store(database)


def test_features_of_another_width_are_searched_over_the_same_connection(model, database):
    model.enroll_bytes(database, 'a.png', world.photo(1), PhotoLabel())
    for width in (32, 8, 16, 8):  # of one table, and the other
        f_1xF = np.full((1, width), width**-0.5, np.float32)
        with Store(database) as opened:
            list(opened.refresh(lambda _, f_1xF=f_1xF: f_1xF, opened.made_with()))
        for _ in range(8):  # psycopg prepares what is asked again
            with Store(database) as opened, opened.reading():
                faces = ServerGallery(opened, mesh.make_mesh())
                (best,) = faces.nearest(opened, f_1xF, SearchOptions(k=1), 1).best
                np.testing.assert_array_equal(best.f_KxF, f_1xF)


def test_few_are_kept(model, database, monkeypatch):
    monkeypatch.setattr(kept_connections, '_MOST', 2)
    model.count(database)
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        opened = list(pool.map(lambda _: Store(database), range(5)))
        list(pool.map(Store.close, opened))
    assert len(kept_connections._kept) == 2
    kept_connections.close_kept()
    assert kept_connections._kept == []

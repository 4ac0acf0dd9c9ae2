"""Builds pgvector's HNSW index: with the memory that its graph needs, and for all to see how far.

pgvector keeps the graph in `maintenance_work_mem` (README of pgvector, "Index Build Time"), which
is 64 MB unless the administrator says otherwise: room for 30,000 features of 384 numbers. Beyond
it each entry is inserted on disk, many times as slowly. Everybody may set it for a session.
"""

import contextlib
import threading
from collections.abc import Iterator

from absl import logging

from diface_jax.gallery.database import Server
from diface_jax.gallery.postgres_client import connect, postgres_module
from diface_jax.gallery.row_checks import GalleryError
from diface_jax.runtime.progress_bar import ProgressBar

_GRAPH_BYTES = 720  # of an entry, beside its feature; measured 708 (pgvector 0.8, m = 16)
_SPARE_BYTES = 64 << 20  # with less in all, PostgreSQL lets no worker help
_POLL_SECONDS = 1.0
# What the server may use: the memory of its machine, as its administrator has told it, or what is
# allowed for this.
_LIMIT = (
    "SELECT greatest(pg_size_bytes(current_setting('effective_cache_size')),"
    " pg_size_bytes(current_setting('maintenance_work_mem')))"
)
# As many as the administrator allows for this, or for a query: nothing tells how many cores there
# are.
_WORKERS = (
    "greatest(current_setting('max_parallel_maintenance_workers')::int,"
    " current_setting('max_parallel_workers_per_gather')::int)"
)


def build_index(database: Server, table: str, kind: str) -> None:
    """Builds the index of a table of features, unless there is one.

    A build that is interrupted leaves nothing: it is a transaction of its own.

    Args:
      database: the gallery.
      table: 'feature_0' or 'feature_1', which nobody writes to meanwhile.
      kind: of its features: 'vector' or 'halfvec'.
    """
    rows, size = database.execute(
        f'SELECT count(*), coalesce(sum(pg_column_size(feature)), 0)::bigint FROM {table}'
    ).fetchone()
    needed, limit = size + rows * _GRAPH_BYTES + _SPARE_BYTES, _limit(database)
    if needed > limit:
        logging.warning(
            'the graph of the index needs %.1f GiB, and the server may use %.1f GiB '
            '(effective_cache_size): the rest is built on disk, which takes many times as long',
            *(needed / 2**30, limit / 2**30),
        )
    with contextlib.suppress(GalleryError):  # servers on Windows do not know it
        # So that the server stops when this program is killed.
        database.execute("SET client_connection_check_interval = '2s'")
    with _progress(database, rows):
        try:
            _build(database, table, kind, min(needed, limit), _WORKERS)
        except GalleryError as error:
            # Workers share the graph in /dev/shm, which is small in containers.
            if not isinstance(error.__cause__, postgres_module('psycopg').errors.DiskFull):
                raise
            logging.warning('%s: the index is built without parallel workers', error)
            _build(database, table, kind, min(needed, limit), '0')


def _limit(database: Server) -> int:
    return database.execute(_LIMIT).fetchone()[0]


def _build(database: Server, table: str, kind: str, size: int, workers: str) -> None:
    with database.unlocked():
        database.execute(
            "SELECT set_config('maintenance_work_mem', ?, true),"
            f" set_config('max_parallel_maintenance_workers', ({workers})::text, true)",
            (f'{size >> 10}kB',),
        )
        database.execute(
            f'CREATE INDEX IF NOT EXISTS {table}_hnsw ON {table} USING hnsw (feature {kind}_ip_ops)'
        )


@contextlib.contextmanager
def _progress(database: Server, rows: int) -> Iterator[None]:
    """A bar of how many entries the server has put into the index that it builds."""
    (process,) = database.execute('SELECT pg_backend_pid()').fetchone()
    stop = threading.Event()
    with ProgressBar(total=rows, desc='index', unit='face') as bar:
        watching = database.address, process, bar, stop
        watcher = threading.Thread(target=_watch, args=watching, daemon=True)
        watcher.start()
        try:
            yield
            bar.n = rows
        finally:
            stop.set()
            watcher.join()


def _watch(url: str, process: int, bar: ProgressBar, stop: threading.Event) -> None:
    if stop.wait(_POLL_SECONDS):
        return
    query = 'SELECT tuples_done FROM pg_stat_progress_create_index WHERE pid = %s'
    # Without a second connection, the bar shows the time alone.
    with (
        contextlib.suppress(OSError, postgres_module('psycopg').Error),
        connect(url, autocommit=True) as connection,
    ):
        ended = done = 0  # of the partitions that are done, and of the one that is worked on
        while not stop.wait(_POLL_SECONDS):
            for (count,) in connection.execute(query, (process,)):
                ended, done = ended + (done if count < done else 0), count
            bar.n = ended + done

"""A gallery on a read replica: a hot standby that follows the server of the tests."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import pytest

from diface_jax.gallery import store
from diface_jax.gallery.row_checks import GalleryError
from tests.gallery import world

psycopg = pytest.importorskip('psycopg')
_QUICK = ('--checkpoint=fast', '--no-sync')  # the machine will not lose its power


@pytest.fixture
def standby(database):
    """The URL of the same gallery on a hot standby, as docs/postgres.md starts one."""
    with psycopg.connect(database) as connection:
        programs, data = connection.execute(
            "SELECT setting, current_setting('data_directory') FROM pg_config WHERE name = 'BINDIR'"
        ).fetchone()
        sockets = connection.info.host
    folder, owner = tempfile.mkdtemp(), os.stat(data).st_uid
    os.chown(folder, owner, -1)

    def run(name, *arguments):
        user = owner if os.geteuid() == 0 else None
        command = [pathlib.Path(programs, name), *arguments]
        # Its log is not a pipe, which would stay open.
        subprocess.run(command, user=user, cwd=folder, stdout=subprocess.DEVNULL, check=True)

    copy = f'--pgdata={folder}/data'
    run('pg_basebackup', f'--dbname=host={sockets} user=postgres', copy, '-R', *_QUICK)
    run('pg_ctl', copy, '-o', f"-h '' -k {folder}", f'--log={folder}/log', '--wait', 'start')
    yield database.replace(f'host={sockets}', f'host={folder}')
    run('pg_ctl', copy, '--mode=immediate', 'stop')
    shutil.rmtree(folder)


def wait_for_replay(database, standby):
    with psycopg.connect(database) as connection:
        (end,) = connection.execute('SELECT pg_current_wal_flush_lsn()').fetchone()
    with psycopg.connect(standby, autocommit=True) as connection:
        query = 'SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn'
        while not connection.execute(query, (end,)).fetchone()[0]:
            time.sleep(0.01)


def test_a_standby_answers_the_same_and_follows(model, database, standby, tmp_path):
    world.folder_of(tmp_path, people=3, photos=2)
    model.enroll(database, tmp_path, people=True)
    wait_for_replay(database, standby)
    found = model.search(standby, 'person 1', k=3)
    assert found.results == model.search(database, 'person 1', k=3).results
    with pytest.raises(GalleryError, match='is read-only: it can be searched, but not changed'):
        model.enroll(standby, tmp_path)
    with pytest.raises(GalleryError, match='is read-only: it can be searched, but not changed'):
        store.remove_entries(standby, {'person': 'person-1'})
    store.remove_entries(database, {'person': 'person-1'})
    wait_for_replay(database, standby)
    left = model.search(standby, 'person 1', k=6)
    assert {result.entry.person for result in left.results} == {'person-0', 'person-2'}

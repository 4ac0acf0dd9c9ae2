"""Galleries that cannot be written to are searched all the same."""

import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

from diface_jax.gallery import sqlite_database, store
from diface_jax.gallery.store import GalleryError, PhotoLabel, Store
from tests.gallery import world

# Rights do not bind root: the rest is done as nobody, in a process of its own.
AS_NOBODY = """
import os, pathlib, sys
import numpy.ma  # numpy imports it late, when the environment may be out of reach for nobody
from tests.gallery import world
from diface_jax.gallery.store import Store
gallery = pathlib.Path(sys.argv[1])
def read():
    with Store(gallery) as opened, opened.reading():
        print(opened.count()['entries'], len(opened.features()[0]), opened.read_only)
        print(len(opened.where({'person': 'person-1'})), opened.entries([1])[0].person)
        try:
            with opened.changing():
                opened.remove({'person': 'person-1'})
        except ValueError as error:
            print(error)
if os.getuid() == 0:
    os.setuid(65534)
try:
    read()
except ValueError as error:
    print(error)
"""


@pytest.fixture
def gallery():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        root = pathlib.Path(folder)
        world.folder_of(root / 'photos', people=2)
        world.model().enroll(root / 'gallery', root / 'photos', people=True)
        yield root / 'gallery'
        os.chmod(root / 'gallery', 0o700)


def read_as_nobody(gallery):
    for path in (*gallery.iterdir(), gallery):
        os.chmod(path, 0o555 if path.is_dir() else 0o444)
    done = subprocess.run(
        [sys.executable, '-c', AS_NOBODY, str(gallery)], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()


def test_a_read_only_gallery_is_read_and_not_changed(gallery):
    assert read_as_nobody(gallery) == [
        '6 6 True',
        '3 person-0',
        f'{gallery} is read-only: it can be searched, but not changed',
    ]
    assert [path.name for path in gallery.iterdir()] == [sqlite_database.FILE]


def test_changes_that_wait_in_the_log_of_a_read_only_gallery_are_not_passed_over(gallery):
    opened = Store(gallery)
    opened.remove({'person': 'person-1'})
    log = (gallery / f'{sqlite_database.FILE}-wal').read_bytes()
    database = (gallery / sqlite_database.FILE).read_bytes()
    opened.close()
    (gallery / sqlite_database.FILE).write_bytes(database)  # as a copy made while it was in use
    (gallery / f'{sqlite_database.FILE}-wal').write_bytes(log)
    said = read_as_nobody(gallery)
    assert said[0] == '3 3 True' or 'its last changes are still in gallery.sqlite3-wal' in said[0]


def test_a_gallery_on_a_read_only_disk_is_searched(gallery, monkeypatch):
    monkeypatch.setattr(sqlite_database.os, 'access', lambda path, mode: mode != os.W_OK)
    model = world.model()
    assert model.search(gallery, 'person 1', k=1).results[0].entry.person == 'person-1'
    assert model.count(gallery)['entries'] == 6
    for change in (
        lambda: store.remove_entries(gallery, {'person': 'person-1'}),
        lambda: model.enroll_bytes(gallery, 'a.png', world.photo(3), PhotoLabel()),
    ):
        with pytest.raises(GalleryError, match='is read-only'):
            change()

"""Enrolling is killed (SIGKILL) at random moments: no entry that was committed is lost."""

import itertools
import os
import pathlib
import random
import subprocess
import sys
import time

import numpy as np

from diface_jax.gallery.store import Store
from tests.gallery import world

HERE = pathlib.Path(__file__).resolve().parents[2]
KILLS, BATCH, PEOPLE, LONGEST = 20, 4, 30, 0.12
# A commit takes so long at least that 20 kills come before the end.
PAUSE = 0.006

# It says what is committed, as soon as it is. Without JAX it starts quickly.
_ENROLL = """
import contextlib, os, pathlib, sys, time
from diface_jax.gallery import enrollment as enrolment
from diface_jax.gallery.store import Store
from tests.gallery import world

class Telling(Store):
    @contextlib.contextmanager
    def changing(self):
        self.placed = []
        with super().changing():
            yield
        for path in self.placed:
            os.write(1, path + b'\\n')

    def place(self, file, photo):
        super().place(file, photo)
        self.placed.append(file.path)

class Slow(world.Oracle):
    def embed(self, chips):
        time.sleep(float(sys.argv[4]))
        return super().embed(chips)

enrolment._PHOTOS = int(sys.argv[3])
os.write(1, b'ready\\n')
with Telling(pathlib.Path(sys.argv[1]), create=True) as store:
    enrolment.enroll_folder(store, pathlib.Path(sys.argv[2]), Slow())
"""


def run(gallery, photos, pause):
    return subprocess.Popen(
        [sys.executable, '-c', _ENROLL, gallery, photos, str(BATCH), str(pause)],
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def test_no_committed_entry_is_lost(tmp_path):
    photos, gallery, rng = tmp_path / 'photos', tmp_path / 'gallery', random.Random(0)
    photos.mkdir()
    expected = {}
    for who, noise, twice in itertools.product(range(PEOPLE), range(32), (1, 2)):
        path = photos / f'{noise}-{who}-{twice}.png'
        path.write_bytes(world.photo(*[who] * twice, noise=noise))
        expected[os.fsencode(path)] = world.embedding(who, noise)
    assert len(expected) / BATCH * PAUSE > KILLS * LONGEST
    committed, progress = set(), []
    for _ in range(KILLS):
        process = run(gallery, photos, PAUSE)
        assert process.stdout.readline() == b'ready\n'
        # Some are killed before their first commit, the others at any moment after it.
        told = [process.stdout.readline().rstrip(b'\n') for _ in range(rng.randrange(2))]
        time.sleep(rng.uniform(0, LONGEST))
        process.kill()
        told += process.stdout.read().split(b'\n')[:-1]  # a line that is cut short says nothing
        process.wait()
        progress.append(len(told))
        committed |= set(told)
        check(gallery, committed, expected)
    assert sum(told > 0 for told in progress) > KILLS / 3
    assert len(committed) < len(expected)  # every kill came while there was work to do
    process = run(gallery, photos, 0)
    process.stdout.read()
    assert process.wait() == 0
    check(gallery, set(expected), expected)


def check(gallery, committed, expected):
    """Every file that was committed is there with the embedding of its face, and nothing half."""
    if not (gallery / 'gallery.sqlite3').exists():
        assert not committed
        return
    with Store(gallery) as store:
        assert store._rows('PRAGMA integrity_check') == [('ok',)]
        assert store._rows('PRAGMA foreign_key_check') == []
        rows = store._rows(
            'SELECT path, embedding FROM file LEFT JOIN entry ON entry.photo = file.photo'
            ' WHERE face = 0'
        )
        found = {path: np.frombuffer(blob, np.float32) for path, blob in rows}
        assert committed <= found.keys() <= expected.keys()
        assert all(np.array_equal(found[path], expected[path]) for path in found)
        assert store.count()['files'] == len(found)

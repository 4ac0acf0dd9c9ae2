"""Enrolling is killed (SIGKILL) at random moments: no entry that was committed is lost."""

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
KILLS, BATCH = 20, 3

# It says what is committed, as soon as it is. Without JAX it starts quickly.
_ENROLL = """
import contextlib, os, pathlib, sys
from diface_jax.gallery import enrolment
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

enrolment._PHOTOS, enrolment._MANY = int(sys.argv[3]), sys.maxsize
os.write(1, b'ready\\n')
with Telling(pathlib.Path(sys.argv[1]), create=True) as store:
    enrolment.enroll_folder(store, pathlib.Path(sys.argv[2]), world.Oracle())
"""


def run(gallery, photos):
    return subprocess.Popen(
        [sys.executable, '-c', _ENROLL, gallery, photos, str(BATCH)],
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def test_no_committed_entry_is_lost(tmp_path):
    photos, gallery, rng = tmp_path / 'photos', tmp_path / 'gallery', random.Random(0)
    photos.mkdir()
    committed, expected, cut_short = set(), {}, 0
    for round_ in range(KILLS):
        for number in range(60):  # more work each time
            who, noise = round_, number % 32
            path = photos / f'{round_}-{number}.png'
            data = (
                world.photo(who, noise=noise) if number < 32 else world.photo(who, who, noise=noise)
            )
            path.write_bytes(data)
            expected[os.fsencode(path)] = world.embedding(who, noise)
        process = run(gallery, photos)
        assert process.stdout.readline() == b'ready\n'
        time.sleep(rng.uniform(0, 0.12))
        process.kill()
        told = process.stdout.read().split(b'\n')[:-1]  # a line that is cut short says nothing
        process.wait()
        committed |= set(told)
        cut_short += len(committed) < len(expected)
        check(gallery, committed, expected)
    # The kills must have come while there was work to do, and after some of it.
    assert cut_short > KILLS / 2
    assert len(committed) > 60
    process = run(gallery, photos)
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

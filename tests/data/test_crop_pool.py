"""Crops by threads and by processes: the same order, and what happens when one is killed."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from diface_jax.data import crop_pool, sharded_work

SENTENCES = [f'{"a" * (n % 7)} face' for n in range(20)]
# Prints the number of a process that crops, and waits.
POOL = """
import os, time
from diface_jax.data import crop_pool
if __name__ == '__main__':
    crop_pool._MANY = 1
    with crop_pool.crop_pool(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


def killed(file):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize('many', [1, 1000])
@pytest.mark.parametrize('ahead', [0, 3, 1000])
def test_crops_come_in_the_order_of_the_files(monkeypatch, many, ahead):
    monkeypatch.setattr(crop_pool, '_MANY', many)
    monkeypatch.setattr(sharded_work, '_PHOTOS_AHEAD', ahead)
    assert list(sharded_work._cropped(len, SENTENCES)) == list(map(len, SENTENCES))


def test_a_killed_process_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr(crop_pool, '_MANY', 1)
    with pytest.raises(OSError, match=r'was killed.*same command again'):
        list(sharded_work._cropped(killed, SENTENCES))


def test_processes_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / 'pool.py'
    script.write_text(POOL)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        number = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + 10
    while is_running(number):
        assert time.monotonic() < until, 'it goes on'
        time.sleep(0.05)


def is_running(number):
    """Whether a process runs: one that ended may wait for its parent to read its exit code."""
    try:
        return ') Z' not in pathlib.Path(f'/proc/{number}/stat').read_text()
    except FileNotFoundError:
        return False

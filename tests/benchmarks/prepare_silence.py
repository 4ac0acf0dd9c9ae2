"""The longest time that preparing photographs says nothing.

    python -m tests.benchmarks.prepare_silence PHOTOS [OPTION ...]

PHOTOS is a data set; OPTIONs are settings, such as --config.train.batch_size=64. Prepares from
nothing twice: without compiled programs, and with those of the first time. Prints a line of JSON
for each, with the last words before the longest silences.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

LONGEST = 3  # silences that are named


class Silence(NamedTuple):
    """Seconds without a word, and the last words before them."""

    seconds: float
    after: str


def silences(photos: str, folder: pathlib.Path, options: tuple[str, ...]) -> list[Silence]:
    """All silences of `prepare` on standard error, the longest first."""
    workdir = tempfile.mkdtemp(dir=folder)
    command = [
        *(sys.executable, '-m', 'diface_jax.main', '--mode=prepare', '--config=celeba'),
        *(f'--config.data.root={photos}', f'--workdir={workdir}'),
        *options,
    ]
    environment = {**os.environ, 'XDG_CACHE_HOME': str(folder)}
    heard, said, last = [], 'the command', time.monotonic()
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment) as process:
        while said:
            said = os.read(process.stderr.fileno(), 65536).decode(errors='replace')
            now = time.monotonic()
            heard.append((now - last, said))
            last = now
    if process.returncode:
        raise RuntimeError(f'prepare failed with {process.returncode}')
    words = ['the command', *(said for _, said in heard)]
    found = [Silence(round(s, 2), w.strip()[-60:]) for (s, _), w in zip(heard, words, strict=False)]
    return sorted(found, reverse=True)


def main(photos: str, *options: str) -> None:
    """Prints the lines."""
    with tempfile.TemporaryDirectory() as folder:
        for compiled in (False, True):
            longest = silences(photos, pathlib.Path(folder), options)[:LONGEST]
            line = {'compiled before': compiled, 'silences': [s._asdict() for s in longest]}
            print(json.dumps({'load': round(os.getloadavg()[0], 1), **line}), flush=True)


if __name__ == '__main__':
    main(*sys.argv[1:])

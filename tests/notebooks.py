"""Runs the notebooks from top to bottom: `python -m tests.notebooks [NAME ...]`.

Each in a process and a folder of its own, made small by DIFACE_SMALL. They train on a few people of
the CelebA in ../shared/data, where that is, and otherwise on drawn faces. `search` uses the model
of the package and photographs of ../shared/data; it is left out without them. It is no part of the
plain tests.
"""

import itertools
import json
import os
import pathlib
import sys
import tempfile
import time

import nbclient
import nbformat

from tests import celeba_tree
from tests.conftest import SHARED

FOLDER = pathlib.Path(__file__).resolve().parents[1] / 'launch/colab'
NAMES = ('theory', 'quickstart', 'train', 'search')
PEOPLE, PHOTOS = (60, 25, 25), 4
LISTS = ('identity_CelebA.txt', 'list_eval_partition.txt')


def main(names):
    celeba = SHARED / 'data/celeba'
    with tempfile.TemporaryDirectory() as folder:
        settings = environment(pathlib.Path(folder), celeba if celeba.is_dir() else None)
        for name in names or NAMES:
            if name == 'search' and not celeba.is_dir():
                print(f'{name}: skipped, it needs the real photographs in ../shared/data')
                continue
            start = time.monotonic()
            run(name, settings | {'DIFACE_WORKDIR': str(pathlib.Path(folder) / name)})
            print(f'{name}: {time.monotonic() - start:.0f} s', flush=True)


def environment(folder, celeba):
    """Where the notebooks find what they need, and that they are to be small."""
    settings = {
        'DIFACE_SMALL': '1',
        'DIFACE_CELEBA': str(folder / 'celeba'),
        'DIFACE_GALLERY': str(folder / 'gallery'),
        'JAX_COMPILATION_CACHE_DIR': str(folder / 'compiled'),
        'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.1',
    }
    if celeba is None:
        celeba_tree.make(folder / 'celeba', PEOPLE, photos=2)
        return settings
    some_of(celeba, folder / 'celeba')
    return settings | {'DIFACE_PHOTOS': str(min((SHARED / 'data/photos').resolve().iterdir()))}


def run(name, settings):
    """Raises CellExecutionError, which shows the cell and what went wrong in it."""
    notebook = nbformat.read(FOLDER / f'{name}.ipynb', as_version=4)
    with tempfile.TemporaryDirectory() as here:
        client = nbclient.NotebookClient(
            notebook, timeout=600, resources={'metadata': {'path': here}}
        )
        client.execute(env=os.environ | settings)


def some_of(celeba, folder):
    """A data set in CelebA's layout, of the first described people of each partition."""
    who, split = (dict(map(str.split, (celeba / name).open())) for name in LISTS)
    described = {json.loads(line)['file'] for line in (celeba / 'descriptions.jsonl').open()}
    files = []
    for number, people in enumerate(PEOPLE):
        those = {who[file]: [] for file in sorted(described) if split[file] == str(number)}
        chosen = dict(list(those.items())[:people])
        for file in sorted(who, key=lambda file: file not in described):
            if len(chosen.get(who[file], [None] * PHOTOS)) < PHOTOS:
                chosen[who[file]].append(file)
        files += itertools.chain.from_iterable(chosen.values())
    (folder / 'img_align_celeba').mkdir(parents=True)
    for file in files:
        (folder / 'img_align_celeba' / file).symlink_to(
            celeba.resolve() / 'img_align_celeba' / file
        )
    for name in LISTS:
        keep(celeba / name, folder / name, lambda line: line.split()[0] in set(files))
    keep(
        celeba / 'descriptions.jsonl',
        folder / 'descriptions.jsonl',
        lambda line: json.loads(line)['file'] in set(files),
    )
    lines = (celeba / 'list_attr_celeba.txt').read_text().splitlines()
    rows = [line for line in lines[2:] if line.split()[0] in set(files)]
    (folder / 'list_attr_celeba.txt').write_text('\n'.join([str(len(rows)), lines[1], *rows]))


def keep(source, target, wanted):
    target.write_text(''.join(line for line in source.open() if wanted(line)))


if __name__ == '__main__':
    main(sys.argv[1:])

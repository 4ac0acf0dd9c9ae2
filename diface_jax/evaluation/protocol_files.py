"""Writes the benchmark as files, for systems that know nothing of this package.

The files are described in docs/benchmark.md, and in the README.md that is written beside them.
"""

import csv
import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np

from diface_jax.data.prepared import Split
from diface_jax.evaluation import retrieval
from diface_jax.evaluation.benchmark import MEASURED, Benchmark, text_ids

DESCRIPTION = 'protocol.json'
_README = """\
# A protocol of diface_jax

What a system needs to be measured on the pairs and galleries of {data}. Version {version}, SHA-256
`{sha256}`. It names photographs of people and
says which show the same person: keep it as the terms of the photographs ask.

* `photos.csv`: split, photo (its file, which is its id), person. Learn from `train` alone;
  thresholds come from `validation`; `test` is measured.
* `texts.csv`: split, text (its id), photo (the described one), track, sentence, retrieval (1 for
  the captions of the image-level retrieval).
* `pairs.npz`: arrays SPLIT/TRACK/PROTOCOL/IMPOSTORS/text, /photo and /genuine, [draws, pairs].
  Numbers are rows among those of the split in `texts.csv` and `photos.csv`, from 0.
* `galleries.npz`: arrays TRACK/PROTOCOL/text, /person, /photo, /gallery and /enrolled of the test
  split.
* `protocol.json`: version, seeds, draws, counts.

Write a file with these arrays, for each SPLIT of `validation` and `test`, and measure it with
`diface --mode=evaluate --scores=FILE`:

    numpy.savez(
        'my_system.npz',
        protocol='{sha256}',
        **{{
            'SPLIT/text_id': ...,          # ids of texts.csv, strings, in any order
            'SPLIT/photo_id': ...,         # ids of photos.csv
            'SPLIT/text_embedding': ...,   # [texts, F]; the score of a pair is the dot product
            'SPLIT/photo_embedding': ...,  # [photos, F]
            # or, in place of the embeddings, 'SPLIT/score': [texts, photos], higher is more alike
        }},
    )
"""


def write_protocol(benchmark: Benchmark, out: pathlib.Path, overwrite: bool = False) -> str:
    """Writes the files of a benchmark into a folder.

    Args:
      benchmark: what is measured.
      out: the folder; it gets its name once it is complete.
      overwrite: replaces a protocol that is there.

    Returns:
      What was written, in one line.

    Raises:
      FileExistsError: a protocol is there and `overwrite` is False, or something else is there.
    """
    _check_free(out, overwrite)
    building = out.with_name(f'{out.name}.new')
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    description = benchmark.description()
    _write_csv(building / 'photos.csv', ('split', 'photo', 'person'), _photos(benchmark))
    columns = ('split', 'text', 'photo', 'track', 'sentence', 'retrieval')
    _write_csv(building / 'texts.csv', columns, _texts(benchmark))
    np.savez_compressed(building / 'pairs.npz', **dict(_pairs(benchmark)))
    np.savez_compressed(building / 'galleries.npz', **dict(_galleries(benchmark)))
    (building / 'README.md').write_text(_README.format(**description), encoding='utf-8')
    (building / DESCRIPTION).write_text(json.dumps(description, indent=1) + '\n')
    if out.exists():
        shutil.rmtree(out)
    building.rename(out)
    return f'{out}: protocol {description["sha256"][:12]}, version {description["version"]}'


def _check_free(out: pathlib.Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / DESCRIPTION).is_file():
        raise FileExistsError(f'{out} is there and is not a protocol: give another --out')
    if not overwrite:
        raise FileExistsError(f'{out} is a protocol already: give another --out, or --overwrite')


def _write_csv(path: pathlib.Path, columns: tuple[str, ...], rows: Iterator[tuple]) -> None:
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(columns)
        writer.writerows(rows)


def _photos(benchmark: Benchmark) -> Iterator[tuple[str, str, int]]:
    for name in ('train', *MEASURED):
        split = benchmark.split(name)
        for file, person in zip(split.file_N.tolist(), split.identity_N.tolist(), strict=True):
            yield name, file, person


def _texts(benchmark: Benchmark) -> Iterator[tuple[str, str, str, str, str, int]]:
    """The texts of each split in the order of its rows; those in no track are left out."""
    for name in ('train', *MEASURED):
        split, tracks = benchmark.split(name), benchmark.tracks(name)
        ids, captions = text_ids(split), _captions(split, tracks)
        track_of = {row: track for track, rows in tracks.items() for row in rows.tolist()}
        for row in sorted(track_of):
            photo = split.file_N[split.photo_T[row]]
            sentence = split.text_T[row]
            yield name, ids[row], photo, track_of[row], sentence, int(row in captions)


def _captions(split: Split, tracks: dict[str, np.ndarray]) -> set[int]:
    rows = [retrieval.first_captions(split.photo_T, texts) for texts in tracks.values()]
    return set(np.concatenate(rows).tolist())


def _pairs(benchmark: Benchmark) -> Iterator[tuple[str, np.ndarray]]:
    draws = {
        'validation': benchmark.validation_pairs.draws,
        'test': benchmark.test_pairs(),
    }
    for name, pairs_by_condition in draws.items():
        texts = benchmark.texts(name)
        for condition, pairs in pairs_by_condition.items():
            text_SxP, photo_SxP, genuine_SxP = map(np.stack, zip(*pairs, strict=True))
            # Rows of texts.csv, which lacks the texts in no track.
            yield f'{name}/{condition.name}/text', np.searchsorted(texts, text_SxP)
            yield f'{name}/{condition.name}/photo', photo_SxP
            yield f'{name}/{condition.name}/genuine', genuine_SxP


def _galleries(benchmark: Benchmark) -> Iterator[tuple[str, Any]]:
    """Probes and galleries by track and protocol; people are numbered in order of their number."""
    texts = benchmark.texts('test')
    for track, protocol, draws in benchmark.galleries():
        name = f'{track}/{protocol}'
        yield f'{name}/text', np.stack([np.searchsorted(texts, d.draw.text_P) for d in draws])
        yield f'{name}/person', np.stack([d.draw.person_P for d in draws])
        yield f'{name}/photo', np.stack([d.draw.photo_I for d in draws])
        yield f'{name}/gallery', np.stack([d.gallery_SxI for d in draws])
        yield f'{name}/enrolled', np.stack([d.enrolled_I for d in draws])

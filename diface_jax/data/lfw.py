"""Labeled Faces in the Wild, with the labels of LFWA+::

    ROOT/lfw-deepfunneled/PERSON/PERSON_0001.jpg ...  (or ROOT/lfw/)
    ROOT/lfwa_40.csv, ROOT/lfwa_73.csv   (either may be absent) a header image,ATTRIBUTE,... then
                                         PERSON/PERSON_0001.jpg and 0 or 1 for each attribute
    ROOT/descriptions.jsonl              (may be absent) {"file", "description"} a line

The lists call a photo PERSON/PERSON_0001.jpg; `Photo.file` is its path, with the folder before it.
"""

import csv
import functools
import pathlib
from collections.abc import Mapping

import numpy as np

from diface_jax.data.folder import find_photos
from diface_jax.data.lists import PhotoList, parse_labels, read_list
from diface_jax.data.records import (
    DataSet,
    Photo,
    Problem,
    check_shares,
    read_file,
    split_of,
)
from diface_jax.data.sentences import read_sentences

DEEP_FUNNELED = 'lfw-deepfunneled'
IMAGES = (DEEP_FUNNELED, 'lfw')
# The first that labels an attribute decides. CelebA's 40 come first: where the two differ (1% of
# Eyeglasses, 8% of Mouth_Slightly_Open), they mean it as CelebA does, sunglasses and wide open too.
LABELS = ('lfwa_40.csv', 'lfwa_73.csv')

# Measured for deep funneling: medians of what dlib's five-point predictor finds in 416 of 420
# photos of as many people, enlarged twofold; half of them lie within 1% of these.
LANDMARKS_5x2 = np.array(
    [[0.614, 0.452], [0.550, 0.454], [0.386, 0.456], [0.450, 0.458], [0.502, 0.580]]
)


def read_lfw(
    root: pathlib.Path, shares: tuple[float, float, float] = (0.8, 0.1, 0.1), seed: int = 0
) -> DataSet:
    """Reads LFW's folders and labels; images are read when asked for.

    Args:
      root: the folder of the layout above.
      shares: of identities for train, validation and test, drawn by a seeded hash of the name, as
        LFW has no split of its own for labels; (0, 0, 1) makes all of it test.
      seed: of that draw.

    Returns:
      The photos, with the labels of both files together. Unreadable and absent labels, and lines
      about photos that are not there, are problems.

    Raises:
      FileNotFoundError: there is no photo.
      ValueError: `shares` are none, or a file of labels has no header.
    """
    root = pathlib.Path(root)
    check_shares(shares)
    images = _images(root)
    identities, problems = find_photos(root / images)
    problems = [Problem(f'{images}/{problem.file}', problem.why) for problem in problems]
    lists = [_read_labels(root / name) for name in LABELS if (root / name).is_file()]
    for labels in lists:
        problems += _label_problems(labels, identities, images)
    problems += _conflicts(lists)
    descriptions, bad_lines = read_sentences(root / 'descriptions.jsonl', identities)
    photos = tuple(
        Photo(
            f'{images}/{file}',
            who,
            split_of(who, shares, seed),
            _merge(lists, file),
            descriptions.get(file, ()),
        )
        for file, who in identities.items()
    )
    return DataSet(
        name='lfw',
        photos=photos,
        problems=(*problems, *bad_lines),
        read=functools.partial(read_file, root),
        landmarks_5x2=LANDMARKS_5x2 if images == DEEP_FUNNELED else None,
    )


def _images(root: pathlib.Path) -> str:
    for name in IMAGES:
        if (root / name).is_dir():
            return name
    raise FileNotFoundError(
        f'no {IMAGES[0]}/ (or {IMAGES[1]}/) in {root}: expected there a folder a person, as in '
        f"{IMAGES[0]}/PERSON/PERSON_0001.jpg, and beside it LFWA+'s labels, {' and '.join(LABELS)}"
    )


def _read_labels(path: pathlib.Path) -> PhotoList[Mapping[str, bool]]:
    with path.open(encoding='utf-8-sig', errors='replace', newline='') as lines:
        rows = csv.reader(lines)
        image, *attributes = next(rows, ['']) or ['']
        if image != 'image' or not attributes:
            raise ValueError(f'{path}: the first line must be image,ATTRIBUTE,ATTRIBUTE,...')
        parse = functools.partial(
            parse_labels, attributes=attributes, meaning={'1': True, '0': False}
        )
        return read_list(path.name, rows, 2, parse)


def _label_problems(
    labels: PhotoList[Mapping[str, bool]], identities: Mapping[str, str], images: str
) -> list[Problem]:
    gone = sorted(labels.files() - identities.keys())
    return [
        Problem(f'{images}/{file}', f'kept without these labels: {why}')
        for file in identities
        if (why := labels.why_not(file))
    ] + [Problem(f'{images}/{file}', f'left out: in {labels.name}, not on disk') for file in gone]


def _conflicts(lists: list[PhotoList[Mapping[str, bool]]]) -> list[Problem]:
    """One problem for each attribute that two files label differently, with how often."""
    if len(lists) < 2:
        return []
    first, second = lists
    counts: dict[str, int] = {}
    for file in first.values.keys() & second.values.keys():
        one, other = first.values[file], second.values[file]
        for attribute in one.keys() & other.keys():
            counts[attribute] = counts.get(attribute, 0) + (one[attribute] != other[attribute])
    return [
        Problem(second.name, f'{attribute} differs from {first.name}, which counts, on {n} photos')
        for attribute, n in sorted(counts.items())
        if n
    ]


def _merge(lists: list[PhotoList[Mapping[str, bool]]], file: str) -> Mapping[str, bool] | None:
    merged: dict[str, bool] = {}
    for labels in reversed(lists):
        merged.update(labels.values.get(file, {}))
    return merged or None

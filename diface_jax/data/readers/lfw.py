"""Reads Labeled Faces in the Wild, with the labels of LFWA+::

    lfw-deepfunneled/PERSON/PERSON_0001.jpg ...  or lfw/ or lfw_funneled/
    lfwa_40.csv, lfwa_73.csv   (optional) a header image,ATTRIBUTE,... then PERSON/PERSON_0001.jpg
                               and 0 (or -1) or 1 for each attribute
    descriptions.jsonl         (optional) {"file", "description"} a line

`layouts.find_lfw` finds them below the root, also where the folder of people is nested twice. The
lists name a photo PERSON/PERSON_0001.jpg; `Photo.file` is its path below the root. Without a
descriptions.jsonl, the photos get the free-hand sentences that come with the project
(free_hand/DATA_CARD.md).
"""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Mapping

import numpy as np

from diface_jax.data.readers.folder import find_photos
from diface_jax.data.readers.label_lists import (
    FILE_COLUMNS,
    LabelParser,
    PhotoList,
    PhotoNames,
    check_attributes,
    numbered_rows,
    read_list,
)
from diface_jax.data.readers.layouts import find_lfw
from diface_jax.data.readers.records import (
    DataSet,
    Photo,
    Problem,
    read_file,
    split_of,
)
from diface_jax.data.readers.sentences import FREE_HAND, own_or_shipped
from diface_jax.runtime.settings import check_shares

SENTENCES = FREE_HAND / 'lfw.jsonl'
DEEP_FUNNELED = 'lfw-deepfunneled'

# Measured for deep funneling: medians of what dlib's five-point predictor finds in 416 of 420
# photos of as many people, enlarged twofold; half of them lie within 1% of these.
LANDMARKS_5x2 = np.array(
    [[0.614, 0.452], [0.550, 0.454], [0.386, 0.456], [0.450, 0.458], [0.502, 0.580]]
)


def read_lfw(
    root: pathlib.Path, shares: tuple[float, float, float] = (0.8, 0.1, 0.1), seed: int = 0
) -> DataSet:
    """Reads LFW's folders and labels; images are read later, when asked for.

    Args:
      root: a folder that contains the files above, directly or up to three folders below.
      shares: of identities for train, validation and test, drawn by a seeded hash of the name, as
        LFW has no official split; (0, 0, 1) puts everybody into test.
      seed: of the split.

    Returns:
      The photos, with the labels of both files. Unreadable and absent labels, and lines about
      photos that do not exist, are problems.

    Raises:
      FileNotFoundError: there is no photo.
      ValueError: `shares` are not three that add up to 1, or a label file has no header.
    """
    root = pathlib.Path(root)
    check_shares(shares)
    files = find_lfw(root)
    images = files.images.relative_to(root).as_posix()
    identities, problems = find_photos(files.images)
    problems = [dataclasses.replace(p, file=f'{images}/{p.file}') for p in problems]
    names = PhotoNames(identities)
    lists = [_read_labels(path, names) for path in files.labels]
    for labels in lists:
        problems += _label_problems(labels, identities, images)
    problems += _conflicts(lists)
    descriptions, bad_lines = own_or_shipped(files.descriptions, identities, SENTENCES)
    photos = tuple(
        Photo(
            f'{images}/{file}',
            identity,
            split_of(identity, shares, seed),
            _merge(lists, file),
            descriptions.get(file, ()),
        )
        for file, identity in identities.items()
    )
    return DataSet(
        name='lfw',
        photos=photos,
        problems=(*problems, *bad_lines),
        read=functools.partial(read_file, root),
        landmarks_5x2=LANDMARKS_5x2 if files.images.name == DEEP_FUNNELED else None,
    )


def _read_labels(path: pathlib.Path, names: PhotoNames) -> PhotoList[Mapping[str, bool]]:
    rows = numbered_rows(path)
    _, (image, *attributes) = next(rows, (1, ['']))
    if image.strip().lower() not in FILE_COLUMNS or not attributes:
        raise ValueError(f'{path}: the first line must be image,ATTRIBUTE,ATTRIBUTE,...')
    check_attributes(path, attributes)
    return read_list(path.name, rows, LabelParser(attributes), names, len(attributes))


def _label_problems(
    labels: PhotoList[Mapping[str, bool]], identities: Mapping[str, str], images: str
) -> list[Problem]:
    unlabelled = [
        Problem(f'{images}/{file}', f'kept without these labels: {reason}', 'labels')
        for file in identities
        if (reason := labels.reason_missing(file))
    ]
    absent = [
        Problem(f'{images}/{file}', f'left out: in {labels.name}, not on disk')
        for file in sorted(labels.files() - identities.keys())
    ]
    return unlabelled + absent


def _conflicts(lists: list[PhotoList[Mapping[str, bool]]]) -> list[Problem]:
    """A problem for each attribute that both files label, differently; counts the photos."""
    if len(lists) < 2:
        return []
    first, second = lists
    counts = collections.Counter(
        attribute
        for file in first.values.keys() & second.values.keys()
        for attribute, value in first.values[file].items()
        if second.values[file].get(attribute, value) != value
    )
    return [
        Problem(
            second.name,
            f'{attribute} differs from {first.name}, which counts, on {count} photos',
            'list',
        )
        for attribute, count in sorted(counts.items())
    ]


def _merge(lists: list[PhotoList[Mapping[str, bool]]], file: str) -> Mapping[str, bool] | None:
    """The labels of both files; the first file comes before the second."""
    merged: dict[str, bool] = {}
    for labels in reversed(lists):
        merged.update(labels.values.get(file, {}))
    return merged or None

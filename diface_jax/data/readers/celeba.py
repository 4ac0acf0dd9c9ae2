"""Reads CelebA: aligned photos, identities, splits and attribute labels::

    img_align_celeba/000001.jpg ...  or img_align_celeba_png/000001.png ...
    identity_CelebA.txt       lines of FILE IDENTITY
    list_eval_partition.txt   lines of FILE and 0, 1 or 2 (or train, validation, test)
    list_attr_celeba.txt      the number of photos, the names of the attributes, then lines of FILE
                              and 1 or -1 (or 0) for each attribute
    descriptions.jsonl        (optional) {"file", "description"} a line

`layouts.find_celeba` finds them below the root, wherever the official archive, Kaggle's copy and
torchvision put them; lists may be CSV files with a header. The lists name a photo 000001.jpg;
`Photo.file` is its path, img_align_celeba/000001.jpg. Without a descriptions.jsonl, the photos get
the free-hand sentences that come with the project (free_hand/DATA_CARD.md).
"""

import functools
import os
import pathlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from diface_jax.data.readers.label_lists import (
    FILE_COLUMNS,
    LabelParser,
    PhotoList,
    PhotoNames,
    check_attributes,
    numbered_rows,
    read_list,
)
from diface_jax.data.readers.layouts import find_celeba
from diface_jax.data.readers.records import (
    SPLIT_NAMES,
    DataSet,
    Photo,
    Problem,
    check_identities,
    is_unicode,
    read_file,
)
from diface_jax.data.readers.sentences import FREE_HAND, own_or_shipped, read_sentences

SENTENCES = FREE_HAND / 'celeba.jsonl'
HELD_OUT_VOICES = FREE_HAND / 'celeba_held_out_voices.jsonl'

# Measured: medians of what dlib's five-point predictor finds in 450 of 460 training photos, drawn
# at random and enlarged to about 400 pixels in width; half of them lie within 1.5% of these.
LANDMARKS_5x2 = np.array(
    [[0.6489, 0.5138], [0.5618, 0.5161], [0.3483, 0.5115], [0.4326, 0.5161], [0.4972, 0.6514]]
)


def read_celeba(root: pathlib.Path) -> DataSet:
    """Reads CelebA's lists; images are read later, when asked for.

    Args:
      root: a folder that contains the files above, directly or up to three folders below.

    Returns:
      The photos on disk that have an identity and a split. Photos with unreadable labels have
      `labels=None`. Every other photo, and every malformed line, is a problem.

    Raises:
      FileNotFoundError: a list, or the folder of images, is missing.
      ValueError: a list has no header or broken quotes, or an identity is in two splits.
    """
    root = pathlib.Path(root)
    files = find_celeba(root)
    folder = files.images.relative_to(root).as_posix()
    on_disk, problems = _list_images(files.images, folder)
    names = PhotoNames(on_disk)
    identities = _read_values(files.identities, _parse_identity, names)
    partition = _read_values(files.partition, _parse_split, names)
    labels, wrong_count = _read_attributes(files.attributes, names)
    usable, unusable = _select(folder, on_disk, identities, partition, labels)
    descriptions, bad_descriptions = own_or_shipped(files.descriptions, usable, SENTENCES)
    # As those of SENTENCES, they are about CelebA, but not about a copy with sentences of its own.
    held_out, _ = ({}, []) if files.descriptions else read_sentences(HELD_OUT_VOICES)
    photos = tuple(
        Photo(
            f'{folder}/{on_disk[file]}',
            identities.values[file],
            partition.values[file],
            labels.values.get(file),
            descriptions.get(file, ()),
            held_out.get(file, ()),
        )
        for file in usable
    )
    check_identities(photos)
    return DataSet(
        name='celeba',
        photos=photos,
        problems=(*problems, *wrong_count, *unusable, *bad_descriptions),
        read=functools.partial(read_file, root),
        landmarks_5x2=LANDMARKS_5x2,
    )


def _select(
    folder: str,
    on_disk: Collection[str],
    identities: PhotoList[str],
    partition: PhotoList[str],
    labels: PhotoList[Mapping[str, bool]],
) -> tuple[list[str], list[Problem]]:
    """The photos that have an identity and a split, sorted; and the problems of the others."""
    usable, problems = [], []
    for file in sorted({*on_disk} | identities.files() | partition.files() | labels.files()):
        missing = (values.reason_missing(file) for values in (identities, partition))
        reasons = [reason for reason in missing if reason]
        if file not in on_disk:
            reasons.append('not on disk')
        if reasons:
            problems.append(Problem(f'{folder}/{file}', 'left out: ' + '; '.join(reasons)))
            continue
        usable.append(file)
        if reason := labels.reason_missing(file):
            problems.append(Problem(f'{folder}/{file}', f'kept without labels: {reason}', 'labels'))
    return usable, problems


def _list_images(images: pathlib.Path, folder: str) -> tuple[dict[str, str], list[Problem]]:
    """The names on disk by the names in the lists, where 000001.png is named 000001.jpg."""
    on_disk, problems = {}, []
    for entry in sorted(os.scandir(images), key=lambda entry: entry.name):
        if not is_unicode(entry.name):
            problems.append(Problem(f'{folder}/{entry.name}', 'left out: its name is not UTF-8'))
        elif images.name.endswith('_png'):
            on_disk[entry.name.removesuffix('.png') + '.jpg'] = entry.name
        else:
            on_disk[entry.name] = entry.name
    return on_disk, problems


def _read_values(
    path: pathlib.Path, parse: Callable[[Sequence[str]], str], names: PhotoNames
) -> PhotoList[str]:
    rows = (
        (number, row) for number, row in numbered_rows(path) if row[0].lower() not in FILE_COLUMNS
    )
    return read_list(path.name, rows, parse, names, width=1)


def _read_attributes(
    path: pathlib.Path, names: PhotoNames
) -> tuple[PhotoList[Mapping[str, bool]], list[Problem]]:
    rows = numbered_rows(path)
    count, attributes = _read_header(path, rows)
    check_attributes(path, attributes)
    labels = read_list(path.name, rows, LabelParser(attributes), names, len(attributes))
    listed = len(labels.files())
    if count in (None, listed):
        return labels, []
    return labels, [Problem(path.name, f'announces {count} photos, lists {listed}', 'list')]


def _read_header(
    path: pathlib.Path, rows: Iterator[tuple[int, list[str]]]
) -> tuple[int | None, list[str]]:
    """The number of photos (None in CSV files, which do not give it) and the attributes."""
    _, header = next(rows, (1, []))
    count = None
    # At most 18 digits, since int() refuses very long numbers.
    if header and re.fullmatch(r'\s*\d{1,18}\s*', header[0]) and not any(header[1:]):
        count = int(header[0])
        _, header = next(rows, (2, []))
    elif not header or header[0].strip().lower() not in FILE_COLUMNS:
        header = []
    header = [name.strip() for name in header]
    attributes = header[1:] if header and header[0].lower() in FILE_COLUMNS else header
    if not attributes:
        raise ValueError(
            f'{path}: the first line must be the number of photos and the second the names of the '
            'attributes, or the first line image_id,ATTRIBUTE,ATTRIBUTE,...'
        )
    return count, attributes


def _parse_identity(fields: Sequence[str]) -> str:
    if len(fields) != 1 or not (fields[0].isascii() and fields[0].isdigit()):
        raise ValueError(f'expected the number of an identity, found {" ".join(fields)!r}')
    return fields[0]


def _parse_split(fields: Sequence[str]) -> str:
    if len(fields) != 1 or fields[0].lower() not in SPLIT_NAMES:
        raise ValueError(f'expected 0, 1 or 2, found {" ".join(fields)!r}')
    return SPLIT_NAMES[fields[0].lower()]

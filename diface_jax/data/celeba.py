"""CelebA in its official layout::

    ROOT/img_align_celeba/000001.jpg ...
    ROOT/identity_CelebA.txt       lines of FILE IDENTITY
    ROOT/list_eval_partition.txt   lines of FILE 0, 1 or 2: train, validation, test
    ROOT/list_attr_celeba.txt      the number of photos, the names of the attributes, then lines of
                                   FILE and 1 or -1 for each attribute
    ROOT/descriptions.jsonl        (may be absent) {"file", "description"} a line

The lists call a photo 000001.jpg; `Photo.file` is its path, img_align_celeba/000001.jpg. Without
descriptions of its own, the photos have those that ship with the project, by that name
(free_hand/DATA_CARD.md).
"""

import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from diface_jax.data.lists import PhotoList, parse_labels, read_list
from diface_jax.data.records import SPLITS, DataSet, Photo, Problem, check_identities, read_file
from diface_jax.data.sentences import read_sentences

IMAGES = 'img_align_celeba'
IDENTITIES, PARTITION = 'identity_CelebA.txt', 'list_eval_partition.txt'
ATTRIBUTES = 'list_attr_celeba.txt'

FREE_HAND = pathlib.Path(__file__).parent / 'free_hand' / 'celeba.jsonl'

# Measured: medians of what dlib's five-point predictor finds in 450 of 460 training photos, drawn
# at random and enlarged to about 400 pixels in width; half of them lie within 1.5% of these.
LANDMARKS_5x2 = np.array(
    [[0.6489, 0.5138], [0.5618, 0.5161], [0.3483, 0.5115], [0.4326, 0.5161], [0.4972, 0.6514]]
)


def read_celeba(root: pathlib.Path) -> DataSet:
    """Reads CelebA's lists; images are read when asked for.

    Args:
      root: the folder of the layout above.

    Returns:
      The photos with readable identity and split that are on disk; of unreadable labels, photos
      with `labels=None`. Every other photo, and every malformed line, is a problem.

    Raises:
      FileNotFoundError: a list, or the folder of images, is not there.
      ValueError: the attribute list has no header, or an identity is in two splits.
    """
    root = pathlib.Path(root)
    _check_layout(root)
    identities = _read_list(root / IDENTITIES, _parse_identity)
    partition = _read_list(root / PARTITION, _parse_split)
    labels, problems = _read_attributes(root / ATTRIBUTES)
    on_disk = {entry.name for entry in os.scandir(root / IMAGES)}

    usable = []
    for file in sorted(on_disk | identities.files() | partition.files() | labels.files()):
        whys = [why for which in (identities, partition) if (why := which.why_not(file))]
        if file not in on_disk:
            whys.append('not on disk')
        if whys:
            problems.append(Problem(f'{IMAGES}/{file}', 'left out: ' + '; '.join(whys)))
            continue
        usable.append(file)
        if why := labels.why_not(file):
            problems.append(Problem(f'{IMAGES}/{file}', f'kept without labels: {why}'))

    descriptions, bad_descriptions = _read_descriptions(root / 'descriptions.jsonl', usable)
    photos = tuple(
        Photo(
            f'{IMAGES}/{file}',
            identities.values[file],
            partition.values[file],
            labels.values.get(file),
            descriptions.get(file, ()),
        )
        for file in usable
    )
    check_identities(photos)
    return DataSet(
        name='celeba',
        photos=photos,
        problems=(*problems, *bad_descriptions),
        read=functools.partial(read_file, root),
        landmarks_5x2=LANDMARKS_5x2,
    )


def _read_descriptions(
    own: pathlib.Path, photos: Sequence[str]
) -> tuple[dict[str, tuple[str, ...]], list[Problem]]:
    if own.is_file():
        return read_sentences(own, set(photos))
    # Photos that are not here are no problem: a part of CelebA is CelebA too.
    return read_sentences(FREE_HAND)


def _check_layout(root: pathlib.Path) -> None:
    for name in (IDENTITIES, PARTITION, ATTRIBUTES, IMAGES):
        if not (root / name).exists():
            raise FileNotFoundError(
                f"no {name} in {root}. CelebA's official layout is expected there: the folder "
                f'{IMAGES}/ (aligned and cropped images) beside {IDENTITIES}, {PARTITION} and '
                f'{ATTRIBUTES}. All are on https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html'
            )


def _read_list(path: pathlib.Path, parse: Callable[[Sequence[str]], str]) -> PhotoList[str]:
    with path.open(encoding='utf-8', errors='replace') as lines:
        return read_list(path.name, (line.split() for line in lines), 1, parse)


def _read_attributes(path: pathlib.Path) -> tuple[PhotoList[Mapping[str, bool]], list[Problem]]:
    with path.open(encoding='utf-8', errors='replace') as lines:
        count, attributes = next(lines, '').strip(), next(lines, '').split()
        if not count.isdigit() or not attributes:
            raise ValueError(
                f'{path}: the first line must be the number of photos and the second the names of '
                'the attributes'
            )
        parse = functools.partial(
            parse_labels, attributes=attributes, meaning={'1': True, '-1': False}
        )
        labels = read_list(path.name, (line.split() for line in lines), 3, parse)
    found = len(labels.files())
    if found == int(count):
        return labels, []
    return labels, [Problem(path.name, f'announces {count} photos, lists {found}')]


def _parse_identity(fields: Sequence[str]) -> str:
    if len(fields) != 1 or not fields[0].isdigit():
        raise ValueError(f'expected the number of an identity, found {" ".join(fields)!r}')
    return fields[0]


def _parse_split(fields: Sequence[str]) -> str:
    if len(fields) != 1 or fields[0] not in ('0', '1', '2'):
        raise ValueError(f'expected 0, 1 or 2, found {" ".join(fields)!r}')
    return SPLITS[int(fields[0])]

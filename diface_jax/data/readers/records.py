"""What a reader returns: photos with their identities, and the problems of a data set."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np

SPLITS = ('train', 'validation', 'test')
# What lists and folders call the splits, in lower case.
SPLIT_NAMES = {
    **{'0': 'train', '1': 'validation', '2': 'test'},
    **{name: name for name in SPLITS},
    **{'val': 'validation', 'valid': 'validation'},
}


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photograph, its identity and its annotations.

    Attributes:
      file: its path relative to the root, unique; the argument of the data set's `read`.
      identity: the person in it.
      split: one of SPLITS.
      labels: attribute to true or false; None where there are none, or they cannot be read.
      descriptions: free-hand sentences, the human track.
      held_out_descriptions: free-hand sentences in voices that are never trained on, the style
        track.
    """

    file: str
    identity: str
    split: str
    labels: Mapping[str, bool] | None
    descriptions: tuple[str, ...] = ()
    held_out_descriptions: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Problem:
    """A photo, or a line of a list, that could not be used.

    Attributes:
      file: the photo or the list; its name as on disk.
      reason: why it could not be used.
      kind: what was left out: a photo, or its labels or captions; 'list' for a fault of a list.
    """

    file: str
    reason: str
    kind: Literal['photo', 'labels', 'captions', 'list'] = 'photo'


@dataclasses.dataclass(frozen=True, eq=False)
class ProvidedEmbeddings:
    """Embeddings of a data set that has no photographs.

    Attributes:
      embedding_NxD: a row for each photo, in their order.
      encoders: name, hash and width of the encoder of each part, as in a data card.
    """

    embedding_NxD: np.ndarray
    encoders: list[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Photos and problems of a data set.

    Attributes:
      name: of the layout, for the data card.
      photos: those that can be used, in the order of their files.
      problems: a problem for each photo and line that cannot be used.
      read: a photo's file to the bytes of its image; can be pickled. Raises OSError.
      landmarks_5x2: position (x, y) of dlib's five landmarks in the photos of an aligned data set,
        as fractions of width and height; None where photos are not aligned.
      embedded: embeddings that the data set provides; None where photos are to be embedded.
    """

    name: str
    photos: tuple[Photo, ...]
    problems: tuple[Problem, ...]
    read: Callable[[str], bytes]
    landmarks_5x2: np.ndarray | None = None
    embedded: ProvidedEmbeddings | None = None


def read_file(root: pathlib.Path, file: str) -> bytes:
    """The bytes of a file below `root`."""
    return (root / file).read_bytes()


def is_unicode(name: str) -> bool:
    """Whether a file's name is valid UTF-8, which texts, JSON and data sets need."""
    return not any('\ud800' <= letter <= '\udfff' for letter in name)


def check_identities(photos: Iterable[Photo]) -> None:
    """Makes sure that no identity is in two splits.

    Raises:
      ValueError: identities are in several splits; names up to five of them.
    """
    splits: dict[str, set[str]] = {}
    for photo in photos:
        splits.setdefault(photo.identity, set()).add(photo.split)
    leaking = [
        f'{identity} ({", ".join(sorted(names))})'
        for identity, names in splits.items()
        if len(names) > 1
    ]
    if leaking:
        raise ValueError(
            f'{len(leaking)} identities are in more than one split, so people to test on would '
            f'be seen in training: {"; ".join(leaking[:5])}. Put all photos of a person into one '
            'split.'
        )


def split_of(identity: str, shares: tuple[float, float, float], seed: int) -> str:
    """The split of an identity, by a seeded hash, so that it does not depend on other identities.

    Args:
      identity: name of the person.
      shares: expected shares of the identities for train, validation and test.
      seed: of the hash.

    Returns:
      One of SPLITS.
    """
    digest = hashlib.blake2b(f'{seed}/{identity}'.encode(), digest_size=6).digest()
    place = int.from_bytes(digest, 'big') / 2**48
    train, validation, _ = shares
    if place < train:
        return 'train'
    return 'validation' if place < train + validation else 'test'

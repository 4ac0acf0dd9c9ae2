"""What a reader returns: photos with who is in them, and what was wrong with the rest."""

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
    """One photograph as a reader found it.

    Attributes:
      file: what the data set's `read` takes: a path relative to its root, unique.
      identity: who is in it.
      split: one of SPLITS.
      labels: attribute to true or false; None when there are none, or they cannot be read.
      descriptions: free-hand sentences, the human track.
    """

    file: str
    identity: str
    split: str
    labels: Mapping[str, bool] | None
    descriptions: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Problem:
    """A photo, or a line of a list, that could not be used.

    Attributes:
      file: the photo or the list; its name as on disk.
      why: it could not be used.
      kind: what was left out: a photo, the labels or the captions of one, or else a list's fault.
    """

    file: str
    why: str
    kind: Literal['photo', 'labels', 'captions', 'list'] = 'photo'


@dataclasses.dataclass(frozen=True, eq=False)
class ProvidedEmbeddings:
    """Embeddings that a data set brings in place of photographs.

    Attributes:
      embedding_NxD: of its photos, in their order.
      encoders: what they are of: name, hash and width of each part, as in a data card.
    """

    embedding_NxD: np.ndarray
    encoders: list[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Photos and problems of a data set.

    Attributes:
      name: of the layout, for the data card.
      photos: those that can be used, in the order of their files.
      problems: all that was found wrong; nothing is left out without one.
      read: a photo's file to its encoded image; can be pickled. Raises OSError.
      landmarks_5x2: where dlib's five landmarks (x, y) lie in a photo of an aligned data set, as
        fractions of its width and height; None when photos are not aligned.
      embedded: None where photos are to be embedded.
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
      ValueError: some are; names up to five of them.
    """
    splits: dict[str, set[str]] = {}
    for photo in photos:
        splits.setdefault(photo.identity, set()).add(photo.split)
    torn = [f'{who} ({", ".join(sorted(s))})' for who, s in splits.items() if len(s) > 1]
    if torn:
        raise ValueError(
            f'{len(torn)} identities are in more than one split, so what is measured on test would '
            f'be seen in training: {"; ".join(torn[:5])}. Put every photo of a person into one.'
        )


def split_of(identity: str, shares: tuple[float, float, float], seed: int) -> str:
    """The split of an identity, by a seeded hash: others that come or go don't move it.

    Args:
      identity: who.
      shares: of identities, expected, for train, validation and test.
      seed: another one draws another split.

    Returns:
      One of SPLITS.
    """
    digest = hashlib.blake2b(f'{seed}/{identity}'.encode(), digest_size=6).digest()
    place = int.from_bytes(digest, 'big') / 2**48
    train, validation, _ = shares
    if place < train:
        return 'train'
    return 'validation' if place < train + validation else 'test'

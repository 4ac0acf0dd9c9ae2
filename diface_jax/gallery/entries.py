"""What a gallery holds: photos, their files, and the faces on them."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

# Left, top, right, bottom in pixels of the upright photo.
Box = tuple[int, int, int, int]


class PhotoFile(NamedTuple):
    """A file with a photo: its path as bytes, and what tells that it has changed."""

    path: bytes
    size: int
    modified_ns: int


class EnrolledFace(NamedTuple):
    """A face to be enrolled.

    Attributes:
      box: left, top, right, bottom in pixels of its upright photo; None when imported.
      picture: a small JPEG of its upright chip, or None.
      embedding_D: its raw embedding by E.
      feature_F: its feature f, which searches compare.
      wide_picture: a JPEG of the face with its surroundings, as they are in the photo; or None.
    """

    box: Box | None
    picture: bytes | None
    embedding_D: np.ndarray
    feature_F: np.ndarray
    wide_picture: bytes | None = None


class PhotoLabel(NamedTuple):
    """Labels of a photo: the person its largest face shows, and tags by name."""

    person: str | None = None
    tags: Mapping[str, str] = {}


@dataclasses.dataclass(frozen=True)
class GalleryEntry:
    """A face in the gallery.

    Attributes:
      id: its number, which no later entry gets.
      person: the person's name, if known.
      photo: where its photo is (the first of its copies, by name); None when imported.
      name: the id an imported embedding came with.
      box: left, top, right, bottom in pixels of the upright photo.
      tags: its tags by name.
      other_people: further people that copies of the photo are labelled with.
      taken: local time of the camera when it took the photo, such as '2019-07-14T12:30:05'; None
          where the photo does not say.
    """

    id: int
    person: str | None
    photo: str | None
    name: str | None
    box: Box | None
    tags: dict[str, str]
    other_people: tuple[str, ...] = ()
    taken: str | None = None


def path_text(path: bytes) -> str:
    """A path as text that can be printed; bytes that are no text are escaped."""
    return path.decode('utf-8', 'backslashreplace')


def as_blob(values_W: np.ndarray) -> bytes:
    """A vector as a gallery stores it: float32."""
    return np.ascontiguousarray(values_W, np.float32).tobytes()


def sha256_of_bytes(data: bytes) -> bytes:
    """The hash by which photos are identified."""
    return hashlib.sha256(data).digest()

"""Enrolling: a folder of photographs, or embeddings of faces, into a gallery.

Photos are committed some at a time. Whatever stops it, what was committed stays, and the same call
goes on from there: a file is passed over when its size and time are those it was enrolled with, and
a photo that is known by its bytes is not looked at again.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import io
import multiprocessing
import os
import pathlib
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from tqdm import tqdm

from diface_jax.gallery import heif
from diface_jax.gallery.store import Face, File, Label, Store, sha256, shown
from diface_jax.gallery.terminal import printable

SUFFIXES = frozenset(
    (
        *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.avif', '.heic', '.heif'),
        *('.tif', '.tiff', '.bmp', '.gif'),
    )
)
MAX_BYTES = 200_000_000  # of a file
_PHOTOS, _BYTES = 32, 300_000_000  # a commit, at most
_MANY = 64  # photos that are worth starting worker processes for

Box = tuple[int, int, int, int]
FoundFaces = list[tuple[Box, np.ndarray]]


class Encoder(Protocol):
    """What enrolling needs of an encoding."""

    faces_of: Callable[[bytes], FoundFaces]

    def embed(self, chips: Sequence[np.ndarray]) -> np.ndarray:
        """Raw embeddings of chips; embedding_NxD."""

    def of_photos(self, embedding_NxD: np.ndarray) -> np.ndarray:
        """Features of raw embeddings; f_NxF."""


@dataclasses.dataclass
class Report:
    """What became of the files, or of the embeddings.

    Attributes:
      photos: new photos with a face.
      faces: new entries.
      copies: files with a photo that is known from another file.
      unchanged: files that were enrolled before.
      labelled: of those, files whose person or tags are new.
      problems: why a file was passed over, by path.
      ignored: files that are not named like photos, by suffix.
      missing: files of this folder that are enrolled and not there any more; they stay enrolled.
    """

    photos: int = 0
    faces: int = 0
    copies: int = 0
    unchanged: int = 0
    labelled: int = 0
    problems: dict[str, str] = dataclasses.field(default_factory=dict)
    ignored: dict[str, int] = dataclasses.field(default_factory=dict)
    missing: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        """A line a person can read, and one more for each problem."""
        counts = [
            f'{self.faces} faces of {self.photos} new photos',
            f'{self.copies} copies',
            f'{self.unchanged} files as before',
            f'{self.labelled} of them labelled anew',
            f'{len(self.problems)} files passed over',
            f'{sum(self.ignored.values())} files that are no photos',
            f'{len(self.missing)} files gone from the folder (they stay enrolled)',
        ]
        said = [counts[0], *(count for count in counts[1:] if not count.startswith('0 '))]
        why = [
            f'  passed over {printable(path)}: {printable(reason)}'
            for path, reason in self.problems.items()
        ]
        return '\n'.join([', '.join(said), *why])


class _Read(NamedTuple):
    """A file's bytes and what tells photos apart."""

    file: File
    label: Label
    data: bytes
    sha256: bytes


def enroll_folder(
    store: Store,
    photos: pathlib.Path,
    encoder: Encoder,
    people: bool = False,
    tags: Mapping[str, str] | None = None,
) -> Report:
    """Enrols every face of every photo below a folder, or of one photo.

    Args:
      store: the gallery.
      photos: a folder, however deep, or a file. Links to folders are not followed.
      encoder: embeds faces.
      people: the folder a photo lies in is named after the person its largest face shows.
      tags: said of all of them.

    Raises:
      FileNotFoundError: it is not there.
    """
    paths, ignored = find(photos)
    report, known = Report(ignored=ignored), store.files()
    if photos.is_dir():
        root = os.path.join(os.fsencode(photos.resolve()), b'')
        gone = {path for path in known if path.startswith(root)} - set(paths)
        report.missing = sorted(map(shown, gone))
    waiting = _new(store, paths, known, people, tags or {}, report)
    with (
        _mapping(len(waiting)) as run,
        tqdm(total=len(waiting), desc='enroll', unit='photo') as bar,
    ):
        for some in _batches(waiting):
            read = [one for file in some if (one := _read(*file, report)) is not None]
            _commit(store, read, encoder, run, report)
            bar.update(len(some))
    return report


def enroll_bytes(store: Store, name: str, data: bytes, encoder: Encoder, label: Label) -> Report:
    """Enrols a photo that is not on this disk; the photo itself is not kept."""
    report, key = Report(), sha256(data)
    # Cameras give many photos one name: in place of a folder stands what tells them apart.
    path = f'dropped-{key.hex()[:16]}/{name}'.encode('utf-8', 'surrogatepass')
    _commit(store, [_Read(File(path, len(data), 0), label, data, key)], encoder, map, report)
    return report


def enroll_embeddings(
    store: Store,
    names: Sequence[str],
    embedding_NxD: np.ndarray,
    labels: Sequence[Label],
    encoder: Encoder,
) -> Report:
    """Enrols raw embeddings of the same E; one whose name is known replaces it.

    Args:
      store: the gallery.
      names: of the embeddings, all different.
      embedding_NxD: as E gives them, not centred and not scaled.
      labels: of each.
      encoder: refines them.
    """
    report = Report()
    with tqdm(total=len(names), desc='enroll', unit='embedding') as bar:
        for start in range(0, len(names), 4096):
            some = slice(start, start + 4096)
            f_NxF = encoder.of_photos(embedding_NxD[some])
            with store.changing():
                rows = zip(names[some], embedding_NxD[some], f_NxF, labels[some], strict=True)
                for name, embedding_D, f_F, label in rows:
                    store.add_embedding(name, Face(None, None, embedding_D, f_F), label)
            report.faces += len(f_NxF)
            bar.update(len(f_NxF))
    return report


def find(photos: pathlib.Path) -> tuple[list[bytes], dict[str, int]]:
    """Paths of the photos below a folder, in order, and how many other files there are by suffix.

    Raises:
      FileNotFoundError: it is not there.
    """
    if photos.is_file():
        return [os.fsencode(photos.resolve())], {}
    if not photos.is_dir():
        raise FileNotFoundError(f'no folder or file of photographs: {photos}')
    paths, ignored = [], collections.Counter()
    for folder, _, files in os.walk(os.fsencode(photos.resolve())):
        for name in files:
            suffix = shown(os.path.splitext(name)[1].lower())
            if suffix in SUFFIXES:
                paths.append(os.path.join(folder, name))
            else:
                ignored[suffix or '(none)'] += 1
    return sorted(paths), dict(ignored)


def _new(
    store: Store,
    paths: Sequence[bytes],
    known: Mapping[bytes, File],
    people: bool,
    tags: Mapping[str, str],
    report: Report,
) -> list[tuple[File, Label]]:
    """Files that are new or have changed; the labels of the others are brought up to date."""
    problems, new = store.problems(), []
    with store.changing():
        for path in paths:
            person = shown(os.path.basename(os.path.dirname(path))) if people else None
            label = Label(person, tags)
            try:
                found = _checked(path)
            except (OSError, ValueError) as error:
                report.problems[shown(path)] = _reason(error)
                continue
            file = File(path, found.st_size, found.st_mtime_ns)
            if known.get(path) != file:
                new.append((file, label))
            elif path in problems:
                report.problems[shown(path)] = problems[path]
            else:
                report.unchanged += 1
                report.labelled += store.label(path, label)
    return new


def _read(file: File, label: Label, report: Report) -> _Read | None:
    try:
        data = read_photo(file.path)
    except (OSError, ValueError) as error:
        report.problems[shown(file.path)] = _reason(error)
        return None
    return _Read(file, label, data, sha256(data))


def read_photo(path: bytes | pathlib.Path) -> bytes:
    """The bytes of a file.

    Raises:
      OSError: it cannot be read.
      ValueError: it is no regular file (a pipe would be waited for), or too large.
    """
    _checked(path)
    with open(path, 'rb') as file:
        return file.read()


def _checked(path: bytes | pathlib.Path) -> os.stat_result:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError('not a regular file')
    if found.st_size > MAX_BYTES:
        raise ValueError(f'{found.st_size:,} bytes, above {MAX_BYTES:,}')
    return found


def _commit(
    store: Store, read: Sequence[_Read], encoder: Encoder, run: Callable, report: Report
) -> None:
    """Enrols some photos in one transaction."""
    made = _faces(store, read, encoder, run)
    with store.changing():
        for one in read:
            photo = store.photo(one.sha256)
            faces, problem = made[one.sha256] if photo is None else ([], store.problem(photo))
            path = shown(one.file.path)
            if problem and store.holds(one.file.path):
                report.problems[path] = f'{problem}; what it showed before stays enrolled'
                continue
            if problem:
                report.problems[path] = problem
            if photo is None:
                photo = store.add_photo(one.sha256, faces, one.label, problem)
                report.photos += not problem
                report.faces += len(faces)
            else:
                report.copies += 1
            store.place(one.file, photo)
            store.label(one.file.path, one.label)


def _faces(
    store: Store, read: Sequence[_Read], encoder: Encoder, run: Callable
) -> dict[bytes, tuple[list[Face], str | None]]:
    """By hash of the photos that are new: their faces, or why there is none."""
    unknown = {one.sha256: one.data for one in read if store.photo(one.sha256) is None}
    looked = run(functools.partial(look, encoder.faces_of), unknown.values())
    found = dict(zip(unknown, looked, strict=True))
    chips = [chip for faces, _ in found.values() for _, chip in faces]
    embedding_NxD = encoder.embed(chips)
    f_NxF = encoder.of_photos(embedding_NxD) if chips else embedding_NxD
    rows = iter(zip(map(_picture, chips), embedding_NxD, f_NxF, strict=True))
    return {
        key: ([Face(box, *next(rows)) for box, _ in faces], problem)
        for key, (faces, problem) in found.items()
    }


def look(faces_of: Callable[[bytes], FoundFaces], data: bytes) -> tuple[FoundFaces, str | None]:
    """The faces of a photo, or why there is none."""
    try:
        return faces_of(heif.as_png(data) if heif.is_heif(data) else data), None
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        return [], _reason(error)


def _reason(error: Exception) -> str:
    """One line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ' '.join(text.split()) or type(error).__name__


def _picture(chips_SxHxWx3: np.ndarray) -> bytes:
    # Not needed to search, nor to enrol embeddings.
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(chips_SxHxWx3[0]).save(data, 'JPEG', quality=85)
    return data.getvalue()


@contextlib.contextmanager
def _mapping(count: int) -> Iterator[Callable]:
    """`map`, in worker processes where there is much to do."""
    if count < _MANY:
        yield map
        return
    # Spawned, since a fork of a process with JAX's threads may hang.
    context = multiprocessing.get_context('spawn')
    workers = concurrent.futures.ProcessPoolExecutor(None, context, _end_with_parent)
    try:
        with workers as pool:
            yield pool.map
    except concurrent.futures.process.BrokenProcessPool as error:
        raise OSError(
            'a worker process died, maybe for want of memory; what was enrolled stays: the same '
            'command goes on from there'
        ) from error


def _end_with_parent() -> None:
    """Ends a worker whose parent was killed; it would wait for work for ever."""

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _batches(waiting: Sequence[tuple[File, Label]]) -> Iterator[list[tuple[File, Label]]]:
    """Files to be committed together."""
    some, size = [], 0
    for file, label in waiting:
        if some and (len(some) == _PHOTOS or size + file.size > _BYTES):
            yield some
            some, size = [], 0
        some.append((file, label))
        size += file.size
    if some:
        yield some

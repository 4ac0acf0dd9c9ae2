"""Enrolling: a folder of photographs, or embeddings of faces, into a gallery.

Photos are committed in batches. Whatever stops it, what was committed stays, and the same call
goes on from there: a file is passed over when its size and modification time are those it was
enrolled with, and a photo whose content is known is not embedded again.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import io
import multiprocessing
import os
import pathlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from tqdm import tqdm

from diface_jax.gallery import disk_sync, heif
from diface_jax.gallery.photo_files import PhotoFiles, find_photos, reason, stat_file
from diface_jax.gallery.store import Face, File, Label, Store, sha256, shown

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
    """The outcome of an enrolment of files, or of embeddings.

    Attributes:
      photos: new photos with a face.
      faces: new entries.
      copies: files with a photo that is also enrolled from another file.
      unchanged: files that were enrolled before.
      labelled: of those, files whose person or tags are new.
      problems: why a file or a folder was passed over, by path.
      ignored: number of files that are not named like photos, by suffix.
      excluded: number of photos and folders left out by name (hidden, thumbnails), by pattern.
      links: links to folders that were not followed.
      moved: a path where the photo is now, by path that was dropped because it is gone.
      missing: all paths of each photo of the folder that is gone; its faces stay enrolled.
      conflicts: the person by path, of each photo that is labelled with different people.
    """

    photos: int = 0
    faces: int = 0
    copies: int = 0
    unchanged: int = 0
    labelled: int = 0
    problems: dict[str, str] = dataclasses.field(default_factory=dict)
    ignored: dict[str, int] = dataclasses.field(default_factory=dict)
    excluded: dict[str, int] = dataclasses.field(default_factory=dict)
    links: list[str] = dataclasses.field(default_factory=list)
    moved: dict[str, str] = dataclasses.field(default_factory=dict)
    missing: list[list[str]] = dataclasses.field(default_factory=list)
    conflicts: list[dict[str, str]] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        """The counts on a line, and a line for each path that needs attention."""
        return '\n'.join(
            [
                ', '.join(self._counts()),
                *(f'  passed over {path}: {why}' for path, why in self.problems.items()),
                *disk_sync.moved_lines(self.moved),
                *disk_sync.missing_lines(self.missing),
                *disk_sync.listed(
                    [f'  not followed (--follow_links does): {path}' for path in self.links]
                ),
                *disk_sync.listed(list(map(_conflict_line, self.conflicts))),
            ]
        )

    def _counts(self) -> list[str]:
        excluded = ', '.join(f'{count} {pattern}' for pattern, count in self.excluded.items())
        counts = {
            'copies': self.copies,
            'files as before': self.unchanged,
            'of them labelled anew': self.labelled,
            'files passed over': len(self.problems),
            'files that are no photos': sum(self.ignored.values()),
            f'photos or folders excluded by name ({excluded})': sum(self.excluded.values()),
            'links to folders not followed': len(self.links),
            'paths dropped, because their photos are elsewhere now': len(self.moved),
            'photos missing': len(self.missing),
            'photos labelled with several people': len(self.conflicts),
        }
        told = [f'{count} {what}' for what, count in counts.items() if count]
        return [f'{self.faces} faces of {self.photos} new photos', *told]


def _conflict_line(people: Mapping[str, str]) -> str:
    labels = ', '.join(f'{person} ({path})' for path, person in people.items())
    return f'  labelled with several people, and found by each: {labels}'


class _Read(NamedTuple):
    """A file's bytes and what tells photos apart."""

    file: File
    label: Label
    data: bytes
    sha256: bytes


class _Inspected(NamedTuple):
    """The faces of a photo, or why there is none; a lasting problem is the photo's own."""

    faces: FoundFaces
    problem: str | None = None
    lasting: bool = True


def enroll_folder(
    store: Store,
    photos: pathlib.Path,
    encoder: Encoder,
    people: bool = False,
    tags: Mapping[str, str] | None = None,
    exclude: Sequence[str] = (),
    follow_links: bool = False,
) -> Report:
    """Enrols every face of every photo below a folder, or of one photo.

    Args:
      store: the gallery.
      photos: a folder, however deep, or a file.
      encoder: embeds faces.
      people: the folder a photo lies in is named after the person its largest face shows.
      tags: said of all of them.
      exclude: names to leave out, as in `photo_files.find_photos`.
      follow_links: goes into folders that are linked to.

    Raises:
      FileNotFoundError: it is not there.
    """
    found = find_photos(photos, exclude, follow_links)
    report = _report_of(found)

    def label(path: bytes) -> Label:
        person = shown(os.path.basename(os.path.dirname(path))) if people else None
        return Label(person, tags or {})

    known = store.files()
    unchanged, changed = _compare(known, store.problems(), found.paths, report)
    # First, since the files that replace these photos may be committed before they are seen again.
    replaced = {known[file.path].size for file in changed if file.path in known}
    recognised = disk_sync.recognise(store, changed, replaced)
    report.moved.update(recognised.moved)
    report.copies = recognised.copies
    report.unchanged = len(unchanged) + recognised.unchanged
    with store.changing():
        report.labelled = sum(store.label(path, label(path)) for path in unchanged)
        for file in recognised.known:
            store.label(file.path, label(file.path))
    _enroll_files(store, [(file, label(file.path)) for file in recognised.unknown], encoder, report)
    if photos.is_dir():
        _drop_gone_paths(store, os.path.join(os.fsencode(photos.resolve()), b''), report)
    report.conflicts = _conflicts(store, found.paths)
    return report


def _report_of(found: PhotoFiles) -> Report:
    return Report(
        ignored=found.ignored,
        excluded=found.excluded,
        links=found.links,
        problems=dict(found.problems),
    )


def _compare(
    known: Mapping[bytes, File],
    problems: Mapping[bytes, str],
    paths: Sequence[bytes],
    report: Report,
) -> tuple[list[bytes], list[File]]:
    """Files that are as they were enrolled, and those that are new or have changed."""
    unchanged, changed = [], []
    for path in paths:
        try:
            file = _checked(path)
        except (OSError, ValueError) as error:
            report.problems[shown(path)] = reason(error)
            continue
        if known.get(path) != file:
            changed.append(file)
        elif path in problems:
            report.problems[shown(path)] = problems[path]
        else:
            unchanged.append(path)
    return unchanged, changed


def _enroll_files(
    store: Store, waiting: Sequence[tuple[File, Label]], encoder: Encoder, report: Report
) -> None:
    with (
        _mapping(len(waiting)) as run,
        tqdm(total=len(waiting), desc='enroll', unit='photo') as bar,
    ):
        for batch in _batches(waiting):
            photos = [photo for file in batch if (photo := _read(*file, report)) is not None]
            _commit(store, photos, encoder, run, report)
            bar.update(len(batch))


def _drop_gone_paths(store: Store, root: bytes, report: Report) -> None:
    gone = disk_sync.drop_gone_paths(store, root)
    report.moved.update(gone.moved)
    report.missing = list(gone.missing.values())
    report.problems.update(gone.problems)


def _conflicts(store: Store, paths: Iterable[bytes]) -> list[dict[str, str]]:
    """The person by path, of each photo of these files that is labelled with different people."""
    enrolled = set(paths)
    return [
        {shown(path): person for path, person in people.items()}
        for people in store.conflicts().values()
        if not enrolled.isdisjoint(people)
    ]


def enroll_bytes(store: Store, name: str, data: bytes, encoder: Encoder, label: Label) -> Report:
    """Enrols a photo that is not on this disk; the photo itself is not kept."""
    report, key = Report(), sha256(data)
    # Cameras give many photos one name: in place of a folder stands what tells them apart.
    path = f'dropped-{key.hex()[:16]}/{name}'.encode('utf-8', 'surrogatepass')
    _commit(store, [_Read(File(path, len(data), 0), label, data, key)], encoder, map, report)
    report.conflicts = _conflicts(store, [path])
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


def _read(file: File, label: Label, report: Report) -> _Read | None:
    try:
        data = read_photo(file.path)
    except (OSError, ValueError) as error:
        report.problems[shown(file.path)] = reason(error)
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


def _checked(path: bytes | pathlib.Path) -> File:
    file = stat_file(path)
    if file.size > MAX_BYTES:
        raise ValueError(f'{file.size:,} bytes, above {MAX_BYTES:,}')
    return file


def _commit(
    store: Store, photos: Sequence[_Read], encoder: Encoder, run: Callable, report: Report
) -> None:
    """Enrols photos in one transaction."""
    inspected = {}
    while photos:
        unseen = [photo for photo in photos if photo.sha256 not in inspected]
        inspected |= _faces(store, unseen, encoder, run)
        with store.changing():
            # Photos that were known until another program deleted them come again, to be embedded.
            photos = [photo for photo in photos if not _enroll(store, photo, inspected, report)]
            store.drop_photos_without_files()


def _enroll(
    store: Store,
    read: _Read,
    inspected: Mapping[bytes, tuple[list[Face], _Inspected]],
    report: Report,
) -> bool:
    """Enrols a photo within a transaction; False where its faces were not embedded yet."""
    photo = store.photo(read.sha256)
    if photo is None and read.sha256 not in inspected:
        return False
    if photo is None:
        faces, (_, problem, lasting) = inspected[read.sha256]
    else:
        faces, problem, lasting = [], store.problem(photo), True
    if problem and not _keep_problem(store, read.file.path, problem, lasting, report):
        return True
    if photo is None:
        photo = store.add_photo(read.sha256, faces, read.label, problem)
        report.photos += not problem
        report.faces += len(faces)
        store.place(read.file, photo)
    else:
        moved = disk_sync.place(store, read.file, photo)
        report.moved.update(moved)
        report.copies += not moved
    store.label(read.file.path, read.label)
    return True


def _keep_problem(store: Store, path: bytes, problem: str, lasting: bool, report: Report) -> bool:
    """Reports a problem; returns whether the gallery shall know it, and not try the file again."""
    holds_faces = store.holds(path)
    stays = '; what it showed before stays enrolled' if holds_faces else ''
    report.problems[shown(path)] = f'{problem}{stays}'
    return lasting and not holds_faces


def _faces(
    store: Store, photos: Sequence[_Read], encoder: Encoder, run: Callable
) -> dict[bytes, tuple[list[Face], _Inspected]]:
    """By hash of the photos that are new: their faces, and what was seen in them."""
    unknown = {photo.sha256: photo.data for photo in photos if store.photo(photo.sha256) is None}
    results = run(functools.partial(_inspect, encoder.faces_of), unknown.values())
    inspected = dict(zip(unknown, results, strict=True))
    chips = [chip for photo in inspected.values() for _, chip in photo.faces]
    embedding_NxD = encoder.embed(chips)
    f_NxF = encoder.of_photos(embedding_NxD) if chips else embedding_NxD
    rows = iter(zip(map(_picture, chips), embedding_NxD, f_NxF, strict=True))
    return {
        key: ([Face(box, *next(rows)) for box, _ in photo.faces], photo)
        for key, photo in inspected.items()
    }


def look(faces_of: Callable[[bytes], FoundFaces], data: bytes) -> tuple[FoundFaces, str | None]:
    """The faces of a photo, or why there is none."""
    faces, problem, _ = _inspect(faces_of, data)
    return faces, problem


def _inspect(faces_of: Callable[[bytes], FoundFaces], data: bytes) -> _Inspected:
    try:
        decodable = heif.as_png(data) if heif.is_heif(data) else data
    except (ImportError, MemoryError) as error:  # of this machine, not of the photo
        return _Inspected([], reason(error), lasting=False)
    except ValueError as error:
        return _Inspected([], reason(error))
    try:
        return _Inspected(faces_of(decodable))
    except MemoryError as error:
        return _Inspected([], reason(error), lasting=False)
    except (OSError, ValueError, RuntimeError) as error:
        return _Inspected([], reason(error))


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

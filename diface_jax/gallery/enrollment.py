"""Enrols a folder of photographs, or a file of embeddings, in a gallery.

Photos are committed in batches. After a stop or a kill, the same call continues: files whose size
and modification time have not changed are skipped, and a photo whose content is in the gallery is
not embedded again.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from tqdm import tqdm

from diface_jax.encoders.face.photo import DecodedPhoto, read_photo_content
from diface_jax.gallery import disk_sync, face_pictures, heif
from diface_jax.gallery.entries import (
    Box,
    EnrolledFace,
    PhotoFile,
    PhotoLabel,
    path_text,
    sha256_of_bytes,
)
from diface_jax.gallery.photo_files import PhotoFiles, error_reason, find_photo_files, stat_file
from diface_jax.gallery.store import Store
from diface_jax.runtime.batch_threads import usable_cores
from diface_jax.runtime.terminal import printable

# Raise it when the detector finds faces that it missed before: photos without a face are then
# searched again, when their folder is enrolled. Faces that a gallery holds are not changed by it.
DETECTOR_VERSION = 2
MAX_BYTES = 200_000_000  # of a file
_PHOTOS, _BYTES = 32, 300_000_000  # at most, in a batch
_EMBEDDINGS = 4096  # in a batch
_BAR_DELAY = 2  # seconds before a progress bar of short work appears

DetectedFaces = list[tuple[Box, np.ndarray]]


class PhotoEncoder(Protocol):
    """Finds faces and embeds them."""

    faces_of: Callable[[np.ndarray], DetectedFaces]

    def embed(self, chips: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the raw embeddings of face crops; embedding_NxD."""

    def of_photos(self, embedding_NxD: np.ndarray) -> np.ndarray:
        """Returns the features of raw embeddings; f_NxF."""


@dataclasses.dataclass
class EnrollReport:
    """The outcome of an enrolment of files, or of embeddings.

    Attributes:
      photos: new photos with a face.
      faces: new entries.
      copies: files with a photo that is also enrolled from another file.
      unchanged: files that were enrolled before.
      labelled: of those, files whose person or tags are new.
      replaced: files that hold another photo than before, whose faces took the place of the old.
      problems: why a file or a folder was skipped, by path.
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
    replaced: list[str] = dataclasses.field(default_factory=list)
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
                *(
                    f'  passed over {printable(path)}: {printable(why)}'
                    for path, why in self.problems.items()
                ),
                *disk_sync.moved_lines(self.moved),
                *disk_sync.missing_lines(self.missing),
                *disk_sync.limit_lines(
                    [
                        f'  not followed (--follow_links does): {printable(path)}'
                        for path in self.links
                    ]
                ),
                *disk_sync.limit_lines(list(map(_conflict_line, self.conflicts))),
            ]
        )

    def _counts(self) -> list[str]:
        excluded = ', '.join(f'{count} {pattern}' for pattern, count in self.excluded.items())
        counts = {
            'copies': self.copies,
            'files as before': self.unchanged,
            'of them labelled anew': self.labelled,
            'files that hold another photo than before': len(self.replaced),
            'files passed over': len(self.problems),
            'files that are no photos': sum(self.ignored.values()),
            f'photos or folders excluded by name ({excluded})': sum(self.excluded.values()),
            'links to folders not followed': len(self.links),
            'paths dropped, because their photos are elsewhere now': len(self.moved),
            'photos missing': len(self.missing),
            'photos labelled with several people': len(self.conflicts),
        }
        nonzero = [f'{count} {what}' for what, count in counts.items() if count]
        return [f'{self.faces} faces of {self.photos} new photos', *nonzero]


def _conflict_line(people: Mapping[str, str]) -> str:
    labels = ', '.join(
        f'{printable(person)} ({printable(path)})' for path, person in people.items()
    )
    return f'  labelled with several people, and found by each: {labels}'


class _Read(NamedTuple):
    """A file that was read; `sha256_of_bytes` is the hash of its bytes."""

    file: PhotoFile
    label: PhotoLabel
    data: bytes
    sha256: bytes


class _Inspected(NamedTuple):
    """The faces of a photo, or why there is none; a lasting problem is the photo's own.

    `pictures` holds a chip and a wide picture of each face, as JPEG.
    """

    faces: DetectedFaces
    problem: str | None = None
    lasting: bool = True
    pictures: Sequence[tuple[bytes, bytes]] = ()
    taken: str | None = None


# Photos that threads are looking at, by hash.
_Inspections = Mapping[bytes, concurrent.futures.Future[_Inspected]]


def enroll_folder(
    store: Store,
    photos: pathlib.Path,
    encoder: PhotoEncoder,
    people: bool = False,
    tags: Mapping[str, str] | None = None,
    exclude: Sequence[str] = (),
    follow_links: bool = False,
) -> EnrollReport:
    """Enrols every face of every photo below a folder, or of one photo.

    Args:
      store: the gallery.
      photos: a folder, however deep, or a file.
      encoder: embeds faces.
      people: labels the largest face of each photo with the name of its folder.
      tags: for all of these photos.
      exclude: names to leave out, as in `photo_files.find_photo_files`.
      follow_links: enters folders that are linked to.

    Raises:
      FileNotFoundError: there is no such folder or file.
    """
    listing = find_photo_files(photos, exclude, follow_links)
    report = _report_of(listing)

    def label(path: bytes) -> PhotoLabel:
        person = path_text(os.path.basename(os.path.dirname(path))) if people else None
        return PhotoLabel(person, tags or {})

    store.use_detector(DETECTOR_VERSION)
    known, photo_before = store.files(), store.file_photos()
    unchanged, changed = _compare(known, store.problems(), listing.paths, report)
    # First, since the files that replace these photos may be committed before they are seen again.
    replaced = {known[file.path].size for file in changed if file.path in known}
    recognised = disk_sync.recognise_files(store, changed, replaced, may_replace=True)
    report.moved.update(recognised.moved)
    report.copies = recognised.copies
    report.unchanged = len(unchanged) + recognised.unchanged
    with store.changing():
        report.labelled = sum(store.label(path, label(path)) for path in unchanged)
        for file in recognised.known:
            store.label(file.path, label(file.path))
    _add_missing_pictures(store, unchanged)
    waiting = [(file, label(file.path)) for file in recognised.unknown]
    claimed_by_others = _enroll_files(store, waiting, encoder, report)
    # They are enrolled by now, but for what a program that was killed or is slow has claimed.
    _enroll_files(store, claimed_by_others, encoder, report, claim=False)
    if photos.is_dir():
        _drop_gone_paths(store, os.path.join(os.fsencode(photos.resolve()), b''), report)
    report.conflicts = _conflicts(store, listing.paths)
    report.replaced = _replaced(listing.paths, photo_before, store.file_photos())
    return report


def _replaced(
    paths: Iterable[bytes], photo_before: Mapping[bytes, int], photo_now: Mapping[bytes, int]
) -> list[str]:
    """The paths that hold another photo now than before."""
    both = [path for path in paths if path in photo_before and path in photo_now]
    return [path_text(path) for path in both if photo_before[path] != photo_now[path]]


def _report_of(listing: PhotoFiles) -> EnrollReport:
    return EnrollReport(
        ignored=listing.ignored,
        excluded=listing.excluded,
        links=listing.links,
        problems=dict(listing.problems),
    )


def _compare(
    known: Mapping[bytes, PhotoFile],
    problems: Mapping[bytes, str],
    paths: Sequence[bytes],
    report: EnrollReport,
) -> tuple[list[bytes], list[PhotoFile]]:
    """Returns the files that are as they were enrolled, and those that are new or have changed."""
    unchanged, changed = [], []
    for path in paths:
        try:
            file = _checked(path)
        except (OSError, ValueError) as error:
            report.problems[path_text(path)] = error_reason(error)
            continue
        if known.get(path) != file:
            changed.append(file)
        elif path in problems:
            report.problems[path_text(path)] = problems[path]
        else:
            unchanged.append(path)
    return unchanged, changed


def _enroll_files(
    store: Store,
    waiting: Sequence[tuple[PhotoFile, PhotoLabel]],
    encoder: PhotoEncoder,
    report: EnrollReport,
    claim: bool = True,
) -> list[tuple[PhotoFile, PhotoLabel]]:
    """Returns the files that other programs enrol right now, and that were left to them."""
    if not waiting:
        return []
    # Decoding, resizing and detecting hold no lock of the interpreter, so threads use every core.
    pool = concurrent.futures.ThreadPoolExecutor(usable_cores())
    bar, left = tqdm(total=len(waiting), desc='enroll', unit='photo'), []

    def start(batch: Sequence[tuple[PhotoFile, PhotoLabel]]) -> tuple[list[_Read], _Inspections]:
        photos = [photo for file in batch if (photo := _read(*file, report)) is not None]
        hashes = {photo.sha256 for photo in photos}
        mine = store.claim(hashes) if claim else hashes
        left.extend((photo.file, photo.label) for photo in photos if photo.sha256 not in mine)
        photos = [photo for photo in photos if photo.sha256 in mine]
        unknown = {photo.sha256: photo for photo in photos if store.photo(photo.sha256) is None}
        inspections = {
            key: pool.submit(_inspect, encoder.faces_of, photo.data)
            for key, photo in unknown.items()
        }
        bar.update(len(batch) - len(inspections))
        for inspection in inspections.values():
            inspection.add_done_callback(lambda _: bar.update())
        return photos, inspections

    with bar, contextlib.closing(_one_ahead(start, _batches(waiting))) as started:
        try:
            for photos, inspections in started:
                _commit(store, photos, encoder, inspections, report)
                if claim:
                    store.release({photo.sha256 for photo in photos})
        finally:
            pool.shutdown(cancel_futures=True)
    return left


def _one_ahead(start: Callable[[Any], Any], batches: Iterable[Any]) -> Generator[Any]:
    """What each batch starts; the next one is started before."""
    batches = iter(batches)
    waiting = collections.deque(map(start, itertools.islice(batches, 1)))
    while waiting:
        waiting.extend(map(start, itertools.islice(batches, 1)))
        yield waiting.popleft()


def _add_missing_pictures(store: Store, paths: Iterable[bytes]) -> None:
    """Cuts the wide pictures of faces that an older version enrolled from their photos."""
    boxes, photos = store.faces_without_wide_picture(), store.file_photos()
    waiting = {photos[path]: path for path in paths if photos[path] in boxes}
    for photo, path in tqdm(waiting.items(), desc='wide pictures', unit='photo', delay=_BAR_DELAY):
        # A photo that cannot be read now keeps its chips, and is tried again with the next call.
        with contextlib.suppress(OSError, ValueError, ImportError, MemoryError):
            image_HxWx3, taken = decode_photo(read_photo(path))
            pictures = {
                entry: face_pictures.wide_picture(image_HxWx3, box)
                for entry, box in boxes[photo].items()
            }
            with store.changing():
                store.add_wide_pictures(photo, pictures, taken)


def _drop_gone_paths(store: Store, root: bytes, report: EnrollReport) -> None:
    gone = disk_sync.drop_gone_paths(store, root)
    report.moved.update(gone.moved)
    report.missing = list(gone.missing.values())
    report.problems.update(gone.problems)


def _conflicts(store: Store, paths: Iterable[bytes]) -> list[dict[str, str]]:
    """Returns the person by path, of each of these photos that is labelled with several people."""
    enrolled = set(paths)
    return [
        {path_text(path): person for path, person in people.items()}
        for people in store.conflicts().values()
        if not enrolled.isdisjoint(people)
    ]


def enroll_bytes(
    store: Store, name: str, data: bytes, encoder: PhotoEncoder, label: PhotoLabel
) -> EnrollReport:
    """Enrols a photo by its bytes. The gallery keeps its faces, not the photo."""
    store.use_detector(DETECTOR_VERSION)
    report, key = EnrollReport(), sha256_of_bytes(data)
    # Cameras give many photos the same name; the hash in place of a folder tells them apart.
    path = f'dropped-{key.hex()[:16]}/{name}'.encode('utf-8', 'surrogatepass')
    _commit(store, [_Read(PhotoFile(path, len(data), 0), label, data, key)], encoder, {}, report)
    report.conflicts = _conflicts(store, [path])
    return report


def enroll_embeddings(
    store: Store,
    names: Sequence[str],
    embedding_NxD: np.ndarray,
    labels: Sequence[PhotoLabel],
    encoder: PhotoEncoder,
) -> EnrollReport:
    """Enrols raw embeddings of the same E. An embedding replaces an earlier one of its name.

    Args:
      store: the gallery.
      names: of the embeddings, all different.
      embedding_NxD: as E returns them, not centred and not scaled.
      labels: one for each embedding.
      encoder: computes their features.
    """
    report = EnrollReport()
    with tqdm(total=len(names), desc='enroll', unit='embedding') as bar:
        for start in range(0, len(names), _EMBEDDINGS):
            batch = slice(start, start + _EMBEDDINGS)
            f_NxF = encoder.of_photos(embedding_NxD[batch])
            with store.changing():
                rows = zip(embedding_NxD[batch], f_NxF, strict=True)
                faces = [EnrolledFace(None, None, *row) for row in rows]
                store.add_embeddings(names[batch], faces, labels[batch])
            report.faces += len(f_NxF)
            bar.update(len(f_NxF))
    return report


def _read(file: PhotoFile, label: PhotoLabel, report: EnrollReport) -> _Read | None:
    try:
        data = read_photo(file.path)
    except (OSError, ValueError) as error:
        report.problems[path_text(file.path)] = error_reason(error)
        return None
    return _Read(file, label, data, sha256_of_bytes(data))


def read_photo(path: bytes | pathlib.Path) -> bytes:
    """Reads a file.

    Raises:
      OSError: it cannot be read.
      ValueError: it is not a regular file (reading a pipe would wait for ever), or too large.
    """
    _checked(path)
    with open(path, 'rb') as file:
        return file.read()


def _checked(path: bytes | pathlib.Path) -> PhotoFile:
    file = stat_file(path)
    if file.size > MAX_BYTES:
        raise ValueError(f'{file.size:,} bytes, above {MAX_BYTES:,}')
    return file


def _commit(
    store: Store,
    photos: Sequence[_Read],
    encoder: PhotoEncoder,
    inspections: _Inspections,
    report: EnrollReport,
) -> None:
    """Enrols photos in one transaction."""
    inspected = {}
    while photos:
        unseen = [photo for photo in photos if photo.sha256 not in inspected]
        inspected |= _faces(store, unseen, encoder, inspections)
        with store.changing():
            # Photos that were known until another program deleted them come again, to be embedded.
            photos = [photo for photo in photos if not _enroll(store, photo, inspected, report)]
            store.drop_photos_without_files()


def _enroll(
    store: Store,
    read: _Read,
    inspected: Mapping[bytes, tuple[list[EnrolledFace], _Inspected]],
    report: EnrollReport,
) -> bool:
    """Enrols a photo within a transaction.

    Returns:
      Whether that is done; False where its faces must be embedded first.
    """
    photo = store.photo(read.sha256)
    if photo is None and read.sha256 not in inspected:
        return False
    if photo is None:
        faces, seen = inspected[read.sha256]
    else:
        faces, seen = [], _Inspected([], store.problem(photo))
    problem = seen.problem
    if problem and not _keep_problem(store, read.file.path, problem, seen.lasting, report):
        return True
    if photo is None:
        photo = store.add_photo(read.sha256, faces, read.label, problem, seen.taken)
        report.photos += not problem
        report.faces += len(faces)
        store.place(read.file, photo)
    else:
        # Another program, or an earlier file of this one, may have enrolled it meanwhile.
        is_new = all(copy.path != read.file.path for copy in store.copies(photo))
        moved = disk_sync.place_file(store, read.file, photo)
        report.moved.update(moved)
        report.copies += is_new and not moved
        report.unchanged += not is_new
    store.label(read.file.path, read.label)
    return True


def _keep_problem(
    store: Store, path: bytes, problem: str, lasting: bool, report: EnrollReport
) -> bool:
    """Reports a problem; returns whether the gallery shall know it, and not try the file again."""
    holds_faces = store.holds(path)
    stays = '; what it showed before stays enrolled' if holds_faces else ''
    report.problems[path_text(path)] = f'{problem}{stays}'
    return lasting and not holds_faces


def _faces(
    store: Store, photos: Sequence[_Read], encoder: PhotoEncoder, inspections: _Inspections
) -> dict[bytes, tuple[list[EnrolledFace], _Inspected]]:
    """Finds and embeds the faces of the photos that are new; returned by the photo's hash."""
    inspected = {
        photo.sha256: inspections[photo.sha256].result()
        if photo.sha256 in inspections
        else _inspect(encoder.faces_of, photo.data)
        for photo in photos
        if store.photo(photo.sha256) is None
    }
    chips = [chip for photo in inspected.values() for _, chip in photo.faces]
    embedding_NxD = encoder.embed(chips)
    f_NxF = encoder.of_photos(embedding_NxD) if chips else embedding_NxD
    rows = iter(zip(embedding_NxD, f_NxF, strict=True))
    return {
        key: (
            [
                EnrolledFace(box, chip, *next(rows), wide)
                for (box, _), (chip, wide) in zip(photo.faces, photo.pictures, strict=True)
            ],
            photo,
        )
        for key, photo in inspected.items()
    }


def detect_or_explain(
    faces_of: Callable[[np.ndarray], DetectedFaces], data: bytes
) -> tuple[DetectedFaces, str | None]:
    """Returns the faces of a photo (boxes and crops, the largest first), or why there is none."""
    inspected = _inspect(faces_of, data)
    return inspected.faces, inspected.problem


def _inspect(faces_of: Callable[[np.ndarray], DetectedFaces], data: bytes) -> _Inspected:
    try:
        image_HxWx3, taken = decode_photo(data)
        faces = faces_of(image_HxWx3)
    except (ImportError, MemoryError) as error:  # of this machine, not of the photo
        return _Inspected([], error_reason(error), lasting=False)
    except (OSError, ValueError, RuntimeError) as error:
        return _Inspected([], error_reason(error))
    pictures = [
        (face_pictures.chip_picture(chips[0]), face_pictures.wide_picture(image_HxWx3, box))
        for box, chips in faces
    ]
    return _Inspected(faces, pictures=pictures, taken=taken)


def decode_photo(data: bytes) -> DecodedPhoto:
    """Decodes a photo of any kind; raises as `read_photo_content` and `heif.decode_heif` do."""
    return heif.decode_heif(data) if heif.is_heif(data) else read_photo_content(data)


def _batches(
    waiting: Sequence[tuple[PhotoFile, PhotoLabel]],
) -> Iterator[list[tuple[PhotoFile, PhotoLabel]]]:
    """Yields files to be committed together."""
    batch, size = [], 0
    for file, label in waiting:
        if batch and (len(batch) == _PHOTOS or size + file.size > _BYTES):
            yield batch
            batch, size = [], 0
        batch.append((file, label))
        size += file.size
    if batch:
        yield batch

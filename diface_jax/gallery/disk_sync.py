"""Brings a gallery's paths up to date with the disk. No model is needed.

A photo is known by its content. A path that is gone is dropped where the photo has another path
that is still there; otherwise the photo is reported as missing and keeps its faces, because its
drive may just not be mounted.
"""

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import NamedTuple

from diface_jax.gallery.address import Gallery
from diface_jax.gallery.entries import PhotoFile, path_text
from diface_jax.gallery.photo_files import error_reason, find_photo_files, stat_file
from diface_jax.gallery.row_checks import GalleryError
from diface_jax.gallery.store import Store
from diface_jax.runtime.progress_bar import ProgressBar
from diface_jax.runtime.terminal import printable

MAX_LISTED = 20  # lines of a kind in a report
_BAR_DELAY = 2  # seconds before a progress bar appears
_PRESENT, _CHANGED, _GONE, _UNREADABLE, _NOT_A_FILE = range(5)


class Recognised(NamedTuple):
    """Files whose content was looked up among the photos of a gallery.

    Attributes:
      known: files with a photo of the gallery, which they are now enrolled with.
      unknown: the others.
      unchanged: how many of the known files were enrolled with this photo before.
      copies: how many of the others hold a photo that is also elsewhere.
      moved: new paths by old ones, which are gone and were dropped.
    """

    known: list[PhotoFile]
    unknown: list[PhotoFile]
    unchanged: int
    copies: int
    moved: dict[str, str]


class GonePaths(NamedTuple):
    """Enrolled paths that are not on the disk any more.

    Attributes:
      moved: a path where the photo still is, by dropped path.
      missing: all paths of each photo that is nowhere any more, by the photo's number.
      problems: why it is not known whether a path is gone, by path.
    """

    moved: dict[str, str]
    missing: dict[int, list[str]]
    problems: dict[str, str]


@dataclasses.dataclass
class SyncReport:
    """What a synchronisation did.

    Attributes:
      moved: a path where the photo is now, by dropped path.
      copies: new paths of photos that are also where they were.
      missing: all paths of each photo that is gone; its faces stay enrolled.
      changed: paths with another photo than the one that was enrolled.
      new: how many photos of the folder are not enrolled.
      removed: how many faces of missing photos were deleted.
      problems: why a file or folder was not looked at, by path.
    """

    moved: dict[str, str] = dataclasses.field(default_factory=dict)
    copies: int = 0
    missing: list[list[str]] = dataclasses.field(default_factory=list)
    changed: list[str] = dataclasses.field(default_factory=list)
    new: int = 0
    removed: int = 0
    problems: dict[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        """The counts on a line, and a line for each path."""
        counts = {
            'paths dropped, because their photos are elsewhere now': len(self.moved),
            'copies': self.copies,
            'photos missing': len(self.missing),
            'faces of missing photos deleted': self.removed,
            'files with another photo than before (enroll their folder again)': len(self.changed),
            'photos that are not enrolled': self.new,
            'files or folders not looked at': len(self.problems),
        }
        summary = [f'{count} {what}' for what, count in counts.items() if count]
        return '\n'.join(
            [
                ', '.join(summary) or 'every path is up to date',
                *moved_lines(self.moved),
                *missing_lines(self.missing, deleted=self.removed > 0),
                *limit_lines([f'  changed: {path}' for path in self.changed]),
                *limit_lines(
                    [f'  not looked at: {path}: {why}' for path, why in self.problems.items()]
                ),
            ]
        )


def sync_gallery(
    gallery: Gallery,
    photos: pathlib.Path | None = None,
    exclude: Sequence[str] = (),
    follow_links: bool = False,
    remove_missing: bool = False,
) -> SyncReport:
    """Brings the paths of a gallery up to date with the disk.

    Args:
      gallery: its folder, or the URL of its database.
      photos: where photos may have moved to; they are recognised by their content.
      exclude: names to leave out, as in `photo_files.find_photo_files`.
      follow_links: enters folders that are linked to.
      remove_missing: deletes the photos that are gone from all their paths, for good.

    Raises:
      FileNotFoundError: there is no folder `photos`.
      GalleryError: there is no gallery, or another program has it open, which keeps deleted bytes
        on disk.
    """
    report = SyncReport()
    with Store(gallery) as store:
        enrolled = store.files().values()
        new = _new_files(store, photos, exclude, follow_links, report)
        changed = [now for file in _with_progress(enrolled) if (now := _changed_file(file))]
        sizes = {file.size for file in enrolled}
        recognised = recognise_files(store, [*changed, *new], sizes, may_replace=False)
        gone = drop_gone_paths(store)
        unknown = {file.path for file in recognised.unknown}
        report.moved = recognised.moved | gone.moved
        report.copies = recognised.copies
        report.changed = [path_text(file.path) for file in changed if file.path in unknown]
        report.new = len(unknown) - len(report.changed)
        report.missing = list(gone.missing.values())
        report.problems |= gone.problems
        if remove_missing and gone.missing:
            report.removed = _remove(store, gone.missing)
    return report


def recognise_files(
    store: Store, files: Iterable[PhotoFile], sizes: Set[int], may_replace: bool
) -> Recognised:
    """Enrols the files whose content is a photo of the gallery, all at once.

    So a photo keeps its faces when its file was replaced and it has a new path.

    Args:
      store: the gallery.
      files: new and changed files.
      sizes: of photos, in bytes; files of other sizes are not read.
      may_replace: enrols a file too where the photo that it held before has no other file, and
        would go with its faces.
    """
    files = list(files)
    hashes = {file: _sha256(file) for file in _with_progress(files) if file.size in sizes}
    moved, unchanged, copies = {}, 0, 0
    with store.changing():
        photos = _usable_photos(store, hashes)
        if not may_replace:
            photos = _without_losses(store, photos)
        for file, photo in photos.items():
            is_new = all(copy.path != file.path for copy in store.copies(photo))
            dropped = place_file(store, file, photo)
            moved.update(dropped)
            unchanged += not is_new
            copies += is_new and not dropped
        store.drop_photos_without_files()
    unknown = [file for file in files if file not in photos]
    return Recognised(list(photos), unknown, unchanged, copies, moved)


def _usable_photos(store: Store, hashes: Mapping[PhotoFile, bytes | None]) -> dict[PhotoFile, int]:
    """Returns the photo that each file holds now, for those whose photo is in the gallery."""
    photos = {file: store.photo(sha256) for file, sha256 in hashes.items() if sha256 is not None}
    return {
        file: photo
        for file, photo in photos.items()
        # A file that cannot be used any more does not replace the faces it showed.
        if photo is not None and not (store.problem(photo) and store.holds(file.path))
    }


def _without_losses(store: Store, photos: Mapping[PhotoFile, int]) -> dict[PhotoFile, int]:
    """Leaves out files until every photo of the gallery has one."""
    before, photos = store.file_photos(), dict(photos)
    while True:
        after = before | {file.path: photo for file, photo in photos.items()}
        lost = set(before.values()) - set(after.values())
        kept = {file: photo for file, photo in photos.items() if before.get(file.path) not in lost}
        if len(kept) == len(photos):
            return kept
        photos = kept


def place_file(store: Store, file: PhotoFile, photo: int) -> dict[str, str]:
    """Enrols a file with a photo of the gallery, and drops the photo's paths that are gone.

    Returns:
      The path of the file by each dropped path.
    """
    store.place(file, photo)
    others = [copy for copy in store.copies(photo) if copy.path != file.path]
    gone = [copy.path for copy in others if _state(copy) == _GONE]
    return {
        path_text(path): path_text(file.path) for path in gone if store.drop_path(path, file.path)
    }


def drop_gone_paths(store: Store, root: bytes = b'') -> GonePaths:
    """Drops each path that is gone, where its photo has another path that is there.

    Args:
      store: the gallery.
      root: only paths that start with it.
    """
    state = functools.cache(_state)
    files = [file for file in store.files().values() if file.path.startswith(root)]
    gone_files = [file for file in _with_progress(files) if state(file) == _GONE]
    gone = GonePaths({}, {}, {})
    gone.problems.update(
        {path_text(file.path): _problem(file) for file in files if state(file) == _UNREADABLE}
    )
    photos = store.file_photos()
    with store.changing():
        for file in gone_files:
            copies = store.copies(photos[file.path]) if file.path in photos else []
            states = {copy.path: state(copy) for copy in copies}
            heirs = [path for path in states if states[path] in (_PRESENT, _NOT_A_FILE)]
            if heirs and store.drop_path(file.path, heirs[0]):
                gone.moved[path_text(file.path)] = path_text(heirs[0])
            elif copies and set(states.values()) == {_GONE}:
                gone.missing[photos[file.path]] = list(map(path_text, states))
    return gone


def moved_lines(moved: dict[str, str]) -> list[str]:
    """Formats dropped paths for a report."""
    return limit_lines([f'  dropped {old}: the photo is at {path}' for old, path in moved.items()])


def missing_lines(missing: Sequence[Sequence[str]], deleted: bool = False) -> list[str]:
    """Formats the paths of missing photos for a report."""
    lines = limit_lines([f'  missing: {", also ".join(paths)}' for paths in missing])
    if lines and not deleted:
        lines.append(
            '  their faces stay enrolled (is a drive not mounted?); --mode=sync --remove_missing '
            'deletes them'
        )
    return lines


def limit_lines(lines: Sequence[str]) -> list[str]:
    """Returns the first lines, and a line that says how many more there are."""
    lines, more = list(map(printable, lines)), len(lines) - MAX_LISTED
    return [
        *lines[:MAX_LISTED],
        *([f'  ... and {more} more (--json lists all)'] if more > 0 else []),
    ]


def _new_files(
    store: Store,
    photos: pathlib.Path | None,
    exclude: Sequence[str],
    follow_links: bool,
    report: SyncReport,
) -> list[PhotoFile]:
    """Returns the photos of a folder that are not enrolled."""
    if photos is None:
        return []
    listing, known, files = find_photo_files(photos, exclude, follow_links), store.files(), []
    report.problems |= listing.problems
    for path in listing.paths:
        if path not in known:
            try:
                files.append(stat_file(path))
            except (OSError, ValueError) as error:
                report.problems[path_text(path)] = error_reason(error)
    return files


def _remove(store: Store, photos: Iterable[int]) -> int:
    with store.changing():
        removed = store.remove_photos(photos)
    if why := store.forget():
        raise GalleryError(f'{removed} faces were deleted, but {why}')
    return removed


def _changed_file(file: PhotoFile) -> PhotoFile | None:
    """The file as it is now, if it differs from when it was enrolled."""
    try:
        now = stat_file(file.path)
    except (OSError, ValueError):
        return None
    return now if now != file else None


def _state(file: PhotoFile) -> int:
    # Photos that were dropped on the page are named, but were never files.
    if not os.path.isabs(file.path):
        return _NOT_A_FILE
    try:
        return _PRESENT if stat_file(file.path) == file else _CHANGED
    except (FileNotFoundError, NotADirectoryError):
        return _GONE
    except ValueError:  # something else has its name now
        return _GONE
    except OSError:
        return _UNREADABLE


def _problem(file: PhotoFile) -> str:
    try:
        stat_file(file.path)
    except (OSError, ValueError) as error:
        return error_reason(error)
    return 'could not be read a moment ago'


def _sha256(file: PhotoFile) -> bytes | None:
    """The hash of a file's content; None where it cannot be read."""
    try:
        with open(file.path, 'rb') as opened:
            return hashlib.file_digest(opened, 'sha256').digest()
    except OSError:
        return None


def _with_progress(files: Iterable[PhotoFile]) -> Iterable[PhotoFile]:
    """Files behind a progress bar, where it takes long."""
    return ProgressBar(list(files), desc='look for files', unit='file', delay=_BAR_DELAY)

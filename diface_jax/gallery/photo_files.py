"""Finds the photographs below a folder. Hidden files, thumbnails and trash are left out."""

import collections
import fnmatch
import os
import pathlib
import re
import stat
from collections.abc import Callable, Iterable
from typing import NamedTuple

from diface_jax.gallery.entries import PhotoFile, path_text

SUFFIXES = frozenset(
    (
        *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.avif', '.heic', '.heif'),
        *('.tif', '.tiff', '.bmp', '.gif'),
    )
)
# Names of files and folders, whatever their case.
EXCLUDED = (
    '.*',  # hidden, and with them .thumbnails, .Trash-1000 and macOS's ._ files
    *('@eaDir', '#recycle', '#snapshot', '@Recycle', '@Recently-Snapshot'),  # of NAS systems
    *('Thumbs', 'thumbnails'),
    *('$RECYCLE.BIN', 'System Volume Information', 'lost+found', '__MACOSX'),
)


class PhotoFiles(NamedTuple):
    """The photos below a folder.

    Attributes:
      paths: of the photos, in order.
      ignored: number of files that are not named like photos, by suffix.
      excluded: number of photos and folders that were left out by name, by pattern.
      links: links to folders that were not followed.
      problems: why a folder cannot be read, by path.
    """

    paths: list[bytes]
    ignored: dict[str, int]
    excluded: dict[str, int]
    links: list[str]
    problems: dict[str, str]


def find_photo_files(
    photos: pathlib.Path, exclude: Iterable[str] = (), follow_links: bool = False
) -> PhotoFiles:
    """Finds the photos below a folder, or the one photo that is given.

    Args:
      photos: a folder, however deep, or a file. It is searched whatever its own name is.
      exclude: patterns (`*` and `?`) in addition to EXCLUDED, for names of files and folders; with
        a `/`, for their paths below `photos`. Upper and lower case are the same.
      follow_links: enters folders that are linked to, each folder once.

    Raises:
      FileNotFoundError: there is no such folder or file.
    """
    if photos.is_file():
        return PhotoFiles([os.fsencode(photos.resolve())], {}, {}, [], {})
    if not photos.is_dir():
        raise FileNotFoundError(f'no folder or file of photographs: {photos}')
    walk = _Walk(os.fsencode(photos.resolve()), (*EXCLUDED, *exclude), follow_links)
    return walk.run()


def stat_file(path: bytes | pathlib.Path) -> PhotoFile:
    """The size and modification time of a file.

    Raises:
      OSError: it cannot be read.
      ValueError: it is not a regular file (reading a pipe would wait for ever).
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError('not a regular file')
    return PhotoFile(os.fsencode(path), status.st_size, status.st_mtime_ns)


def error_reason(error: Exception) -> str:
    """Why a file cannot be used, in one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ' '.join(text.split()) or type(error).__name__


class _Walk:
    """A walk through a folder and, where links are followed, through the folders they lead to."""

    def __init__(self, root: bytes, exclude: Iterable[str], follow_links: bool) -> None:
        self._root, self._follow_links = root, follow_links
        self._exclude = [(pattern, _matcher(pattern)) for pattern in exclude]
        self._paths, self._problems = [], {}
        self._ignored, self._excluded = collections.Counter(), collections.Counter()
        self._visited: set[tuple[int, int]] = set()

    def run(self) -> PhotoFiles:
        links = self._walk(self._root)
        if self._follow_links:
            # Real folders come first, so that a photo's path is the one without a link.
            for link in links:
                links += self._walk(link)
        unfollowed = [] if self._follow_links else sorted(map(path_text, links))
        counts = dict(self._ignored), dict(self._excluded)
        return PhotoFiles(sorted(self._paths), *counts, unfollowed, self._problems)

    def _walk(self, top: bytes) -> list[bytes]:
        """Collects the photos below a folder; returns the links to folders in it."""
        links = []
        for folder, folders, files in os.walk(top, onerror=self._report):
            if self._follow_links and self._is_visited(folder):
                folders.clear()
                continue
            folders[:] = sorted(name for name in folders if not self._is_excluded(folder, name))
            links += [
                path for name in folders if os.path.islink(path := os.path.join(folder, name))
            ]
            for name in files:
                self._add(folder, name)
        return links

    def _add(self, folder: bytes, name: bytes) -> None:
        suffix = path_text(os.path.splitext(name)[1].lower())
        if suffix not in SUFFIXES:
            self._ignored[suffix or '(none)'] += 1
        elif not self._is_excluded(folder, name):
            self._paths.append(os.path.join(folder, name))

    def _is_excluded(self, folder: bytes, name: bytes) -> bool:
        path = os.path.relpath(os.path.join(folder, name), self._root)
        for pattern, matches in self._exclude:
            if matches(path_text(path if '/' in pattern else name)):
                self._excluded[pattern] += 1
                return True
        return False

    def _is_visited(self, folder: bytes) -> bool:
        """Whether this folder was walked through before, under whatever path."""
        try:
            status = os.stat(folder)
        except OSError as error:  # it has just gone
            self._report(error)
            return True
        folder_id = status.st_dev, status.st_ino
        if folder_id in self._visited:
            return True
        self._visited.add(folder_id)
        return False

    def _report(self, error: OSError) -> None:
        self._problems[path_text(os.fsencode(error.filename))] = f'folder: {error_reason(error)}'


def _matcher(pattern: str) -> Callable[[str], object]:
    # Brackets stand for themselves.
    return re.compile(fnmatch.translate(pattern.replace('[', '[[]')), re.IGNORECASE).match

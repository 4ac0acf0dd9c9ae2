"""Reads a folder per person, with or without captions.

    ROOT/PERSON/anything.jpg   the folder's name is the identity; folders in it may be nested
    ROOT/captions.jsonl        (optional) {"file": "PERSON/anything.jpg", "caption"} a line
    ROOT/captions.csv          (optional) the same under the header file,caption
    ROOT/metadata.jsonl, .csv  (optional) the same as {"file_name", "text"}

The people and the captions may also lie in ROOT/train/, ROOT/validation/ and ROOT/test/: then these
are the splits. Captions count as free-hand sentences, the human track.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator

from diface_jax.data.readers.layouts import SUFFIXES, describe_copy
from diface_jax.data.readers.records import (
    SPLIT_NAMES,
    DataSet,
    Photo,
    Problem,
    check_identities,
    is_unicode,
    read_file,
    split_of,
)
from diface_jax.data.readers.sentences import read_sentences
from diface_jax.runtime.settings import check_shares

CAPTIONS = ('captions.jsonl', 'captions.csv', 'metadata.jsonl', 'metadata.csv')

# Folders that programs put beside photographs: thumbnails, deleted files and copies.
_NOT_PHOTOS = frozenset({'@eadir', '__macosx', '#recycle', '$recycle.bin', 'lost+found'})


def read_folder(
    root: pathlib.Path, shares: tuple[float, float, float] = (0.8, 0.1, 0.1), seed: int = 0
) -> DataSet:
    """Reads a folder per person; images are read later, when asked for.

    Args:
      root: the folder of the layout above.
      shares: of identities for train, validation and test, drawn by a seeded hash of the name;
        (0, 0, 1) puts everybody into test. Not used where folders name the splits.
      seed: of the split.

    Returns:
      The photos; a file that is not an image, and a caption that cannot be used, is a problem.

    Raises:
      FileNotFoundError: there is no photo in any person's folder.
      ValueError: `shares` are not three that add up to 1, a CSV file lacks the columns, or a
        person is in two splits.
    """
    root = pathlib.Path(root)
    check_shares(shares)
    photos, problems = [], []
    for folder, split in _split_folders(root).items():
        identities, bad_files = find_photos(folder)
        captions, bad_lines = _read_captions(folder, identities)
        prefix = '' if folder == root else f'{folder.name}/'
        problems += (
            dataclasses.replace(problem, file=prefix + problem.file)
            for problem in (*bad_files, *bad_lines)
        )
        photos += (
            Photo(
                prefix + file,
                person,
                split or split_of(person, shares, seed),
                None,
                captions.get(file, ()),
            )
            for file, person in identities.items()
        )
    check_identities(photos)
    return DataSet('folder', tuple(photos), tuple(problems), functools.partial(read_file, root))


def _split_folders(root: pathlib.Path) -> dict[pathlib.Path, str | None]:
    """The folders that contain people, and the split that each is named after, or None."""
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and path.name[0] != '.']
    names = [folder.name.lower() for folder in folders]
    if names and all(name in SPLIT_NAMES and not name.isdigit() for name in names):
        return {folder: SPLIT_NAMES[folder.name.lower()] for folder in folders}
    return {root: None}


def _read_captions(
    folder: pathlib.Path, photos: dict[str, str]
) -> tuple[dict[str, tuple[str, ...]], list[Problem]]:
    captions: dict[str, tuple[str, ...]] = {}
    problems = []
    for name in CAPTIONS:
        sentences, bad_lines = read_sentences(folder / name, photos)
        problems += bad_lines
        for file, texts in sentences.items():
            captions[file] = captions.get(file, ()) + texts
    return captions, problems


def find_photos(root: pathlib.Path) -> tuple[dict[str, str], list[Problem]]:
    """The photos in the folders of people.

    Args:
      root: contains a folder per person.

    Returns:
      The identity of each photo by its path relative to `root`, sorted by path; and a problem for
      each file or folder that is left out.

    Raises:
      FileNotFoundError: there is no photo in a person's folder.
    """
    identities: dict[str, str] = {}
    problems = []
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if not entry.is_dir():
            if pathlib.Path(entry.name).suffix.lower() in SUFFIXES:
                problems.append(Problem(entry.name, "left out: it is in no person's folder"))
        elif root.resolve().is_relative_to(pathlib.Path(entry.path).resolve()):
            problems.append(Problem(entry.name, 'left out: a link to a folder above it'))
        else:
            for file, reason in _walk(pathlib.Path(entry.path), entry.name):
                if reason:
                    problems.append(Problem(file, reason))
                else:
                    identities[file] = entry.name
    if not identities:
        raise FileNotFoundError(
            f'no photo in {root}: expected {root}/PERSON/PHOTO.jpg, a folder per person, with '
            f'suffixes {", ".join(sorted(SUFFIXES))}.{describe_copy(root)}'
        )
    return dict(sorted(identities.items())), problems


def _walk(folder: pathlib.Path, name: str) -> Iterator[tuple[str, str | None]]:
    """Each file below a folder called `name`, and why it is left out; None if it is kept."""
    if folder.name.lower() in _NOT_PHOTOS:
        yield name, 'left out: a folder of thumbnails or deleted files'
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield name, f'left out: cannot be read: {error.strerror}'
        return
    for entry in entries:
        file = f'{name}/{entry.name}'
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, file)
        else:
            yield file, _reason_not_a_photo(entry, file)


def _reason_not_a_photo(entry: os.DirEntry, file: str) -> str | None:
    """Why a file is not used as a photo; None if it is."""
    if pathlib.PurePath(entry.name).suffix.lower() not in SUFFIXES:
        return 'a link to a folder' if os.path.isdir(entry.path) else 'not an image, by its suffix'
    if any(part.startswith('.') for part in file.split('/')):
        return 'hidden'
    if not is_unicode(file):
        return 'its name is not UTF-8: rename it'
    return None if os.path.isfile(entry.path) else 'not a file, or a link to nothing'

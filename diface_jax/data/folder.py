"""A plain folder per person, with captions beside them or none.

    ROOT/PERSON/anything.jpg   the folder's name is the identity; folders in it may be nested
    ROOT/captions.jsonl        (may be absent) {"file": "PERSON/anything.jpg", "caption"} a line
    ROOT/captions.csv          (may be absent) the same under the header file,caption

Captions are what people wrote: the human track.
"""

import functools
import os
import pathlib

from diface_jax.data.records import (
    DataSet,
    Photo,
    Problem,
    check_shares,
    read_file,
    split_of,
)
from diface_jax.data.sentences import read_sentences

SUFFIXES = frozenset({'.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'})
CAPTIONS = ('captions.jsonl', 'captions.csv')


def read_folder(
    root: pathlib.Path, shares: tuple[float, float, float] = (0.8, 0.1, 0.1), seed: int = 0
) -> DataSet:
    """Reads a folder per person; images are read when asked for.

    Args:
      root: the folder of the layout above.
      shares: of identities for train, validation and test, drawn by a seeded hash of the name;
        (0, 0, 1) makes all of it test.
      seed: of that draw.

    Returns:
      The photos; a file that is not an image, and a caption that cannot be used, is a problem.

    Raises:
      FileNotFoundError: there is no photo in any person's folder.
      ValueError: `shares` are none, or captions.csv has no such columns.
    """
    root = pathlib.Path(root)
    check_shares(shares)
    identities, problems = find_photos(root)
    captions: dict[str, tuple[str, ...]] = {}
    for name in CAPTIONS:
        sentences, bad_lines = read_sentences(root / name, identities)
        problems += bad_lines
        for file, said in sentences.items():
            captions[file] = captions.get(file, ()) + said
    photos = tuple(
        Photo(file, who, split_of(who, shares, seed), None, captions.get(file, ()))
        for file, who in identities.items()
    )
    return DataSet('folder', photos, tuple(problems), functools.partial(read_file, root))


def find_photos(root: pathlib.Path) -> tuple[dict[str, str], list[Problem]]:
    """The photos in folders of persons.

    Args:
      root: holds a folder a person.

    Returns:
      The identity of each photo by its path relative to `root`, sorted by path; and a problem for
      each file in these folders that is hidden or has no image's suffix.

    Raises:
      FileNotFoundError: there is none.
    """
    identities, problems = {}, []
    # Not by walking from the root, which would not follow links to persons' folders.
    people = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    for person in people:
        for folder, _, names in os.walk(root / person):
            for name in names:
                path = (pathlib.Path(folder) / name).relative_to(root)
                if path.suffix.lower() not in SUFFIXES:
                    problems.append(Problem(path.as_posix(), 'not an image, by its suffix'))
                elif any(part.startswith('.') for part in path.parts):
                    problems.append(Problem(path.as_posix(), 'hidden'))
                else:
                    identities[path.as_posix()] = person
    if not identities:
        raise FileNotFoundError(
            f'no photo in {root}: expected {root}/PERSON/PHOTO.jpg, a folder per person, with '
            f'suffixes {", ".join(sorted(SUFFIXES))}'
        )
    return dict(sorted(identities.items())), problems

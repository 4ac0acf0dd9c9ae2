"""Selects the photos of a data set, and gives each its split, by a list of `file,split`.

The lists of the photos that this project's results were measured on ship with it: `celeba` and
`lfw` (data/splits/). So the official archives give the same splits.
"""

import dataclasses
import pathlib

from diface_jax.data.readers.label_lists import FILE_COLUMNS, numbered_rows
from diface_jax.data.readers.records import (
    SPLIT_NAMES,
    DataSet,
    Problem,
    check_identities,
)

_SHIPPED = pathlib.Path(__file__).parents[1] / 'splits'


def apply_split_file(data_set: DataSet, split_file: str) -> DataSet:
    """The listed photos of a data set, in the splits that the list gives them.

    Args:
      data_set: from a reader.
      split_file: `celeba` or `lfw`, a list that ships with the project; or the path of a CSV file
        with the header `file,split`. A file is named by its path below the data set's root, or by
        its name alone.

    Returns:
      The data set. Listed photos that it lacks, and photos that are not listed, are problems.

    Raises:
      FileNotFoundError: there is no such list.
      ValueError: a line of the list is malformed or repeated, no listed photo is in the data set,
        or an identity gets two splits.
    """
    path = _find(split_file)
    split_by_name = _read(path)
    photos, listed = [], set()
    for photo in data_set.photos:
        for name in (photo.file, photo.file.rpartition('/')[2]):
            if name in split_by_name:
                photos.append(dataclasses.replace(photo, split=split_by_name[name]))
                listed.add(name)
                break
    if not photos:
        raise ValueError(f'{path}: no photo of the data set {data_set.name} is listed')
    check_identities(photos)
    problems = _problems(
        path, len(data_set.photos) - len(photos), sorted({*split_by_name} - listed)
    )
    return dataclasses.replace(
        data_set, photos=tuple(photos), problems=(*data_set.problems, *problems)
    )


def _find(split_file: str) -> pathlib.Path:
    shipped = _SHIPPED / f'{split_file}.csv'
    path = shipped if shipped.is_file() else pathlib.Path(split_file)
    if not path.is_file():
        names = ', '.join(sorted(file.stem for file in _SHIPPED.glob('*.csv')))
        raise FileNotFoundError(f'no split file {split_file}: give the path of one, or {names}')
    return path


def _read(path: pathlib.Path) -> dict[str, str]:
    """The split of each listed name."""
    split_by_name: dict[str, str] = {}
    rows = numbered_rows(path)
    _, header = next(rows, (1, []))
    if len(header) != 2 or header[0].strip().lower() not in FILE_COLUMNS:
        raise ValueError(f'{path}: the first line must be file,split')
    for number, row in rows:
        if len(row) != 2 or row[1].strip().lower() not in SPLIT_NAMES:
            raise ValueError(f'{path} line {number}: expected FILE,train (or validation, or test)')
        if row[0] in split_by_name:
            raise ValueError(f'{path} line {number}: {row[0]} is listed twice')
        split_by_name[row[0]] = SPLIT_NAMES[row[1].strip().lower()]
    return split_by_name


def _problems(path: pathlib.Path, num_unlisted: int, missing: list[str]) -> list[Problem]:
    problems = []
    if num_unlisted:
        reason = f'{num_unlisted} photos of the data set are not listed, and left out'
        problems.append(Problem(path.name, reason, 'list'))
    if missing:
        reason = f'{len(missing)} listed photos are not in the data set, such as {missing[0]}'
        problems.append(Problem(path.name, reason, 'list'))
    return problems

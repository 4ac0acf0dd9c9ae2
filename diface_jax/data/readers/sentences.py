"""Reads free-hand sentences about photos from JSON lines or a CSV file."""

import json
import pathlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from diface_jax.data.readers.label_lists import (
    FILE_COLUMNS,
    PhotoNames,
    csv_rows,
    find_delimiter,
    open_text,
)
from diface_jax.data.readers.records import Problem, is_unicode

# Sentences that come with the project; free_hand/DATA_CARD.md describes them.
FREE_HAND = pathlib.Path(__file__).parents[1] / 'free_hand'
# Names of the field that holds the sentence.
SENTENCE = ('description', 'caption', 'text', 'sentence')


def read_sentences(
    path: pathlib.Path, photos: Collection[str] | None = None
) -> tuple[dict[str, tuple[str, ...]], list[Problem]]:
    """Reads a file of sentences; a missing file has none.

    Args:
      path: of lines `{"file": ..., "description": ...}`, or, when it ends in .csv, of rows under a
        header with these names. All names of FILE_COLUMNS, and of SENTENCE, are equivalent.
      photos: the names that "file" may have; None accepts any.

    Returns:
      The sentences of each photo that has any, and a problem for each line that cannot be used.
      Commas in a CSV file's last column belong to the sentence, with or without quotes.

    Raises:
      ValueError: a CSV file lacks the columns.
    """
    sentences: dict[str, tuple[str, ...]] = {}
    problems = []
    if not path.is_file():
        return sentences, problems
    names = None if photos is None else PhotoNames(photos)
    for number, row in _csv_rows(path) if path.suffix == '.csv' else _json_rows(path):
        try:
            name, sentence = _check(row)
        except ValueError as error:
            problems.append(Problem(path.name, f'line {number}: {error}', 'captions'))
            continue
        file = name if names is None else names.find(name)
        if file is None:
            reason = f'{path.name} line {number}: not a photo that was read'
            problems.append(Problem(name, reason, 'captions'))
        else:
            sentences[file] = (*sentences.get(file, ()), sentence)
    return sentences, problems


def own_or_shipped(
    own: pathlib.Path | None, photos: Collection[str], shipped: pathlib.Path
) -> tuple[dict[str, tuple[str, ...]], list[Problem]]:
    """The sentences of a data set's own file, or else those that come with the project.

    Args:
      own: file of the data set; None where it has none.
      photos: names of the data set's photos.
      shipped: file that comes with the project. It may describe photos that the data set lacks.

    Returns:
      As `read_sentences`.
    """
    return read_sentences(own, photos) if own else read_sentences(shipped)


def _json_rows(path: pathlib.Path) -> Iterator[tuple[int, Any]]:
    with open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except (ValueError, RecursionError):
                    yield number, None


def _csv_rows(path: pathlib.Path) -> Iterator[tuple[int, Any]]:
    delimiter = find_delimiter(path) or ','
    with open_text(path) as lines:
        rows = csv_rows(lines, delimiter)
        _, header = next(rows, (1, []))
        columns = [] if isinstance(header, str) else [name.strip().lower() for name in header]
        if not set(FILE_COLUMNS) & set(columns) or not set(SENTENCE) & set(columns):
            raise ValueError(f'{path}: the first line must name the columns file,caption')
        for number, row in rows:
            if row:
                yield number, row if isinstance(row, str) else _named(columns, row, delimiter)


def _named(columns: Sequence[str], row: Sequence[str], delimiter: str) -> dict[str, str] | str:
    """The fields by column; or the reason why a row with too many fields cannot be read."""
    if len(row) > len(columns):
        if columns[-1] not in SENTENCE:
            return (
                f'{len(row)} fields under a header of {len(columns)}: put a sentence with commas '
                'into quotes'
            )
        last = len(columns) - 1
        row = [*row[:last], delimiter.join(row[last:])]
    return dict(zip(columns, row, strict=False))


def _check(row: Any) -> tuple[str, str]:
    """A row's file and sentence; a `row` that is a string is the reason why it cannot be read."""
    if isinstance(row, str):
        raise ValueError(row)
    if not isinstance(row, dict):
        raise ValueError('not a JSON object {"file": ..., "description": ...}')
    file, sentence = (
        next((row[name] for name in names if name in row), None)
        for names in (FILE_COLUMNS, SENTENCE)
    )
    if not isinstance(file, str) or not isinstance(sentence, str):
        raise ValueError(f'"file" and "{SENTENCE[0]}" (or "{SENTENCE[1]}") must both be text')
    if not sentence.strip():
        raise ValueError(f'no sentence about {file}')
    if '\ufffd' in file + sentence or not is_unicode(file + sentence):
        raise ValueError('not UTF-8')
    return file, ' '.join(sentence.split())

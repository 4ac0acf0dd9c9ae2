"""Free-hand sentences about photos, from a file of JSON lines or a CSV file."""

import csv
import json
import pathlib
from collections.abc import Collection, Iterator
from typing import Any

from diface_jax.data.records import Problem

# Names of the field that holds the sentence.
SENTENCE = ('description', 'caption')


def read_sentences(
    path: pathlib.Path, photos: Collection[str] | None = None
) -> tuple[dict[str, tuple[str, ...]], list[Problem]]:
    """Reads a file of sentences, if there is one.

    Args:
      path: of lines `{"file": ..., "description": ...}` (or `"caption"`), or, when it ends in .csv,
        of rows under a header with these names.
      photos: the names that "file" may have; any when not given.

    Returns:
      Sentences of each photo that has some, and a problem for each line that cannot be used.

    Raises:
      ValueError: a CSV file without the columns.
    """
    sentences: dict[str, tuple[str, ...]] = {}
    problems = []
    if not path.is_file():
        return sentences, problems
    for number, row in _csv_rows(path) if path.suffix == '.csv' else _json_rows(path):
        try:
            file, sentence = _check(row)
        except ValueError as error:
            problems.append(Problem(path.name, f'line {number}: {error}'))
            continue
        if photos is None or file in photos:
            sentences[file] = (*sentences.get(file, ()), sentence)
        else:
            problems.append(Problem(file, f'{path.name} line {number}: not a photo that was read'))
    return sentences, problems


def _json_rows(path: pathlib.Path) -> Iterator[tuple[int, Any]]:
    with path.open(encoding='utf-8-sig', errors='replace') as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except json.JSONDecodeError:
                    yield number, None


def _csv_rows(path: pathlib.Path) -> Iterator[tuple[int, Any]]:
    with path.open(encoding='utf-8-sig', errors='replace', newline='') as lines:
        rows = csv.DictReader(lines)
        columns = rows.fieldnames or []
        if 'file' not in columns or not set(SENTENCE) & set(columns):
            raise ValueError(f'{path}: the first line must name the columns file,caption')
        for row in rows:
            yield rows.line_num, row


def _check(row: Any) -> tuple[str, str]:
    if not isinstance(row, dict):
        raise ValueError('not a JSON object {"file": ..., "description": ...}')
    file, sentence = row.get('file'), next((row[k] for k in SENTENCE if k in row), None)
    if not isinstance(file, str) or not isinstance(sentence, str):
        raise ValueError(f'"file" and "{SENTENCE[0]}" (or "{SENTENCE[1]}") must both be text')
    if not sentence.strip():
        raise ValueError(f'nothing is said of {file}')
    if '\ufffd' in file + sentence:
        raise ValueError('not UTF-8')
    return file, sentence.strip()

"""Reads lists with a line for each photo; a line that cannot be read gets a reason."""

import csv
import dataclasses
import itertools
import pathlib
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Generic, TextIO, TypeVar

Value = TypeVar('Value')

# Names of the column that holds the photo's file, in lower case.
FILE_COLUMNS = ('file', 'file_name', 'filename', 'image', 'image_id')


@dataclasses.dataclass(frozen=True)
class PhotoList(Generic[Value]):
    """A list as read.

    Attributes:
      name: of the list's file, for messages.
      values: by photo.
      unreadable: by photo, the reason why it has no value.
    """

    name: str
    values: dict[str, Value]
    unreadable: dict[str, str]

    def files(self) -> set[str]:
        """Every photo that the list names, readable or not."""
        return self.values.keys() | self.unreadable.keys()

    def reason_missing(self, file: str) -> str | None:
        """The reason why a photo has no value; None if it has one."""
        if file in self.values:
            return None
        return self.unreadable.get(file, f'not in {self.name}')


class PhotoNames:
    """Finds the photo that a name in a list refers to.

    Names match up to Unicode normalisation, `\\` for `/`, a leading `./` and white space around
    them; a photo of exactly that name comes first.
    """

    def __init__(self, files: Collection[str]) -> None:
        self._files = frozenset(files)
        self._by_form: dict[str, str | None] = {}
        for file in files:
            form = _plain_form(file)
            # None where two photos have the same form: the name is ambiguous.
            self._by_form[form] = None if form in self._by_form else file

    def find(self, name: str) -> str | None:
        """The photo's file, or None where there is no such photo."""
        return name if name in self._files else self._by_form.get(_plain_form(name))


def _plain_form(name: str) -> str:
    return unicodedata.normalize('NFC', name).replace('\\', '/').strip().removeprefix('./')


def open_text(path: pathlib.Path) -> TextIO:
    """Opens a list: UTF-8 or UTF-16, with or without a byte order mark.

    Bytes that are not UTF-8 become surrogates, as they do in the names of files on disk.
    """
    with path.open('rb') as start:
        utf16 = start.read(2) in (b'\xff\xfe', b'\xfe\xff')
    if utf16:
        return path.open(encoding='utf-16', errors='replace', newline='')
    return path.open(encoding='utf-8-sig', errors='surrogateescape', newline='')


def find_delimiter(path: pathlib.Path) -> str | None:
    """The comma, tab or semicolon of the first three lines; None where white space separates."""
    with open_text(path) as lines:
        for line in itertools.islice(lines, 3):
            if delimiters := [delimiter for delimiter in '\t,;' if delimiter in line]:
                return max(delimiters, key=line.count)
    return None


def csv_rows(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """The rows of a CSV file.

    Args:
      lines: of the file, with their line ends.
      delimiter: between fields.

    Returns:
      For each row the number of its first line, and its fields, or the reason why it cannot be
      read.
    """
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        first_line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            several = f' (up to line {rows.line_num})' if rows.line_num > first_line else ''
            yield first_line, f'cannot be read{several}, check its quotes: {error}'
        else:
            yield first_line, row


def numbered_rows(path: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
    """The fields of each line that is not empty, with its number.

    Args:
      path: of a list whose fields are separated by white space, commas, tabs or semicolons.

    Raises:
      ValueError: the quotes of a line are not closed.
    """
    delimiter = find_delimiter(path)
    with open_text(path) as lines:
        if delimiter is None:
            yield from ((n, row) for n, line in enumerate(lines, 1) if (row := line.split()))
            return
        for number, row in csv_rows(lines, delimiter):
            if isinstance(row, str):
                raise ValueError(f'{path} line {number} {row}')
            if any(field.strip() for field in row):
                yield number, [row[0], *(field.strip() for field in row[1:])]


def read_list(
    name: str,
    rows: Iterable[tuple[int, Sequence[str]]],
    parse: Callable[[Sequence[str]], Value],
    names: PhotoNames,
    width: int,
) -> PhotoList[Value]:
    """Reads rows of a photo's file name and its values.

    Args:
      name: of the list, for messages.
      rows: the number of each line and its fields, the photo's file name first.
      parse: the fields after the name to a value; raises ValueError when they are malformed.
      names: the photos on disk; a name that is not among them is kept as it is in the list.
      width: number of values of a photo. The first fields of a longer line are joined if that
        gives the name of a photo, which may contain white space or commas.

    Returns:
      Values by photo; a photo with a malformed line, or with two lines that differ, has none.
    """
    values: dict[str, Value] = {}
    unreadable: dict[str, str] = {}
    for number, row in rows:
        file, fields = _split_name(row, names, width)
        try:
            value = parse(fields)
            if values.setdefault(file, value) != value:
                raise ValueError('differs from an earlier line about the same photo')
        except ValueError as error:
            unreadable.setdefault(file, f'{name} line {number}: {error}')
    for file in unreadable:
        values.pop(file, None)
    return PhotoList(name, values, unreadable)


def _split_name(row: Sequence[str], names: PhotoNames, width: int) -> tuple[str, Sequence[str]]:
    """The photo's name and the fields after it."""
    parts = len(row) - width
    if parts > 1:
        for separator in ' ,':
            if file := names.find(separator.join(row[:parts])):
                return file, row[parts:]
    return names.find(row[0]) or row[0], row[1:]


def parse_labels(
    fields: Sequence[str], attributes: Sequence[str], meaning: dict[str, bool]
) -> dict[str, bool]:
    """The labels of a line.

    Args:
      fields: one for each attribute.
      attributes: their names.
      meaning: the allowed fields, and whether each means true.

    Returns:
      Attribute to true or false.

    Raises:
      ValueError: too few or too many fields, or a field that is not in `meaning`.
    """
    if len(fields) != len(attributes):
        raise ValueError(f'{len(fields)} labels, expected {len(attributes)}')
    if unknown := sorted(set(fields) - meaning.keys()):
        raise ValueError(f'labels are {" or ".join(meaning)}, found {unknown[0]!r}')
    return {name: meaning[field] for name, field in zip(attributes, fields, strict=True)}


class LabelParser:
    """Parses the labels of a list that writes 1 for true, and either -1 or 0 for false.

    The first line with -1 or 0 decides; the other one is then an error, as it may mean "unknown".
    """

    def __init__(self, attributes: Sequence[str]) -> None:
        self._attributes = attributes
        self._false: str | None = None

    def __call__(self, fields: Sequence[str]) -> dict[str, bool]:
        """Attribute to true or false; ValueError as for `parse_labels`."""
        false = self._false or next((field for field in fields if field in ('-1', '0')), '-1')
        labels = parse_labels(fields, self._attributes, {'1': True, false: False})
        if self._false is None and false in fields:
            self._false = false
        return labels


def check_attributes(path: pathlib.Path, attributes: Sequence[str]) -> None:
    """Makes sure that a header names each attribute once.

    Raises:
      ValueError: a name is empty or a duplicate.
    """
    for name in attributes:
        if not name or attributes.count(name) > 1:
            raise ValueError(
                f'{path}: attribute {name[:50]!r} of the header is empty or there twice'
            )

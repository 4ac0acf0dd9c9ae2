"""Lists with a line a photo: what each says, and why a line cannot be read."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

Value = TypeVar('Value')


@dataclasses.dataclass(frozen=True)
class PhotoList(Generic[Value]):
    """A list as read: a value for each photo, or why there is none."""

    name: str
    values: dict[str, Value]
    unreadable: dict[str, str]

    def files(self) -> set[str]:
        """Every photo that the list names, readable or not."""
        return self.values.keys() | self.unreadable.keys()

    def why_not(self, file: str) -> str | None:
        """Why there is no value for a photo; None when there is one."""
        if file in self.values:
            return None
        return self.unreadable.get(file, f'not in {self.name}')


def read_list(
    name: str,
    rows: Iterable[Sequence[str]],
    first_line: int,
    parse: Callable[[Sequence[str]], Value],
) -> PhotoList[Value]:
    """Reads rows of a photo's file name and its values.

    Args:
      name: of the list, for messages.
      rows: the fields of each line, the photo's file name first; empty ones are passed over.
      first_line: number of the first row's line.
      parse: the fields after the name to a value; raises ValueError when they are malformed.

    Returns:
      Values by photo; a photo with a malformed line, or with two that differ, has none.
    """
    values: dict[str, Value] = {}
    unreadable: dict[str, str] = {}
    for number, row in enumerate(rows, first_line):
        if not row:
            continue
        file, *fields = row
        try:
            value = parse(fields)
            if values.setdefault(file, value) != value:
                raise ValueError('says something else than an earlier line')
        except ValueError as error:
            unreadable.setdefault(file, f'{name} line {number}: {error}')
    for file in unreadable:
        values.pop(file, None)
    return PhotoList(name, values, unreadable)


def parse_labels(
    fields: Sequence[str], attributes: Sequence[str], meaning: dict[str, bool]
) -> dict[str, bool]:
    """The labels of a line.

    Args:
      fields: one for each attribute.
      attributes: their names.
      meaning: what a field may say, and whether that is true.

    Returns:
      Attribute to true or false.

    Raises:
      ValueError: too few or too many fields, or one that says nothing known.
    """
    if len(fields) != len(attributes):
        raise ValueError(f'{len(fields)} labels, expected {len(attributes)}')
    if unknown := sorted(set(fields) - meaning.keys()):
        raise ValueError(f'labels are {" or ".join(meaning)}, found {unknown[0]!r}')
    return {name: meaning[field] for name, field in zip(attributes, fields, strict=True)}

"""A condition as SQL, and what the two databases write differently in it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

# Rows of a query with values, one by one.
Each = Callable[[str, Sequence[Any]], Iterator[tuple]]


class SqlCondition(NamedTuple):
    """A condition or a query: SQL with `?`, and the values."""

    sql: str
    values: tuple[Any, ...]


class Meant(NamedTuple):
    """A condition, and what it means in a gallery.

    Attributes:
      name: of what it is about.
      pattern: with `*` and `?`.
      is_exact: whether the pattern means only itself: it has no `*` and `?`, or is a value of the
        gallery.
      odd: `odd_values` of the dialect.
    """

    name: str
    pattern: str
    is_exact: bool
    odd: tuple[str, ...]


class Dialect(Protocol):
    """How a database compares what a gallery holds with conditions.

    Attributes:
      path: the column with a file's path.
      folder: SQL for the name of the folder that a file is in.
    """

    path: str
    folder: str

    def odd_values(self, each: Each, name: str, pattern: str) -> tuple[str, ...]:
        """Values that may fit by the way in which they are printed, where SQL cannot tell.

        Args:
          each: of the database.
          name: of what the condition is about.
          pattern: with `*` and `?`.
        """

    def fits(self, column: str, test: Meant) -> SqlCondition:
        """Whether a column fits."""

    def tag_fits(self, test: Meant) -> SqlCondition:
        """Whether a tag of the table `entry` fits."""

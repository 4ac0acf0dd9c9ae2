"""What a gallery needs of its database, whether that is a file in a folder or a server."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from diface_jax.gallery.dialect import Dialect


class Database(Protocol):
    """An open database with the tables of a gallery. SQL has `?` for each value.

    Attributes:
      location: where it is, for messages; without a password.
      source: what messages about damage name.
      read_only: whether it cannot be changed.
      is_server: whether a server searches it.
      total_changes: a number that grows with every change through this object.
      dialect: how it compares what it holds with conditions.
    """

    location: str
    source: str
    read_only: bool
    is_server: bool
    total_changes: int
    dialect: Dialect

    def close(self) -> None:
        """Closes it; its claims end."""

    def execute(self, query: str, values: Sequence[Any] = ()) -> Any:
        """Runs a statement; returns a cursor."""

    def executemany(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """Runs a statement for each row of values."""

    def each(self, query: str, values: Sequence[Any] = ()) -> Iterator[tuple]:
        """Rows one by one; raises GalleryError where the database is damaged."""

    def transaction(self, read: bool = False) -> AbstractContextManager[None]:
        """All changes within it are made, or none; nobody else changes the gallery meanwhile.

        Args:
          read: it changes nothing, and sees nothing that others change meanwhile.
        """

    def file_columns(self, path: bytes) -> dict[str, Any]:
        """Further columns of a file's row."""

    def insert_faces(
        self, rows: Sequence[Mapping[str, Any]], features: Sequence[np.ndarray]
    ) -> None:
        """Adds rows of the table `entry`, all with the same columns, each with its feature."""

    def claim(self, keys: Iterable[bytes]) -> set[bytes]:
        """Which photos, by hash, this program may embed now; other programs embed the rest.

        A claim ends with `release`, or when this program ends, however it ends.
        """

    def release(self, keys: Iterable[bytes]) -> None:
        """Ends claims."""

    def forget(self) -> str | None:
        """Makes sure that no removed bytes are left on the disk; says why some may be, or None."""


class Server(Database, Protocol):
    """A database on a server.

    Attributes:
      address: its URL, with the password.
    """

    address: str

    def execute(self, query: str, values: Sequence[Any] = (), binary: bool = False) -> Any:
        """As of `Database`; `binary`: for queries of vectors."""

    def unlocked(self) -> AbstractContextManager[None]:
        """A transaction during which others may change the gallery."""

    def alone(self) -> AbstractContextManager[None]:
        """A transaction during which nobody else changes the gallery, also while it is made."""

    def refreshing(self) -> AbstractContextManager[None]:
        """Raises GalleryError where another program brings the gallery to a model."""

    def copy_rows(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Adds rows to a table; faster than a statement for each."""

    def copy_in(self, columns: str, data: bytes) -> None:
        """Adds rows to columns of a table, as `pack_features` gives them."""

    def copy_out(self, query: str, values: Sequence[Any]) -> Iterator[bytes]:
        """The rows of a query, one by one, for `unpack_features`."""


class Changing(Protocol):
    """What changes a gallery: `Store`."""

    database: Server

    def changing(self) -> AbstractContextManager[None]:
        """A transaction."""

    def bind(self, **made_with: Any) -> None:
        """Stores values by name."""

"""Embeddings of faces from a PostgreSQL database with pgvector, as photo libraries keep them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from diface_jax.gallery.address import shown_address
from diface_jax.gallery.embedding_files import ImportedEmbeddings, check_embeddings
from diface_jax.gallery.entries import PhotoLabel
from diface_jax.gallery.postgres_client import connect, postgres_module, reason_of

_NEEDED = ('id', 'embedding')


def read_database(url: str, sql: str, width: int) -> ImportedEmbeddings:
    """Reads embeddings by a query, in a transaction that cannot write.

    Args:
      url: of the server, as in `postgres_client.connect`.
      sql: a query with the columns `id` and `embedding` (a vector of pgvector, or an array), and
        `person` if known; other columns become tags.
      width: D, of this model's embeddings.

    Raises:
      ImportError: the extra [postgres] is not installed.
      OSError: the server cannot be reached, or does not let this user in.
      ValueError: the query fails, a column is missing, or rows are invalid; says which.
    """
    psycopg, location = postgres_module('psycopg'), shown_address(url)
    connection = connect(url)
    with connection:
        connection.read_only = True
        try:
            columns = _columns(connection, sql)
        except psycopg.Error as error:
            raise ValueError(f'{location}: the query of --sql fails: {reason_of(error)}') from error
    try:
        return check_embeddings(_imported(columns), width)
    except ValueError as error:
        raise ValueError(f'{location}: {error}') from error


def _columns(connection: Any, sql: str) -> dict[str, list]:
    """The columns of a query by name; vectors stay as pgvector gives them."""
    pgvector = postgres_module('pgvector.psycopg')
    if connection.execute("SELECT to_regtype('vector')").fetchone()[0]:
        pgvector.register_vector(connection)
    cursor = connection.execute(sql, binary=True)
    names = [column.name for column in cursor.description or ()]
    rows = cursor.fetchall() if names else []
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _imported(columns: dict[str, list]) -> ImportedEmbeddings:
    for name in _NEEDED:
        if name not in columns:
            raise ValueError(f'the query of --sql gives no column {name}: it gives {list(columns)}')
    ids, vectors = columns.pop('id'), columns.pop('embedding')
    if not ids:
        raise ValueError('the query of --sql gives no row')
    people = columns.pop('person', [None] * len(ids))
    labels = [
        PhotoLabel(str(person) if person else None, _tags(columns, row))
        for row, person in enumerate(people)
    ]
    names = ['' if name is None else str(name) for name in ids]
    return ImportedEmbeddings(names, np.stack(list(_vectors(vectors))), labels)


def _tags(columns: dict[str, list], row: int) -> dict[str, str]:
    return {name: str(values[row]) for name, values in columns.items() if values[row] is not None}


def _vectors(values: Sequence[Any]) -> Iterator[np.ndarray]:
    """Each vector as float32; raises ValueError where one is none, or not as long as the first."""
    width = None
    for row, value in enumerate(values):
        try:
            # A vector of pgvector has to_numpy; an array of PostgreSQL is a list.
            numbers = value.to_numpy() if hasattr(value, 'to_numpy') else value
            vector_D = np.asarray(numbers, np.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(f'row {row} has no vector in the column embedding') from error
        width = width or vector_D.size
        if vector_D.ndim != 1 or vector_D.size != width:
            raise ValueError(f'row {row} of embedding is missing, or not as long as the first')
        yield vector_D

"""The tables of a gallery in PostgreSQL: versions, and values of any length."""

import random
import string

import pytest

from diface_jax.gallery import postgres_schema, sql_conditions
from diface_jax.gallery.entries import PhotoLabel
from diface_jax.gallery.row_checks import GalleryError
from diface_jax.gallery.store import Store
from tests.gallery import world

psycopg = pytest.importorskip('psycopg')
# Nothing that PostgreSQL could compress.
LONG = ''.join(random.Random(0).choices(string.ascii_letters, k=3900))
# What a gallery of version 1 had in place of what version 2 has.
VERSION_1 = (
    'ALTER TABLE file DROP CONSTRAINT file_path',
    'ALTER TABLE file ADD PRIMARY KEY (path)',
    'DROP INDEX file_path_text',
    'CREATE INDEX file_path_text ON file (path_text)',
    'UPDATE diface_gallery SET version = 1',
)


def run(database, *statements):
    with psycopg.connect(database) as connection:
        for statement in statements:
            connection.execute(statement)


def described(database):
    """The indexes and columns of a gallery."""
    with psycopg.connect(database) as connection:
        schema = connection.execute('SELECT current_schema()').fetchone()[0]
        indexes = connection.execute(
            'SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema()'
        ).fetchall()
        columns = connection.execute(
            'SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns'
            ' WHERE table_schema = current_schema()'
        ).fetchall()
    return {index.replace(f'{schema}.', '') for (index,) in indexes} | set(columns)


def test_a_gallery_of_version_1_is_brought_to_version_2(model, database, tmp_path):
    world.folder_of(tmp_path, people=2, photos=2)
    model.enroll(database, tmp_path, people=True)
    where = {'photo': f'{tmp_path}/person-1/*'}
    tables, before = described(database), model.search(database, 'person 1', where=where)
    run(database, *VERSION_1)
    assert described(database) != tables
    assert model.search(database, 'person 1', where=where) == before
    assert described(database) == tables
    assert model.enroll(database, tmp_path, people=True).unchanged == 4


def test_who_may_not_migrate_is_told_who_does(model, database, tmp_path):
    model.count(database)
    schema = database.rpartition('%3D')[2]
    run(
        database,
        *VERSION_1,
        f'CREATE ROLE reader_of_{schema} LOGIN',
        f'GRANT USAGE ON SCHEMA {schema} TO reader_of_{schema}',
        f'GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader_of_{schema}',
    )
    reader = database.replace('postgres:@', f'reader_of_{schema}@')
    with pytest.raises(GalleryError, match='of version 1; it is brought to version 2 when the own'):
        model.count(reader)


def test_a_newer_gallery_and_a_migration_that_fails_change_nothing(model, database, monkeypatch):
    model.count(database)
    monkeypatch.setattr(postgres_schema, 'VERSION', 3)
    steps = ('ALTER TABLE photo ADD COLUMN place text', 'UPDATE photo SET place = 1')
    monkeypatch.setitem(postgres_schema._MIGRATIONS, 2, (*steps, 'SELECT 1 / 0'))
    with pytest.raises(GalleryError, match='division by zero'):
        model.count(database)
    monkeypatch.setitem(postgres_schema._MIGRATIONS, 2, steps)
    assert model.count(database)['entries'] == 0
    with Store(database) as opened:
        assert opened._rows('SELECT place FROM photo') == []
    monkeypatch.setattr(postgres_schema, 'VERSION', 2)
    with pytest.raises(
        GalleryError, match='a gallery of version 3, and this program reads version 2'
    ):
        model.count(database)


def test_the_longest_paths_are_enrolled_once_and_looked_up(model, database):
    for _ in range(2):
        for who, name in ((1, f'{LONG}.png'), (2, f'{LONG}-2.png')):
            model.enroll_bytes(database, name, world.photo(who), PhotoLabel(f'person {who}'))
    assert model.count(database)['files'] == 2
    with Store(database) as opened:
        paths = sorted(opened.files())
        for pattern, entries in ((paths[0].decode(), 1), (f'dropped-*{LONG}*', 2)):
            assert len(opened.where({'photo': pattern})) == entries
        start = paths[0].decode()[:3000]
        assert len(opened.where({'photo': f'{start}*'})) == 1
        assert len(opened.where({'photo': f'{start}?*'})) == 1
        assert len(opened.where({'photo': f'{start[:-1]}!*'})) == 0


@pytest.mark.parametrize('pattern', ['/photos/2019/*', '/photos/*.png', '/photos/one.png'])
def test_a_condition_on_the_start_of_a_path_reads_an_index(model, database, pattern):
    model.count(database)
    with Store(database) as opened:
        opened.database.execute('SET enable_seqscan = off')
        chosen = sql_conditions.chosen_entries(opened.database, (('photo', pattern),))
        plan = opened._rows(f'EXPLAIN {chosen.sql}', *chosen.values)
    (condition,) = (line for (line,) in plan if 'Index Cond' in line and 'path_text' in line)
    assert '/photos/' in condition


def test_a_name_that_is_too_long_to_be_looked_up_is_one_sentence(model, database):
    with pytest.raises(GalleryError, match=r'the name of a person is longer than the 2,600 bytes'):
        model.enroll_bytes(database, 'a.png', world.photo(1), PhotoLabel(LONG))
    assert model.count(database)['entries'] == 0

"""Embeddings from a real PostgreSQL server, kept as photo libraries keep them."""

import json
import sys

import numpy as np
import pytest

from diface_jax.gallery.embedding_database import read_database
from tests.gallery import world

psycopg = pytest.importorskip('psycopg')

# As Immich keeps faces.
TABLES = f"""
CREATE EXTENSION vector;
CREATE TABLE asset (id int PRIMARY KEY, "originalPath" text);
CREATE TABLE person (id int PRIMARY KEY, name text);
CREATE TABLE asset_face (id int PRIMARY KEY, "assetId" int, "personId" int);
CREATE TABLE face_search ("faceId" int PRIMARY KEY, embedding vector({world.WIDTH}));
"""
FACES = """
SELECT face_search."faceId" AS id, face_search.embedding, person.name AS person,
  asset."originalPath" AS path
FROM face_search
JOIN asset_face ON asset_face.id = face_search."faceId"
JOIN asset ON asset.id = asset_face."assetId"
LEFT JOIN person ON person.id = asset_face."personId"
ORDER BY 1
"""
PEOPLE = 6


@pytest.fixture(scope='module')
def url(server):
    """A server with the faces of six people, of whom two have a name."""
    with psycopg.connect(server) as connection:
        connection.execute(TABLES)
        for who in range(PEOPLE):
            vector = str(world.embedding(who).tolist())
            connection.execute('INSERT INTO asset VALUES (%s, %s)', (who, f'/library/{who}.jpg'))
            connection.execute('INSERT INTO person VALUES (%s, %s)', (who, 'AB'[who : who + 1]))
            connection.execute('INSERT INTO asset_face VALUES (%s, %s, %s)', (who, who, who))
            connection.execute('INSERT INTO face_search VALUES (%s, %s)', (who, vector))
    return server


def test_a_photo_librarys_faces_are_searched_without_photographs(url, command, tmp_path):
    gallery = f'--gallery={tmp_path / "gallery"}'
    source = (f'--embeddings={url}', f'--sql={FACES}', '--recogniser=oracle')
    code, said = command('enroll', gallery, *source)
    assert (code, said.split()[0]) == (0, '6')
    _, said = command('search', gallery, '--text=person 4', '--k=1', '--json')
    (best,) = json.loads(said)['results']
    assert (best['name'], best['tags']) == ('4', {'path': '/library/4.jpg'})
    _, said = command('identify', gallery, '--text=person 1', '--k=1', '--json')
    assert json.loads(said)['results'][0]['person'] == 'B'


def test_vectors_come_back_as_they_are_from_any_type(url):
    expected = [world.embedding(who) for who in range(PEOPLE)]
    for embedding in ('embedding', 'embedding::real[]'):
        rows = read_database(
            url, f'SELECT "faceId" AS id, {embedding} AS embedding FROM face_search ORDER BY 1', 32
        )
        np.testing.assert_allclose(rows.embedding_NxD, expected, rtol=1e-6)
        assert rows.names == list('012345')
        assert rows.labels[0].person is None
    halves = (
        'SELECT "faceId" AS id, embedding::halfvec(32) AS embedding FROM face_search ORDER BY 1'
    )
    np.testing.assert_allclose(read_database(url, halves, 32).embedding_NxD, expected, atol=1e-2)


WRONG = {
    'another width': (FACES, 512, r'holds 6x32 numbers: this model needs rows of 512$'),
    'no embedding': ('SELECT 1 AS id', 32, r"gives no column embedding: it gives \['id'\]$"),
    'no row': ('SELECT 1 AS id, 2 AS embedding WHERE false', 32, 'gives no row$'),
    'no vector': ("SELECT 1 AS id, 'x' AS embedding", 32, 'row 0 has no vector in the column'),
    'a null': (
        'SELECT "faceId" AS id, NULLIF("faceId", 0)::text AS embedding FROM face_search',
        32,
        'row 0 has no vector|row 0 of embedding is missing',
    ),
    'an id twice': ('SELECT 1 AS id, embedding FROM face_search', 32, "row 1 has '1' again$"),
    'an id of none': ('SELECT NULL AS id, embedding FROM face_search', 32, 'row 0 has none$'),
    'no SQL': ('SELEC', 32, 'the query of --sql fails: syntax error at or near "SELEC"'),
    'a change': ('DELETE FROM person RETURNING id', 32, 'cannot execute DELETE in a read-only'),
    'no query': ('SET statement_timeout = 1', 32, r'gives no column id: it gives \[\]$'),
}


@pytest.mark.parametrize('name', WRONG)
def test_a_query_that_cannot_be_used_is_one_sentence(url, name):
    sql, width, sentence = WRONG[name]
    with pytest.raises(ValueError, match=sentence) as error:
        read_database(url, sql, width)
    assert '\n' not in str(error.value)


def test_another_recogniser_is_refused_before_a_gallery_is_made(url, command, tmp_path):
    gallery = f'--gallery={tmp_path / "gallery"}'
    source = (f'--embeddings={url}', f'--sql={FACES}')
    code, why = command('enroll', gallery, *source, '--recogniser=w600k_r50')
    assert (code, 'recogniser w600k_r50, and this model was trained on oracle' in why) == (1, True)
    code, why = command('enroll', gallery, *source)
    assert (code, 'a database needs --sql' in why) == (1, True)
    assert not (tmp_path / 'gallery').exists()


def test_a_server_that_is_not_there_is_named_without_the_password():
    pytest.importorskip('psycopg')
    with pytest.raises(OSError, match='postgresql://localhost/photos cannot be reached') as error:
        read_database('postgresql://me:secret@localhost:1/photos', FACES, 32)
    assert 'secret' not in str(error.value)


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'psycopg', None)
    with pytest.raises(ImportError, match=r"pip install 'diface_jax\[postgres\]'"):
        read_database('postgresql://localhost/photos', FACES, 32)

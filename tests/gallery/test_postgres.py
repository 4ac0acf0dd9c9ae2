"""A gallery on a PostgreSQL server: the verbs and the answers of a gallery in a folder."""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from diface_jax.gallery import disk_sync, enrollment, entries, store
from diface_jax.gallery.entries import EnrolledFace, PhotoLabel
from diface_jax.gallery.row_checks import GalleryError
from diface_jax.gallery.search import LoadedGallery
from diface_jax.gallery.search_options import SearchOptions
from diface_jax.gallery.server_search import ServerGallery
from diface_jax.gallery.store import Store
from diface_jax.runtime import mesh
from tests.gallery import world

psycopg = pytest.importorskip('psycopg')
ORACLE = world.Oracle()


@pytest.fixture
def model():
    return world.model()


@pytest.fixture
def photos(tmp_path):
    """People with tricky names, copies, a dated photo, two faces on a photo, and no photo."""
    folder = tmp_path / 'photos'
    world.folder_of(folder, people=3, photos=2)
    for name in ('100%', 'a_b', 'axb', 'Zoë', 'wild*', 'wilder', 'back\\slash', 'red\x1b[31m'):
        (folder / name).mkdir()
        (folder / name / 'one.png').write_bytes(world.photo(5 + len(list(folder.iterdir()))))
    (folder / 'copy').mkdir()
    (folder / 'copy' / 'of.png').write_bytes(world.photo(1, noise=1))
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = '2019:07:14 12:30:05'
    dated = world.photo(3, form='JPEG', quality=100, exif=exif)
    (folder / 'person-1' / 'dated.jpg').write_bytes(dated)
    (folder / 'person-1' / 'two.png').write_bytes(world.photo(1, 2))
    (folder / 'person-2' / 'blurred*.jpg').write_bytes(b'no image')
    return folder


CONDITIONS = [
    {},
    {'person': 'person-1'},
    {'person': '*-1'},
    {'person': 'person-?'},
    {'person': 'copy', 'photo': '*/copy/*'},
    {'person': 'copy', 'photo': '*/person-1/*'},
    {'person': ['person-*', '*1']},
    {'person': '100%'},
    {'person': '1%'},
    {'person': 'a_b'},
    {'person': 'a?b'},
    {'person': 'Zo?'},
    {'person': 'wild*'},  # is somebody's name
    {'person': 'wild?'},
    {'person': 'back\\slash'},
    {'person': 'back\\*'},
    {'person': 'red\\x1b[31m'},  # as it is printed
    {'person': 'red\x1b[31m'},
    {'person': 'red\\x1b*'},
    {'person': 'nobody'},
    {'photo': '*/blurred*.jpg'},
    {'taken': '2019-07*'},
    {'since': '2019', 'until': '2019-07-14'},
    {'until': '2018'},
    {'entry': '1?'},
    {'entry': '3'},
    {'name': 'n*'},
    {'event': 'par*'},
    {'event': 'party', 'place': 'a"\'\\b'},
    {'place': 'a*'},
    {'no such tag': '*'},
]


def filled(model, gallery, photos):
    """A gallery with all of this."""
    first = model.enroll(gallery, photos, people=True, tags={'event': 'party'})
    with Store(gallery) as opened, opened.changing():
        f_F = ORACLE.of_photos(world.embedding(25)[None])[0]
        face = EnrolledFace(None, None, world.embedding(25), f_F)
        label = PhotoLabel('Zoë', {'place': 'a"\'\\b', 'event': 'party'})
        opened.add_embeddings(['n1', 'n2', 'x'], [face] * 3, [label, PhotoLabel(), label])
        opened.add_embeddings(['n1'], [face], [label])
    again = model.enroll(gallery, photos, people=True, tags={'place': 'here'})
    return [first, again]


@pytest.fixture
def both(model, database, photos, tmp_path):
    """The same gallery on a server and in a folder."""
    reports = [filled(model, gallery, photos) for gallery in (database, tmp_path / 'gallery')]
    assert reports[0] == reports[1]
    return database, tmp_path / 'gallery'


def numbered(gallery):
    """Numbers of entries from 0, for a server leaves gaps."""
    with Store(gallery) as opened:
        return {number: at for at, number in enumerate(opened.where({}).tolist())}


def answers(gallery, results):
    """What a search says, but for where the gallery is."""
    content, number_of = json.loads(json.dumps(results.to_json())), numbered(gallery)
    content['gallery'].pop('path')
    for result in content['results']:
        result['entry'] = number_of[result['entry']]
    return content


def test_the_same_questions_have_the_same_answers(model, both):
    for ask in (model.search, model.identify):
        for where in ({}, {'person': 'person-*'}, {'event': 'party'}, {'person': 'nobody'}):
            on_server, in_folder = (
                answers(gallery, ask(gallery, 'person 1, glasses', k=5, where=where))
                for gallery in both
            )
            assert on_server == in_folder
    assert model.choices(both[0]) == model.choices(both[1])
    assert model.count(both[0]) == model.count(both[1])
    with Store(both[0]) as server, Store(both[1]) as folder:
        for (mine, my_at), (theirs, their_at) in zip(
            *(numbered(gallery).items() for gallery in both), strict=True
        ):
            assert my_at == their_at
            assert server.picture(mine) == folder.picture(theirs)
            (entry,), (expected,) = server.entries([mine]), folder.entries([theirs])
            assert dataclasses.replace(entry, id=expected.id) == expected
        assert server.files() == folder.files()
        assert server.problems() == folder.problems()
        assert list(server.conflicts().values()) == list(folder.conflicts().values())
        conditions_choose_the_same(both, server, folder)


def conditions_choose_the_same(both, server, folder):
    """Every condition fits the same entries, and the same files without a face."""
    places = [numbered(gallery) for gallery in both]
    for where in CONDITIONS:
        on_server, in_folder = (
            (
                [place[number] for number in opened.where(where).tolist()],
                sorted(opened.unusable_where(where)),
            )
            for opened, place in zip((server, folder), places, strict=True)
        )
        assert on_server == in_folder, where


@pytest.mark.parametrize('where', [{'person': 'copy'}, {'photo': '*person-*', 'person': '*2'}])
def test_the_same_is_deleted(both, where):
    left = []
    for gallery in both:
        with Store(gallery) as opened:
            gone = opened.remove(where)
            people = sorted(str(values['person']) for _, values in world.described(opened))
            left.append((gone, people, opened.count(), opened.files(), opened.problems()))
    assert left[0] == left[1]


def test_sync_follows_photos_that_moved(model, both, photos, tmp_path):
    (photos / 'person-0').rename(tmp_path / 'moved')
    (photos / 'wilder' / 'one.png').unlink()
    reports = [
        disk_sync.sync_gallery(gallery, tmp_path / 'moved', remove_missing=True) for gallery in both
    ]
    assert reports[0] == reports[1]
    assert (len(reports[0].moved), reports[0].removed) == (2, 1)


WIDTH, ENTRIES, PROBES = 16, 700, 1000


def test_a_thousand_probes_have_the_same_ranks_and_scores(database, tmp_path):
    rng = np.random.default_rng(0)
    f_GxF = rng.standard_normal((ENTRIES, WIDTH))
    f_GxF[::7] = f_GxF[0]  # many that are equal
    f_GxF = (f_GxF / np.linalg.norm(f_GxF, axis=1, keepdims=True)).astype(np.float32)
    f_PxF = rng.standard_normal((PROBES, WIDTH)).astype(np.float32)
    f_PxF[:20] = f_GxF[:20]
    nearest = []
    for gallery in (database, tmp_path / 'gallery'):
        with Store(gallery, create=True) as opened:
            labels = [PhotoLabel(f'P{row % 90}' if row % 3 else None) for row in range(ENTRIES)]
            faces = [EnrolledFace(None, None, f_F, f_F) for f_F in f_GxF]
            with opened.changing():
                opened.add_embeddings([str(row) for row in range(ENTRIES)], faces, labels)
            nearest.append(_nearest(opened, f_PxF))
    for on_server, in_folder in zip(*nearest, strict=True):
        assert on_server.counts == in_folder.counts
        for best, expected in zip(on_server.best, in_folder.best, strict=True):
            np.testing.assert_array_equal(best.id_K, expected.id_K)
            np.testing.assert_array_equal(best.f_KxF, expected.f_KxF)


def _nearest(opened, f_PxF):
    """What each of some searches finds."""
    with opened.reading():
        read = ServerGallery if opened.is_server else LoadedGallery.read
        faces = read(opened, mesh.make_mesh())
        asked = [
            (SearchOptions(k=10), f_PxF),  # all at once, and
            *((SearchOptions(k=10), f_PxF[row : row + 1]) for row in range(100)),  # one by one
            (SearchOptions(k=30, people=True), f_PxF[:20]),
            (SearchOptions(k=30, people=True), f_PxF[:1]),
            (SearchOptions(k=5, where={'person': 'P1*'}), f_PxF[:20]),
            (SearchOptions(k=5, where={'person': 'P1*'}), f_PxF[:1]),
        ]
        return [faces.nearest(opened, f, options, 1) for options, f in asked]


@pytest.mark.parametrize('storage', ['full', 'half'])
def test_features_that_lie_closer_than_rounding_are_ranked_exactly(database, storage):
    rng = np.random.default_rng(1)
    f_F = rng.standard_normal(WIDTH).astype(np.float32)
    f_F /= np.linalg.norm(f_F)
    f_GxF = rng.standard_normal((ENTRIES, WIDTH))
    f_GxF -= np.outer(f_GxF @ f_F, f_F)  # all score as high, but for roundings
    f_GxF = f_F + f_GxF / np.linalg.norm(f_GxF, axis=1, keepdims=True)
    f_GxF = (f_GxF / np.linalg.norm(f_GxF, axis=1, keepdims=True)).astype(np.float32)
    with Store(database, create=True) as opened:
        with opened.changing():
            faces = [EnrolledFace(None, None, f_F, f_F) for f_F in f_GxF]
            labels = [PhotoLabel()] * len(faces)
            opened.add_embeddings([str(row) for row in range(len(faces))], faces, labels)
        list(opened.refresh(lambda embedding_NxD: embedding_NxD, {'model': 'x'}, None, storage))
        id_G = opened.where({})
        if storage == 'half':
            f_GxF = f_GxF.astype(np.float16)
        order_K = np.lexsort((id_G, -(f_GxF.astype(np.float64) @ f_F.astype(np.float64))))[:10]
        with opened.reading():
            faces = ServerGallery(opened, mesh.make_mesh())
            (best,) = faces.nearest(opened, f_F[None], SearchOptions(k=10), 1).best
    np.testing.assert_array_equal(best.id_K, id_G[order_K])


def test_what_is_removed_is_gone_from_the_files_of_the_server(model, server, tmp_path):
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute('CREATE DATABASE deleting')
    database = server.replace('/postgres?', '/deleting?')
    world.folder_of(tmp_path / 'photos', people=4)
    model.enroll(database, tmp_path / 'photos', people=True)
    gone, kept = world.embedding(2, 1), world.embedding(3, 1).tobytes()
    traces = [
        *(gone.tobytes(), ORACLE.of_photos(gone[None])[0].tobytes()),
        *(entries.sha256_of_bytes(world.photo(2, noise=1)), b'person-2'),
    ]
    before = files_of(database)
    assert all(trace in before for trace in (*traces, kept))
    assert store.remove_entries(database, {'person': 'person-2'}) == 3
    after = files_of(database)
    assert not any(trace in after for trace in traces)
    assert kept in after


def files_of(database):
    """The bytes of all tables of the server."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute('CHECKPOINT')
        ((folder, oid),) = connection.execute(
            "SELECT current_setting('data_directory'), oid FROM pg_database"
            ' WHERE datname = current_database()'
        )
    return b''.join(path.read_bytes() for path in (pathlib.Path(folder) / f'base/{oid}').iterdir())


def test_a_whole_gallery_is_deleted_and_nothing_else(model, database):
    model.count(database)
    with psycopg.connect(database) as connection:
        connection.execute('CREATE TABLE mine (x int)')
    store.delete_gallery(database)
    with psycopg.connect(database) as connection:
        query = 'SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace'
        assert connection.execute(query).fetchall() == [('mine',)]
    with pytest.raises(GalleryError, match='no gallery in postgresql:///galleries: make one'):
        store.delete_gallery(database)
    with pytest.raises(
        GalleryError, match=r"holds something else \(such as 'mine'\): give an empty"
    ):
        Store(database, create=True)


# --- several programs ---

ENROLL = """
import sys, time
from diface_jax.gallery import enrollment
from diface_jax.gallery.store import Store
from tests.gallery import world
import pathlib
class Slow(world.Oracle):
    def embed(self, chips):
        print('embeds', len(chips), flush=True)
        time.sleep(0.05)
        return super().embed(chips)
enrollment._PHOTOS = 4
with Store(sys.argv[1], create=True) as store:
    enrollment.enroll_folder(store, pathlib.Path(sys.argv[2]), Slow(), people=True)
"""


def program(code, *arguments):
    return subprocess.Popen(
        [sys.executable, '-c', code, *map(str, arguments)],
        cwd=pathlib.Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_programs_share_the_work_and_killed_ones_lose_nothing(database, tmp_path):
    world.folder_of(tmp_path, people=20, photos=4)
    others = [program(ENROLL, database, tmp_path) for _ in range(2)]
    for killed in others:
        assert killed.stdout.readline().startswith('embeds')
    with Store(database) as opened, concurrent.futures.ThreadPoolExecutor() as pool:
        last = pool.submit(enrollment.enroll_folder, opened, tmp_path, ORACLE, people=True)
        for killed in others:
            killed.kill()
            killed.wait()
        assert 0 < last.result().photos <= 80
    with Store(database) as opened:
        assert opened.count() == {'entries': 80, 'people': 20, 'photos': 80, 'files': 80}
        rows = opened._rows('SELECT path, embedding FROM file JOIN entry USING (photo)')
        expected = {
            os.fsencode(tmp_path / f'person-{who}' / f'{noise}.png'): world.embedding(who, noise)
            for who in range(20)
            for noise in range(4)
        }
        assert {path: np.frombuffer(blob, np.float32).tolist() for path, blob in rows} == {
            path: embedding_D.tolist() for path, embedding_D in expected.items()
        }


def test_a_photo_is_embedded_by_one_program_at_a_time(model, database, tmp_path):
    files = world.folder_of(tmp_path, people=2, photos=2)
    hashes = [entries.sha256_of_bytes(file.read_bytes()) for file in files]
    model.count(database)
    with Store(database) as other:
        assert other.claim(hashes[:3]) == set(hashes[:3])
        with Store(database) as opened:
            assert opened.claim(hashes) == {hashes[3]}
        other.release(hashes[:1])
        with Store(database) as opened:
            assert opened.claim(hashes) == {hashes[0], hashes[3]}
        # What others seem to embed is done last.
        report = model.enroll(database, tmp_path)
        assert (report.photos, report.copies, model.count(database)['files']) == (4, 0, 4)
        assert model.enroll(database, tmp_path).unchanged == 4


def test_another_model_comes_while_searches_go_on(model, database, photos):
    filled(model, database, photos)
    new = world.model(world.Oracle('second', -1.0))
    before = model.search(database, 'person 1', k=4)
    with Store(database) as opened:
        steps = opened.refresh(new._inference.of_photos, new._made_with(opened))
        next(steps)
        steps.close()  # as if it were killed
        assert model.search(database, 'person 1', k=4) == before
        enrolling = model._open(database)
        enrolling.remove({'person': 'wilder'})
        label = PhotoLabel('late')
        enrollment.enroll_bytes(enrolling, 'late.png', world.photo(20), ORACLE, label)
    assert new.refresh(database) == model_count(database)
    with pytest.raises(GalleryError, match='was made with another model'):
        model.search(database, 'person 1')
    with pytest.raises(GalleryError, match='was brought to another model meanwhile'):
        enrollment.enroll_bytes(enrolling, 'more.png', world.photo(21), ORACLE, label)
    enrolling.close()
    after = new.search(database, 'person 1', k=4)
    assert [each.entry for each in after.results] == [each.entry for each in before.results]
    assert new.search(database, 'person 20', k=1).results[0].entry.person == 'late'
    assert rows_of(database, 'feature_0') == [(0,)]


REFRESH = """
import sys, time
from diface_jax.gallery import postgres_features
from diface_jax.gallery.store import Store
from tests.gallery import world
new = world.Oracle('second', -1.0)
batches = []
def refine(embedding_NxD):
    batches.append(embedding_NxD)
    print('refines', flush=True)
    time.sleep(60 if len(batches) > 2 else 0)
    return new.of_photos(embedding_NxD)
postgres_features._ROWS = 4
with Store(sys.argv[1]) as store:
    list(store.refresh(refine, {**store.made_with(), 'model': 'second'}))
"""


def test_a_refresh_that_is_killed_is_finished_by_the_next(model, database, tmp_path):
    world.folder_of(tmp_path, people=5, photos=4)
    model.enroll(database, tmp_path, people=True)
    before, stop, answers_meanwhile = model.search(database, 'person 1', k=4), threading.Event(), []

    def search_on():
        while not stop.wait(0.01):
            answers_meanwhile.append(model.search(database, 'person 1', k=4))

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        searching = pool.submit(search_on)
        killed = program(REFRESH, database)
        try:
            assert [killed.stdout.readline() for _ in range(3)] == ['refines\n'] * 3
        finally:
            killed.kill()  # within the third batch of five
            killed.wait()
            stop.set()
        searching.result()
    assert answers_meanwhile == [before] * len(answers_meanwhile) != []
    assert rows_of(database, 'feature_1') == [(8,)]
    assert model.search(database, 'person 1', k=4) == before
    wait_for_locks_to_end(database)
    second, refined = world.Oracle('second', -1.0), []
    new = world.model(second)
    of_photos = second.of_photos
    second.of_photos = lambda embedding_NxD: (
        refined.append(len(embedding_NxD)) or of_photos(embedding_NxD)
    )
    assert new.refresh(database) == 20
    assert sum(refined) == 12
    with Store(database) as opened:
        rows = opened._rows('SELECT embedding, feature FROM entry JOIN feature_1 ON entry = id')
    embedding_NxD = np.stack([np.frombuffer(embedding, np.float32) for embedding, _ in rows])
    f_NxF = np.stack([feature.to_numpy() for _, feature in rows])
    np.testing.assert_array_equal(f_NxF, of_photos(embedding_NxD))


def wait_for_locks_to_end(database):
    """The server ends the locks of a program once it notices that it is gone."""
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    with psycopg.connect(database, autocommit=True) as connection:
        while connection.execute(query).fetchone()[0]:
            time.sleep(0.01)


def model_count(database):
    return rows_of(database, 'entry')[0][0]


def rows_of(database, table):
    with psycopg.connect(database) as connection:
        return connection.execute(f'SELECT count(*) FROM {table}').fetchall()


def test_an_index_and_half_precision_come_on_request_and_go_again(model, database, photos):
    filled(model, database, photos)
    exact = model.search(database, 'person 1', k=3, where={'event': 'party'})
    for index, storage, kind in (('hnsw', 'half', 'halfvec(32)'), (None, 'full', 'vector(32)')):
        model.refresh(database, index, storage)
        with psycopg.connect(database) as connection:
            table = connection.execute(
                "SELECT value::json ->> 'table' FROM about WHERE name = 'features'"
            )
            name = f'feature_{table.fetchone()[0]}'
            ((stored, made, place),) = connection.execute(
                'SELECT format_type(atttypid, atttypmod), (SELECT indexdef FROM pg_indexes WHERE'
                f" indexname = '{name}_hnsw' AND schemaname = current_schema()), attstorage"
                f" FROM pg_attribute WHERE attrelid = '{name}'::regclass AND attname = 'feature'"
            )
            assert (stored.split('.')[-1], 'USING hnsw' in made) == (kind, True)
            assert place == 'p'  # never out of line
        found = model.search(database, 'person 1', k=3, where={'event': 'party'})
        assert [one.entry for one in found.results] == [one.entry for one in exact.results]
        for one, expected in zip(found.results, exact.results, strict=True):
            assert abs(one.scored.score - expected.scored.score) < 2e-3
    model.refresh(database, 'exact')
    assert model.search(database, 'person 1', k=3, where={'event': 'party'}) == exact


def test_a_folder_has_no_index(model, tmp_path, photos):
    model.enroll(tmp_path / 'gallery', photos / 'person-0')
    with pytest.raises(GalleryError, match='is a folder: it has no index and no storage'):
        model.refresh(tmp_path / 'gallery', 'hnsw')


# --- what can go wrong ---


def as_user(database, rights):
    """The URL of a gallery for a user of his own, with some rights."""
    schema = database.rpartition('%3D')[2]
    name = f'user_of_{schema}'
    with psycopg.connect(database) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
        connection.execute(f'GRANT USAGE ON SCHEMA {schema} TO {name}')
        connection.execute(f'GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO {name}')
        if 'INSERT' in rights:
            connection.execute(f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {name}')
    return database.replace('postgres:@', f'{name}:secret@')


def test_who_may_only_read_searches_and_changes_nothing(model, database, photos):
    model.enroll(database, photos / 'person-0', people=True)
    reader = as_user(database, 'SELECT')
    found = model.search(reader, 'person 0', k=2)
    assert found == model.search(database, 'person 0', k=2)
    assert 'secret' not in json.dumps(found.to_json())
    for change in (
        lambda: store.remove_entries(reader, {'person': 'person-0'}),
        lambda: model.enroll(reader, photos),
        lambda: model.refresh(reader),
    ):
        with pytest.raises(GalleryError, match='is read-only: it can be searched, but not changed'):
            change()
    with pytest.raises(GalleryError, match=r'this user may not do that \(must be owner'):
        store.delete_gallery(reader)


def test_who_may_not_rewrite_tables_is_told_that_bytes_stay(model, database, photos):
    model.enroll(database, photos / 'person-0', people=True)
    enrolling = as_user(database, 'SELECT, INSERT, UPDATE, DELETE')
    assert model.enroll(enrolling, photos / 'person-1').faces == 5
    with pytest.raises(GalleryError, match='entries were removed, but their bytes stay on disk'):
        store.remove_entries(enrolling, {'photo': '*/person-1/*'})
    assert model.count(database)['entries'] == 2


def test_a_stranger_is_let_into_nothing(model, database):
    model.count(database)
    stranger = as_user(database, 'TRIGGER')
    with pytest.raises(GalleryError, match='this user may not do that'):
        model.search(stranger, 'person 0')


def test_no_message_names_the_user(database):
    with pytest.raises(OSError, match=r'cannot be reached: .* this user does not exist') as error:
        Store(database.replace('postgres:@', 'mallory@'))
    assert 'mallory' not in str(error.value)


def test_a_feature_that_somebody_wrote_is_refused(model, database, photos):
    model.enroll(database, photos / 'person-0')
    with psycopg.connect(database) as connection:
        longer = str([2.0] * world.WIDTH)
        connection.execute('UPDATE feature_0 SET feature = %s::public.vector', (longer,))
    with pytest.raises(GalleryError, match=r'entry \d is damaged: the length of its feature'):
        model.search(database, 'person 0')


def test_a_server_without_the_extension_or_the_schema_says_what_to_do(server):
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute('CREATE DATABASE plain')
    plain = server.replace('/postgres?', '/plain?')
    with pytest.raises(GalleryError, match='has no extension "vector": install pgvector'):
        Store(plain)
    with pytest.raises(GalleryError, match='there is no schema of its search_path'):
        Store(f'{plain}&options=-csearch_path%3Dnone')
    Store(plain, create=True).close()  # who may make the extension makes it


def test_a_server_that_goes_away_is_one_sentence(model, database, photos):
    model.enroll(database, photos / 'person-0')
    with Store(database) as opened:
        pid = opened._rows('SELECT pg_backend_pid()')[0][0]
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute('SELECT pg_terminate_backend(%s, 5000)', (pid,))
        with pytest.raises(OSError, match=r'the server is gone \(.*\); what was committed is kept'):
            opened.count()
    assert model.count(database)['entries'] == 2


def test_the_command_line_takes_the_url_of_a_database(command, database, photos):
    gallery = f'--gallery={database}'
    code, said = command('enroll', gallery, f'--photos={photos}', '--people')
    assert (code, said.split(',')[0]) == (0, '17 faces of 16 new photos')
    code, said = command('search', gallery, '--text=person 1', '--k=1', '--json')
    assert json.loads(said)['results'][0]['person'] in ('person-1', 'copy')
    code, said = command('enroll', gallery, '--index=hnsw')
    assert (code, said) == (0, '17 entries updated to this model\n')
    code, said = command('delete', gallery, '--where=person=person-1', '--yes')
    assert code == 0
    code, said = command('delete', gallery, '--everything', '--yes', '--json')
    assert json.loads(said) == {'deleted': 'postgresql:///galleries'}
    code, why = command('search', gallery, '--text=person 1')
    assert (code, 'no gallery in postgresql:///galleries' in why) == (1, True)
    code, why = command('enroll', gallery, f'--photos={photos}', '--index=hnsw')
    assert (code, '--index and --storage go with' in why) == (1, True)

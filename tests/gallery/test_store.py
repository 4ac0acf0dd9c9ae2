"""The store: what is removed is gone from the disk, and it is for its owner alone."""

import shutil
import sqlite3
import stat

import numpy as np
import pytest

from diface_jax.gallery import enrollment, entries, sqlite_database, store
from diface_jax.gallery.store import GalleryError, Store
from tests.gallery import world

ORACLE = world.Oracle()


def enrolled(tmp_path, **options):
    world.folder_of(tmp_path / 'photos', **options)
    with Store(tmp_path / 'gallery', create=True) as gallery:
        enrollment.enroll_folder(gallery, tmp_path / 'photos', ORACLE, people=True)
    return tmp_path / 'gallery'


def on_disk(folder):
    return b''.join(path.read_bytes() for path in sorted(folder.iterdir()))


def test_removal_deletes_the_bytes(tmp_path):
    gallery = enrolled(tmp_path, people=12, photos=12)
    gone = [world.embedding(4, noise) for noise in range(12)]
    kept = [world.embedding(5, noise) for noise in range(12)]
    before = on_disk(gallery)
    assert all(one.tobytes() in before for one in (*gone, *kept))
    with Store(gallery) as opened:
        pictures = [opened.picture(number) for number in opened.where({'person': 'person-4'})]
        features = ORACLE.of_photos(np.array(gone))
    hashes = [entries.sha256_of_bytes(world.photo(4, noise=noise)) for noise in range(12)]
    assert store.remove_entries(gallery, {'person': 'person-4'}) == 12
    after = on_disk(gallery)
    for trace in (*map(np.ndarray.tobytes, gone), *map(np.ndarray.tobytes, features), *hashes):
        assert trace not in after
    # Faces of one colour have pictures alike; those of nobody else may be left.
    assert not any(picture in after for picture in pictures)
    assert b'person-4' not in after
    assert all(one.tobytes() in after for one in kept)


def test_removing_one_face_keeps_the_others_of_its_photo(tmp_path):
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'photos' / 'two.png').write_bytes(world.photo(1, 2))
    gallery = tmp_path / 'gallery'
    with Store(gallery, create=True) as opened:
        enrollment.enroll_folder(opened, tmp_path / 'photos', ORACLE)
        first, second = opened.where({})
    assert store.remove_entries(gallery, {'entry': str(first)}) == 1
    with Store(gallery) as opened:
        assert opened.where({}).tolist() == [second]
        assert enrollment.enroll_folder(opened, tmp_path / 'photos', ORACLE).unchanged == 1
    assert store.remove_entries(gallery, {'photo': '*/two.png'}) == 1
    with Store(gallery) as opened:
        assert opened.count() == {'entries': 0, 'people': 0, 'photos': 0, 'files': 0}


def test_a_reader_that_keeps_bytes_alive_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_database, '_BUSY_SECONDS', 0.1)
    gallery = enrolled(tmp_path)
    with Store(gallery) as reader:
        reader.database.execute('BEGIN')
        reader.count()
        with pytest.raises(GalleryError, match='another program has the gallery open'):
            store.remove_entries(gallery, {'person': 'person-1'})


def test_numbers_are_never_used_again(tmp_path):
    gallery = enrolled(tmp_path)
    with Store(gallery) as opened:
        last = int(opened.where({}).max())
        opened.remove({'entry': str(last)})
        enrollment.enroll_bytes(opened, 'new', world.photo(9), ORACLE, store.PhotoLabel())
        assert opened.where({}).max() > last


def test_owner_only_and_one_file(tmp_path):
    gallery = enrolled(tmp_path)
    with Store(gallery) as opened:
        opened.count()
        enrollment.enroll_bytes(opened, 'new', world.photo(9), ORACLE, store.PhotoLabel())
        assert len(list(gallery.iterdir())) == 3
        for path in (gallery, *gallery.iterdir()):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    assert [path.name for path in gallery.iterdir()] == [sqlite_database.FILE]


def test_a_copied_folder_is_the_same_gallery(tmp_path):
    gallery = enrolled(tmp_path)
    shutil.copytree(gallery, tmp_path / 'copy')
    with Store(gallery) as one, Store(tmp_path / 'copy') as other:
        assert world.contents(one) == world.contents(other)


def test_a_failed_change_changes_nothing(tmp_path):
    gallery = enrolled(tmp_path)
    with Store(gallery) as opened:
        before = world.contents(opened)
        face = store.EnrolledFace(None, None, np.ones(3), np.ones(3))

        def fail():
            with opened.changing():
                opened.add_embeddings(['x'], [face], [store.PhotoLabel()])
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert world.contents(opened) == before


def test_the_state_changes_with_every_change_and_only_then(tmp_path):
    gallery = enrolled(tmp_path)
    with Store(gallery) as opened, Store(gallery) as other:
        states = {opened.state()}
        assert enrollment.enroll_folder(opened, tmp_path / 'photos', ORACLE).photos == 0
        states.add(opened.state())
        assert len(states) == 1
        other.remove({'person': 'person-1'})
        states.add(opened.state())
        assert len(states) == 2


def test_features_are_in_the_order_of_numbers_and_people_are_counted(tmp_path):
    gallery = enrolled(tmp_path, people=3, photos=2)
    with Store(gallery) as opened:
        enrollment.enroll_bytes(opened, 'nobody', world.photo(9), ORACLE, store.PhotoLabel())
        enrollment.enroll_bytes(opened, 'nobody too', world.photo(8), ORACLE, store.PhotoLabel())
        id_G, f_GxF, person_G = opened.features()
        assert person_G.tolist() == [0, 0, 1, 1, 2, 2, 3, 4]
        assert opened.count()['people'] == 5
    assert (np.diff(id_G) > 0).all()
    expected = [world.embedding(who, noise) for who in range(3) for noise in range(2)]
    assert np.array_equal(f_GxF[:6], ORACLE.of_photos(np.array(expected)))


def test_a_damaged_row_of_many_is_named(tmp_path):
    rows = 2 * store._BATCH + 3
    face = store.EnrolledFace(None, None, np.ones(3), np.eye(3)[0])
    with Store(tmp_path / 'gallery', create=True) as opened:
        with opened.changing():
            labels = [store.PhotoLabel(f'person {row // 2}') for row in range(rows)]
            opened.add_embeddings([str(row) for row in range(rows)], [face] * rows, labels)
        id_G, f_GxF, person_G = opened.features()
        assert id_G.tolist() == [*range(1, rows + 1)]
        assert person_G.tolist() == [row // 2 for row in range(rows)]
        assert (f_GxF == face.feature_F).all()
        for number, column, value in ((rows, 'feature', bytes(8)), (70, 'person', b'x')):
            query = f'UPDATE entry SET {column} = ? WHERE id = ?'
            opened.database.execute(query, (value, number))
            with pytest.raises(GalleryError, match=f'entry {number} is damaged: its {column}'):
                opened.features()


def test_whole_gallery_deleted_and_nothing_else(tmp_path):
    gallery = enrolled(tmp_path)
    (gallery / 'letter.txt').write_text('mine')
    store.delete_gallery(gallery)
    assert [path.name for path in gallery.iterdir()] == ['letter.txt']
    (gallery / 'letter.txt').unlink()
    enrolled(tmp_path / 'again')
    store.delete_gallery(tmp_path / 'again' / 'gallery')
    assert not (tmp_path / 'again' / 'gallery').exists()
    with pytest.raises(GalleryError, match='no gallery'):
        store.delete_gallery(gallery)


def test_a_deleted_gallery_is_overwritten(tmp_path):
    gallery, held = enrolled(tmp_path), tmp_path / 'held'
    held.mkdir()
    with Store(gallery) as opened:
        enrollment.enroll_bytes(opened, 'new', world.photo(9), ORACLE, store.PhotoLabel('Zoe'))
        for path in gallery.iterdir():
            (held / path.name).hardlink_to(path)
        sizes = {path.name: path.stat().st_size for path in held.iterdir()}
        assert len(sizes) == 3
        assert b'Zoe' in on_disk(held)
        store.delete_gallery(gallery)
    assert not gallery.exists()
    assert {path.name: path.read_bytes() for path in held.iterdir()} == {
        name: bytes(size) for name, size in sizes.items()
    }


def test_a_database_of_another_program_is_not_deleted(tmp_path):
    with sqlite3.connect(tmp_path / sqlite_database.FILE) as database:
        database.execute('CREATE TABLE song (name)')
    before = on_disk(tmp_path)
    with pytest.raises(GalleryError, match='no gallery'):
        store.delete_gallery(tmp_path)
    assert on_disk(tmp_path) == before


@pytest.mark.parametrize('left', [0, 50, 5000])
def test_a_damaged_gallery_can_be_deleted(tmp_path, left):
    gallery = enrolled(tmp_path)
    path = gallery / sqlite_database.FILE
    path.write_bytes(path.read_bytes()[:left])
    store.delete_gallery(gallery)
    assert not gallery.exists()


def test_deleting_one_of_two_people_keeps_the_photo_of_the_other(tmp_path):
    photos = tmp_path / 'photos'
    for person in ('Anna', 'Ben'):
        (photos / person).mkdir(parents=True)
        (photos / person / 'both.png').write_bytes(world.photo(1))
    (photos / 'Anna' / 'hers.png').write_bytes(world.photo(2))
    gallery = tmp_path / 'gallery'
    with Store(gallery, create=True) as opened:
        enrollment.enroll_folder(opened, photos, ORACLE, people=True)
    assert store.remove_entries(gallery, {'person': 'Anna'}) == 2
    assert b'Anna' not in on_disk(gallery)
    with Store(gallery) as opened:
        (entry,) = opened.entries(opened.where({}).tolist())
        assert (entry.person, entry.photo) == ('Ben', str(photos / 'Ben' / 'both.png'))
        assert entry.other_people == ()
    assert store.remove_entries(gallery, {'person': 'Ben'}) == 1
    with Store(gallery) as opened:
        assert opened.count() == {'entries': 0, 'people': 0, 'photos': 0, 'files': 0}


def test_a_pattern_that_fits_both_people_deletes_the_photo(tmp_path):
    photos = tmp_path / 'photos'
    for person in ('Anna', 'Ann'):
        (photos / person).mkdir(parents=True)
        (photos / person / 'both.png').write_bytes(world.photo(1))
    gallery = tmp_path / 'gallery'
    with Store(gallery, create=True) as opened:
        enrollment.enroll_folder(opened, photos, ORACLE, people=True)
    assert store.remove_entries(gallery, {'person': 'Ann*'}) == 1
    with Store(gallery) as opened:
        assert opened.count()['entries'] == 0


def as_version_3(gallery):
    with sqlite3.connect(gallery / sqlite_database.FILE) as database:
        database.execute('DROP INDEX file_of_person')
        database.execute('DROP INDEX entry_of_tags')
        database.execute('PRAGMA user_version = 3')
    database.close()


def as_version_2(gallery):
    as_version_3(gallery)
    with sqlite3.connect(gallery / sqlite_database.FILE) as database:
        database.execute('ALTER TABLE photo DROP COLUMN taken')
        database.execute('ALTER TABLE entry DROP COLUMN wide_picture')
        database.execute('PRAGMA user_version = 2')
    database.close()


def as_version_1(gallery):
    as_version_2(gallery)
    with sqlite3.connect(gallery / sqlite_database.FILE) as database:
        database.execute('ALTER TABLE file DROP COLUMN person_label')
        database.execute('PRAGMA user_version = 1')
    database.close()


def test_a_gallery_of_an_older_version_is_brought_up_to_date(tmp_path):
    gallery = enrolled(tmp_path)
    with Store(gallery) as opened:
        enrollment.enroll_bytes(opened, 'new', world.photo(9), ORACLE, store.PhotoLabel())
        people = opened._rows('SELECT * FROM file')
    as_version_1(gallery)
    with Store(gallery) as opened:
        assert opened._rows('SELECT * FROM file') == people
        assert opened.where({'person': 'person-1'}).tolist() == [4, 5, 6]
        report = enrollment.enroll_folder(opened, tmp_path / 'photos', ORACLE, people=True)
        assert (report.labelled, report.unchanged) == (0, 18)


def test_a_gallery_of_version_3_gets_the_indexes_of_a_new_one(tmp_path):
    gallery = enrolled(tmp_path)
    parts = 'SELECT name, sql FROM sqlite_master ORDER BY name'
    with Store(gallery) as opened:
        new, before = opened._rows(parts), world.contents(opened)
    as_version_3(gallery)
    with Store(gallery) as opened:
        assert opened._rows(parts) == new
        assert world.contents(opened) == before


def test_a_gallery_that_cannot_be_brought_up_to_date_is_left_as_it_is(tmp_path, monkeypatch):
    gallery = enrolled(tmp_path)
    as_version_1(gallery)
    before = (gallery / sqlite_database.FILE).read_bytes()
    statements = (*sqlite_database._MIGRATIONS[2], 'UPDATE nowhere SET nothing = 1')
    with monkeypatch.context() as broken:
        broken.setitem(sqlite_database._MIGRATIONS, 2, statements)
        with pytest.raises(GalleryError, match='older version and cannot be updated'):
            Store(gallery)
    assert (gallery / sqlite_database.FILE).read_bytes() == before
    with Store(gallery) as opened:
        assert opened.count()['entries'] == 18


def test_wide_pictures_of_an_older_gallery_come_with_the_next_enrolment(tmp_path):
    gallery = enrolled(tmp_path)
    with Store(gallery) as opened:
        enrollment.enroll_bytes(opened, 'new', world.photo(9), ORACLE, store.PhotoLabel())
        before = world.contents(opened)
    as_version_2(gallery)
    with Store(gallery) as opened:
        assert opened.wide_picture(1) == opened.picture(1)
        enrollment.enroll_folder(opened, tmp_path / 'photos', ORACLE)
        wide = opened._rows('SELECT id, wide_picture FROM entry')
        assert wide[:-1] == [(row[0], row[-1]) for row in before['entry'][:-1]]
        assert wide[-1][1] is None  # the photo was dropped on the page and is not there


def test_what_is_no_gallery_is_left_alone(tmp_path):
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'thesis.tex').write_text('long')
    with pytest.raises(GalleryError, match='is not a gallery'):
        Store(tmp_path / 'full', create=True)
    with pytest.raises(GalleryError, match='make one with --mode=enroll'):
        Store(tmp_path / 'none')
    other = tmp_path / 'other'
    other.mkdir()
    with sqlite3.connect(other / sqlite_database.FILE) as database:
        database.execute('CREATE TABLE song (name)')
    before = (other / sqlite_database.FILE).read_bytes()
    with pytest.raises(GalleryError, match='is not a gallery that this version reads'):
        Store(other)
    assert (other / sqlite_database.FILE).read_bytes() == before
    (tmp_path / 'noise').mkdir()
    (tmp_path / 'noise' / sqlite_database.FILE).write_bytes(
        b'no database at all, but long enough' * 100
    )
    with pytest.raises(GalleryError, match='cannot be read as a gallery'):
        Store(tmp_path / 'noise')


def test_files_without_a_face_go_with_their_person(tmp_path):
    photos = tmp_path / 'photos'
    world.folder_of(photos, people=3)
    for who in (1, 2):
        (photos / f'person-{who}' / 'blurred.jpg').write_bytes(b'no image')
    gallery = tmp_path / 'gallery'
    with Store(gallery, create=True) as opened:
        enrollment.enroll_folder(opened, photos, ORACLE, people=True)
    assert store.remove_entries(gallery, {'person': 'person-1'}) == 3
    assert b'person-1' not in on_disk(gallery)
    with Store(gallery) as opened:
        assert [path.split(b'/')[-2] for path in opened.problems()] == [b'person-2']
    assert store.remove_entries(gallery, {'photo': '*/person-2/*'}) == 3
    assert b'person-2' not in on_disk(gallery)


def test_a_reader_sees_one_moment(tmp_path):
    gallery = enrolled(tmp_path)
    with Store(gallery) as reader, Store(gallery) as writer:
        with reader.reading():
            before = reader.count()
            writer.remove({'person': 'person-1'})
            enrollment.enroll_bytes(writer, 'new', world.photo(9), ORACLE, store.PhotoLabel())
            assert reader.count() == before
            assert len(reader.features()[0]) == before['entries']
        assert reader.count()['entries'] == before['entries'] - 2

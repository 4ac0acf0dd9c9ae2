"""Enrolling: what is new, changed, a copy, or no photograph."""

import io
import os
import sys

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from diface_jax.encoders.face.photo import read_photo_content
from diface_jax.gallery import embedding_files, enrollment
from diface_jax.gallery.store import PhotoLabel, Store
from tests.gallery import world

ORACLE = world.Oracle()


@pytest.fixture
def gallery(tmp_path):
    with Store(tmp_path / 'gallery', create=True) as opened:
        yield opened


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    return folder


def enroll(gallery, photos, **options):
    return enrollment.enroll_folder(gallery, photos, ORACLE, **options)


def embeddings_of(gallery):
    rows = gallery._rows('SELECT embedding FROM entry ORDER BY id')
    return [np.frombuffer(blob, np.float32) for (blob,) in rows]


@pytest.mark.parametrize('form', ['PNG', 'WEBP', 'TIFF', 'BMP', 'GIF', 'JPEG', 'AVIF'])
def test_formats(gallery, photos, form):
    options = {'quality': 100} if form in ('JPEG', 'AVIF') else {}
    suffix = {'JPEG': 'jpeg', 'TIFF': 'tif'}.get(form, form.lower())
    (photos / f'a.{suffix}').write_bytes(world.photo(16, form=form, **options))
    assert enroll(gallery, photos).faces == 1
    assert np.dot(embeddings_of(gallery)[0], world.embedding(16)) > 0.9 * 9


def test_heic(gallery, photos):
    heif = pytest.importorskip('pillow_heif')
    data = io.BytesIO()
    image = Image.open(io.BytesIO(world.photo(16, 16, 16, 16, 16, 16, 16, 16))).resize((64, 64))
    heif.from_pillow(image).save(data, quality=-1)
    seen = []

    class Watching(world.Oracle):
        @staticmethod
        def faces_of(image):
            seen.append(image.shape)
            return world.faces_of(read_photo_content(world.photo(16)).image_HxWx3)

    (photos / 'phone.HEIC').write_bytes(data.getvalue())
    (photos / 'broken.heic').write_bytes(data.getvalue()[:200])
    report = enrollment.enroll_folder(gallery, photos, Watching())
    assert report.faces == 1
    assert seen == [(64, 64, 3)]
    assert list(report.problems) == [str(photos / 'broken.heic')]


def test_photos_are_turned_upright(gallery, photos):
    upright = Image.open(io.BytesIO(world.photo(1, 2)))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(photos / 'turned.png', exif=exif)
    enroll(gallery, photos)
    assert np.array_equal(embeddings_of(gallery), [world.embedding(1), world.embedding(2)])


def test_every_face_is_an_entry_and_the_folder_names_the_first(gallery, photos):
    (photos / 'Anna').mkdir()
    (photos / 'Anna' / 'three.png').write_bytes(world.photo(1, 2, 3))
    report = enroll(gallery, photos, people=True, tags={'year': '2020'})
    assert (report.photos, report.faces) == (1, 3)
    found = gallery.entries(gallery.where({}).tolist())
    assert [entry.person for entry in found] == ['Anna', None, None]
    assert [entry.box for entry in found] == [(0, 0, 7, 7), (8, 0, 15, 7), (16, 0, 23, 7)]
    assert {entry.photo for entry in found} == {str(photos / 'Anna' / 'three.png')}
    assert all(entry.tags == {'year': '2020'} for entry in found)


def test_again_does_nothing_and_only_what_is_new_is_looked_at(gallery, photos):
    world.folder_of(photos / 'deep' / 'deeper')
    assert enroll(gallery, photos).faces == 18
    before = world.contents(gallery)
    report = enroll(gallery, photos)
    assert (report.faces, report.unchanged) == (0, 18)
    assert world.contents(gallery) == before
    (photos / 'new.png').write_bytes(world.photo(20))
    report = enroll(gallery, photos)
    assert (report.faces, report.unchanged) == (1, 18)


def test_copies_are_one_photo_until_the_last_is_gone(gallery, photos):
    for name in ('a.png', 'b.png'):
        (photos / name).write_bytes(world.photo(1))
    report = enroll(gallery, photos)
    assert (report.photos, report.copies, report.faces) == (1, 1, 1)
    (photos / 'a.png').write_bytes(world.photo(2))
    assert enroll(gallery, photos).faces == 1
    assert gallery.count() == {'entries': 2, 'people': 2, 'photos': 2, 'files': 2}
    (photos / 'b.png').write_bytes(world.photo(3))
    enroll(gallery, photos)
    assert np.array_equal(embeddings_of(gallery), [world.embedding(2), world.embedding(3)])


def test_labels_of_what_is_enrolled_are_brought_up_to_date(gallery, photos):
    world.folder_of(photos, people=2, photos=1)
    enroll(gallery, photos)
    report = enroll(gallery, photos, people=True, tags={'place': 'Rome'})
    assert (report.faces, report.unchanged, report.labelled) == (0, 2, 2)
    found = gallery.entries(gallery.where({'place': 'R*', 'person': 'person-?'}).tolist())
    assert [entry.person for entry in found] == ['person-0', 'person-1']
    assert enroll(gallery, photos, people=True, tags={'place': 'Rome'}).labelled == 0
    enroll(gallery, photos, tags={'year': '2020'})
    assert gallery.entries([found[0].id])[0].tags == {'place': 'Rome', 'year': '2020'}


def test_what_cannot_be_read_is_reported_once_and_again(gallery, photos):
    (photos / 'good.png').write_bytes(world.photo(1))
    (photos / 'empty.jpg').write_bytes(b'')
    (photos / 'letter.jpg').write_text('not an image')
    (photos / 'tall.png').write_bytes(world.photo(1) + b'')
    Image.new('RGB', (5, 90)).save(photos / 'tall.png')
    (photos / 'film.mp4').write_bytes(b'film')
    (photos / 'pipe.jpg').parent.mkdir(exist_ok=True)
    os.mkfifo(photos / 'pipe.jpg')
    (photos / 'dangling.png').symlink_to(photos / 'nowhere.png')
    report = enroll(gallery, photos)
    assert report.faces == 1
    assert {path.split('/')[-1] for path in report.problems} == {
        *('empty.jpg', 'letter.jpg', 'tall.png', 'pipe.jpg', 'dangling.png')
    }
    assert report.problems[str(photos / 'tall.png')] == 'no face found'
    assert report.ignored == {'.mp4': 1}
    again = enroll(gallery, photos)
    assert again.faces == 0
    assert set(again.problems) == set(report.problems)


class CountingOracle(world.Oracle):
    """Finds no face, or after an improvement of the detector all of them."""

    def __init__(self, finds_faces):
        super().__init__()
        self.finds_faces, self.searched = finds_faces, 0

    def faces_of(self, image):
        self.searched += 1
        if not self.finds_faces:
            raise ValueError('no face found')
        return world.faces_of(image)


def test_a_better_detector_looks_again_where_no_face_was_found(gallery, photos, monkeypatch):
    (photos / 'small.png').write_bytes(world.photo(1))
    old, new = CountingOracle(finds_faces=False), CountingOracle(finds_faces=True)
    data = world.photo(2)
    for _ in range(2):
        assert enrollment.enroll_folder(gallery, photos, old).problems
        assert enrollment.enroll_bytes(gallery, 'a.png', data, old, PhotoLabel()).problems
    assert old.searched == 2  # of each photo once
    monkeypatch.setattr(enrollment, 'DETECTOR_VERSION', enrollment.DETECTOR_VERSION + 1)
    report = enrollment.enroll_folder(gallery, photos, new)
    assert (report.photos, report.faces, report.problems) == (1, 1, {})
    assert enrollment.enroll_bytes(gallery, 'a.png', data, new, PhotoLabel()).faces == 1
    assert enrollment.enroll_folder(gallery, photos, new).unchanged == 1
    assert new.searched == 2


def test_a_gallery_of_before_detectors_had_versions_is_searched_again(gallery, photos):
    (photos / 'small.png').write_bytes(world.photo(1))
    enrollment.enroll_folder(gallery, photos, CountingOracle(finds_faces=False))
    with gallery.changing():
        gallery.database.execute("DELETE FROM about WHERE name = 'detector'")
    assert enroll(gallery, photos).faces == 1


def test_files_that_are_gone_stay_enrolled_and_are_named(gallery, photos):
    files = world.folder_of(photos, people=1)
    enroll(gallery, photos)
    files[0].unlink()
    assert enroll(gallery, photos).missing == [[str(files[0])]]
    assert gallery.count()['entries'] == 3


def test_a_photo_whose_name_was_given_to_another_is_enrolled_under_its_new_name(gallery, photos):
    (photos / 'a.jpg').write_bytes(world.photo(1))
    enroll(gallery, photos, tags={'year': '2020'})
    (photos / 'b.jpg').write_bytes(world.photo(1))
    (photos / 'a.jpg').write_bytes(world.photo(2))
    report = enroll(gallery, photos)
    assert (report.photos, report.copies, report.problems) == (1, 1, {})
    found = gallery.entries(gallery.where({}).tolist())
    assert [entry.photo for entry in found] == [str(photos / 'b.jpg'), str(photos / 'a.jpg')]
    assert [entry.tags for entry in found] == [{'year': '2020'}, {}]
    assert report.replaced == [str(photos / 'a.jpg')]
    assert np.array_equal(embeddings_of(gallery), [world.embedding(1), world.embedding(2)])
    assert enroll(gallery, photos).unchanged == 2


def test_a_photo_that_is_deleted_while_its_copy_is_enrolled_is_enrolled_again(
    gallery, photos, monkeypatch
):
    for name, who in (('a', 1), ('b', 2), ('c', 3), ('d', 1)):
        (photos / f'{name}.png').write_bytes(world.photo(who))
    removed = []

    class Deleting(world.Oracle):
        def embed(self, chips):
            if gallery.count()['entries'] == 2 and not removed:
                with Store(gallery.address) as other:
                    removed.append(other.remove({'photo': '*'}))
            return super().embed(chips)

    monkeypatch.setattr(enrollment, '_PHOTOS', 2)
    report = enrollment.enroll_folder(gallery, photos, Deleting())
    assert removed == [2]
    assert report.problems == {}
    assert np.array_equal(embeddings_of(gallery), [world.embedding(3), world.embedding(1)])


def test_a_photo_in_two_peoples_folders_is_named_in_the_report_and_found_by_both(gallery, photos):
    for person in ('Anna', 'Ben'):
        (photos / person).mkdir()
        (photos / person / 'both.png').write_bytes(world.photo(1, 2))
        (photos / person / 'blurred.png').write_bytes(b'no image')
    report = enroll(gallery, photos, people=True)
    conflict = {str(photos / who / 'both.png'): who for who in ('Anna', 'Ben')}
    assert report.conflicts == [conflict]
    assert f'Ben ({photos / "Ben" / "both.png"})' in str(report)
    first = gallery.where({'person': 'Anna'}).tolist()
    assert len(first) == 1
    assert gallery.where({'person': 'Ben'}).tolist() == first
    entry = gallery.entries(first)[0]
    assert (entry.person, entry.other_people) == ('Anna', ('Ben',))
    before = world.contents(gallery)
    again = enroll(gallery, photos, people=True)
    assert (again.labelled, again.conflicts) == (0, [conflict])
    assert world.contents(gallery) == before


def test_a_conflict_is_over_when_one_of_the_copies_is_gone(gallery, photos):
    for person in ('Anna', 'Ben'):
        (photos / person).mkdir()
        (photos / person / 'both.png').write_bytes(world.photo(1))
    enroll(gallery, photos, people=True)
    (photos / 'Anna' / 'both.png').unlink()
    assert enroll(gallery, photos, people=True).conflicts == []
    (entry,) = gallery.entries(gallery.where({}).tolist())
    assert (entry.person, entry.other_people) == ('Ben', ())


def test_a_conflict_is_over_when_one_of_the_copies_is_replaced(gallery, photos):
    for person in ('Anna', 'Ben'):
        (photos / person).mkdir()
        (photos / person / 'both.png').write_bytes(world.photo(1))
    enroll(gallery, photos, people=True)
    (photos / 'Anna' / 'both.png').write_bytes(world.photo(2))
    enroll(gallery, photos, people=True)
    found = gallery.entries(gallery.where({}).tolist())
    assert [(entry.person, entry.other_people) for entry in found] == [('Ben', ()), ('Anna', ())]


def test_a_photo_that_is_dropped_for_another_person_is_a_conflict(gallery, photos):
    (photos / 'Anna').mkdir()
    (photos / 'Anna' / 'a.png').write_bytes(world.photo(1))
    enroll(gallery, photos, people=True)
    for _ in range(2):
        report = enrollment.enroll_bytes(
            gallery, 'a.png', world.photo(1), ORACLE, PhotoLabel('Ben')
        )
        assert [set(people.values()) for people in report.conflicts] == [{'Anna', 'Ben'}]
    assert gallery.entries(gallery.where({'person': 'Ben'}).tolist())[0].person == 'Anna'


def test_without_heic_support_the_other_photos_are_enrolled(gallery, photos, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pillow_heif', None)
    (photos / 'a.heic').write_bytes(b'\0\0\0\x18ftypheic' + bytes(100))
    (photos / 'b.png').write_bytes(world.photo(1))
    for faces in (1, 0):
        report = enroll(gallery, photos)
        assert report.faces == faces
        assert report.problems == {
            str(photos / 'a.heic'): 'HEIC photos need pillow-heif: pip install pillow-heif'
        }
    monkeypatch.undo()  # now it is installed, and the photo is tried again
    decoded = read_photo_content(world.photo(2))
    monkeypatch.setattr(enrollment.heif, 'decode_heif', lambda data: decoded)
    assert enroll(gallery, photos).faces == 1


def test_a_photo_for_which_memory_was_short_is_tried_again(gallery, photos, monkeypatch):
    (photos / 'a.png').write_bytes(world.photo(1))
    oracle = world.Oracle()

    def no_memory(image):
        raise MemoryError

    oracle.faces_of = no_memory
    report = enrollment.enroll_folder(gallery, photos, oracle)
    assert report.problems == {str(photos / 'a.png'): 'MemoryError'}
    assert enroll(gallery, photos).faces == 1


def test_folders_left_out_and_links_are_told(gallery, photos):
    world.folder_of(photos / '@eaDir', people=1)
    world.folder_of(photos, people=1, photos=1)
    (photos / 'link').symlink_to(photos.parent)
    report = enroll(gallery, photos, people=True)
    assert report.faces == 1
    assert report.excluded == {'@eaDir': 1}
    assert report.links == [str(photos / 'link')]
    assert '1 photos or folders excluded by name (1 @eaDir)' in str(report)
    assert f'not followed (--follow_links does): {photos / "link"}' in str(report)
    assert enroll(gallery, photos, exclude=['person-*']).unchanged == 0


def test_one_file_and_no_folder(gallery, photos):
    (photos / 'a.png').write_bytes(world.photo(1))
    assert enroll(gallery, photos / 'a.png').faces == 1
    with pytest.raises(FileNotFoundError, match='nowhere'):
        enroll(gallery, photos / 'nowhere')


def test_photos_are_enrolled_in_order_while_threads_look_at_the_next(gallery, photos, monkeypatch):
    world.folder_of(photos, people=4, photos=3)
    monkeypatch.setattr(enrollment, '_PHOTOS', 5)
    assert enroll(gallery, photos).faces == 12
    expected = [world.embedding(who, noise) for who in range(4) for noise in range(3)]
    assert np.array_equal(embeddings_of(gallery), expected)


@pytest.mark.parametrize('form', embedding_files.SUFFIXES)
def test_embeddings_from_a_file(gallery, tmp_path, form):
    rows = np.stack([world.embedding(who) for who in range(3)])
    names, ids = ['x', 'y', 'z'], None
    path = tmp_path / f'made{form}'
    if form == '.npy':
        np.save(path, rows)
        ids = tmp_path / 'ids.txt'
        ids.write_text('x\ny\nz\n')
    elif form == '.npz':
        np.savez(path, id=names, embedding=rows, person=['Anna', '', 'Carl'])
    else:
        columns = {'id': names, 'embedding': rows.tolist(), 'person': ['Anna', None, 'Carl']}
        parquet.write_table(pyarrow.table({**columns, 'year': [1, 2, None]}), path)
    found = embedding_files.read_embeddings(path, ids, world.WIDTH)
    for _ in range(2):  # the second time they replace themselves
        enrollment.enroll_embeddings(gallery, *found[:3], ORACLE)
    entries = gallery.entries(gallery.where({}).tolist())
    assert [entry.name for entry in entries] == names
    if form != '.npy':
        assert [entry.person for entry in entries] == ['Anna', None, 'Carl']
    if form == '.parquet':
        assert [entry.tags for entry in entries] == [{'year': '1'}, {'year': '2'}, {}]
    assert np.array_equal(embeddings_of(gallery), rows)


@pytest.mark.parametrize(
    ('change', 'why'),
    [
        ({'embedding': np.ones((2, world.WIDTH + 1))}, 'needs rows of 32'),
        ({'embedding': np.full((2, world.WIDTH), np.nan)}, r'rows \[0, 1\]'),
        ({'embedding': np.zeros((2, world.WIDTH))}, 'zero or not finite'),
        ({'id': ['x']}, '1 ids for 2'),
        ({'id': ['x', 'x']}, 'differ'),
        ({'embedding': np.array([['a'], ['b']])}, 'cannot be read'),
    ],
)
def test_embeddings_that_cannot_be_are_refused(tmp_path, change, why):
    whole = {'id': ['x', 'y'], 'embedding': np.ones((2, world.WIDTH))}
    np.savez(tmp_path / 'bad.npz', **{**whole, **change})
    with pytest.raises(ValueError, match=why):
        embedding_files.read_embeddings(tmp_path / 'bad.npz', None, world.WIDTH)


def test_embedding_files_that_are_none_are_refused(tmp_path):
    (tmp_path / 'text.npy').write_text('text')
    (tmp_path / 'ids.txt').write_text('x\n')
    for name, ids, why in (
        ('text.npy', tmp_path / 'ids.txt', 'cannot be read'),
        ('text.npy', None, 'give --ids'),
        ('none.npz', None, 'no file'),
        ('some.csv', None, 'come in .npy'),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=why):
            embedding_files.read_embeddings(tmp_path / name, ids, world.WIDTH)


def test_bytes_without_a_file(gallery):
    report = enrollment.enroll_bytes(
        gallery, 'dropped.png', world.photo(1, 2), ORACLE, PhotoLabel('Anna')
    )
    assert report.faces == 2
    entry = gallery.entries(gallery.where({'person': 'Anna'}).tolist())[0]
    assert entry.photo.endswith('/dropped.png')
    picture = Image.open(io.BytesIO(gallery.picture(entry.id)))
    assert picture.size == (world.TILE, world.TILE)
    # The tile and its surroundings, cut off at the photo's edge.
    assert Image.open(io.BytesIO(gallery.wide_picture(entry.id))).size == (16, 8)


def test_the_date_of_a_photo_is_kept_and_can_be_asked_for(gallery, photos):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = '2019:07:14 12:30:05'
    (photos / 'dated.jpg').write_bytes(world.photo(1, form='JPEG', quality=100, exif=exif))
    (photos / 'undated.png').write_bytes(world.photo(2))
    enroll(gallery, photos)
    assert [entry.taken for entry in gallery.entries([1, 2])] == ['2019-07-14T12:30:05', None]
    assert gallery.where({'taken': '2019-07-*'}).tolist() == [1]


def test_photos_of_one_name_are_all_kept(gallery):
    for who in range(3):
        enrollment.enroll_bytes(gallery, 'IMG_0001.jpg', world.photo(who), ORACLE, PhotoLabel())
    again = enrollment.enroll_bytes(
        gallery, 'IMG_0001.jpg', world.photo(0), ORACLE, PhotoLabel('Anna')
    )
    assert (again.copies, again.unchanged) == (0, 1)
    people = [entry.person for entry in gallery.entries(gallery.where({}).tolist())]
    assert people == ['Anna', None, None]


def test_a_file_that_became_unreadable_loses_nothing(gallery, photos):
    (photos / 'a.png').write_bytes(world.photo(1))
    enroll(gallery, photos)
    whole = (photos / 'a.png').read_bytes()
    (photos / 'a.png').write_bytes(whole[:50])  # such as while it is being copied
    for _ in range(2):
        report = enroll(gallery, photos)
        assert 'stays enrolled' in report.problems[str(photos / 'a.png')]
        assert np.array_equal(embeddings_of(gallery), [world.embedding(1)])
    (photos / 'a.png').write_bytes(whole)
    report = enroll(gallery, photos)
    assert (report.problems, report.faces) == ({}, 0)


def test_the_bar_moves_with_each_photo_and_reaches_the_end(gallery, photos, monkeypatch):
    world.folder_of(photos, people=2, photos=3)
    (photos / 'copy.png').write_bytes(world.photo(0))
    (photos / 'broken.png').write_bytes(b'no photo')
    bars = []

    class Bar(enrollment.tqdm):
        def __init__(self, *items, **settings):
            super().__init__(*items, **settings)
            self.moves = []
            bars.append(self)

        def update(self, n=1):
            self.moves.append(n)

    monkeypatch.setattr(enrollment, 'tqdm', Bar)
    assert enroll(gallery, photos).faces == 6
    (bar,) = [bar for bar in bars if bar.desc == 'enroll']
    assert sum(bar.moves) == bar.total == 8
    assert len(bar.moves) >= 6


def test_large_photos_are_committed_fewer_at_a_time(gallery, photos, monkeypatch):
    world.folder_of(photos, people=2, photos=5)
    size = max(path.stat().st_size for path in photos.rglob('*.png'))
    monkeypatch.setattr(enrollment, '_BYTES', 3 * size)
    read = []
    embed = ORACLE.embed
    monkeypatch.setattr(ORACLE, 'embed', lambda chips: read.append(len(chips)) or embed(chips))
    assert enroll(gallery, photos).faces == 10
    assert max(read) <= 4
    assert sum(read) == 10

"""A gallery follows the disk: photos that moved, were copied, replaced or deleted."""

import json

import numpy as np
import pytest

from diface_jax import model as models
from diface_jax.gallery import disk_sync, enrollment, sqlite_database, store
from diface_jax.gallery.store import EnrolledFace, PhotoLabel, Store
from tests.gallery import world

ORACLE = world.Oracle()


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    return folder


def enroll(photos, below='.', **options):
    with Store(photos.parent / 'gallery', create=True) as gallery:
        return enrollment.enroll_folder(gallery, photos / below, ORACLE, **options)


def sync(photos, look_in=None, **options):
    return disk_sync.sync_gallery(photos.parent / 'gallery', look_in, **options)


def entries(photos):
    with Store(photos.parent / 'gallery') as gallery:
        return gallery.entries(gallery.where({}).tolist())


def contents(photos):
    with Store(photos.parent / 'gallery') as gallery:
        return world.contents(gallery)


def write(photos, name, *people, noise=0):
    path = photos / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(world.photo(*people, noise=noise))
    return path


@pytest.mark.parametrize('by_sync', [False, True])
def test_a_photo_moved_on_disk_is_shown_at_its_new_path(photos, by_sync):
    old = write(photos, 'old/a.png', 1, 2)
    enroll(photos, people=True, tags={'year': '2020'})
    before = entries(photos)
    (photos / 'new').mkdir()
    new = old.rename(photos / 'new' / 'b.png')
    report = sync(photos, photos) if by_sync else enroll(photos)
    assert report.moved == {str(old): str(new)}
    assert (report.copies, report.missing) == (0, [])
    assert str(new) in str(report)
    after = entries(photos)
    assert [entry.photo for entry in after] == [str(new)] * 2
    kept = [(entry.id, entry.person, entry.tags, entry.box) for entry in after]
    assert kept == [(entry.id, entry.person, entry.tags, entry.box) for entry in before]
    assert store.remove_entries(photos.parent / 'gallery', {'photo': '*/old/*'}) == 0


def test_a_photo_moved_to_another_persons_folder_is_that_persons(photos):
    old = write(photos, 'Anna/a.png', 1)
    enroll(photos, people=True)
    (photos / 'Ben').mkdir()
    old.rename(photos / 'Ben' / 'a.png')
    report = enroll(photos, people=True)
    assert (report.faces, report.conflicts) == (0, [])
    assert [entry.person for entry in entries(photos)] == ['Ben']


def test_a_copy_that_is_gone_is_dropped_and_its_person_stays(photos):
    for name in ('Anna/a.png', 'misc/b.png'):
        write(photos, name, 1)
    enroll(photos, 'misc')
    enroll(photos, 'Anna', people=True)
    (photos / 'Anna' / 'a.png').unlink()
    assert sync(photos).moved == {str(photos / 'Anna/a.png'): str(photos / 'misc/b.png')}
    (entry,) = entries(photos)
    assert (entry.person, entry.photo) == ('Anna', str(photos / 'misc/b.png'))


def test_a_photo_that_vanished_is_listed_with_all_its_paths_and_deleted_on_request(photos):
    gone = [str(write(photos, name, 1)) for name in ('a.png', 'b.png')]
    write(photos, 'kept.png', 2)
    enroll(photos)
    for path in gone:
        (photos / path).unlink()
    for report in (sync(photos), enroll(photos)):
        assert report.missing == [gone]
        assert f'{gone[0]}, also {gone[1]}' in str(report)
        assert '--remove_missing' in str(report)
    assert len(entries(photos)) == 2
    report = sync(photos, remove_missing=True)
    assert (report.missing, report.removed) == ([gone], 1)
    assert [entry.photo for entry in entries(photos)] == [str(photos / 'kept.png')]
    on_disk = (photos.parent / 'gallery' / sqlite_database.FILE).read_bytes()
    assert world.embedding(1).tobytes() not in on_disk
    assert sync(photos) == disk_sync.SyncReport()


def test_a_drive_that_is_not_mounted_loses_nothing(photos):
    world.folder_of(photos / 'drive', people=2, photos=2)
    enroll(photos, people=True)
    before = contents(photos)
    (photos / 'drive').rename(photos.parent / 'unmounted')
    (photos / 'drive').mkdir()
    assert len(sync(photos).missing) == 4
    assert len(enroll(photos).missing) == 4
    assert contents(photos) == before
    (photos / 'drive').rmdir()
    (photos.parent / 'unmounted').rename(photos / 'drive')
    assert sync(photos) == disk_sync.SyncReport()


def test_dropped_photos_and_embeddings_are_never_missing(photos):
    path = write(photos, 'a.png', 1)
    enroll(photos)
    with Store(photos.parent / 'gallery') as gallery:
        enrollment.enroll_bytes(gallery, 'x.png', world.photo(2), ORACLE, PhotoLabel())
        enrollment.enroll_bytes(gallery, 'a.png', world.photo(1), ORACLE, PhotoLabel())
        with gallery.changing():
            face = EnrolledFace(None, None, *[np.ones(32)] * 2)
            gallery.add_embeddings(['imported'], [face], [PhotoLabel()])
    path.unlink()
    report = sync(photos, remove_missing=True)
    assert (report.missing, report.removed) == ([], 0)
    assert list(report.moved) == [str(path)]  # its faces are still those of the dropped photo
    assert len(entries(photos)) == 3


def test_photos_that_swapped_names_keep_their_faces_people_and_tags(photos, monkeypatch):
    first, second = (write(photos, f'{name}.png', name) for name in (1, 2))
    enroll(photos, tags={'year': '2020'})
    before = entries(photos)
    first.rename(photos / 'c')
    second.rename(first)
    (photos / 'c').rename(second)
    monkeypatch.setattr(enrollment, '_PHOTOS', 1)
    assert enroll(photos).faces == 0
    after = entries(photos)
    assert [entry.id for entry in after] == [entry.id for entry in before]
    assert [entry.photo for entry in after] == [str(second), str(first)]
    assert [entry.tags for entry in after] == [{'year': '2020'}] * 2


def test_sync_does_not_lose_a_photo_whose_file_was_overwritten_with_another_one(photos):
    paths = [write(photos, f'{who}.png', who) for who in (1, 2, 3)]
    enroll(photos)
    before = contents(photos)
    paths[0].write_bytes(world.photo(2))  # the photo of 1 is nowhere any more,
    paths[1].write_bytes(world.photo(3))  # and that of 2 only in a file that cannot become its own
    assert sync(photos, photos).changed == [str(path) for path in paths[:2]]
    assert contents(photos) == before
    write(photos, 'moved.png', 1)
    report = sync(photos, photos)
    assert (report.changed, len(entries(photos))) == ([], 3)
    assert [entry.photo for entry in entries(photos)] == [
        str(photos / name) for name in ('moved.png', '1.png', '2.png')
    ]


def test_a_file_that_was_only_touched_is_as_before_and_a_new_photo_in_it_is_reported(photos):
    paths = [write(photos, f'{who}.png', who) for who in (1, 2)]
    enroll(photos)
    paths[0].write_bytes(paths[0].read_bytes())
    write(photos, '2.png', 3)
    write(photos, 'new.png', 4)
    for _ in range(2):
        report = sync(photos, photos)
        assert (report.changed, report.new, report.moved) == ([str(paths[1])], 1, {})
    report = enroll(photos)
    assert (report.faces, report.unchanged, report.copies) == (2, 1, 0)
    assert sync(photos, photos) == disk_sync.SyncReport()


def test_a_path_that_cannot_be_looked_at_is_reported_and_not_taken_for_gone(photos, monkeypatch):
    paths = [write(photos, name, 1) for name in ('a.png', 'b.png')]
    enroll(photos)
    before = contents(photos)

    def refuse(path):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(disk_sync, 'stat_file', refuse)
    report = sync(photos, remove_missing=True)
    monkeypatch.undo()
    assert report.problems == {str(path): 'Permission denied' for path in paths}
    assert contents(photos) == before


def test_a_gallery_with_damaged_paths_is_refused(photos):
    write(photos, 'a.png', 1)
    enroll(photos)
    with Store(photos.parent / 'gallery') as gallery:
        gallery.database.execute("UPDATE file SET path = 'text'")
    for change in (sync, enroll):
        with pytest.raises(store.GalleryError, match='is damaged: a path in it'):
            change(photos)


def test_the_command_needs_no_model(command, photos, monkeypatch):
    old = write(photos, 'a.png', 1)
    enroll(photos)
    new = old.rename(photos / 'b.png')
    gone = write(photos, 'c.png', 2)
    enroll(photos)
    gone.unlink()

    def no_model(workdir):
        raise AssertionError

    monkeypatch.setattr(models, 'load', no_model)
    gallery = f'--gallery={photos.parent / "gallery"}'
    code, said = command('sync', gallery, f'--photos={photos}', '--json')
    assert code == 0
    assert json.loads(said)['missing'] == [[str(gone)]]
    code, said = command('sync', gallery, '--remove_missing')
    assert (code, said.splitlines()[0]) == (
        0,
        '1 photos missing, 1 faces of missing photos deleted',
    )
    assert [entry.photo for entry in entries(photos)] == [str(new)]
    assert command('sync', gallery) == (0, 'every path is up to date\n')
    assert 'no gallery in' in command('sync', '--gallery=none')[1]
    assert '--gallery is missing' in command('sync')[1]

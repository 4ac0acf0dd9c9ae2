import pickle

import pytest

from diface_jax.data.readers.folder import read_folder


def test_a_folder_a_person(tmp_path, put, jpeg):
    for file in ('ann/b.JPG', 'ann/2019/trip/a.png', 'bob/c.jpeg'):
        put(file, jpeg)

    data_set = read_folder(tmp_path)

    assert data_set.name == 'folder'
    assert data_set.problems == ()
    assert data_set.landmarks_5x2 is None
    assert [(p.file, p.identity, p.labels, p.descriptions) for p in data_set.photos] == [
        ('ann/2019/trip/a.png', 'ann', None, ()),
        ('ann/b.JPG', 'ann', None, ()),
        ('bob/c.jpeg', 'bob', None, ()),
    ]
    assert pickle.loads(pickle.dumps(data_set.read))('ann/b.JPG') == jpeg


def test_what_is_no_photo_is_a_problem(tmp_path, put, jpeg):
    for file in ('ann/a.jpg', 'ann/notes.txt', 'ann/._a.jpg', 'ann/.cache/a.jpg'):
        put(file, jpeg)

    data_set = read_folder(tmp_path)

    assert [p.file for p in data_set.photos] == ['ann/a.jpg']
    assert {(p.file, p.reason) for p in data_set.problems} == {
        ('ann/notes.txt', 'not an image, by its suffix'),
        ('ann/._a.jpg', 'hidden'),
        ('ann/.cache/a.jpg', 'hidden'),
    }


def test_captions_of_both_files_are_free_hand(tmp_path, put, jpeg):
    put('ann/a.jpg', jpeg)
    put('bob/b.jpg', jpeg)
    put('captions.jsonl', '{"file": "ann/a.jpg", "caption": "tall"}\nnonsense\n')
    put('captions.csv', 'file,caption\nann/a.jpg,thin\nann/gone.jpg,bald\nbob/b.jpg,\n')

    data_set = read_folder(tmp_path)

    assert [p.descriptions for p in data_set.photos] == [('tall', 'thin'), ()]
    jsonl, gone, empty = data_set.problems
    assert jsonl.file == 'captions.jsonl'
    assert jsonl.reason.startswith('line 2: ')
    assert gone.file == 'ann/gone.jpg'
    assert empty.file == 'captions.csv'
    assert empty.reason.startswith('line 4: ')


def test_linked_folders_are_followed(tmp_path, put, jpeg):
    put('elsewhere/ann/a.jpg', jpeg)
    (tmp_path / 'people').mkdir()
    (tmp_path / 'people/ann').symlink_to(tmp_path / 'elsewhere/ann')

    assert [p.file for p in read_folder(tmp_path / 'people').photos] == ['ann/a.jpg']


def test_identities_are_split_not_photos(tmp_path, put, jpeg):
    for person in range(60):
        for photo in range(2):
            put(f'{person}/{photo}.jpg', jpeg)

    splits = {}
    for photo in read_folder(tmp_path, (0.4, 0.3, 0.3), seed=1).photos:
        splits.setdefault(photo.identity, set()).add(photo.split)

    assert all(len(data_set) == 1 for data_set in splits.values())
    assert set.union(*splits.values()) == {'train', 'validation', 'test'}


def test_who_comes_later_moves_nobody(tmp_path, put, jpeg):
    for person in range(20):
        put(f'{person}/0.jpg', jpeg)
    before = read_folder(tmp_path).photos
    put('a new one/0.jpg', jpeg)

    assert set(before) < set(read_folder(tmp_path).photos)


def test_all_of_it_as_test(tmp_path, put, jpeg):
    for person in range(20):
        put(f'{person}/0.jpg', jpeg)

    assert {p.split for p in read_folder(tmp_path, (0, 0, 1)).photos} == {'test'}


def test_no_photo_anywhere_is_refused(tmp_path, put, jpeg):
    put('loose.jpg', jpeg)

    with pytest.raises(FileNotFoundError, match=r'PERSON/PHOTO\.jpg'):
        read_folder(tmp_path)


def test_real_photographs(shared):
    data_set = read_folder(shared / 'data/photos', (0, 0, 1))

    assert data_set.problems == ()
    on_disk = sorted((shared / 'data/photos').glob('*/*.jpg'))
    assert len(data_set.photos) == len(on_disk)
    assert {p.identity for p in data_set.photos} == {path.parent.name for path in on_disk}


def test_photos_in_nobodys_folder_and_thumbnails_are_problems(tmp_path, put, jpeg):
    for file in ('ann/a.jpg', 'loose.jpg', '@eaDir/a.jpg', 'ann/@eaDir/a.jpg/thumb.jpg'):
        put(file, jpeg)

    source = read_folder(tmp_path)

    assert [p.file for p in source.photos] == ['ann/a.jpg']
    assert {(p.file, p.reason) for p in source.problems} == {
        ('loose.jpg', "left out: it is in no person's folder"),
        ('@eaDir', 'left out: a folder of thumbnails or deleted files'),
        ('ann/@eaDir', 'left out: a folder of thumbnails or deleted files'),
    }


def test_links_that_lead_nowhere_or_back_are_problems(tmp_path, put, jpeg):
    put('ann/a.jpg', jpeg)
    (tmp_path / 'everybody').symlink_to(tmp_path)
    (tmp_path / 'ann/gone.jpg').symlink_to(tmp_path / 'nowhere.jpg')
    (tmp_path / 'ann/again').symlink_to(tmp_path / 'ann')

    source = read_folder(tmp_path)

    assert [p.file for p in source.photos] == ['ann/a.jpg']
    assert {(p.file, p.reason) for p in source.problems} == {
        ('everybody', 'left out: a link to a folder above it'),
        ('ann/gone.jpg', 'not a file, or a link to nothing'),
        ('ann/again', 'a link to a folder'),
    }


def test_a_person_in_two_split_folders_is_refused(tmp_path, put, jpeg):
    put('train/ann/a.jpg', jpeg)
    put('test/ann/b.jpg', jpeg)

    with pytest.raises(ValueError, match=r'ann \(test, train\)'):
        read_folder(tmp_path)

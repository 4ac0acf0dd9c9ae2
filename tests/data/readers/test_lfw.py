import json
import pickle
import re

import numpy as np
import pytest

from diface_jax.data.readers import lfw
from diface_jax.data.readers.lfw import read_lfw

PHOTOS = ('Ann_A/Ann_A_0001.jpg', 'Ann_A/Ann_A_0002.jpg', 'Bob_B/Bob_B_0001.jpg')


@pytest.fixture
def tree(put, jpeg):
    for file in PHOTOS:
        put(f'lfw-deepfunneled/{file}', jpeg)

    def write(number, attributes, *rows):
        lines = [f'{file},{row}' for file, row in zip(PHOTOS, rows, strict=False)]
        put(f'lfwa_{number}.csv', '\n'.join([f'image,{attributes}', *lines]) + '\n')

    write(40, 'Eyeglasses,Male', '1,0', '0,0', '0,1')
    write(73, 'Eyeglasses,Asian', '0,1', '0,1', '0,0')
    return write


def test_labels_of_both_files_and_celebas_meaning_first(tmp_path, tree, put, jpeg):
    put('descriptions.jsonl', f'{{"file": "{PHOTOS[2]}", "description": "A tall man."}}')

    data_set = read_lfw(tmp_path)

    assert data_set.name == 'lfw'
    assert [p.file for p in data_set.photos] == [f'lfw-deepfunneled/{file}' for file in PHOTOS]
    assert [p.identity for p in data_set.photos] == ['Ann_A', 'Ann_A', 'Bob_B']
    assert data_set.photos[0].labels == {'Eyeglasses': True, 'Male': False, 'Asian': True}
    assert data_set.photos[2].labels == {'Eyeglasses': False, 'Male': True, 'Asian': False}
    assert data_set.photos[2].descriptions == ('A tall man.',)
    assert [(p.file, p.reason) for p in data_set.problems] == [
        ('lfwa_73.csv', 'Eyeglasses differs from lfwa_40.csv, which counts, on 1 photos')
    ]
    assert pickle.loads(pickle.dumps(data_set.read))(data_set.photos[0].file) == jpeg


def test_photos_without_sentences_of_their_own_get_the_shipped_ones(tmp_path, tree, monkeypatch):
    shipped = tmp_path / 'shipped.jsonl'
    shipped.write_text(
        f'{{"file": "{PHOTOS[1]}", "description": "A pale man.", "split": "train"}}\n'
        '{"file": "No_One/No_One_0001.jpg", "description": "Nobody.", "split": "train"}\n'
    )
    monkeypatch.setattr(lfw, 'SENTENCES', shipped)

    data_set = read_lfw(tmp_path)

    assert [p.descriptions for p in data_set.photos] == [(), ('A pale man.',), ()]
    assert 'shipped.jsonl' not in {p.file for p in data_set.problems}


def test_shipped_sentences_are_of_training_photos_without_a_repeat():
    lines = (lfw.SENTENCES.parents[1] / 'splits/lfw.csv').read_text().split()
    split_by_file = dict(line.split(',') for line in lines)
    rows = [json.loads(line) for line in lfw.SENTENCES.read_text('ascii').splitlines()]

    assert {tuple(row) for row in rows} == {('file', 'description', 'split')}
    for row in rows:
        person, name = row['file'].split('/')
        assert name.startswith(person)
        assert row['split'] == split_by_file[name] == 'train'
        assert 20 <= len(row['description']) <= 260
    assert len({row['file'] for row in rows}) == len(rows)
    assert len({row['description'].lower() for row in rows}) == len(rows)


def test_no_shipped_sentence_names_the_person():
    for row in map(json.loads, lfw.SENTENCES.read_text('ascii').splitlines()):
        surname = row['file'].split('/')[0].split('_')[-1]

        assert not re.search(rf'\b{re.escape(surname)}\b', row['description'])


def test_one_file_of_labels_will_do(tmp_path, tree):
    (tmp_path / 'lfwa_40.csv').unlink()

    data_set = read_lfw(tmp_path)

    assert data_set.problems == ()
    assert data_set.photos[0].labels == {'Eyeglasses': False, 'Asian': True}


def test_no_file_of_labels_will_do(tmp_path, tree):
    for number in (40, 73):
        (tmp_path / f'lfwa_{number}.csv').unlink()

    data_set = read_lfw(tmp_path)

    assert data_set.problems == ()
    assert {p.labels for p in data_set.photos} == {None}


@pytest.mark.parametrize('row', ['1', '1,0,1', '1,2', '1,yes'])
def test_without_labels_a_photo_is_kept(tmp_path, tree, row):
    (tmp_path / 'lfwa_73.csv').unlink()
    tree(40, 'Eyeglasses,Male', '1,0', row, '0,1')

    data_set = read_lfw(tmp_path)

    assert [p.labels is None for p in data_set.photos] == [False, True, False]
    (problem,) = data_set.problems
    assert problem.file == data_set.photos[1].file
    assert 'lfwa_40.csv line 3' in problem.reason


def test_a_photo_in_one_list_only_keeps_those_labels(tmp_path, tree):
    tree(40, 'Eyeglasses,Male', '0,0', '0,0')

    data_set = read_lfw(tmp_path)

    assert data_set.photos[2].labels == {'Eyeglasses': False, 'Asian': False}
    (problem,) = data_set.problems
    assert problem.file == data_set.photos[2].file
    assert problem.reason == 'kept without these labels: not in lfwa_40.csv'


def test_labels_of_a_photo_that_is_not_there_are_a_problem(tmp_path, tree):
    (tmp_path / 'lfwa_73.csv').unlink()
    (tmp_path / 'lfw-deepfunneled' / PHOTOS[2]).unlink()

    data_set = read_lfw(tmp_path)

    assert len(data_set.photos) == 2
    assert [(p.file, p.reason) for p in data_set.problems] == [
        (f'lfw-deepfunneled/{PHOTOS[2]}', 'left out: in lfwa_40.csv, not on disk')
    ]


def test_a_stray_file_is_a_problem(tmp_path, tree, put):
    put('lfw-deepfunneled/Ann_A/Thumbs.db', b'?')

    assert 'lfw-deepfunneled/Ann_A/Thumbs.db' in [p.file for p in read_lfw(tmp_path).problems]


@pytest.mark.parametrize('header', ['', 'Ann_A/Ann_A_0001.jpg,1,0'])
def test_labels_without_a_header_are_refused(tmp_path, tree, put, header):
    put('lfwa_40.csv', header)

    with pytest.raises(ValueError, match='first line must be image,ATTRIBUTE'):
        read_lfw(tmp_path)


def test_landmarks_are_known_for_deep_funneling_only(tmp_path, tree):
    aligned = read_lfw(tmp_path).landmarks_5x2
    (tmp_path / 'lfw-deepfunneled').rename(tmp_path / 'lfw')

    assert aligned.shape == (5, 2)
    assert np.all((aligned > 0) & (aligned < 1))
    assert read_lfw(tmp_path).landmarks_5x2 is None


def test_all_of_it_as_test(tmp_path, tree):
    assert {p.split for p in read_lfw(tmp_path, (0, 0, 1)).photos} == {'test'}


def test_no_folder_of_photos_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='no lfw-deepfunneled/'):
        read_lfw(tmp_path)


def test_real_photographs(shared):
    data_set = read_lfw(shared / 'data/lfw')

    on_disk = list((shared / 'data/lfw/lfw-deepfunneled').glob('*/*.jpg'))
    unlabelled = sum(p.labels is None for p in data_set.photos)
    assert len(data_set.photos) == len(on_disk)
    assert unlabelled < 0.01 * len(on_disk)
    assert {len(p.labels) for p in data_set.photos if p.labels} == {75}
    # A photo that neither file labels is a problem of both, and two attributes that CelebA means in
    # a wider sense are one each.
    assert len(data_set.problems) == 2 * unlabelled + 2
    people = {(p.identity, p.split) for p in data_set.photos}
    assert len(people) == len({who for who, _ in people})
    assert {split for _, split in people} == {'train', 'validation', 'test'}

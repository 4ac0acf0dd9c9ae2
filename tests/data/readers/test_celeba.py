import collections
import json
import pathlib
import pickle
import re

import pytest

from diface_jax.data.readers import celeba
from diface_jax.data.readers.celeba import LANDMARKS_5x2, read_celeba

HEADER = 'Bald Male Young \n'


@pytest.fixture
def tree(put, jpeg):
    """Five photos of three people, a person a split; the fifth is free for a test to spoil."""
    files = [f'{i:06d}.jpg' for i in range(1, 6)]
    for file in files:
        put(f'img_align_celeba/{file}', jpeg)
    lists = {
        'identity_CelebA.txt': ['10', '10', '20', '30', '10'],
        'list_eval_partition.txt': ['0', '0', '1', '2', '0'],
        'list_attr_celeba.txt': [' 1 -1  1', '-1  1  1', '1 1 1', '-1 -1 -1', '1 1 -1'],
    }

    def write(name, fifth=None):
        values = lists[name] if fifth is None else [*lists[name][:4], fifth]
        text = ''.join(f'{file} {value}\n' for file, value in zip(files, values, strict=True))
        put(name, f'5\n{HEADER}{text}' if name == 'list_attr_celeba.txt' else text)

    for name in lists:
        write(name)
    return write


def photo(number):
    return f'img_align_celeba/{number:06d}.jpg'


def test_what_the_lists_say(tmp_path, tree, put, jpeg):
    put('descriptions.jsonl', '{"file": "000003.jpg", "description": "A bald young man."}\n')

    data_set = read_celeba(tmp_path)

    assert data_set.name == 'celeba'
    assert data_set.problems == ()
    assert [p.file for p in data_set.photos] == [photo(i) for i in range(1, 6)]
    assert [p.identity for p in data_set.photos] == ['10', '10', '20', '30', '10']
    assert [p.split for p in data_set.photos] == ['train', 'train', 'validation', 'test', 'train']
    assert data_set.photos[0].labels == {'Bald': True, 'Male': False, 'Young': True}
    assert data_set.photos[2].descriptions == ('A bald young man.',)
    assert data_set.photos[3].descriptions == ()
    assert pickle.loads(pickle.dumps(data_set.read))(photo(1)) == jpeg


@pytest.mark.parametrize(
    ('name', 'value', 'why'),
    [
        ('identity_CelebA.txt', '', 'identity_CelebA.txt line 5: expected the number'),
        ('identity_CelebA.txt', 'ten', "identity_CelebA.txt line 5: .* 'ten'"),
        ('identity_CelebA.txt', '10 20', 'identity_CelebA.txt line 5: '),
        ('list_eval_partition.txt', '3', "partition.txt line 5: expected 0, 1 or 2, found '3'"),
        ('list_eval_partition.txt', '', 'list_eval_partition.txt line 5: '),
    ],
)
def test_without_identity_or_split_a_photo_is_left_out(tmp_path, tree, name, value, why):
    tree(name, fifth=value)

    data_set = read_celeba(tmp_path)

    assert len(data_set.photos) == 4
    (problem,) = data_set.problems
    assert problem.file == photo(5)
    assert problem.reason.startswith('left out: ')
    assert re.search(why, problem.reason)


@pytest.mark.parametrize(
    ('value', 'why'), [('1 1', '2 labels, expected 3'), ('1 0 1', "found '0'"), ('1 x 1', "'x'")]
)
def test_without_labels_a_photo_is_kept(tmp_path, tree, value, why):
    tree('list_attr_celeba.txt', fifth=value)

    data_set = read_celeba(tmp_path)

    assert [p.labels is None for p in data_set.photos] == [False] * 4 + [True]
    (problem,) = data_set.problems
    assert problem.file == photo(5)
    assert 'kept without labels: list_attr_celeba.txt line 7: ' in problem.reason
    assert why in problem.reason


def test_a_photo_that_is_only_in_one_list_or_only_on_disk(tmp_path, tree, put, jpeg):
    put('img_align_celeba/000009.jpg', jpeg)
    with (tmp_path / 'identity_CelebA.txt').open('a') as lines:
        lines.write('000008.jpg 10\n')

    data_set = read_celeba(tmp_path)

    assert len(data_set.photos) == 5
    whys = {problem.file: problem.reason for problem in data_set.problems}
    assert whys.keys() == {photo(8), photo(9)}
    assert 'not in list_eval_partition.txt' in whys[photo(8)]
    assert 'not on disk' in whys[photo(8)]
    assert 'not in identity_CelebA.txt' in whys[photo(9)]


def test_a_listed_photo_that_is_not_on_disk(tmp_path, tree):
    (tmp_path / photo(5)).unlink()

    data_set = read_celeba(tmp_path)

    assert len(data_set.photos) == 4
    assert [(p.file, p.reason) for p in data_set.problems] == [(photo(5), 'left out: not on disk')]


def test_a_list_cut_short_is_a_problem(tmp_path, tree, put):
    put('list_attr_celeba.txt', f'5\n{HEADER}000001.jpg 1 1 1\n')

    data_set = read_celeba(tmp_path)

    assert [p.labels is None for p in data_set.photos] == [False] + [True] * 4
    assert data_set.problems[0].file == 'list_attr_celeba.txt'
    assert data_set.problems[0].reason == 'announces 5 photos, lists 1'
    assert {p.file for p in data_set.problems[1:]} == {photo(i) for i in range(2, 6)}


def test_attributes_without_their_header_are_refused(tmp_path, tree, put):
    put('list_attr_celeba.txt', '000001.jpg 1 1 1\n')

    with pytest.raises(ValueError, match='the first line must be the number of photos'):
        read_celeba(tmp_path)


@pytest.mark.parametrize(
    'name',
    ['identity_CelebA.txt', 'list_attr_celeba.txt', 'list_eval_partition.txt', 'img_align_celeba'],
)
def test_what_is_not_there_is_named_with_the_layout(tmp_path, tree, name):
    (tmp_path / name).rename(tmp_path / 'elsewhere')

    with pytest.raises(FileNotFoundError, match=rf'no {name} in .*img_align_celeba/.*https://'):
        read_celeba(tmp_path)


def test_an_identity_in_two_splits_is_refused(tmp_path, tree):
    tree('list_eval_partition.txt', fifth='2')

    with pytest.raises(ValueError, match=r'10 \(test, train\)'):
        read_celeba(tmp_path)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """In place of what ships: a photo that is there, one that is not, and a slip."""
    lines = [
        '{"file": "000005.jpg", "description": "A shipped sentence."}',
        '{"file": "000077.jpg", "description": "Of a photo elsewhere."}',
        '{"file": "000004.jpg"}',
    ]
    path = tmp_path / 'shipped.jsonl'
    path.write_text('\n'.join(lines))
    monkeypatch.setattr(celeba, 'SENTENCES', path)


def test_without_descriptions_of_its_own_photos_have_the_shipped_ones(tmp_path, tree, shipped):
    tree('list_eval_partition.txt', fifth='0')

    data_set = read_celeba(tmp_path)

    assert [p.descriptions for p in data_set.photos] == [(), (), (), (), ('A shipped sentence.',)]
    assert data_set.photos[4].split == 'train'
    (problem,) = data_set.problems
    assert problem.file == 'shipped.jsonl'
    assert problem.reason.startswith('line 3: ')


@pytest.fixture
def held_out(tmp_path, monkeypatch):
    path = tmp_path / 'held_out.jsonl'
    path.write_text('{"file": "000003.jpg", "description": "Hair? None.", "voice": "questions"}')
    monkeypatch.setattr(celeba, 'HELD_OUT_VOICES', path)


def test_sentences_in_held_out_voices_are_kept_apart(tmp_path, tree, shipped, held_out):
    photo = read_celeba(tmp_path).photos[2]

    assert (photo.descriptions, photo.held_out_descriptions) == ((), ('Hair? None.',))


def test_descriptions_of_its_own_are_the_only_ones(tmp_path, tree, shipped, held_out, put):
    put('descriptions.jsonl', '{"file": "000001.jpg", "description": "Its own."}\n')

    data_set = read_celeba(tmp_path)

    assert [p.descriptions for p in data_set.photos] == [('Its own.',), (), (), (), ()]
    assert not any(p.held_out_descriptions for p in data_set.photos)
    assert data_set.problems == ()


def test_what_ships_is_sentences_and_nothing_else():
    free_hand, held_out = (
        [json.loads(line) for line in path.read_text('ascii').splitlines()]
        for path in (celeba.SENTENCES, celeba.HELD_OUT_VOICES)
    )

    assert {tuple(row) for row in free_hand} == {('file', 'description', 'split')}
    assert {tuple(row) for row in held_out} == {('file', 'description', 'split', 'voice')}
    # Nobody is trained on in a voice that is held out.
    assert {row['split'] for row in held_out} == {'validation', 'test'}
    rows = [*free_hand, *held_out]
    assert all(re.fullmatch(r'\d{6}\.jpg', row['file']) for row in rows)
    assert len({row['description'].lower() for row in rows}) == len(rows)
    assert all(20 <= len(row['description']) <= 260 for row in rows)
    count = collections.Counter(row['file'] for row in rows)
    assert max(count.values()) == 2
    assert {row['split'] for row in rows if count[row['file']] == 2} == {'train'}
    # What the data card says.
    assert (len(free_hand), len(count) - len(held_out), len(held_out)) == (22_233, 12_509, 586)


def test_shipped_sentences_have_the_split_of_their_photo():
    lines = (pathlib.Path(celeba.__file__).parents[1] / 'splits/celeba.csv').read_text()
    split_by_file = dict(line.split(',') for line in lines.split())

    for path in (celeba.SENTENCES, celeba.HELD_OUT_VOICES):
        for row in map(json.loads, path.read_text('ascii').splitlines()):
            assert row['split'] == split_by_file[row['file']]


def test_real_photographs(shared):
    data_set = read_celeba(shared / 'data/celeba')

    folder = shared / 'data/celeba'
    columns = dict(line.split() for line in (folder / 'list_eval_partition.txt').open())
    people = dict(line.split() for line in (folder / 'identity_CelebA.txt').open())
    described = {json.loads(line)['file'] for line in (folder / 'descriptions.jsonl').open()}
    splits = dict(zip('012', ('train', 'validation', 'test'), strict=True))
    names = [pathlib.PurePath(p.file).name for p in data_set.photos]
    assert data_set.problems == ()
    assert names == sorted(columns)
    assert [p.split for p in data_set.photos] == [splits[columns[name]] for name in names]
    assert [p.identity for p in data_set.photos] == [people[name] for name in names]
    assert {len(p.labels) for p in data_set.photos} == {40}
    having = [name for p, name in zip(data_set.photos, names, strict=True) if p.descriptions]
    assert having == sorted(described)


def test_landmarks_lie_as_dlibs_on_an_upright_face():
    left_outer, left_inner, right_outer, right_inner, nose = LANDMARKS_5x2

    assert 0 < right_outer[0] < right_inner[0] < nose[0] < left_inner[0] < left_outer[0] < 1
    assert 0 < max(left_outer[1], right_outer[1]) < nose[1] < 1

"""What a scores file gives back, and why one is refused."""

import re

import numpy as np
import pytest

from diface_jax.evaluation.scores_file import read_scores
from tests.evaluation import benchmark_world as world


def read(path, content):
    return read_scores(world.write(path / 'mine.npz', content), world.benchmark())


def test_rows_come_back_in_the_order_of_the_benchmark(tmp_path):
    of_embeddings = read(tmp_path, world.arrays())
    of_scores = read(tmp_path, world.arrays(kind='scores'))
    assert (of_embeddings.kind, of_scores.kind) == ('embeddings', 'scores')
    for name, expected in world.cca().items():
        for field, value in zip(of_embeddings.methods[name], expected, strict=True):
            np.testing.assert_array_equal(field, value)
            assert field.dtype == value.dtype
        np.testing.assert_allclose(
            of_scores.methods[name].score_TxN, expected[0] @ expected[1].T, atol=1e-6
        )


def changed(**arrays):
    return lambda content: content | {key.replace('__', '/'): v for key, v in arrays.items()}


def without(name):
    return lambda content: {key: value for key, value in content.items() if key != name}


def at(name, index, value):
    def change(content):
        array = content[name].copy()
        array[index] = value
        return content | {name: array}

    return change


def shortened(name):
    return lambda content: content | {name: content[name][:-1]}


WRONG = {
    'another protocol': (changed(protocol='ab' * 32), 'written for the protocol abababababab'),
    'no protocol': (without('protocol'), 'it has no array protocol'),
    'no ids': (without('test/text_id'), 'it has no array test/text_id'),
    'no embeddings': (without('test/text_embedding'), 'it has no array test/text_embedding'),
    'no validation': (without('validation/photo_id'), 'it has no array validation/photo_id'),
    'a missing text': (shortened('test/text_id'), r'test/text_id lacks 1 of \d+ ids: \d+\.jpg#\d'),
    'a text twice': (
        lambda content: at('test/text_id', 0, content['test/text_id'][1])(content),
        r'test/text_id has ids more than once: \d+\.jpg#\d$',
    ),
    'an unknown photo': (
        at('test/photo_id', 0, 'x.jpg'),
        r'test/photo_id has ids that the protocol does not have: x\.jpg$',
    ),
    'numbers as ids': (changed(test__photo_id=np.arange(3)), 'must be a list of strings'),
    'nan': (at('test/photo_embedding', (3, 1), np.nan), 'not finite, such as in row 3'),
    'a wrong width': (
        changed(test__photo_embedding=np.zeros((3, 4))),
        r'test/photo_embedding is 3 x 4, not \d+ x \d+$',
    ),
    'one axis': (changed(test__text_embedding=np.zeros(4)), 'test/text_embedding is 4, not'),
    'complex': (
        lambda content: (
            content | {'test/text_embedding': content['test/text_embedding'].astype(complex)}
        ),
        'must hold real numbers, not complex128',
    ),
    'objects': (changed(test__photo_id=np.array([{}, None])), 'allow_pickle'),
}


@pytest.mark.parametrize('name', WRONG)
def test_a_wrong_file_is_refused_by_name(name, tmp_path):
    change, sentence = WRONG[name]
    with pytest.raises(ValueError, match=sentence) as error:
        read(tmp_path, change(world.arrays()))
    assert str(error.value).startswith(f'{tmp_path / "mine.npz"}: ')


def test_ids_of_the_other_split_are_named(tmp_path):
    # Of the made-up splits, only the larger one has this photo.
    names = {name: set(world.benchmark().split(name).file_N) for name in ('validation', 'test')}
    larger, smaller = sorted(names, key=lambda name: -len(names[name]))
    stray = max(names[larger] - names[smaller])
    content = at(f'{smaller}/photo_id', 0, stray)(world.arrays())
    with pytest.raises(ValueError, match=f'{smaller}/photo_id has ids of the other split: {stray}'):
        read(tmp_path, content)


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 cut', b'\x93NUMPY'])
def test_a_damaged_file_is_one_sentence(content, tmp_path):
    path = tmp_path / 'mine.npz'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read_scores(path, world.benchmark())


def test_a_single_array_and_no_file_are_refused(tmp_path):
    np.save(tmp_path / 'mine.npy', np.zeros(3))
    with pytest.raises(ValueError, match=r'it is no \.npz file'):
        read_scores(tmp_path / 'mine.npy', world.benchmark())
    with pytest.raises(FileNotFoundError, match='no file of scores'):
        read_scores(tmp_path / 'none.npz', world.benchmark())

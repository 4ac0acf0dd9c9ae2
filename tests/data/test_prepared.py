"""A second data set joined to the one that is trained on."""

import dataclasses

import numpy as np
import pytest

from diface_jax.data import prepared
from diface_jax.data.prepared import Prepared, Split
from diface_jax.runtime import run_state

ENCODERS = {'face': [{'name': 'E', 'width': 2}], 'text': {'name': 'B', 'width': 3}}


def split(people, photos, attributes, first=0):
    """Photos of some people, two sentences each, and every number in it another."""
    identity_N = first + np.repeat(np.arange(people, dtype=np.int32), photos)
    photo_T = np.repeat(np.arange(len(identity_N), dtype=np.int32), 2)
    return Split(
        file_N=np.array([f'{i:03d}.jpg' for i in range(len(identity_N))]),
        identity_N=identity_N,
        embedding_NxD=np.arange(2.0 * len(identity_N)).reshape(-1, 2).astype(np.float32),
        label_NxA=np.arange(len(identity_N) * attributes).reshape(-1, attributes) % 2,
        photo_T=photo_T,
        track_T=np.zeros(len(photo_T), np.int8),
        coverage_T=np.ones(len(photo_T), np.float32),
        text_T=np.array([f'photo {i}' for i in photo_T], object),
        c_TxC=np.repeat(photo_T[:, None], 3, axis=1).astype(np.float32),
    )


def prepared_data(name, attributes, splits):
    counts = {split_name: {'photos': len(rows.file_N)} for split_name, rows in splits.items()}
    card = {'name': name, 'encoders': ENCODERS, 'splits': counts, 'settings': {'root': name}}
    return Prepared(splits, attributes, card)


@pytest.fixture
def first():
    splits = {'train': split(4, 2, 2), 'validation': split(2, 2, 2, 4), 'test': split(3, 2, 2, 6)}
    return prepared_data('home', ('Bald', 'Male'), splits)


@pytest.fixture
def second():
    return prepared_data(
        'other', ('Asian', 'Male'), {'train': split(5, 3, 2), 'test': split(2, 2, 2, 5)}
    )


def test_training_photos_come_together(first, second):
    both = prepared.join(first, second)
    train = both.splits['train']
    assert both.splits['validation'] is first.splits['validation']
    assert both.splits['test'] is first.splits['test']
    assert both.attributes == first.attributes
    assert len(train.file_N) == 8 + 15
    assert both.card['splits']['train']['photos'] == 23
    assert (first.splits['train'].starts, train.starts) == ((0,), (0, 8))
    assert len(np.unique(train.identity_N)) == 4 + 5
    tested = np.concatenate([first.splits[name].identity_N for name in ('validation', 'test')])
    assert not set(tested) & set(train.identity_N)
    # Each text is still about the photo it was about.
    of_photo_T = [f'photo {i if i < 8 else i - 8}' for i in train.photo_T]
    np.testing.assert_array_equal(train.text_T, of_photo_T)
    np.testing.assert_array_equal(
        train.embedding_NxD[8:], second.splits['train'].embedding_NxD, strict=True
    )


def test_an_attribute_of_one_alone_is_unknown_of_the_other(first, second):
    train = prepared.join(first, second).splits['train']
    assert (train.label_NxA[8:, 0] == -1).all()
    np.testing.assert_array_equal(train.label_NxA[8:, 1], second.labels('train', ['Male'])[:, 0])


def test_the_settings_tell_of_it(first, second):
    assert prepared.join(first, second).card['settings'] == {
        'root': 'home',
        'second_data': {'root': 'other'},
    }


def test_other_encoders_are_refused(first, second):
    card = second.card | {'encoders': ENCODERS | {'text': {'name': 'another', 'width': 3}}}
    with pytest.raises(run_state.SettingsDifferError, match=r"text\.name: 'another' -> 'B'"):
        prepared.join(first, dataclasses.replace(second, card=card))


def test_nothing_to_train_on_is_refused(first, second):
    del second.splits['train']
    with pytest.raises(
        ValueError, match=r'other has no photo to train on: give second_data\.shares'
    ):
        prepared.join(first, second)


def test_photos_in_both_data_sets_are_refused_wherever_they_lie(first, second):
    """The second set may not train on what the first one tests on."""
    hashes = [[f'{name}{i}' for i in range(n)] for name, n in (('a', 8), ('b', 4), ('c', 6))]
    for split, sha256_N in zip(('train', 'validation', 'test'), hashes, strict=True):
        first.splits[split] = dataclasses.replace(first.splits[split], sha256_N=np.array(sha256_N))
    theirs = np.array(['c0', 'c5', 'b1', *(f'd{i}' for i in range(12))])
    second.splits['train'] = dataclasses.replace(second.splits['train'], sha256_N=theirs)
    with pytest.raises(ValueError, match=r'3 of 15 photos .* of 1 people, .* 000\.jpg, 001\.jpg'):
        prepared.join(first, second)
    apart = np.array([f'd{i}' for i in range(15)])
    second.splits['train'] = dataclasses.replace(second.splits['train'], sha256_N=apart)
    assert prepared.join(first, second).splits['train'].sha256_N[[0, 8]].tolist() == ['a0', 'd0']


def test_a_damaged_card_is_a_clear_error(tmp_path):
    (tmp_path / prepared.CARD).write_text('{"name": ')
    with pytest.raises(ValueError, match=r'data_card\.json is damaged .* --mode=prepare again'):
        prepared.read_card(tmp_path)

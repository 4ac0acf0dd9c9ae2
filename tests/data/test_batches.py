"""Batches are a function of seed and step, and pair what belongs together."""

import dataclasses

import jax
import numpy as np
import pytest

from diface_jax.data.batches import Batches, stacked_batches
from tests import population


@pytest.fixture(scope='module')
def split():
    return population.split(0, 60)


def test_same_seed_and_step_same_batch(split):
    batches_a, batches_b = (Batches(split, 32, 0.5, seed=3) for _ in range(2))
    for field, again in zip(batches_a(7), batches_b(7), strict=True):
        np.testing.assert_array_equal(field, again)
    assert not np.array_equal(batches_a(7).photo_B, batches_a(8).photo_B)
    assert not np.array_equal(batches_a(7).photo_B, Batches(split, 32, 0.5, seed=4)(7).photo_B)


def test_texts_describe_the_photos_and_mates_are_the_same_person(split):
    batches, alone = Batches(split, 32, 0.5, seed=0), 0
    count = np.bincount(split.identity_N)
    for step in range(20):
        photo, mate, text, copy = batches(step)
        assert copy is None
        np.testing.assert_array_equal(split.photo_T[text], photo)
        np.testing.assert_array_equal(split.identity_N[mate], split.identity_N[photo])
        np.testing.assert_array_equal(mate == photo, count[split.identity_N[photo]] == 1)
        assert len(set(photo)) == 32
        alone += np.sum(mate == photo)
    assert alone > 0


def test_copies_are_those_of_the_photos_and_change_no_other_draw(split):
    observed = population.observed(split, copies=3)
    batch, without = (Batches(part, 32, 0.5, seed=0)(5) for part in (observed, split))
    np.testing.assert_array_equal(batch.copy_B // 3, batch.photo_B)
    assert set(batch.copy_B % 3) == {0, 1, 2}
    jax.tree.map(np.testing.assert_array_equal, batch._replace(copy_B=None), without)


@pytest.mark.parametrize(
    ('human_share', 'low', 'high'), [(0.0, 0, 0), (0.5, 0.4, 0.6), (1.0, 1, 1)]
)
def test_the_share_of_human_sentences(split, human_share, low, high):
    batches = Batches(split, 64, human_share, seed=0)
    share = np.mean([split.track_T[batches(step).text_B] for step in range(50)])
    assert low <= share <= high


def test_held_out_voices_are_never_trained_on(split):
    style_T = np.where(split.track_T == 1, 2, split.track_T)
    batches = Batches(dataclasses.replace(split, track_T=style_T), 64, 0.5, seed=0)
    drawn = np.concatenate([batches(step).text_B for step in range(50)])
    assert not np.any(style_T[drawn] == 2)


def test_every_text_is_drawn_in_time(split):
    batches = Batches(split, 64, 0.3, seed=0)
    drawn = np.concatenate([batches(step).text_B for step in range(200)])
    assert set(drawn) == set(range(len(split.photo_T)))


def test_steps_are_stacked(split):
    batches = Batches(split, 16, 0.0, seed=0)
    stacked = stacked_batches(batches, 5, 3)
    assert stacked.photo_B.shape == (3, 16)
    np.testing.assert_array_equal(stacked.photo_B[2], batches(7).photo_B)


def test_more_than_there_is(split):
    with pytest.raises(ValueError, match='smaller batch'):
        Batches(split, 100_000, 0.0, seed=0)


def test_a_batch_is_of_one_of_the_data_sets_joined(split):
    start = len(split.file_N) * 3 // 4
    joined = dataclasses.replace(split, starts=(0, start))
    batches = Batches(joined, 16, 0.5, seed=0)
    of_second = [set(batches(step).photo_B >= start) for step in range(400)]
    assert all(len(kinds) == 1 for kinds in of_second)
    share = np.mean([kinds == {True} for kinds in of_second])
    assert 0.18 < share < 0.32


def test_a_step_does_not_sort_all_identities_again(split, monkeypatch):
    batches = Batches(split, 32, 0.5, seed=3)
    monkeypatch.setattr(np, 'argsort', None)
    assert batches(7).photo_B.shape == (32,)

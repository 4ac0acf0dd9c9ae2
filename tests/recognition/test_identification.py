"""Ranks of hand-made score matrices."""

import numpy as np
import pytest

from diface_jax.recognition import identification

SCORES = np.array(
    [
        [0.9, 0.1, 0.2, 0.3],  # mate 0: first
        [0.9, 0.5, 0.8, 0.1],  # mate 1: third
        [0.2, 0.2, 0.2, 0.9],  # mate 2: behind one, level with two
    ]
)
MATES = np.array([0, 1, 2])


def test_known_ranks():
    rank = identification.ranks(SCORES, MATES)
    np.testing.assert_array_equal(rank, [1, 3, 3])
    assert identification.rank_k(rank, 1) == pytest.approx(1 / 3)
    assert identification.rank_k(rank, 3) == 1.0
    assert identification.rank_k(rank, 1, np.array([2, 1, 1])) == 0.5


def test_an_oracle_is_first_and_a_constant_in_the_middle():
    np.testing.assert_array_equal(identification.ranks(np.eye(9), np.arange(9)), 1)
    np.testing.assert_array_equal(identification.ranks(np.zeros((9, 9)), np.arange(9)), 5)


def test_not_a_number():
    with pytest.raises(ValueError, match='finite'):
        identification.ranks(np.where(SCORES == 0.5, np.nan, SCORES), MATES)


def test_galleries_share_nobody():
    blocks = identification.gallery_blocks(np.random.default_rng(0), 103, 20)
    people = np.concatenate(blocks)
    assert [len(block) for block in blocks] == [20] * 5
    assert len(set(people)) == len(people)
    assert identification.gallery_blocks(np.random.default_rng(0), 5, 20) == []

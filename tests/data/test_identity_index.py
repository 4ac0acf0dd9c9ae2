"""Another photo of a person: uniform among the others, drawn without sorting again."""

import numpy as np

from diface_jax.data.identity_index import IdentityIndex


def test_every_other_photo_of_the_person_is_drawn_and_never_the_same():
    identity_N = np.array([7, 3, 7, 5, 3, 7])
    photo_P = np.arange(6).repeat(200)
    other_P = IdentityIndex(identity_N).another_photo(np.random.default_rng(0), photo_P)
    drawn = [set(row) for row in other_P.reshape(6, 200).tolist()]
    assert drawn == [{2, 5}, {4}, {0, 5}, {-1}, {1}, {0, 2}]


def test_a_draw_does_not_sort_the_data_set_again(monkeypatch):
    index = IdentityIndex(np.array([0, 0, 1, 1]))
    monkeypatch.setattr(np, 'argsort', None)
    monkeypatch.setattr(np, 'searchsorted', None)
    other_P = index.another_photo(np.random.default_rng(0), np.array([0, 3]))
    np.testing.assert_array_equal(other_P, [1, 2])

import collections

import pytest

from diface_jax.data.readers.records import Photo, check_identities, split_of
from diface_jax.runtime.settings import check_shares

PEOPLE = [f'person {i}' for i in range(4000)]


def splits(shares, seed):
    return [split_of(who, shares, seed) for who in PEOPLE]


def test_splits_have_about_the_shares_asked_for():
    counts = collections.Counter(splits((0.7, 0.2, 0.1), seed=0))

    # Five standard deviations of a binomial count are at most 145.
    assert counts['train'] == pytest.approx(2800, abs=145)
    assert counts['validation'] == pytest.approx(800, abs=127)
    assert counts['test'] == pytest.approx(400, abs=95)


def test_splits_depend_on_the_seed_only():
    shares = (0.8, 0.1, 0.1)

    assert splits(shares, seed=3) == splits(shares, seed=3)
    assert splits(shares, seed=3) != splits(shares, seed=4)


@pytest.mark.parametrize(
    ('shares', 'split'), [((1, 0, 0), 'train'), ((0, 1, 0), 'validation'), ((0, 0, 1), 'test')]
)
def test_a_share_of_one_takes_everybody(shares, split):
    assert set(splits(shares, seed=0)) == {split}


def test_an_identity_in_two_splits_is_named():
    photos = [
        Photo('1.jpg', 'ann', 'train', None),
        Photo('2.jpg', 'ann', 'test', None),
        Photo('3.jpg', 'bob', 'test', None),
    ]

    with pytest.raises(ValueError, match=r'1 identities .* ann \(test, train\)'):
        check_identities(photos)
    check_identities(photos[1:])


@pytest.mark.parametrize('shares', [(0.8, 0.1), (0.9, 0.2, -0.1), (0.8, 0.1, 0.2)])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(ValueError, match='add up to 1'):
        check_shares(shares)

"""Shares of words and photo: those of a known mixture."""

import numpy as np
import pytest

from diface_jax.gallery.shares import Shares, shares_of

RNG = np.random.default_rng(0)
TEXT_F, PHOTO_F = np.linalg.qr(RNG.standard_normal((16, 2)))[0].T


def test_the_shares_of_a_mixture_are_found():
    both_F = 0.3 * TEXT_F + 0.7 * PHOTO_F
    assert shares_of(both_F, TEXT_F, PHOTO_F) == pytest.approx((0.3, 0.7))
    # Also if the two resemble each other, and whatever the length.
    near_F = TEXT_F + 0.5 * PHOTO_F
    assert shares_of(9 * (near_F + 3 * PHOTO_F), near_F, PHOTO_F) == pytest.approx((0.25, 0.75))


def test_no_share_is_below_0():
    assert shares_of(PHOTO_F - 0.2 * TEXT_F, TEXT_F, PHOTO_F) == (0.0, 1.0)
    assert shares_of(-TEXT_F - PHOTO_F, TEXT_F, PHOTO_F) == (0.5, 0.5)


def test_the_sentence():
    assert Shares(0.304, 0.696).sentence('12 pixels wide') == (
        'The photo counts for about 70%, the words for 30%: its face is 12 pixels wide.'
    )

"""Degraded chips: the same each time, worse with each level, and of one photo."""

import collections

import numpy as np
import pytest

from diface_jax.encoders.face import align, degrade, quality
from tests import drawn_face

pytest.importorskip('dlib', reason="needs pip install 'diface_jax[faces]'")


@pytest.fixture(scope='module')
def chips():
    return align.face_chips(drawn_face.draw(300), drawn_face.LANDMARKS_5x2 * 300)


def test_the_same_photo_is_degraded_in_the_same_way(chips):
    (how,) = degrade.training_degradations(1, 0, 'hash')
    assert degrade.training_degradations(1, 0, 'hash') == [how]
    how = how._replace(face_px=12.0)
    once, again, other = (degrade.degrade(chips, how, photo) for photo in ('a', 'a', 'b'))
    np.testing.assert_array_equal(once, again)
    assert np.any(once != other)
    assert (once.shape, once.dtype) == (chips.shape, np.uint8)


def test_a_smaller_face_is_further_from_the_photo(chips):
    levels = degrade.evaluation_degradations()
    degraded = [degrade.degrade(chips, how, 'hash').astype(float) for how in levels]
    np.testing.assert_array_equal(degraded[0], chips)
    # The third is black at the top, where no encoder reads it.
    distance = [np.sqrt(np.square(d - chips)[: align.ARCFACE].mean()) for d in degraded]
    assert np.all(np.diff(distance) > 0)


def test_the_first_chips_show_the_same_small_photo(chips):
    """The middle of the wide chip, enlarged, is the other chip, up to the enlargement."""
    first, wide, _ = degrade.degrade(chips, degrade.Degradation(12.0), 'hash').astype(float)
    share = (1 + 2 * align.PADDINGS[0]) / (1 + 2 * align.PADDINGS[1])
    place = (np.arange(150) + 0.5 - 75) * share + 75 - 0.5
    middle = wide[np.ix_(place.round().astype(int), place.round().astype(int))]
    assert np.abs(middle - first).mean() < 4
    assert np.abs(chips[0].astype(float) - first).mean() > 4


def test_the_chip_of_arcface_stays_in_its_place(chips):
    how = degrade.Degradation(degrade.FULL_WIDTH - 1, noise=0.0, jpeg=95)
    before, after = align.arcface_images(
        np.stack([chips, degrade.degrade(chips, how, 'hash')])
    ).astype(float)
    assert np.abs(before - after).mean() < 4
    for axis in (0, 1):
        assert np.abs(before - np.roll(after, 3, axis)).mean() > np.abs(before - after).mean()
        assert np.abs(before - np.roll(after, -3, axis)).mean() > np.abs(before - after).mean()


def test_levels_are_drawn_equally_often():
    drawn = [how for i in range(600) for how in degrade.training_degradations(4, 0, str(i))]
    count = collections.Counter(how.face_px for how in drawn)
    assert set(count) == set(degrade.TRAINING_WIDTHS)
    assert max(count.values()) < 1.3 * min(count.values())
    widths = [how.face_px for how in degrade.training_degradations(12, 0, 'hash')]
    assert sorted(widths, reverse=True) == list(degrade.TRAINING_WIDTHS)


def test_quality_falls_with_the_face_and_with_blur(chips):
    sharp, blurred = (
        degrade.degrade(chips, degrade.Degradation(24.0, blur=blur, noise=0.0), 'hash')
        for blur in (0.0, 2.0)
    )
    good, bad, small = (
        quality.photo_quality(sharp, 24.0),
        quality.photo_quality(blurred, 24.0),
        quality.photo_quality(sharp, 12.0),
    )
    assert good.shape == (len(quality.NAMES),)
    assert good[0] == bad[0] > small[0]
    assert np.all(good[1:4] > bad[1:4])
    black = quality.photo_quality(np.zeros_like(chips), 24.0)
    assert np.isfinite(black).all()
    wide, wider = (quality.photo_quality(sharp, width) for width in (100.0, 300.0))
    np.testing.assert_array_equal(wide, wider)


def test_the_width_of_a_face():
    """In the first chip the face is as wide as the chip without its margins."""
    padding = align.PADDINGS[0]
    in_chip = (padding + align._MEAN_FACE_5x2) / (1 + 2 * padding) * align.CHIP_SIZE
    assert align.face_width(in_chip) == pytest.approx(100, rel=0.01)

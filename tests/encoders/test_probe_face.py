"""The face of a probe: also where it has a few pixels."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from diface_jax.encoders.face import align, degrade, probe_face

pytest.importorskip('dlib', reason="needs pip install 'diface_jax[faces]'")

LANDMARKS_5x2 = 20.0 * align._MEAN_FACE_5x2
POINTS_5x2 = align._ARCFACE_5x2 / 4
IMAGE = np.zeros((60, 90, 3), np.uint8)


def detector(monkeypatch, faces, smallest=1):
    """A detector that finds `faces` when it looks for boxes of `smallest` pixels or less."""
    sizes = []

    def detect(image_HxWx3, *, smallest=0, least=smallest):
        sizes.append(smallest)
        return faces if smallest <= least else []

    monkeypatch.setattr(align, 'detect', detect)
    return sizes


def face(scale):
    box = (0, 0, 25 * scale, 25 * scale)
    return align.DetectedFace(box, scale * LANDMARKS_5x2, scale * POINTS_5x2)


def test_the_largest_is_taken_with_its_width_in_the_photo(monkeypatch):
    detector(monkeypatch, [face(2), face(1)], smallest=99)
    taken = probe_face.find_probe_face(IMAGE)
    assert (taken.box, taken.faces, taken.second_share) == ((0, 0, 50, 50), 2, pytest.approx(0.5))
    assert taken.face_px == pytest.approx(40, rel=0.01)
    assert taken.chips.shape == (3, 150, 150, 3)
    detector(monkeypatch, [face(2)], smallest=99)
    assert probe_face.find_probe_face(IMAGE).second_share == 0


def test_smaller_faces_are_searched_for_where_there_is_none(monkeypatch):
    sizes = detector(monkeypatch, [face(1)], smallest=12)
    probe_face.find_probe_face(IMAGE)
    assert sizes == [20, 10]
    sizes = detector(monkeypatch, [face(1)], smallest=99)
    probe_face.find_probe_face(IMAGE)
    assert sizes == [20]


def test_without_a_face_it_says_what_to_do_and_large_photos_stay_affordable(monkeypatch):
    sizes = detector(monkeypatch, [], smallest=99)
    with pytest.raises(ValueError, match='no face of 10 pixels or more: cut out the face'):
        probe_face.find_probe_face(IMAGE)
    with pytest.raises(ValueError, match='no face of 20 pixels or more'):
        probe_face.find_probe_face(np.broadcast_to(np.uint8(0), (3000, 4000, 3)))
    assert sizes == [20, 10, 40, 20]


@pytest.fixture(scope='module')
def portrait(shared):
    """A photograph of 178x218 pixels."""
    return Image.open(max((shared / 'data' / 'celeba' / 'img_align_celeba').glob('*.jpg')))


def test_a_face_of_nine_pixels_is_found(portrait):
    """Shrunk, since no photograph there is as poor; where it was, and as wide."""
    large = probe_face.find_probe_face(np.asarray(portrait))
    scale = 9 / large.face_px
    size = [round(side * scale) for side in portrait.size]
    small = probe_face.find_probe_face(np.asarray(portrait.resize(size, Image.Resampling.BOX)))
    assert small.face_px == pytest.approx(9, rel=0.2)
    assert np.multiply(large.box, scale) == pytest.approx(np.array(small.box), abs=3)
    # A sharp photo shows as much as its width says, a blurred one less.
    assert large.detail_px > 0.75 * degrade.FULL_WIDTH
    assert small.detail_px == small.face_px
    blurred = portrait.filter(ImageFilter.GaussianBlur(4))
    assert probe_face.find_probe_face(np.asarray(blurred)).detail_px < 20

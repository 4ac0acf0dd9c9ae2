"""MTCNN: its networks, how it cuts a photo into pages, and what it does with its weights."""

import importlib.util
import pathlib
import pickle

import numpy as np
import pytest

from diface_jax.encoders.face import align, mtcnn
from tests import drawn_face

# The package itself cannot be imported without TensorFlow.
if importlib.util.find_spec('mtcnn') is None:
    pytest.skip("needs pip install 'diface_jax[faces]'", allow_module_level=True)


@pytest.fixture(scope='module')
def networks():
    return mtcnn.load_mtcnn()


def group(*faces, size=(200, 300)):
    """A grey photo with drawn faces of these (side, left, top)."""
    image = np.full((*size, 3), 120, np.uint8)
    for side, left, top in faces:
        image[top : top + side, left : left + side] = drawn_face.draw(side)
    return image


def test_pages_do_not_change_what_is_detected(networks, monkeypatch):
    photo = group((120, 10, 40), (70, 150, 20), (90, 200, 110))
    expected = networks.detect(photo, 30, 0.7)
    assert len(expected.scores_N) == 3
    # Smaller than the finest level, so that it is cut into tiles.
    monkeypatch.setattr(mtcnn, '_PAGES', ((48, 64),))
    for part, other in zip(networks.detect(photo, 30, 0.7), expected, strict=True):
        np.testing.assert_allclose(part, other, atol=1e-3)


@pytest.mark.parametrize('seed', range(3))
def test_rectangles_on_a_page_lie_beside_each_other(seed):
    heights, widths = np.random.default_rng(seed).integers(12, (257, 385), (40, 2)).T
    shapes = tuple(zip(heights.tolist(), widths.tolist(), strict=True))
    pages = mtcnn._pages(shapes, (256, 384))
    assert sorted(index for page in pages for index, _, _ in page) == list(range(40))
    for page in pages:
        covered = np.zeros((256, 384), int)
        for index, y, x in page:
            assert y % 2 == x % 2 == 0
            height, width = shapes[index]
            assert y + height <= 256
            assert x + width <= 384
            covered[y : y + height, x : x + width] += 1
        assert covered.max() == 1


@pytest.mark.parametrize(
    ('photo', 'size', 'pages'),
    [
        ((218, 178), (120, 208), 1),
        ((250, 250), (120, 208), 1),
        ((600, 400), (256, 384), 1),
        ((1200, 1600), (256, 384), 6),
    ],
)
def test_a_small_photo_takes_a_small_page(photo, size, pages):
    pyramid = mtcnn.Pyramid(np.zeros((*photo, 3), np.uint8), align.smallest_face(*photo))
    chosen, _, placed = mtcnn._layout([level for _, level in pyramid.levels()])
    assert (chosen, len(placed)) == (size, pages)


def test_each_window_of_a_length_lies_in_a_tile():
    for length in (12, 255, 256, 257, 1000):
        spans = list(mtcnn._spans(length, 256))
        starts = {start for a, b in spans for start in range(a, b - 11, 2)}
        assert starts == set(range(0, length - 11, 2))
        assert all(a % 2 == 0 and b - a <= 256 for a, b in spans)


def test_of_overlapping_boxes_the_best_stays():
    boxes_Nx4 = np.array([(0, 0, 10, 10), (1, 0, 11, 10), (20, 0, 30, 10), (2, 2, 6, 6)], float)
    scores_N = np.array([0.8, 0.9, 0.1, 0.7])
    assert mtcnn.non_maximum_suppression(boxes_Nx4, scores_N, 0.5).tolist() == [1, 3, 2]
    by_smaller = mtcnn.non_maximum_suppression(boxes_Nx4, scores_N, 0.5, smaller=True)
    assert by_smaller.tolist() == [1, 2]


@pytest.mark.parametrize('size', [(1, 1), (11, 500), (12, 12), (13, 2001)])
def test_photos_of_odd_sizes_have_no_face(networks, size):
    faces = networks.detect(np.full((*size, 3), 90, np.uint8), 20, 0.7)
    assert [len(part) for part in faces] == [0, 0, 0]


def test_weights_of_another_kind_are_refused_before_anything_of_them_is_run(tmp_path, monkeypatch):
    class Runs:
        def __reduce__(self):
            return pathlib.Path.touch, (tmp_path / 'ran',)

    (tmp_path / 'net').write_bytes(pickle.dumps(Runs()))
    monkeypatch.setattr(mtcnn.weights, 'find_in_package', lambda *_: tmp_path / 'net')
    with pytest.raises(ValueError, match='not the expected file'):
        mtcnn._read('pnet', mtcnn.SHA256['pnet'])
    assert not (tmp_path / 'ran').exists()

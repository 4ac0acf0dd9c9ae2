"""The appearance encoder: principal components of maps, whatever their size."""

import numpy as np
import pytest

from diface_jax.encoders.face import appearance, dlib_resnet
from diface_jax.encoders.face.encoder import FaceEncoder

BLOCKS = (6, 4)


@pytest.fixture(scope='module')
def maps():
    """Two directions that all numbers of both blocks follow, the second block a thousandfold."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((300, 2)) * (3, 1)
    made = hidden @ rng.standard_normal((2, sum(BLOCKS))) + 0.01 * rng.standard_normal((300, 10))
    return hidden, (made * np.repeat([1, 1000], BLOCKS) + 5).astype(np.float32)


def test_components_are_what_the_maps_share(maps):
    hidden, seen = maps
    found = appearance.fit_appearance(seen, BLOCKS, 2)(seen)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-3)
    read = np.linalg.lstsq(found, hidden - hidden.mean(axis=0), rcond=None)[0]
    np.testing.assert_allclose(found @ read, hidden - hidden.mean(axis=0), atol=0.1)


def test_a_photo_is_embedded_without_its_neighbours(maps):
    found = appearance.fit_appearance(maps[1], BLOCKS, 2)
    np.testing.assert_allclose(found(maps[1][5:6]), found(maps[1])[5:6], rtol=1e-4, atol=1e-5)


def test_too_few_photos_say_what_to_do(maps):
    with pytest.raises(ValueError, match='leave the appearance out with 0'):
        appearance.fit_appearance(maps[1][:3], BLOCKS, 4)


def test_both_encoders_stand_side_by_side():
    try:
        network = dlib_resnet.load_dlib_resnet()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    chips = np.random.default_rng(0).integers(0, 256, (6, 2, 150, 150, 3), np.uint8)
    maps = FaceEncoder(None).maps(chips)
    widths = dlib_resnet.block_widths(network, 2)
    assert maps.shape == (6, sum(widths))
    looks = appearance.fit_appearance(maps, widths, 3)
    both = FaceEncoder(looks)
    assert both.width == dlib_resnet.WIDTH + 3
    embedding = both.embed(chips)
    alone = FaceEncoder(None).embed(chips)
    np.testing.assert_allclose(embedding[:, : dlib_resnet.WIDTH], alone, atol=1e-5)
    expected = looks(maps)
    np.testing.assert_allclose(
        embedding[:, dlib_resnet.WIDTH :], expected, atol=0.01 * expected.std()
    )
    assert both.embed(chips[:0]).shape == (0, both.width)
    assert [one['width'] for one in both.about] == [dlib_resnet.WIDTH, 3]

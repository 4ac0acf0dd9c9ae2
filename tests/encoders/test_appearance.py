"""The appearance encoder: principal components of maps of any width."""

import numpy as np
import pytest

from diface_jax.encoders.face import appearance, dlib_resnet
from diface_jax.encoders.face.dlib_encoder import DlibPass
from diface_jax.encoders.face.encoder import build_face_encoder

BLOCKS = (6, 4)


@pytest.fixture(scope='module')
def maps():
    """Two hidden directions in the columns of two blocks; the second block is 1000 times larger."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((300, 2)) * (3, 1)
    maps = hidden @ rng.standard_normal((2, sum(BLOCKS))) + 0.01 * rng.standard_normal((300, 10))
    return hidden, (maps * np.repeat([1, 1000], BLOCKS) + 5).astype(np.float32)


def test_components_are_the_directions_that_the_maps_share(maps):
    hidden, maps_NxP = maps
    components = appearance.fit_appearance(maps_NxP, BLOCKS, 2)(maps_NxP)
    np.testing.assert_allclose(components.mean(axis=0), 0, atol=1e-3)
    read_out = np.linalg.lstsq(components, hidden - hidden.mean(axis=0), rcond=None)[0]
    np.testing.assert_allclose(components @ read_out, hidden - hidden.mean(axis=0), atol=0.1)


def test_a_photo_is_embedded_without_its_neighbours(maps):
    encoder = appearance.fit_appearance(maps[1], BLOCKS, 2)
    np.testing.assert_allclose(encoder(maps[1][5:6]), encoder(maps[1])[5:6], rtol=1e-4, atol=1e-5)


def test_too_few_photos_say_what_to_do(maps):
    with pytest.raises(ValueError, match='leave the appearance out with 0'):
        appearance.fit_appearance(maps[1][:3], BLOCKS, 4)


def test_embeddings_of_both_encoders_are_concatenated():
    try:
        network = dlib_resnet.load_dlib_resnet()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    chips = np.random.default_rng(0).integers(0, 256, (6, 3, 150, 150, 3), np.uint8)
    maps = DlibPass(with_maps=True).maps(chips)
    widths = dlib_resnet.block_widths(network, 2)
    assert maps.shape == (6, sum(widths))
    looks = appearance.fit_appearance(maps, widths, 3)
    both = build_face_encoder(('dlib', 'appearance'), looks)
    assert both.width == dlib_resnet.WIDTH + 3
    embedding = both.embed(chips)
    alone = build_face_encoder(('dlib',)).embed(chips)
    np.testing.assert_allclose(embedding[:, : dlib_resnet.WIDTH], alone, atol=1e-5)
    expected = looks(maps)
    np.testing.assert_allclose(
        embedding[:, dlib_resnet.WIDTH :], expected, atol=0.01 * expected.std()
    )
    assert both.embed(chips[:0]).shape == (0, both.width)
    assert [encoder['width'] for encoder in both.description] == [dlib_resnet.WIDTH, 3]

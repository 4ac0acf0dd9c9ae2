import jax
import numpy as np
import pytest

from diface_jax.encoders import weights
from diface_jax.encoders.face import align, dlib_format, dlib_resnet
from diface_jax.runtime import devices
from tests.benchmarks import lfw_pairs

dlib = pytest.importorskip('dlib', reason="needs pip install 'diface_jax[faces]'")


def packaged():
    return weights.find_in_package('face_recognition_models', f'models/{dlib_resnet.NAME}.dat')


@pytest.fixture(scope='module')
def model():
    return dlib_resnet.load_dlib_resnet()


@pytest.fixture(scope='module')
def layers():
    return dlib_format.read_dlib_network(packaged())


@pytest.fixture(scope='module')
def pairs(shared):
    """50 genuine and 50 impostor pairs, spread over the list of LFW."""
    every = lfw_pairs.read_pairs(shared / 'data/lfw/pairs.txt')
    same, different = ([pair for pair in every if pair[2] == is_same] for is_same in (True, False))
    return same[::42][:50] + different[::10][:50]


@pytest.fixture(scope='module')
def chips(shared, pairs):
    folder = shared / 'data/lfw/lfw-deepfunneled'
    files = lfw_pairs.photos_of(pairs)
    return {file: lfw_pairs.chips_of(folder / file) for file in files}


def smooth_chips(count):
    """Random chips as smooth as photographs are."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (count, 8, 8, 3))
    at = np.linspace(0, 7, 150)
    weight = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(8)))
    return np.einsum('hi,wj,nijc->nhwc', weight, weight, coarse).astype(np.uint8)


def largest_difference(model, chips_NxHxWx3):
    theirs = dlib.face_recognition_model_v1(str(packaged()))
    expected = np.array([theirs.compute_face_descriptor(chip) for chip in chips_NxHxWx3])
    return np.abs(dlib_resnet.embed_chips(model, chips_NxHxWx3) - expected).max()


def test_descriptors_are_dlibs_own_on_synthetic_chips(model):
    assert largest_difference(model, smooth_chips(24)) < 1e-5


def test_descriptors_are_dlibs_own_on_24_photographs(model, chips):
    tight = [chips_3xHxWx3[align.TIGHT] for chips_3xHxWx3 in chips.values()]
    assert largest_difference(model, np.stack(tight[::4][:24])) < 1e-5


def test_pairs_of_lfw_are_told_apart_at_dlibs_published_threshold(model, chips, pairs):
    tight_NxHxWx3 = np.stack(list(chips.values()))[:, align.TIGHT]
    x_NxD = dlib_resnet.embed_chips(model, tight_NxHxWx3)
    distance_N = lfw_pairs.distances(list(chips), x_NxD, pairs)
    same_N = np.array([same for _, _, same in pairs])
    assert set(same_N) == {True, False}
    assert np.mean((distance_N < 0.6) == same_N) >= 0.98


def test_batches_and_their_filling_change_nothing(model):
    chips_NxHxWx3 = smooth_chips(5)
    together = dlib_resnet.embed_chips(model, chips_NxHxWx3, batch_size=8)
    for same in (chips_NxHxWx3, chips_NxHxWx3.astype(np.float32)):
        apart = dlib_resnet.embed_chips(model, same, batch_size=3)
        np.testing.assert_allclose(apart, together, atol=1e-5)
    assert together.shape == (5, dlib_resnet.WIDTH)
    assert dlib_resnet.embed_chips(model, chips_NxHxWx3[:0]).shape == (0, dlib_resnet.WIDTH)


def test_gpus_keep_the_convolutions_of_xla_and_embed_alike(model, layers, monkeypatch):
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
    on_gpu = dlib_resnet.DlibResNet(layers)
    assert not any(block.conv2.kernel_QxPxCxO for block in on_gpu.blocks)
    assert all(block.conv2.kernel_QxPxCxO for block in model.blocks)
    chips_NxHxWx3 = smooth_chips(3)
    expected, embedded = (dlib_resnet.embed_chips(m, chips_NxHxWx3, 3) for m in (on_gpu, model))
    np.testing.assert_allclose(embedded, expected, atol=5e-6)


def test_accelerators_embed_more_crops_at_once(model, monkeypatch):
    sizes = []

    def embed(graph, state, chips_BxHxWx3):
        sizes.append(len(chips_BxHxWx3))
        return np.zeros((len(chips_BxHxWx3), dlib_resnet.WIDTH), np.float32)

    monkeypatch.setattr(dlib_resnet, '_apply', embed)
    for has_accelerator in (False, True):
        monkeypatch.setattr(devices, 'has_accelerator', lambda has=has_accelerator: has)
        assert len(dlib_resnet.embed_chips(model, smooth_chips(9))) == 9
    assert sizes == [8, 8, 64]


def test_each_chip_of_a_photo_has_its_own_maps(model):
    chips_NxSxHxWx3 = smooth_chips(6).reshape(3, 2, 150, 150, 3)
    maps = []
    for chips in (chips_NxSxHxWx3, chips_NxSxHxWx3[:, ::-1]):
        ((x_NxD, maps_NxP),) = dlib_resnet.embed_with_maps(model, chips, batch_size=3)
        first_NxD = dlib_resnet.embed_chips(model, chips[:, 0], batch_size=3)
        np.testing.assert_allclose(x_NxD, first_NxD, atol=1e-5)
        maps.append(maps_NxP)
    assert maps[0].shape == (3, sum(dlib_resnet.block_widths(model, 2)))
    swapped = np.concatenate(np.split(maps[1], 2, axis=1)[::-1], axis=1)
    np.testing.assert_allclose(maps[0], swapped, atol=1e-5)


def test_any_number_of_chips_compiles_once(model):
    counts = []
    for count in (3, 1, 4, 7):
        dlib_resnet.embed_chips(model, smooth_chips(count), batch_size=3)
        counts.append(dlib_resnet._apply._cache_size())
    assert len(set(counts)) == 1


def test_chips_of_another_size_are_refused(model):
    with pytest.raises(ValueError, match=r'\(150, 150, 3\)'):
        dlib_resnet.embed_chips(model, np.zeros((2, 112, 112, 3), np.uint8))


def test_network_has_29_convolutions_in_14_blocks_and_a_stem(layers):
    assert sum(layer.name == 'con_4' for layer in layers) == 29
    assert len(dlib_resnet.DlibResNet(layers).blocks) == 14


@pytest.mark.parametrize('at', [0, 3, 5, 11, 12, 40, -2, -1])
def test_layer_that_is_missing_is_refused(layers, at):
    left = list(layers)
    del left[at]
    with pytest.raises(ValueError, match='instead of'):
        dlib_resnet.DlibResNet(left)


def test_layer_too_many_is_refused(layers):
    with pytest.raises(ValueError, match='1 layers left over'):
        dlib_resnet.DlibResNet([*layers, dlib_format.DlibLayer('relu_')])


@pytest.mark.parametrize('sizes', [(3, 3, 2, 2, 1, 1), (3, 3, 2, 2, 0, 1)])
def test_padded_pooling_is_refused(layers, sizes):
    changed = list(layers)
    changed[4] = changed[4]._replace(sizes=sizes)
    with pytest.raises(ValueError, match='padded pooling'):
        dlib_resnet.DlibResNet(changed)


def test_packaged_weights_are_checked(monkeypatch):
    monkeypatch.setattr(dlib_resnet, 'SHA256', '0' * 64)
    with pytest.raises(ValueError, match='not the expected file'):
        dlib_resnet.load_dlib_resnet()


@pytest.mark.parametrize('width', [15, 20])
def test_the_first_convolution_is_one_though_computed_in_groups(model, width):
    x_BxHxWxC = np.random.default_rng(width).standard_normal((1, 8, width, 3)).astype(np.float32)
    expected = dlib_resnet.Conv.__call__(model.stem, x_BxHxWxC)
    np.testing.assert_allclose(model.stem(x_BxHxWxC), expected, atol=1e-5)

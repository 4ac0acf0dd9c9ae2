"""Texts and photos to features in batches, and the way there."""

import jax
import numpy as np
import pytest

from diface_jax.diffusion import schedule
from diface_jax.models.diface import DiFace, Sampling
from diface_jax.models.features import FeatureExtractor
from diface_jax.runtime import mesh as meshes
from tests import subprocesses

KEY = jax.random.key(0)
C_10xC = np.random.default_rng(0).standard_normal((10, 8)).astype(np.float32)


class Plain(DiFace):
    """D moves half the way to the text; R doubles."""

    def denoiser(self, params, c_BxC, *_, **__):
        return lambda x_t, log_snr: 0.5 * (c_BxC + x_t)

    def refine(self, params, x0_BxD, dropout_key=None):
        return 2.0 * x0_BxD


def extractor(num_steps, num_samples=1):
    model = Plain(None, None, schedule.cosine, embedding_dim=8, refine_photos=True)
    return FeatureExtractor(
        model, Sampling(num_steps, num_samples), meshes.make_mesh(), batch_size=4
    )


@pytest.mark.parametrize(('count', 'times'), [(3, [1.0, 0.5, 0.0]), (9, [1, 0.75, 0.5, 0.25, 0])])
def test_the_path_ends_in_what_one_sample_recovers(count, times):
    path = extractor(4, num_samples=3).path({}, C_10xC, KEY, count)
    np.testing.assert_allclose(path.t_S, times)
    np.testing.assert_allclose(path.log_snr_S, schedule.cosine(path.t_S), atol=1e-4)
    assert path.x_SxBxD.shape == path.x0_SxBxD.shape == (len(times), 10, 8)
    np.testing.assert_allclose(path.x0_SxBxD[0], 0.5 * (C_10xC + path.x_SxBxD[0]), rtol=1e-5)
    recovered = extractor(4).recovered({}, C_10xC, KEY)
    np.testing.assert_allclose(path.x_SxBxD[-1], recovered, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(path.x_SxBxD[-1], path.x0_SxBxD[-1])


DEVICES = """
import numpy as np
from tests.models import test_features as here

path = here.extractor(2).path({}, here.C_10xC, here.KEY, 3)
np.savez(sys.argv[1], here.extractor(2, 2).recovered({}, here.C_10xC, here.KEY), *path)
"""


def test_three_devices_recover_what_one_does(tmp_path):
    """Batches of four do not divide over three devices."""
    subprocesses.run(DEVICES, tmp_path / 'found.npz', devices=3)
    expected = extractor(2, 2).recovered({}, C_10xC, KEY), *extractor(2).path({}, C_10xC, KEY, 3)
    with np.load(tmp_path / 'found.npz') as found:
        for one, other in zip(expected, found.values(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_batches_are_padded_and_the_padding_is_cut_off():
    np.testing.assert_array_equal(extractor(1).refined({}, C_10xC), 2.0 * C_10xC)

"""The VAE: its divergence, that it learns, and that the same seed gives the same."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from diface_jax.encoders.face import vae
from tests.tiny_vae import settings


def drawn(seed, count):
    """Chips of a single colour with a vertical brightness gradient: four numbers describe each."""
    rng = np.random.default_rng(seed)
    colour = rng.uniform(60, 195, (count, 1, 1, 3))
    slope = rng.uniform(-60, 60, (count, 1, 1, 1))
    height = np.linspace(-1, 1, vae.SIZE)[None, :, None, None]
    chips = np.broadcast_to(colour + slope * height, (count, vae.SIZE, vae.SIZE, 3))
    return chips.astype(np.uint8)


@pytest.fixture(scope='module')
def model():
    return vae.fit_vae(drawn(0, 200), settings())


@pytest.mark.parametrize(('mean', 'sd'), [(0.0, 1.0), (1.0, 1.0), (-0.5, 0.3), (2.0, 1.7)])
def test_divergence_of_known_gaussians(mean, sd):
    q, p = scipy.stats.norm(mean, sd), scipy.stats.norm()
    expected, _ = scipy.integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), mean - 12 * sd, mean + 12 * sd
    )
    got = vae.kl_divergence(np.float32(mean), np.float32(2 * np.log(sd)))
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_it_learns_what_it_has_not_seen(model):
    train, others = drawn(0, 200), drawn(1, 50)
    terms = vae.vae_terms(model, others)
    assert terms.squared_error < 0.3 * vae.mean_image_error(train, others)
    assert terms.kl_L.shape == (8,)
    assert (terms.kl_L > 0.5).sum() >= 4
    assert terms.loss(2.0) == pytest.approx(terms.squared_error + 2 * terms.kl_L.sum())


def test_the_mean_image_has_the_error_of_a_variance():
    chips = drawn(0, 20)
    expected = (chips / 127.5).var(axis=0).sum()
    assert vae.mean_image_error(chips, chips) == pytest.approx(expected)


def test_batches_make_no_difference(model):
    chips = drawn(1, 50)
    latents = vae.posterior_means(model, chips)
    assert latents.shape == (50, 8)
    assert latents.dtype == np.float32
    np.testing.assert_allclose(vae.posterior_means(model, chips, batch_size=25), latents, atol=1e-5)
    at_once, in_batches = vae.vae_terms(model, chips), vae.vae_terms(model, chips, batch_size=40)
    np.testing.assert_allclose(in_batches.kl_L, at_once.kl_L, rtol=1e-4, atol=1e-6)


def test_the_same_seed_gives_the_same_bit_for_bit(model):
    chips = drawn(0, 200)
    first = vae.posterior_means(model, chips)
    again, other = (
        vae.posterior_means(vae.fit_vae(chips, settings(seed)), chips) for seed in (0, 1)
    )
    np.testing.assert_array_equal(again, first)
    assert np.abs(other - first).max() > 0.01


def test_weights_can_be_kept(model):
    weights = vae.vae_weights(model)
    chips = drawn(1, 50)
    again = vae.vae_from_weights(weights, settings())
    np.testing.assert_array_equal(
        vae.posterior_means(again, chips), vae.posterior_means(model, chips)
    )
    assert vae.sha256_of_weights(vae.vae_weights(again)) == vae.sha256_of_weights(weights)
    name = min(weights)
    assert vae.sha256_of_weights(weights | {name: weights[name] + 1}) != vae.sha256_of_weights(
        weights
    )


def test_small_chips_look_the_same():
    ramp = np.broadcast_to(np.arange(150, dtype=np.uint8)[:, None, None], (150, 150, 3))
    small = vae.shrink_chips(np.stack([ramp, 255 - ramp]))
    assert small.shape == (2, vae.SIZE, vae.SIZE, 3)
    assert small.dtype == np.uint8
    middle = (np.arange(64) + 0.5) * 150 / 64 - 0.5
    np.testing.assert_allclose(small[0, 2:-2, 5, 1], middle[2:-2], atol=0.51)
    np.testing.assert_array_equal(small[1], 255 - small[0])


def test_a_loss_that_is_not_a_number(monkeypatch):
    monkeypatch.setattr(vae, '_make_step', lambda *_: lambda state, *_: (state, np.float32('nan')))
    with pytest.raises(FloatingPointError, match='learning_rate'):
        vae.fit_vae(drawn(0, 20), settings())

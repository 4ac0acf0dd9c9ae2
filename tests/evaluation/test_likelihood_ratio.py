"""Scoring pairs by likelihood ratio, with a D that is ideal: Gaussian data, texts that view it."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import norm

from diface_jax.diffusion.likelihood import NoiseLevels, log_likelihood, variational_bound
from diface_jax.diffusion.schedule import alpha_sigma
from diface_jax.evaluation import verification
from diface_jax.evaluation.likelihood_ratio import LikelihoodRatioScorer
from diface_jax.runtime import mesh as meshes

LEVELS = NoiseLevels(-10.0, 10.0, 20)
NOISE = 0.5  # x0 ~ N(0, I), c = x0 + NOISE e
SHRINK = 1 / (1 + NOISE**2)
VARIANCE = NOISE**2 * SHRINK


class Ideal:
    """D for that: the posterior mean, of N(SHRINK c, VARIANCE) or without a text of N(0, 1)."""

    def denoiser(self, params, c, keep):
        mean, variance = jnp.where(keep, SHRINK * c, 0.0), jnp.where(keep, VARIANCE, 1.0)

        def denoise(x_t, log_snr):
            alpha, sigma = alpha_sigma(log_snr)
            gain = alpha * variance / (alpha**2 * variance + sigma**2)
            return mean + gain * (x_t - alpha * mean)

        return denoise


def made_up(count=200, dim=4):
    rng = np.random.default_rng(0)
    x0 = rng.standard_normal((count, dim)).astype(np.float32)
    c = x0 + NOISE * rng.standard_normal(x0.shape).astype(np.float32)
    photo = np.arange(count)
    return c, x0, np.tile(photo, 2), np.concatenate([photo, np.roll(photo, 1)])


def scores(c, x0, text, photo, batch_size=64, evaluator=variational_bound):
    key, mesh = jax.random.key(0), meshes.make_mesh()
    scorer = LikelihoodRatioScorer(Ideal(), {}, c, x0, LEVELS, key, mesh, batch_size, evaluator)
    return scorer.scores(text, photo)


def known_ratios(c, x0, text, photo):
    mean = SHRINK * c[text]
    return (norm(mean, VARIANCE**0.5).logpdf(x0[photo]) - norm.logpdf(x0[photo])).sum(axis=1)


def test_scores_are_the_known_ratios():
    c, x0, text, photo = made_up()
    known = known_ratios(c, x0, text, photo)
    found = scores(c, x0, text, photo)
    assert np.corrcoef(found, known)[0, 1] > 0.98
    genuine = text == photo
    ideal, ours = (verification.auc(verification.roc_curve(s, genuine)) for s in (known, found))
    assert abs(ideal - ours) < 0.02


def test_by_the_ode_no_noise_is_left():
    c, x0, text, photo = made_up(20)
    found = scores(c, x0, text, photo, evaluator=log_likelihood)
    np.testing.assert_allclose(found, known_ratios(c, x0, text, photo), rtol=0.01, atol=0.1)


def test_a_pair_has_its_score_whatever_it_is_asked_with():
    c, x0, text, photo = made_up(20)
    together = scores(c, x0, text, photo)
    few = np.array([7, 30, 7])
    np.testing.assert_allclose(
        scores(c, x0, text[few], photo[few], 2), together[few], rtol=1e-4, atol=1e-4
    )


def test_equal_texts_score_a_photo_alike():
    """The noise is the photo's own, so only what the text says can tell two texts apart."""
    c, x0, _, _ = made_up(3)
    c[1] = c[0]
    found = scores(c, x0, np.array([0, 1, 2]), np.array([2, 2, 2]))
    assert found[0] == found[1] != found[2]

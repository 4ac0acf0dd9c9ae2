"""D and R: what each starts as, what each depends on, and recovery by the sampler."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diface_jax.costs.hlo import matmul_flops
from diface_jax.models.diface import Sampling, build_model, init_networks, param_shapes
from diface_jax.models.normalise import Normalisation
from diface_jax.models.observation import Observation
from diface_jax.models.refine import RefinementNetwork, l2_normalise
from diface_jax.models.score import Block
from tests import tiny


def build(compute_dtype='float32', quality_dim=0):
    config = tiny.config()
    model = build_model(config.model, config.diffusion.schedule, 8, 12, quality_dim, compute_dtype)
    return model, init_networks(config.model, 8, 12, jax.random.key(0), quality_dim)


@pytest.fixture(scope='module')
def built():
    return build()


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize('quality_dim', [0, 3])
def test_shapes_are_those_of_the_parameters(quality_dim):
    params = build(quality_dim=quality_dim)[1]
    shapes = param_shapes(tiny.config().model, 8, 12, quality_dim)
    assert jax.tree.structure(params) == jax.tree.structure(shapes)
    like = jax.eval_shape(lambda: params)
    assert jax.tree.leaves(like) == jax.tree.leaves(shapes)


def test_r_starts_as_the_identity():
    network = RefinementNetwork(8, 8, width=16, dropout=0.5, rngs=nnx.Rngs(0))
    x = normal(1, 5, 8)
    np.testing.assert_allclose(network(x), x / jnp.linalg.norm(x, axis=1, keepdims=True), rtol=1e-5)


def test_a_block_starts_as_the_identity():
    block = Block(16, 0.5, rngs=nnx.Rngs(0))
    h = normal(1, 5, 16)
    np.testing.assert_array_equal(block(h, normal(2, 5, 16), None), h)


def test_unit_of_zero_is_finite_and_so_is_its_gradient():
    zero = jnp.zeros((1, 4))
    np.testing.assert_array_equal(l2_normalise(zero), zero)
    assert np.isfinite(jax.grad(lambda x: l2_normalise(x).sum())(zero)).all()


def test_a_dropped_text_has_no_effect(built):
    model, params = built
    x_t, log_snr, keep = (
        normal(1, 4, 8),
        jnp.zeros((4, 1)),
        jnp.array([[True], [True], [False], [False]]),
    )
    one, other = (model.denoiser(params, normal(s, 4, 12), keep)(x_t, log_snr) for s in (2, 3))
    np.testing.assert_array_equal(one[2:], other[2:])
    assert np.all(np.any(one[:2] != other[:2], axis=1))


def test_a_dropped_observation_has_no_effect():
    model, params = build(quality_dim=3)
    x_t, c, log_snr = normal(1, 4, 8), normal(2, 4, 12), jnp.zeros((4, 1))
    keep = jnp.array([[True], [True], [False], [False]])

    def estimate(seed, **kept):
        observation = Observation(normal(seed, 4, 8), normal(seed, 4, 3))
        return model.denoiser(params, c, observation=observation, **kept)(x_t, log_snr)

    one, other = (estimate(seed, keep_y_Bx1=keep) for seed in (3, 4))
    np.testing.assert_array_equal(one[2:], other[2:])
    assert np.all(np.any(one[:2] != other[:2], axis=1))
    np.testing.assert_allclose(one[2:], model.denoiser(params, c)(x_t, log_snr)[2:], atol=1e-6)


def test_a_photo_alone_needs_no_text():
    model, params = build(quality_dim=3)
    observation = Observation(normal(3, 2, 8), normal(4, 2, 3))
    alone = model.recover(params, None, jax.random.key(0), Sampling(2, 3), observation)
    assert alone.shape == (2, 8)
    x_t, log_snr, none = normal(1, 2, 8), jnp.zeros((2, 1)), jnp.zeros((2, 1), bool)
    without, dropped = (
        model.denoiser(params, c, keep, observation=observation)(x_t, log_snr)
        for c, keep in ((None, None), (normal(5, 2, 12), none))
    )
    np.testing.assert_allclose(without, dropped, atol=1e-6)


def test_without_observations_a_model_is_what_it_was(built):
    """The same initial parameters, and a photo as a probe is refused."""
    (model, params), (_, more) = built, build(quality_dim=3)
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        same = next(x for p, x in jax.tree_util.tree_flatten_with_path(more)[0] if p == path)
        np.testing.assert_array_equal(leaf, same)
    observation = Observation(normal(3, 4, 8), normal(4, 4, 3))
    with pytest.raises(ValueError, match='trained without photos as probes'):
        model.denoiser(params, None, observation=observation)(normal(1, 4, 8), jnp.zeros((4, 1)))


def test_dropout_only_with_a_key(built):
    model, params = built
    x_t, c, log_snr = normal(1, 4, 8), normal(2, 4, 12), jnp.zeros((4, 1))
    plain, again = (model.denoiser(params, c)(x_t, log_snr) for _ in range(2))
    dropped = model.denoiser(params, c, dropout_key=jax.random.key(0))(x_t, log_snr)
    np.testing.assert_array_equal(plain, again)
    assert np.any(plain != dropped)


def test_k_samples_are_averaged(built):
    """The mean of many samples hardly depends on the key; one sample does."""
    model, params = built
    c = normal(1, 2, 12)

    def spread(K):
        found = [model.recover(params, c, jax.random.key(s), Sampling(3, K)) for s in range(4)]
        return np.std(np.stack(found), axis=0).mean()

    assert model.recover(params, c, jax.random.key(0), Sampling(3, 5)).shape == (2, 8)
    assert spread(256) < 0.25 * spread(1)


def test_a_probe_is_read_once_for_all_steps_and_samples():
    """Wider texts and observations cost the same however many steps and samples there are."""
    config = tiny.config()

    def flops(condition_dim, quality_dim, sampling):
        model = build_model(config.model, 'cosine', 8, condition_dim, quality_dim)
        params = init_networks(config.model, 8, condition_dim, jax.random.key(0), quality_dim)
        observation = Observation(normal(3, 4, 8), normal(4, 4, quality_dim))
        recover = jax.jit(
            lambda params, c: model.recover(
                params, c, jax.random.key(0), sampling, observation=observation
            )
        )
        return matmul_flops(recover.trace(params, normal(1, 4, condition_dim)))

    one, many = (
        flops(30, 5, sampling) - flops(12, 3, sampling)
        for sampling in (Sampling(1), Sampling(7, 3))
    )
    assert one == many > 0


def test_guidance_of_one_is_none(built):
    model, params = built
    c, key = normal(1, 3, 12), jax.random.key(0)
    plain = model.recover(params, c, key, Sampling(4))
    for scale, same in ((1.0, True), (1.5, False)):
        guided = model.recover(params, c, key, Sampling(4, guidance=scale))
        assert np.allclose(guided, plain) == same


def test_computing_in_bfloat16():
    """The same float32 parameters, and float32 estimates close to float32's."""
    model, params = build()
    rough, _ = build('bfloat16')
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    x_t, c, log_snr = normal(1, 4, 8), normal(2, 4, 12), jnp.zeros((4, 1))
    for one, other in (
        (model.denoiser(params, c)(x_t, log_snr), rough.denoiser(params, c)(x_t, log_snr)),
        (model.refine(params, x_t), rough.refine(params, x_t)),
    ):
        assert other.dtype == jnp.float32
        assert np.any(other != one)
        np.testing.assert_allclose(other, one, atol=0.02 * np.abs(one).max())


def test_a_type_that_is_not_computed_in():
    with pytest.raises(ValueError, match='float32, bfloat16'):
        build('float16')


def test_normalisation():
    rng = np.random.default_rng(0)
    scale = np.repeat([2.0, 50.0], [12, 4])  # two encoders of very different size
    embedding = rng.normal(3.0, scale, (100, 16)).astype(np.float32)
    normalise = Normalisation.fit(embedding, (12, 4))
    x0 = normalise(embedding)
    np.testing.assert_allclose((x0[:, :12] ** 2).sum(axis=1), 12, rtol=1e-5)
    np.testing.assert_allclose((x0[:, 12:] ** 2).sum(axis=1), 4, rtol=1e-5)
    np.testing.assert_allclose(normalise.mean_D, embedding.mean(axis=0))
    with pytest.raises(ValueError, match=r'rows \[1\]'):
        normalise(np.stack([embedding[0], np.full(16, np.nan)]))
    with pytest.raises(ValueError, match='width 16 in parts'):
        Normalisation.fit(embedding, (12, 3))


def test_several_steps_of_the_contrast_share_one_dropout_mask(built):
    """One thinned network denoises a path from its start to its end."""
    model, params = built
    # Blocks start as the identity; their gates are opened so that what they drop shows.
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)
    x_t, c, log_snr = normal(1, 4, 8), normal(2, 4, 12), jnp.zeros((4, 1))
    denoise = model.denoiser(params, c, dropout_key=jax.random.key(0))
    np.testing.assert_array_equal(denoise(x_t, log_snr), denoise(x_t, log_snr))
    another = model.denoiser(params, c, dropout_key=jax.random.key(1))
    assert np.any(another(x_t, log_snr) != denoise(x_t, log_snr))

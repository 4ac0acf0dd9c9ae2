"""A small convolutional VAE of face chips, to compare its latents with the embeddings of E.

Kingma & Welling, "Auto-encoding variational Bayes" (2014). Pixel values, scaled to -1..1, are
Gaussian with the decoder's output as mean and a variance of beta / 2. The negative ELBO, times beta
and without its constant, is then the squared error plus beta times the KL divergence from N(0, I).
"""

import functools
import hashlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from diface_jax.runtime import hosts
from diface_jax.runtime.settings import VaeSettings

NAME = 'conv_vae'
# Raise it when the network or its training changes, so that older weights are not reused.
VERSION = 1
SIZE = 64

# A 64x64 image becomes a map of 16x16, 8x8, 4x4.
_FOLDS = (4, 2, 2)
_LAST = 4


class Vae(nnx.Module):
    """Encoder and decoder; images are image_BxHxWx3 of 64x64 pixels, in -1..1.

    Height and width shrink by moving neighbouring pixels into channels, and grow by the inverse
    (Shi et al. 2016, "Real-time single image and video super-resolution", section 3.2), because
    XLA is slow at gradients of strided convolutions on CPUs.
    """

    def __init__(self, latent_dim: int, width: int, *, rngs: nnx.Rngs) -> None:
        self.width = width
        conv = functools.partial(nnx.Conv, kernel_size=(3, 3), rngs=rngs)
        widths = (width, 2 * width, 4 * width)
        folded = [3 * 16, 4 * widths[0], 4 * widths[1]]
        self.down = nnx.List([conv(i, o) for i, o in zip(folded, widths, strict=True)])
        self.up = nnx.List([conv(i, o) for i, o in zip(widths[::-1], folded[::-1], strict=True)])
        self.posterior = nnx.Linear(_LAST**2 * widths[-1], 2 * latent_dim, rngs=rngs)
        self.start = nnx.Linear(latent_dim, _LAST**2 * widths[-1], rngs=rngs)

    def encode(self, image_BxHxWx3: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and log variance of q(z | image), both [B, L]."""
        x = image_BxHxWx3
        for fold, conv in zip(_FOLDS, self.down, strict=True):
            x = nnx.silu(conv(_fold(x, fold)))
        return tuple(jnp.split(self.posterior(x.reshape(len(x), -1)), 2, axis=-1))

    def decode(self, z_BxL: jax.Array) -> jax.Array:
        """The mean of p(image | z); image_BxHxWx3."""
        x = self.start(z_BxL).reshape(-1, _LAST, _LAST, 4 * self.width)
        for fold, conv in zip(_FOLDS[::-1], self.up, strict=True):
            x = _unfold(conv(nnx.silu(x)), fold)
        return x


def _fold(x_BxHxWxC: jax.Array, k: int) -> jax.Array:
    """Moves blocks of k x k pixels into the channels; [B, H/k, W/k, k k C]."""
    B, H, W, C = x_BxHxWxC.shape
    blocks = x_BxHxWxC.reshape(B, H // k, k, W // k, k, C)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(B, H // k, W // k, k * k * C)


def _unfold(x_BxHxWxC: jax.Array, k: int) -> jax.Array:
    """The inverse of `_fold`."""
    B, H, W, C = x_BxHxWxC.shape
    blocks = x_BxHxWxC.reshape(B, H, W, k, k, C // k**2)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(B, k * H, k * W, C // k**2)


class VaeTerms(NamedTuple):
    """The terms of the negative ELBO, as means over photos."""

    squared_error: jax.Array
    """Summed over the 64x64x3 values of an image, in -1..1."""
    kl_L: jax.Array
    """KL divergence of q(z | image) from N(0, I), for each latent, in nats."""

    def loss(self, beta: float) -> jax.Array:
        """The negative ELBO, times beta and without its constant."""
        return self.squared_error + beta * self.kl_L.sum()


def kl_divergence(mean: jax.Array, log_var: jax.Array) -> jax.Array:
    """KL(N(mean, exp(log_var)) || N(0, 1)) in nats, elementwise (appendix B of the paper)."""
    return 0.5 * (mean**2 + jnp.exp(log_var) - 1.0 - log_var)


def shrink_chips(chips_NxHxWx3: np.ndarray) -> np.ndarray:
    """Resizes uint8 RGB chips of any size to 64x64, uint8."""
    shape = (len(chips_NxHxWx3), SIZE, SIZE, 3)
    small = jax.image.resize(chips_NxHxWx3.astype(np.float32), shape, 'linear')
    return np.asarray(small).round().clip(0, 255).astype(np.uint8)


def fit_vae(chips_NxHxWx3: np.ndarray, settings: VaeSettings) -> Vae:
    """Trains a VAE.

    Args:
      chips_NxHxWx3: 64x64 uint8 RGB, of training photos only.
      settings: of the network and its training.

    Returns:
      The VAE after the last step. The same arguments give the same VAE.

    Raises:
      FloatingPointError: the loss is not finite.
    """
    # The default kind of key adds a second of compilation for each shape of a convolution.
    key = jax.random.key(settings.seed, impl='rbg')
    rngs = nnx.Rngs(jax.random.fold_in(key, 1 << 31))
    static, params = nnx.split(Vae(settings.latent_dim, settings.width, rngs=rngs), nnx.Param)
    transform = optax.adam(optax.cosine_decay_schedule(settings.learning_rate, settings.num_steps))
    step = _make_step(static, transform, settings)
    state = (params, transform.init(params))
    with hosts.progress(range(settings.num_steps), desc='vae', unit='step') as bar:
        for step_index in bar:
            rng = np.random.default_rng((settings.seed, step_index))
            rows = rng.integers(len(chips_NxHxWx3), size=settings.batch_size)
            state, loss = step(state, chips_NxHxWx3[rows], jax.random.fold_in(key, step_index))
            if step_index % 50 == 0:
                bar.set_postfix_str(f'loss {float(loss):.0f}')
    if not np.isfinite(loss):
        raise FloatingPointError(f"the VAE's loss is {loss}: lower its learning_rate")
    return nnx.merge(static, state[0])


def _make_step(
    static: nnx.GraphDef, transform: optax.GradientTransformation, settings: VaeSettings
) -> Callable[[Any, jax.Array, jax.Array], tuple[Any, jax.Array]]:
    def loss(params: nnx.State, chips_BxHxWx3: jax.Array, key: jax.Array) -> jax.Array:
        return _terms(nnx.merge(static, params), chips_BxHxWx3, key).loss(settings.beta)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: Any, chips_BxHxWx3: jax.Array, key: jax.Array) -> tuple[Any, jax.Array]:
        params, momenta = state
        value, grads = jax.value_and_grad(loss)(params, chips_BxHxWx3, key)
        updates, momenta = transform.update(grads, momenta, params)
        return (optax.apply_updates(params, updates), momenta), value

    return step


def _terms(model: Vae, chips_BxHxWx3: jax.Array, key: jax.Array) -> VaeTerms:
    """The terms of the ELBO, with a single sample of z for each photo."""
    image = _image(chips_BxHxWx3)
    mean, log_var = model.encode(image)
    z = mean + jnp.exp(0.5 * log_var) * jax.random.normal(key, mean.shape)
    squared_error_B = jnp.sum((model.decode(z) - image) ** 2, axis=(1, 2, 3))
    return VaeTerms(squared_error_B.mean(), kl_divergence(mean, log_var).mean(axis=0))


def _image(chips_BxHxWx3: jax.Array) -> jax.Array:
    return chips_BxHxWx3.astype(jnp.float32) / 127.5 - 1.0


def vae_terms(model: Vae, chips_NxHxWx3: np.ndarray, batch_size: int = 256) -> VaeTerms:
    """The terms of the ELBO of 64x64 uint8 RGB chips, with a seeded sample of z for each chip."""
    batches = list(_batches(chips_NxHxWx3, batch_size))
    keys = jax.random.split(jax.random.key(0, impl='rbg'), len(batches))
    terms = [_jitted_terms(model, batch, key) for batch, key in zip(batches, keys, strict=True)]
    sizes = [len(batch) for batch in batches]
    return VaeTerms(*(np.average(term, axis=0, weights=sizes) for term in zip(*terms, strict=True)))


def mean_image_error(train_NxHxWx3: np.ndarray, chips_MxHxWx3: np.ndarray) -> float:
    """`VaeTerms.squared_error` of M chips when each is reconstructed as the mean training chip."""
    mean_HxWx3 = train_NxHxWx3.mean(axis=0)
    squares_MxHxWx3 = ((chips_MxHxWx3 - mean_HxWx3) / 127.5) ** 2
    return float(squares_MxHxWx3.sum() / len(chips_MxHxWx3))


def posterior_means(model: Vae, chips_NxHxWx3: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Posterior means z_NxL, float32, of 64x64 uint8 RGB chips."""
    batches = _batches(chips_NxHxWx3, batch_size)
    return np.concatenate([_means(model, batch) for batch in batches])


def _batches(chips_NxHxWx3: np.ndarray, size: int) -> Iterable[np.ndarray]:
    return (chips_NxHxWx3[i : i + size] for i in range(0, len(chips_NxHxWx3), size))


_jitted_terms = nnx.jit(_terms)


@nnx.jit
def _means(model: Vae, chips_BxHxWx3: jax.Array) -> jax.Array:
    return model.encode(_image(chips_BxHxWx3))[0]


def vae_weights(model: Vae) -> dict[str, np.ndarray]:
    """The weights by name, as `vae_from_weights` takes them."""
    leaves = jax.tree.leaves_with_path(nnx.state(model, nnx.Param))
    return {_name(path): np.asarray(leaf) for path, leaf in leaves}


def vae_from_weights(weights: dict[str, np.ndarray], settings: VaeSettings) -> Vae:
    """The VAE with these weights of `vae_weights`; `settings` as for `fit_vae`."""
    shapes = nnx.eval_shape(lambda: Vae(settings.latent_dim, settings.width, rngs=nnx.Rngs(0)))
    static, params = nnx.split(shapes, nnx.Param)
    filled = jax.tree.map_with_path(lambda path, _: jnp.asarray(weights[_name(path)]), params)
    return nnx.merge(static, filled)


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator='/')


def sha256_of_weights(weights: dict[str, np.ndarray]) -> str:
    """The SHA-256 of the weights and their names, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()

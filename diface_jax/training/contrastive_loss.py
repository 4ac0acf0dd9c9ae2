"""Contrastive loss over a whole batch whose rows are spread over devices.

InfoNCE (van den Oord et al. 2018) with several positives, as in Khosla et al. 2020, "Supervised
contrastive learning", equation 2, from texts to photos and from photos to texts. Photos stay on
their device. Texts and their running sums rotate round the ring of devices, so that every text is
compared with all photos, a block at a time: a device holds only one block of logits, forwards and
backwards, however many devices there are (Liu et al. 2023, "Ring attention"). On one device the
block is the whole table.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from diface_jax.runtime.mesh import AXES, sharded_by_data

_MINUS_INFINITY = -1e9


class ContrastSide(NamedTuple):
    """Unit features of texts or of photos, with numbers for identity, photo and sentence.

    Attributes:
      f: of texts [B, F]; of photos [V, B, F], first the described ones, then others of the people.
      mark: int32 [..., 3], the numbers of the identity, the photo and the sentence.
    """

    f: jax.Array
    mark: jax.Array


class _Sums(NamedTuple):
    """Sums over the logits z and weights w of each row: log sum exp z, sum w z, sum w."""

    log_z_B: jax.Array
    weighted_z_B: jax.Array
    weight_B: jax.Array

    def loss_B(self) -> jax.Array:
        return self.log_z_B - self.weighted_z_B / self.weight_B


def contrastive_loss(
    text: ContrastSide,
    photo: ContrastSide,
    log_scale: jax.Array,
    same_photo_weight: float,
    mesh: Mesh,
) -> jax.Array:
    """The mean over texts and photos of the weighted mean over positives of -log softmax.

    A pair is positive if text and photo are of the same person. A pair of two people with the same
    sentence is neither positive nor negative.

    Args:
      text: features of the texts, cut over 'data'.
      photo: features of the photos, cut over 'data' along B, each with the sentence of its row.
      log_scale: learned log of the inverse temperature.
      same_photo_weight: weight of the described photo; other photos of the person have weight 1.
      mesh: the devices.

    Returns:
      A scalar: the mean of the loss from texts to photos and the one from photos to texts.
    """
    scale = jnp.exp(jnp.minimum(log_scale, jnp.log(100.0)))
    # The networks' batch is cut over 'data' alone; `_contrast` cuts it over all devices.
    text, photo = (
        side._replace(f=jax.lax.with_sharding_constraint(side.f, sharded_by_data(mesh, axis)))
        for side, axis in ((text, 0), (photo, 1))
    )
    return _contrast(mesh, same_photo_weight, text, photo, scale)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _contrast(
    mesh: Mesh, same_photo_weight: float, text: ContrastSide, photo: ContrastSide, scale: jax.Array
) -> Any:
    return _forward(mesh, same_photo_weight, text, photo, scale)[0]


_TEXT_SPEC, _PHOTO_SPEC = P(AXES), P(None, AXES)


def _forward(
    mesh: Mesh, same_photo_weight: float, text: ContrastSide, photo: ContrastSide, scale: jax.Array
) -> tuple[jax.Array, Any]:
    """The loss, and the residuals of the backward pass: nothing larger than the features."""

    @_on_each_device(mesh, (_TEXT_SPEC, _PHOTO_SPEC, P()), (P(), P(AXES), P(AXES)))
    def losses(text: ContrastSide, photo: ContrastSide, scale: jax.Array) -> Any:
        photo = _flat(photo)

        def add_block(rotating: tuple[ContrastSide, _Sums], photo_sums: _Sums) -> Any:
            text, text_sums = rotating
            z_TxP, weight_TxP = _logits(text, photo, scale, same_photo_weight)
            text_sums = _add(text_sums, z_TxP, weight_TxP, axis=1)
            return (text, text_sums), _add(photo_sums, z_TxP, weight_TxP, axis=0)

        rotating = (text, _empty_sums(len(text.f)))
        (_, text_sums), photo_sums = ring_scan(
            mesh, add_block, rotating, local=_empty_sums(len(photo.f))
        )
        means = (jax.lax.pmean(jnp.mean(s.loss_B()), AXES) for s in (text_sums, photo_sums))
        return 0.5 * sum(means), text_sums, photo_sums

    loss, text_sums, photo_sums = losses(text, photo, scale)
    return loss, (text, photo, scale, text_sums, photo_sums)


def _backward(mesh: Mesh, same_photo_weight: float, residuals: Any, d_loss: jax.Array) -> tuple:
    """Gradients of the features and the scale; computes the logits again, block by block."""
    specs = (_TEXT_SPEC, _PHOTO_SPEC, P(), P(AXES), P(AXES), P())

    @_on_each_device(mesh, specs, (_TEXT_SPEC, _PHOTO_SPEC, P()))
    def gradients(
        text: ContrastSide,
        photo: ContrastSide,
        scale: jax.Array,
        text_sums: _Sums,
        photo_sums: _Sums,
        d_loss: jax.Array,
    ) -> Any:
        shape, photo = photo.f.shape, _flat(photo)
        factor = 0.5 * d_loss / mesh.size

        def add_block(
            rotating: tuple[ContrastSide, _Sums, jax.Array], local: tuple[jax.Array, jax.Array]
        ) -> Any:
            (text, text_sums, d_text), (d_photo, d_scale) = rotating, local
            z_TxP, weight_TxP = _logits(text, photo, scale, same_photo_weight)
            d_z_TxP = _d_logits(z_TxP, weight_TxP, text_sums, 1) / len(text.f)
            d_z_TxP += _d_logits(z_TxP, weight_TxP, photo_sums, 0) / len(photo.f)
            d_z_TxP *= factor
            d_text += scale * d_z_TxP @ photo.f
            d_photo += scale * d_z_TxP.T @ text.f
            d_scale += jnp.sum(d_z_TxP * z_TxP) / scale
            return (text, text_sums, d_text), (d_photo, d_scale)

        rotating = (text, text_sums, jnp.zeros_like(text.f))
        local = (jnp.zeros_like(photo.f), jnp.zeros_like(scale))
        (_, _, d_text), (d_photo, d_scale) = ring_scan(mesh, add_block, rotating, local)
        return d_text, d_photo.reshape(shape), jax.lax.psum(d_scale, AXES)

    d_text, d_photo, d_scale = gradients(*residuals, d_loss)
    return ContrastSide(d_text, None), ContrastSide(d_photo, None), d_scale


_contrast.defvjp(_forward, _backward)


def _on_each_device(mesh: Mesh, in_specs: Any, out_specs: Any) -> Callable[[Callable], Callable]:
    """`shard_map` over all devices: jit alone cannot express the rotation of blocks."""
    return functools.partial(
        jax.shard_map, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
    )


def ring_scan(
    mesh: Mesh, update: Callable[[Any, Any], tuple[Any, Any]], rotating: Any, local: Any
) -> tuple[Any, Any]:
    """Applies an update on every device to each block of a ring; call it inside `shard_map`.

    Blocks go one way. With half of each going the other way the links of a TPU would send twice as
    fast, but by XLA's estimates cutting and joining halves costs more than that (docs/cluster.md).

    Args:
      mesh: the ring of devices.
      update: (rotating, local) to their new values.
      rotating: the device's block, sent to the next device after each update.
      local: values that stay on the device.

    Returns:
      Both after as many updates as there are devices; each block is back on its own device.
    """
    to_next = [(i, (i + 1) % mesh.size) for i in range(mesh.size)]

    def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
        rotating, local = update(*carry)
        if mesh.size > 1:
            rotating = jax.tree.map(lambda leaf: jax.lax.ppermute(leaf, AXES, to_next), rotating)
        return (rotating, local), None

    return jax.lax.scan(step, (rotating, local), length=mesh.size)[0]


def _flat(photo: ContrastSide) -> ContrastSide:
    """Photos in a row, [V B, ...]."""
    return ContrastSide(*(part.reshape(-1, part.shape[-1]) for part in photo))


def _logits(
    text: ContrastSide, photo: ContrastSide, scale: jax.Array, same_photo_weight: float
) -> tuple[jax.Array, jax.Array]:
    """Scaled similarities, very low for pairs that do not count, and weights of positive pairs."""
    same_person_TxP, same_photo_TxP, same_sentence_TxP = (
        text.mark[:, i, None] == photo.mark[None, :, i] for i in range(3)
    )
    weight_TxP = same_person_TxP + (same_photo_weight - 1.0) * same_photo_TxP
    z_TxP = scale * (text.f @ photo.f.T)
    return jnp.where(same_sentence_TxP & (weight_TxP == 0), _MINUS_INFINITY, z_TxP), weight_TxP


def _empty_sums(count: int) -> _Sums:
    return _Sums(jnp.full(count, -jnp.inf), jnp.zeros(count), jnp.zeros(count))


def _add(sums: _Sums, z_TxP: jax.Array, weight_TxP: jax.Array, axis: int) -> _Sums:
    """Adds a block of logits to the sums, along an axis."""
    return _Sums(
        jnp.logaddexp(sums.log_z_B, jax.nn.logsumexp(z_TxP, axis)),
        sums.weighted_z_B + jnp.sum(weight_TxP * z_TxP, axis),
        sums.weight_B + jnp.sum(weight_TxP, axis),
    )


def _d_logits(z_TxP: jax.Array, weight_TxP: jax.Array, sums: _Sums, axis: int) -> jax.Array:
    """Gradient of a row's loss with respect to its logits: softmax minus normalised weights."""
    log_z, weight = (jnp.expand_dims(sum_B, axis) for sum_B in (sums.log_z_B, sums.weight_B))
    return jnp.exp(z_TxP - log_z) - weight_TxP / weight

"""Identity-aware contrast of a whole batch whose rows are spread over devices.

InfoNCE (van den Oord et al. 2018) with several positives as in Khosla et al. 2020, "Supervised
contrastive learning", equation 2, from texts to photos and back. Photos stay where they are; texts
go round the ring of devices, with what is summed about them, and meet all photos a block at a time.
So a device never holds more than one block of logits, forwards or backwards, however many there are
(blocks as in Liu et al. 2023, "Ring attention"). On one device the one block is all.
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
    """Unit features of texts or of photos, and whom, which photo and what sentence they are of.

    Texts are [B, ...]; photos [V, B, ...], the described ones and then others of each person.
    `mark` is int32 [..., 3]: identity, photo and sentence, equal where these are the same.
    """

    f: jax.Array
    mark: jax.Array


class _Sums(NamedTuple):
    """Of a row's logits z and weights w: log sum exp z, sum w z, sum w."""

    log_z_B: jax.Array
    right_B: jax.Array
    weight_B: jax.Array

    def loss_B(self) -> jax.Array:
        return self.log_z_B - self.right_B / self.weight_B


def contrastive_loss(
    text: ContrastSide,
    photo: ContrastSide,
    log_scale: jax.Array,
    same_photo_weight: float,
    mesh: Mesh,
) -> jax.Array:
    """The mean over texts and photos of the weighted mean over the right answers of -log softmax.

    An answer is right where it shows the same person; a stranger whose sentence is the same counts
    neither for nor against.

    Args:
      text: features of the texts, cut over 'data'.
      photo: features of the photos, cut likewise along B; with each, the sentence of its row.
      log_scale: learned log of the inverse temperature.
      same_photo_weight: how much the described photo counts, where another of the person counts 1.
      mesh: the devices.

    Returns:
      A scalar, half of it from texts to photos and half back.
    """
    scale = jnp.exp(jnp.minimum(log_scale, jnp.log(100.0)))
    # What makes the features is cut over 'data' alone; here every device has its own rows.
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


_ON_TEXT, _ON_PHOTO = P(AXES), P(None, AXES)


def _forward(
    mesh: Mesh, same_photo_weight: float, text: ContrastSide, photo: ContrastSide, scale: jax.Array
) -> tuple[jax.Array, Any]:
    """The loss, and what the backward pass needs: nothing larger than the features."""

    @_on_each_device(mesh, (_ON_TEXT, _ON_PHOTO, P()), (P(), P(AXES), P(AXES)))
    def losses(text: ContrastSide, photo: ContrastSide, scale: jax.Array) -> Any:
        photo = _flat(photo)

        def meet(guest: tuple[ContrastSide, _Sums], photo_sums: _Sums) -> Any:
            text, text_sums = guest
            z_TxP, weight_TxP = _logits(text, photo, scale, same_photo_weight)
            text_sums = _added(text_sums, z_TxP, weight_TxP, axis=1)
            return (text, text_sums), _added(photo_sums, z_TxP, weight_TxP, axis=0)

        start = (text, _no_sums(len(text.f)))
        (_, text_sums), photo_sums = _round(mesh, meet, start, _no_sums(len(photo.f)))
        means = (jax.lax.pmean(jnp.mean(s.loss_B()), AXES) for s in (text_sums, photo_sums))
        return 0.5 * sum(means), text_sums, photo_sums

    loss, text_sums, photo_sums = losses(text, photo, scale)
    return loss, (text, photo, scale, text_sums, photo_sums)


def _backward(mesh: Mesh, same_photo_weight: float, kept: Any, d_loss: jax.Array) -> tuple:
    """Gradients by the features and the scale; the logits are made again, block by block."""
    specs = (_ON_TEXT, _ON_PHOTO, P(), P(AXES), P(AXES), P())

    @_on_each_device(mesh, specs, (_ON_TEXT, _ON_PHOTO, P()))
    def gradients(
        text: ContrastSide,
        photo: ContrastSide,
        scale: jax.Array,
        text_sums: _Sums,
        photo_sums: _Sums,
        d_loss: jax.Array,
    ) -> Any:
        shape, photo = photo.f.shape, _flat(photo)
        share = 0.5 * d_loss / mesh.size

        def meet(
            guest: tuple[ContrastSide, _Sums, jax.Array], home: tuple[jax.Array, jax.Array]
        ) -> Any:
            (text, text_sums, d_text), (d_photo, d_scale) = guest, home
            z_TxP, weight_TxP = _logits(text, photo, scale, same_photo_weight)
            d_z_TxP = _surplus(z_TxP, weight_TxP, text_sums, 1) / len(text.f)
            d_z_TxP += _surplus(z_TxP, weight_TxP, photo_sums, 0) / len(photo.f)
            d_z_TxP *= share
            d_text += scale * d_z_TxP @ photo.f
            d_photo += scale * d_z_TxP.T @ text.f
            d_scale += jnp.sum(d_z_TxP * z_TxP) / scale
            return (text, text_sums, d_text), (d_photo, d_scale)

        start = (text, text_sums, jnp.zeros_like(text.f))
        home = (jnp.zeros_like(photo.f), jnp.zeros_like(scale))
        (*_, d_text), (d_photo, d_scale) = _round(mesh, meet, start, home)
        return d_text, d_photo.reshape(shape), jax.lax.psum(d_scale, AXES)

    d_text, d_photo, d_scale = gradients(*kept, d_loss)
    return ContrastSide(d_text, None), ContrastSide(d_photo, None), d_scale


_contrast.defvjp(_forward, _backward)


def _on_each_device(mesh: Mesh, in_specs: Any, out_specs: Any) -> Callable[[Callable], Callable]:
    """What jit cannot say: that blocks go round, and the order of it."""
    return functools.partial(
        jax.shard_map, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
    )


def _round(mesh: Mesh, meet: Callable[[Any, Any], Any], guest: Any, home: Any) -> Any:
    """`meet` on every device with every guest, each of which comes back to where it started."""
    to_next = [(i, (i + 1) % mesh.size) for i in range(mesh.size)]

    def visit(carry: tuple, _: None) -> tuple[tuple, None]:
        guest, home = meet(*carry)
        if mesh.size > 1:
            guest = jax.tree.map(lambda leaf: jax.lax.ppermute(leaf, AXES, to_next), guest)
        return (guest, home), None

    return jax.lax.scan(visit, (guest, home), length=mesh.size)[0]


def _flat(photo: ContrastSide) -> ContrastSide:
    return ContrastSide(*(part.reshape(-1, part.shape[-1]) for part in photo))


def _logits(
    text: ContrastSide, photo: ContrastSide, scale: jax.Array, same_photo_weight: float
) -> tuple[jax.Array, jax.Array]:
    """Scaled similarities, very small where a pair does not count, and how right each pair is."""
    person_TxP, own_TxP, sentence_TxP = (
        text.mark[:, i, None] == photo.mark[None, :, i] for i in range(3)
    )
    weight_TxP = person_TxP + (same_photo_weight - 1.0) * own_TxP
    z_TxP = scale * (text.f @ photo.f.T)
    return jnp.where(sentence_TxP & (weight_TxP == 0), _MINUS_INFINITY, z_TxP), weight_TxP


def _no_sums(count: int) -> _Sums:
    return _Sums(jnp.full(count, -jnp.inf), jnp.zeros(count), jnp.zeros(count))


def _added(sums: _Sums, z_TxP: jax.Array, weight_TxP: jax.Array, axis: int) -> _Sums:
    return _Sums(
        jnp.logaddexp(sums.log_z_B, jax.nn.logsumexp(z_TxP, axis)),
        sums.right_B + jnp.sum(weight_TxP * z_TxP, axis),
        sums.weight_B + jnp.sum(weight_TxP, axis),
    )


def _surplus(z_TxP: jax.Array, weight_TxP: jax.Array, sums: _Sums, axis: int) -> jax.Array:
    """Softmax minus the share each pair should have: a row's gradient by its logits."""
    log_z, weight = (jnp.expand_dims(sum_B, axis) for sum_B in (sums.log_z_B, sums.weight_B))
    return jnp.exp(z_TxP - log_z) - weight_TxP / weight

"""The contrast with all pairs in one table: what the ring of blocks must equal."""

import jax
import jax.numpy as jnp

from diface_jax.training.contrastive_loss import ContrastSide


def contrast(text, photo, log_scale, same_photo_weight):
    """Arguments as of `diface_jax.training.contrastive_loss.contrast`, without devices."""
    photo = ContrastSide(*(part.reshape(-1, part.shape[-1]) for part in photo))
    person, own, sentence = (text.mark[:, None, i] == photo.mark[None, :, i] for i in range(3))
    positive = person + (same_photo_weight - 1.0) * own
    logits = text.f @ photo.f.T * jnp.exp(jnp.minimum(log_scale, jnp.log(100.0)))
    logits = jnp.where(sentence & (positive == 0), -1e9, logits)
    return 0.5 * (_one_way(logits, positive) + _one_way(logits.T, positive.T))


def _one_way(logits, positive):
    weight = positive / jnp.sum(positive, axis=-1, keepdims=True)
    return -jnp.mean(jnp.sum(weight * jax.nn.log_softmax(logits, axis=-1), axis=-1))

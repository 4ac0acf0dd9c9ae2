"""The joint step: one update of D and R from one batch, jitted over the mesh.

The denoising loss moves D. The refinement loss moves R, and D through the embedding it recovers
from the text, so that D learns to recover what R can match.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import optax
from jax.sharding import Mesh

from diface_jax import parallel
from diface_jax.data.batches import Batch
from diface_jax.models.diface import DiFace, Params, Sampling
from diface_jax.models.refine import unit
from diface_jax.training import losses
from diface_jax.training.state import TrainState, optimisers, owned


class Table(NamedTuple):
    """The training data on the devices: embeddings, conditions, identities, caption numbers.

    `same_text_T` is one number for each different sentence, so that equal captions are known.
    """

    x0_NxD: jax.Array
    identity_N: jax.Array
    c_TxC: jax.Array
    same_text_T: jax.Array


Metrics = dict[str, jax.Array]


def joint_step(
    state: TrainState,
    batch: Batch,
    table: Table,
    key: jax.Array,
    model: DiFace,
    config: ml_collections.ConfigDict,
) -> tuple[TrainState, Metrics]:
    """One step of D and R together.

    Args:
      state: before the step.
      batch: the step's rows.
      table: the training data.
      key: the run's key; the step's own is derived from it and `state.step`.
      model: D and R.
      config: the whole config.

    Returns:
      The state after it, and scalars: both losses, weighted and not, and the norm of the gradient
      that each loss sends to each network.
    """
    denoise_key, refine_key = jax.random.split(jax.random.fold_in(key, state.step))
    denoise, denoise_grads = jax.value_and_grad(_denoising)(
        state.params, batch, table, denoise_key, model, config
    )
    refine, refine_grads = jax.value_and_grad(_refinement)(
        state.params, batch, table, refine_key, model, config
    )
    weight = config.loss_weight
    grads = jax.tree.map(
        lambda a, b: weight.denoise * a + weight.refine * b, denoise_grads, refine_grads
    )
    metrics = {
        'loss': weight.denoise * denoise + weight.refine * refine,
        'loss/denoise': denoise,
        'loss/refine': refine,
        'weight/denoise': jnp.asarray(weight.denoise),
        'weight/refine': jnp.asarray(weight.refine),
        'grad_norm/denoise_score': optax.tree.norm(denoise_grads['score']),
        'grad_norm/refine_score': optax.tree.norm(refine_grads['score']),
        'grad_norm/refine_refine': optax.tree.norm(refine_grads['refine']),
        'temperature': jnp.exp(-state.params['head']['log_scale']),
    }
    return _update(state, grads, config), metrics


def _denoising(
    params: Params,
    batch: Batch,
    table: Table,
    key: jax.Array,
    model: DiFace,
    config: ml_collections.ConfigDict,
) -> jax.Array:
    drop_key, dropout_key, loss_key = jax.random.split(key, 3)
    x0, c = table.x0_NxD[batch.photo_B], table.c_TxC[batch.text_B]
    keep_c = jax.random.bernoulli(drop_key, 1.0 - config.diffusion.drop_text, (len(x0), 1))
    denoise = model.denoiser(params, c, keep_c, dropout_key)
    diffusion = config.diffusion
    return losses.denoising_loss(
        denoise, x0, loss_key, model.log_snr, diffusion.num_levels, diffusion.snr_clip
    )


def _refinement(
    params: Params,
    batch: Batch,
    table: Table,
    key: jax.Array,
    model: DiFace,
    config: ml_collections.ConfigDict,
) -> jax.Array:
    recover_key, noise_key, *dropout_keys = jax.random.split(key, 5)
    sampling = Sampling(config.contrast.num_steps)
    recovered = model.recover(
        params, table.c_TxC[batch.text_B], recover_key, sampling, dropout_keys[0]
    )
    photos = jnp.concatenate([batch.photo_B, batch.mate_B])
    seen = table.x0_NxD[photos]
    seen += config.contrast.embedding_noise * jax.random.normal(noise_key, seen.shape)
    f_text = model.refine(params, recovered, dropout_keys[1])
    f_photo = model.refine_photo(params, seen, dropout_keys[2])
    loss = losses.symmetric_contrast(
        f_text @ f_photo.T,
        params['head']['log_scale'],
        *relations(batch, photos, table, config.contrast.own_weight),
    )
    if config.margin.kind != 'none':
        identity = table.identity_N[jnp.concatenate([batch.photo_B, photos])]
        features = jnp.concatenate([f_text, f_photo])
        loss += config.margin.weight * losses.margin_loss(
            features @ unit(params['head']['prototypes']).T,
            identity,
            config.margin.kind,
            config.margin.margin,
            config.margin.scale,
        )
    return loss


def relations(
    batch: Batch, photos: jax.Array, table: Table, own_weight: float
) -> tuple[jax.Array, jax.Array]:
    """Which (text, photo) pairs are right, and which are neither right nor wrong.

    Args:
      batch: the step's rows.
      photos: the candidates: the described photos, then their mates.
      table: the training data.
      own_weight: how much the described photo counts, where another of the person counts 1.

    Returns:
      Weights of the pairs of one identity, 0 elsewhere; and whether a pair shares its caption.
    """
    who = table.identity_N
    positive = who[batch.photo_B][:, None] == who[photos][None, :]
    own = batch.photo_B[:, None] == photos[None, :]
    positive = positive + (own_weight - 1.0) * own
    text = table.same_text_T[batch.text_B]
    same_text = text[:, None] == text[None, :]
    return positive, jnp.concatenate([same_text, same_text], axis=1)


def _update(state: TrainState, grads: Params, config: ml_collections.ConfigDict) -> TrainState:
    params, momenta = dict(state.params), dict(state.momenta)
    for name, transform in optimisers(config).items():
        mine = owned(params)[name]
        updates, momenta[name] = transform.update(owned(grads)[name], momenta[name], mine)
        params |= optax.apply_updates(mine, updates)
    # A young average follows faster, or it would remember the start for a thousand steps.
    step = state.step + 1
    decay = jnp.minimum(config.train.ema_decay, (1.0 + step) / (10.0 + step))
    average = optax.incremental_update(params, state.average, 1.0 - decay)
    return TrainState(step, params, average, momenta)


def make_steps(
    model: DiFace, config: ml_collections.ConfigDict, mesh: Mesh
) -> Callable[[TrainState, Batch, Table, jax.Array], tuple[TrainState, Metrics]]:
    """Several joint steps in one dispatch.

    Returns:
      A jitted function (state, batches, table, key) to (state, metrics): `batches` holds the rows
      of S steps, each field [S, B]; metrics are means over them. The state is donated.
    """
    everywhere, rows = parallel.replicated(mesh), parallel.by_row(mesh, axis=1)

    def steps(
        state: TrainState, batches: Batch, table: Table, key: jax.Array
    ) -> tuple[TrainState, Metrics]:
        def one(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
            return joint_step(state, batch, table, key, model, config)

        state, metrics = jax.lax.scan(one, state, batches)
        return state, jax.tree.map(jnp.mean, metrics)

    return jax.jit(
        steps,
        in_shardings=(everywhere, rows, everywhere, everywhere),
        out_shardings=everywhere,
        donate_argnums=0,
    )

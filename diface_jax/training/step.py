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

from diface_jax.data.batches import Batch
from diface_jax.models.diface import DiFace, Params, Sampling
from diface_jax.models.refine import l2_normalise
from diface_jax.runtime import mesh as meshes
from diface_jax.training import losses
from diface_jax.training import state as states
from diface_jax.training.contrastive_loss import contrastive_loss
from diface_jax.training.input_pipeline import BatchRows, TrainingTable, contrast_sides, gather_rows
from diface_jax.training.sharding_rules import constrain_to_rules
from diface_jax.training.state import ModelSizes, TrainState, optimisers, params_by_optimiser

Metrics = dict[str, jax.Array]


class DispatchMetrics(NamedTuple):
    """Metrics of the S steps of a dispatch.

    Attributes:
      mean: of each metric over the steps.
      first_nonfinite: the first step, from 0, at which each was NaN or infinite; S where none.
    """

    mean: Metrics
    first_nonfinite: Metrics

    @classmethod
    def of(cls, metrics: Metrics) -> 'DispatchMetrics':
        """Of metrics by step, each [S]."""
        return cls(jax.tree.map(jnp.mean, metrics), jax.tree.map(_first_nonfinite, metrics))


def _first_nonfinite(value_S: jax.Array) -> jax.Array:
    nonfinite_S = ~jnp.isfinite(value_S)
    return jnp.where(jnp.any(nonfinite_S), jnp.argmax(nonfinite_S), len(value_S))


def joint_step(
    state: TrainState,
    rows: BatchRows,
    key: jax.Array,
    model: DiFace,
    config: ml_collections.ConfigDict,
    mesh: Mesh,
) -> tuple[TrainState, Metrics]:
    """One step of D and R together.

    Args:
      state: before the step.
      rows: the step's rows.
      key: the run's key; the step's own is derived from it and `state.step`.
      model: D and R.
      config: the whole config.
      mesh: the devices.

    Returns:
      The state after it, and scalars: both losses, weighted and not, and the norm of the gradient
      that each loss sends to each network.
    """
    denoise_key, refine_key = jax.random.split(jax.random.fold_in(key, state.step))
    # Whole, where FSDP keeps a part of them; gradients go back to where the parts are.
    params = constrain_to_rules(state.params, mesh, fsdp=False)
    denoise, denoise_grads = jax.value_and_grad(_denoising)(
        params, rows, denoise_key, model, config
    )
    refine, refine_grads = jax.value_and_grad(_refinement)(
        params, rows, refine_key, model, config, mesh
    )
    denoise_grads, refine_grads = constrain_to_rules(
        (denoise_grads, refine_grads), mesh, config.mesh.fsdp
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
    rows: BatchRows,
    key: jax.Array,
    model: DiFace,
    config: ml_collections.ConfigDict,
) -> jax.Array:
    drop_key, dropout_key, loss_key = jax.random.split(key, 3)
    x0 = rows.x0_BxD
    keep_c = jax.random.bernoulli(drop_key, 1.0 - config.diffusion.drop_text, (len(x0), 1))
    denoise = model.denoiser(params, rows.c_BxC, keep_c, dropout_key)
    diffusion = config.diffusion
    return losses.denoising_loss(
        denoise, x0, loss_key, model.log_snr, diffusion.num_levels, diffusion.snr_clip
    )


def _refinement(
    params: Params,
    rows: BatchRows,
    key: jax.Array,
    model: DiFace,
    config: ml_collections.ConfigDict,
    mesh: Mesh,
) -> jax.Array:
    recover_key, noise_key, *dropout_keys = jax.random.split(key, 5)
    sampling = Sampling(config.contrast.num_steps)
    recovered = model.recover(params, rows.c_BxC, recover_key, sampling, dropout_keys[0])
    # Stacked, not in a row: photos and mates of a text stay on the device that has the text.
    seen_2xBxD = jnp.stack([rows.x0_BxD, rows.mate_BxD])
    seen_2xBxD += config.contrast.embedding_noise * jax.random.normal(noise_key, seen_2xBxD.shape)
    f_text = model.refine(params, recovered, dropout_keys[1])
    f_photo_2xBxF = model.refine_photo(params, seen_2xBxD, dropout_keys[2])
    same_photo_weight = config.contrast.same_photo_weight
    text, photo = contrast_sides(f_text, f_photo_2xBxF, rows)
    loss = contrastive_loss(text, photo, params['head']['log_scale'], same_photo_weight, mesh)
    if config.margin.kind != 'none':
        features_3xBxF = jnp.concatenate([f_text[None], f_photo_2xBxF])
        loss += config.margin.weight * losses.margin_loss(
            features_3xBxF @ l2_normalise(params['head']['prototypes']).T,
            jnp.broadcast_to(rows.identity_B, features_3xBxF.shape[:2]),
            config.margin.kind,
            config.margin.margin,
            config.margin.scale,
        )
    return loss


def _update(state: TrainState, grads: Params, config: ml_collections.ConfigDict) -> TrainState:
    params, momenta = dict(state.params), dict(state.momenta)
    for name, transform in optimisers(config).items():
        mine = params_by_optimiser(params)[name]
        updates, momenta[name] = transform.update(
            params_by_optimiser(grads)[name], momenta[name], mine
        )
        params |= optax.apply_updates(mine, updates)
    # A young average follows faster, or it would remember the start for a thousand steps.
    step = state.step + 1
    decay = jnp.minimum(config.train.ema_decay, (1.0 + step) / (10.0 + step))
    average = optax.incremental_update(params, state.average, 1.0 - decay)
    return TrainState(step, params, average, momenta)


def make_steps(
    config: ml_collections.ConfigDict, sizes: ModelSizes, mesh: Mesh
) -> Callable[
    [TrainState, Batch | BatchRows, TrainingTable | None, jax.Array],
    tuple[TrainState, DispatchMetrics],
]:
    """Several joint steps in one dispatch.

    Returns:
      A jitted function (state, batches, table, key) to (state, metrics). `batches` are S steps',
      each field [S, B, ...]: indices into the table on the devices, or rows, with no table.
      The state is donated, and comes back where it was.
    """
    model = states.model_without_params(config, sizes, config.train.compute_dtype)
    widths = sizes.embedding_dim, sizes.condition_dim

    def steps(
        state: TrainState, batches: Batch | BatchRows, table: TrainingTable | None, key: jax.Array
    ) -> tuple[TrainState, DispatchMetrics]:
        def one(state: TrainState, batch: Batch | BatchRows) -> tuple[TrainState, Metrics]:
            rows = batch if table is None else gather_rows(table, batch, widths, mesh)
            return joint_step(state, rows, key, model, config, mesh)

        state, metrics = jax.lax.scan(one, state, batches)
        return state, DispatchMetrics.of(metrics)

    like = states.abstract_state(config, sizes, mesh, config.mesh.fsdp)
    places = jax.tree.map(lambda leaf: leaf.sharding, like)
    return jax.jit(steps, out_shardings=(places, meshes.replicated(mesh)), donate_argnums=0)

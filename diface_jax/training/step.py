"""The joint step: one update of D and R from one batch, jitted over the mesh.

The denoising loss trains D. The refinement loss trains R, and D too, through the embedding that D
recovers from the text: so D learns to recover what R can match.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from diface_jax.data.batches import Batch
from diface_jax.diffusion.ddim import before_last_step
from diface_jax.models.diface import DiFace, Params, build_model
from diface_jax.models.refine import l2_normalise
from diface_jax.runtime import mesh as meshes
from diface_jax.runtime.settings import (
    ContrastSettings,
    DiffusionSettings,
    LossWeightSettings,
    MarginSettings,
    Settings,
)
from diface_jax.training import losses
from diface_jax.training.contrastive_loss import contrastive_loss
from diface_jax.training.input_pipeline import BatchRows, TrainingTable, contrast_sides, gather_rows
from diface_jax.training.sharding_rules import constrain_to_rules
from diface_jax.training.state import (
    ModelSizes,
    Optimisers,
    TrainState,
    abstract_state,
    make_optimisers,
    params_by_optimiser,
)

Metrics = dict[str, jax.Array]


class DispatchMetrics(NamedTuple):
    """Metrics over the S steps of a dispatch.

    Attributes:
      mean: mean of each metric over the steps.
      first_nonfinite: for each metric the first step, from 0, at which it was NaN or infinite; S
        if it never was.
    """

    mean: Metrics
    first_nonfinite: Metrics

    @classmethod
    def of(cls, metrics: Metrics) -> 'DispatchMetrics':
        """Summarises metrics of single steps, each [S]."""
        return cls(jax.tree.map(jnp.mean, metrics), jax.tree.map(_first_nonfinite, metrics))


def _first_nonfinite(value_S: jax.Array) -> jax.Array:
    nonfinite_S = ~jnp.isfinite(value_S)
    return jnp.where(jnp.any(nonfinite_S), jnp.argmax(nonfinite_S), len(value_S))


class StepSettings(NamedTuple):
    """The settings of a joint step.

    Attributes:
      diffusion, contrast, margin, loss_weight: sections of the settings.
      optimisers: by network, as `make_optimisers` returns them.
      ema_decay: decay of the parameters' average, a step.
      fsdp: whether parameters are cut over 'data' as well.
      probe_shares: of rows with a text alone, an observation alone, and both, where there are
        observations.
    """

    diffusion: DiffusionSettings
    contrast: ContrastSettings
    margin: MarginSettings
    loss_weight: LossWeightSettings
    optimisers: Optimisers
    ema_decay: float
    fsdp: bool
    probe_shares: tuple[float, float, float]

    @classmethod
    def of(cls, settings: Settings) -> 'StepSettings':
        """Those of a run."""
        return cls(
            diffusion=settings.diffusion,
            contrast=settings.contrast,
            margin=settings.margin,
            loss_weight=settings.loss_weight,
            optimisers=make_optimisers(settings.optimiser, settings.train.num_steps),
            ema_decay=settings.train.ema_decay,
            fsdp=settings.mesh.fsdp,
            probe_shares=settings.train.probe_shares,
        )


def joint_step(
    state: TrainState,
    rows: BatchRows,
    key: jax.Array,
    model: DiFace,
    settings: StepSettings,
    mesh: Mesh,
) -> tuple[TrainState, Metrics]:
    """One step of D and R together.

    Args:
      state: before the step.
      rows: a batch.
      key: random key of the run; the step's own key is derived from it and `state.step`.
      model: D and R.
      settings: of the step.
      mesh: the devices.

    Returns:
      The state after the step, and scalars: both losses, their weights and weighted sum, and the
      norm of the gradient of each network.
    """
    step_key = jax.random.fold_in(key, state.step)
    probes = _draw_probes(rows, jax.random.fold_in(step_key, 0), settings.probe_shares)
    # With FSDP a device stores a part of each parameter: gather them, and scatter the gradients.
    params = constrain_to_rules(state.params, mesh, fsdp=False)
    (loss, (denoise, refine)), grads = jax.value_and_grad(_joint_loss, has_aux=True)(
        params, rows, probes, step_key, model, settings, mesh
    )
    grads = constrain_to_rules(grads, mesh, settings.fsdp)
    metrics = {
        'loss': loss,
        'loss/denoise': denoise,
        'loss/refine': refine,
        'weight/denoise': jnp.asarray(settings.loss_weight.denoise),
        'weight/refine': jnp.asarray(settings.loss_weight.refine),
        'grad_norm/score': optax.tree.norm(grads['score']),
        'grad_norm/refine': optax.tree.norm(grads['refine']),
        'temperature': jnp.exp(-state.params['head']['log_scale']),
    }
    return _update(state, grads, settings.optimisers, settings.ema_decay), metrics


class _Probes(NamedTuple):
    """Which rows of a batch have a text, and which an observation (None: there are none)."""

    keep_c_Bx1: jax.Array
    keep_y_Bx1: jax.Array | None = None


def _draw_probes(rows: BatchRows, key: jax.Array, shares: tuple[float, float, float]) -> _Probes:
    """Draws the kind of each row: a text alone, an observation alone, or both."""
    if rows.observation is None:
        return _Probes(jnp.ones((len(rows.x0_BxD), 1), bool))
    text_alone, photo_alone, _ = shares
    place_Bx1 = jax.random.uniform(key, (len(rows.x0_BxD), 1))
    is_text_Bx1 = place_Bx1 < text_alone
    is_photo_Bx1 = ~is_text_Bx1 & (place_Bx1 < text_alone + photo_alone)
    return _Probes(keep_c_Bx1=~is_photo_Bx1, keep_y_Bx1=~is_text_Bx1)


def _joint_loss(
    params: Params,
    rows: BatchRows,
    probes: _Probes,
    key: jax.Array,
    model: DiFace,
    settings: StepSettings,
    mesh: Mesh,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """The weighted sum of the losses, and each of them.

    One loss has one gradient, which devices add up once.
    """
    denoise_key, refine_key = jax.random.split(key)
    drop_key, denoise_dropout_key, noise_key = jax.random.split(denoise_key, 3)
    recover_key, photo_key, recover_dropout_key, *dropout_keys = jax.random.split(refine_key, 5)
    diffusion, weight = settings.diffusion, settings.loss_weight
    # For classifier-free guidance.
    keep_c_Bx1 = jax.random.bernoulli(drop_key, 1.0 - diffusion.drop_text, (len(rows.x0_BxD), 1))
    noisy = losses.add_noise(rows.x0_BxD, noise_key, model.log_snr, diffusion.num_levels)
    passes = (
        _Pass(*noisy, probes.keep_c_Bx1 & keep_c_Bx1, denoise_dropout_key),
        _recovery(
            params, rows, probes, (recover_key, recover_dropout_key), model, settings.contrast
        ),
    )
    estimate_BxD, recovered_BxD = jnp.unstack(
        _estimates(params, rows, probes, passes, model), axis=1
    )
    denoise = losses.denoising_loss(
        estimate_BxD, rows.x0_BxD, noisy.log_snr_Bx1, diffusion.snr_clip
    )
    refine = _refinement(
        params, rows, recovered_BxD, (photo_key, dropout_keys), model, settings, mesh
    )
    return weight.denoise * denoise + weight.refine * refine, (denoise, refine)


class _Pass(NamedTuple):
    """What one pass of D over a batch is given, besides what is known of the faces."""

    x_t_BxD: jax.Array
    log_snr_Bx1: jax.Array
    keep_c_Bx1: jax.Array
    dropout_key: jax.Array


def _recovery(
    params: Params,
    rows: BatchRows,
    probes: _Probes,
    keys: tuple[jax.Array, jax.Array],
    model: DiFace,
    contrast: ContrastSettings,
) -> _Pass:
    """The last pass of a recovery from noise, which has the same dropout in all of its steps."""
    (start_key, _), dropout_key = jax.random.split(keys[0]), keys[1]
    denoise = model.denoiser(
        params, rows.c_BxC, probes.keep_c_Bx1, dropout_key, rows.observation, probes.keep_y_Bx1
    )
    x_T_BxD = jax.random.normal(start_key, rows.x0_BxD.shape)
    x_t_BxD, log_snr = before_last_step(denoise, x_T_BxD, model.log_snr, contrast.num_steps)
    log_snr_Bx1 = jnp.broadcast_to(log_snr, (len(x_t_BxD), 1))
    return _Pass(x_t_BxD, log_snr_Bx1, probes.keep_c_Bx1, dropout_key)


def _estimates(
    params: Params, rows: BatchRows, probes: _Probes, passes: Sequence[_Pass], model: DiFace
) -> jax.Array:
    """D's estimates of x0 in P passes of the same batch, [B, P, D].

    They are one call on more rows: texts are embedded once, the gradient of a parameter is one
    product, and devices add it up once. Passes are the second axis, so that a device keeps its own
    rows.
    """
    x_t_BxPxD, log_snr_BxPx1, keep_c_BxPx1 = (
        jnp.stack(parts, axis=1) for parts in list(zip(*passes, strict=True))[:3]
    )
    c_Bx1xC, observation, keep_y_Bx1x1 = jax.tree.map(
        lambda of_rows: of_rows[:, None], (rows.c_BxC, rows.observation, probes.keep_y_Bx1)
    )
    dropout_key_P = jnp.stack([each.dropout_key for each in passes])
    denoise = model.denoiser(
        params, c_Bx1xC, keep_c_BxPx1, dropout_key_P, observation, keep_y_Bx1x1
    )
    return denoise(x_t_BxPxD, log_snr_BxPx1)


def _refinement(
    params: Params,
    rows: BatchRows,
    recovered_BxD: jax.Array,
    keys: tuple[jax.Array, Sequence[jax.Array]],
    model: DiFace,
    settings: StepSettings,
    mesh: Mesh,
) -> jax.Array:
    """The refinement loss: the contrast of texts and photos, and the margin head if there is one.

    Photos and mates (other photos of the same people) have an axis of their own, the second, so
    that a device keeps those of its own texts.
    """
    contrast, margin = settings.contrast, settings.margin
    noise_key, dropout_keys = keys
    photo_Bx2xD = jnp.stack([rows.x0_BxD, rows.mate_BxD], axis=1)
    photo_Bx2xD += contrast.embedding_noise * jax.random.normal(noise_key, photo_Bx2xD.shape)
    f_text_BxF = model.refine(params, recovered_BxD, dropout_keys[0])
    f_photo_2xBxF = model.refine_photo(params, photo_Bx2xD, dropout_keys[1]).swapaxes(0, 1)
    text, photo = contrast_sides(f_text_BxF, f_photo_2xBxF, rows)
    log_scale = params['head']['log_scale']
    loss = contrastive_loss(text, photo, log_scale, contrast.same_photo_weight, mesh)
    if margin.kind == 'none':
        return loss
    features_3xBxF = jnp.concatenate([f_text_BxF[None], f_photo_2xBxF])
    return loss + margin.weight * losses.margin_loss(
        features_3xBxF @ l2_normalise(params['head']['prototypes']).T,
        jnp.broadcast_to(rows.identity_B, features_3xBxF.shape[:2]),
        margin.kind,
        margin.margin,
        margin.scale,
    )


def _update(
    state: TrainState, grads: Params, optimisers: Optimisers, ema_decay: float
) -> TrainState:
    """Updates the parameters, each group by its own optimiser, and then their average."""
    params, momenta = dict(state.params), dict(state.momenta)
    for name, transform in optimisers.items():
        group = params_by_optimiser(params)[name]
        updates, momenta[name] = transform.update(
            params_by_optimiser(grads)[name], momenta[name], group
        )
        params |= optax.apply_updates(group, updates)
    # A low decay at first, or the average would contain the initial values for a thousand steps.
    step = state.step + 1
    decay = jnp.minimum(ema_decay, (1.0 + step) / (10.0 + step))
    average = optax.incremental_update(params, state.average, 1.0 - decay)
    return TrainState(step, params, average, momenta)


def make_steps(
    settings: Settings, sizes: ModelSizes, mesh: Mesh
) -> Callable[
    [TrainState, Batch | BatchRows, TrainingTable | None, jax.Array],
    tuple[TrainState, DispatchMetrics],
]:
    """Compiles several joint steps into one dispatch.

    Args:
      settings: of the run: all sections that a step and the state depend on.
      sizes: of the data.
      mesh: the devices.

    Returns:
      A jitted function (state, batches, table, key) to (state, metrics). `batches` holds S steps,
      each field [S, B, ...]: indices into the table on the devices or, with `table` None, rows.
      The state is donated, and the new one has the same shardings.
    """
    widths = sizes.embedding_dim, sizes.condition_dim
    model = build_model(
        settings.model,
        settings.diffusion.schedule,
        *widths,
        sizes.quality_dim,
        settings.train.compute_dtype,
    )
    step_settings = StepSettings.of(settings)

    def steps(
        state: TrainState, batches: Batch | BatchRows, table: TrainingTable | None, key: jax.Array
    ) -> tuple[TrainState, DispatchMetrics]:
        def step(state: TrainState, batch: Batch | BatchRows) -> tuple[TrainState, Metrics]:
            rows = batch if table is None else gather_rows(table, batch, widths, mesh)
            return joint_step(state, rows, key, model, step_settings, mesh)

        state, metrics = jax.lax.scan(step, state, batches)
        return state, DispatchMetrics.of(metrics)

    like = abstract_state(settings, sizes, mesh, settings.mesh.fsdp)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, like)
    return jax.jit(steps, out_shardings=(shardings, meshes.replicated(mesh)), donate_argnums=0)

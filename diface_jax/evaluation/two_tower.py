"""The strongest baseline: two MLP towers with the same contrastive loss, without diffusion.

Unlike the fitted baselines it is trained by gradient descent, on the same batches and with the same
contrastive loss as DiFace, and its best step is chosen on the same validation pairs.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from diface_jax.data.batches import Batch, Batches
from diface_jax.models.features import Features
from diface_jax.models.refine import l2_normalise
from diface_jax.runtime import hosts
from diface_jax.runtime import mesh as meshes
from diface_jax.runtime.settings import TwoTowerSettings
from diface_jax.training.contrastive_loss import contrastive_loss
from diface_jax.training.input_pipeline import BatchRows, TrainingTable, contrast_sides, rows_of


class Tower(nnx.Module):
    """An MLP with one hidden layer, from texts or photos to unit vectors f_BxF."""

    def __init__(self, in_dim: int, settings: TwoTowerSettings, *, rngs: nnx.Rngs) -> None:
        self.up = nnx.Linear(in_dim, settings.width, rngs=rngs)
        self.dropout = nnx.Dropout(settings.dropout)
        self.down = nnx.Linear(settings.width, settings.feature_dim, rngs=rngs)

    def __call__(self, x_BxI: jax.Array, dropout_key: jax.Array | None = None) -> jax.Array:
        """Unit vectors f_BxF; `dropout_key` is needed in training only."""
        rngs = None if dropout_key is None else nnx.Rngs(dropout=dropout_key)
        h = self.dropout(nnx.gelu(self.up(x_BxI)), deterministic=rngs is None, rngs=rngs)
        return l2_normalise(self.down(h))


class TwoTower(nnx.Module):
    """A tower for texts, a tower for photos, and the temperature of the contrastive loss."""

    def __init__(
        self,
        embedding_dim: int,
        condition_dim: int,
        settings: TwoTowerSettings,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        self.text = Tower(condition_dim, settings, rngs=rngs)
        self.photo = Tower(embedding_dim, settings, rngs=rngs)
        self.log_scale = nnx.Param(-jnp.log(jnp.float32(settings.temperature)))


def text_input(rows: BatchRows, key: jax.Array) -> jax.Array:
    """The conditions of the texts; the key is for inputs that drop some at random."""
    return rows.c_BxC


# From a batch and a random key to inputs of the tower for texts, [B, I].
ProbeInput = Callable[[BatchRows, jax.Array], jax.Array]


def fit_towers(
    settings: TwoTowerSettings,
    table: TrainingTable,
    batches: Batches,
    judge: Callable[[TwoTower], float],
    seed: int,
    probe_input: ProbeInput = text_input,
) -> TwoTower:
    """Trains towers and returns those of the step with the best validation.

    Args:
      settings: of the towers and of their training.
      table: the training data.
      batches: rows by step, the same as DiFace's.
      judge: rates towers on validation; higher is better.
      seed: of the initial parameters and of the training noise.
      probe_input: what the first tower sees of a batch.

    Returns:
      The towers with the best validation.
    """
    key = jax.random.key(seed)
    seen = jax.eval_shape(lambda: probe_input(rows_of(table, batches(0)), key))
    towers = TwoTower(
        table.x0_NxD.shape[1],
        seen.shape[1],
        settings,
        rngs=nnx.Rngs(jax.random.fold_in(key, 1 << 31)),
    )
    static, params = nnx.split(towers, nnx.Param)
    transform = optax.adamw(settings.learning_rate, weight_decay=settings.weight_decay)
    step = _make_step(static, transform, settings, probe_input)
    # Placed as a step returns it, so that it is compiled once.
    replicated = meshes.replicated(meshes.one_device_mesh())
    state = jax.device_put((params, transform.init(params)), replicated)
    best = -np.inf, params
    for step_number in hosts.progress(range(settings.num_steps), desc='towers', unit='step'):
        state = step(state, batches(step_number), table, jax.random.fold_in(key, step_number))
        if (step_number + 1) % settings.eval_every == 0:
            value = judge(nnx.merge(static, state[0]))
            best = max(best, (value, state[0]), key=lambda pair: pair[0])
    return nnx.merge(static, best[1])


def towers_loss(
    towers: TwoTower,
    inputs_BxI: jax.Array,
    rows: BatchRows,
    key: jax.Array,
    settings: TwoTowerSettings,
) -> jax.Array:
    """The contrastive loss of a batch, with dropout and with noise on the photos; a scalar.

    Args:
      towers: the networks.
      inputs_BxI: of the text tower.
      rows: the batch.
      key: of dropout and noise.
      settings: of the towers.
    """
    noise_key, text_key, photo_key = jax.random.split(key, 3)
    seen_2xBxD = jnp.stack([rows.x0_BxD, rows.mate_BxD])
    seen_2xBxD += settings.embedding_noise * jax.random.normal(noise_key, seen_2xBxD.shape)
    f_text = towers.text(inputs_BxI, text_key)
    text, photo = contrast_sides(f_text, towers.photo(seen_2xBxD, photo_key), rows)
    scale, mesh = towers.log_scale[...], meshes.one_device_mesh()
    return contrastive_loss(text, photo, scale, settings.same_photo_weight, mesh)


def _make_step(
    static: nnx.GraphDef,
    transform: optax.GradientTransformation,
    settings: TwoTowerSettings,
    probe_input: ProbeInput,
) -> Callable[[Any, Batch, TrainingTable, jax.Array], Any]:
    def loss(params: nnx.State, batch: Batch, table: TrainingTable, key: jax.Array) -> jax.Array:
        rows = rows_of(table, batch)
        inputs_BxI = probe_input(rows, jax.random.fold_in(key, 0))
        return towers_loss(nnx.merge(static, params), inputs_BxI, rows, key, settings)

    @jax.jit
    def step(state: Any, batch: Batch, table: TrainingTable, key: jax.Array) -> Any:
        params, momenta = state
        grads = jax.grad(loss)(params, batch, table, key)
        updates, momenta = transform.update(grads, momenta, params)
        return optax.apply_updates(params, updates), momenta

    return step


@nnx.jit
def two_tower_features(towers: TwoTower, c_TxC: jax.Array, x0_NxD: jax.Array) -> Features:
    """Features of texts and photos."""
    return Features(towers.text(c_TxC), towers.photo(x0_NxD))

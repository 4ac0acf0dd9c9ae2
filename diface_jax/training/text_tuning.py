"""Trains adapters of the text encoder on faces, before D and R are trained on its output.

The paper's text encoder is frozen. Frozen, it does not understand ways of speaking that differ from
the training sentences, nor queries of few words (docs/tried.md). Two plain towers take the place of
D and R here, since a step through the text encoder costs ten times as much as a joint step. Face
embeddings stay frozen, and so do the encoder's lower layers: their states are computed once. The
adapters of the best validation are kept, averaged over the steps. Every validation writes a
checkpoint, from which the same command goes on.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging
from flax import nnx

from diface_jax.data.batches import Batch, Batches
from diface_jax.data.prepared import TRACKS, Prepared, Split
from diface_jax.encoders.layer_stack import hidden_states
from diface_jax.encoders.text import adapters, pooling
from diface_jax.encoders.text.adapters import init_adapters
from diface_jax.encoders.text.bert import Bert
from diface_jax.encoders.text.condition import ConditionEncoder
from diface_jax.encoders.text.encoder import TextEncoder
from diface_jax.evaluation import two_tower
from diface_jax.evaluation.two_tower import TwoTower
from diface_jax.models.features import Features, scatter_rows
from diface_jax.models.normalise import Normalisation
from diface_jax.runtime import hosts, run_state
from diface_jax.runtime import mesh as meshes
from diface_jax.runtime.settings import Settings, TuneTextSettings
from diface_jax.training.checkpoint import METRIC, Checkpoints
from diface_jax.training.frozen_states import frozen_states
from diface_jax.training.input_pipeline import BatchRows, rows_of
from diface_jax.training.loop import training_batches, training_table
from diface_jax.training.model_selection import ValidationPairs

_DECAY = 0.99  # of the average over steps
_GROUPS = 4  # of a batch's sentences, by length: each is padded to its own length


class TunedText(NamedTuple):
    """Adapters, and validation without and with them: AUCs of towers by name."""

    adapters: dict[str, np.ndarray]
    frozen: dict[str, float]
    adapted: dict[str, float]


class _Params(NamedTuple):
    """What is trained: the adapters and the towers."""

    adapters: dict[str, jax.Array]
    towers: nnx.State


class _Progress(NamedTuple):
    """What a checkpoint keeps: parameters, their average, and the best adapters so far."""

    params: _Params
    momenta: Any
    average: _Params
    best: dict[str, jax.Array]


class _Note(NamedTuple):
    """What a checkpoint says: the settings, the frozen encoder's validation, and the best one."""

    settings: dict[str, Any]
    frozen: dict[str, float]
    best: dict[str, float]


def tune_text(
    settings: Settings, data: Prepared, conditions: ConditionEncoder, folder: pathlib.Path
) -> TunedText:
    """Trains adapters of the last `tune_text.layers` layers of a text encoder.

    Args:
      settings: read are `tune_text`, `evaluate.two_tower`, `train` and `captions`.
      data: prepared with `conditions`; with a validation split.
      conditions: the frozen text encoder and its standardisation.
      folder: of checkpoints; if it has any, training goes on from the latest.

    Raises:
      SettingsDifferError: the checkpoints are of other settings.
      ValueError: the encoder is of another kind than BERT, has fewer layers or adapters already, no
        step is better than the frozen encoder, or a batch has too few photos.
    """
    _check(settings, conditions.encoder)
    now = run_state.to_plain_json(settings.to_dict())
    with Checkpoints(folder) as checkpoints:
        latest = checkpoints.latest()
        note = _Note(**checkpoints.note(latest)) if latest else _Note(now, {}, {})
        run_state.require_same_settings(f'The tuning in {folder}', note.settings, now)
        tuning = _Tuning(settings, data, conditions)
        return _best_adapters(tuning, settings.tune_text, settings.seed, checkpoints, note)


def _best_adapters(
    tuning: '_Tuning', tune: TuneTextSettings, seed: int, checkpoints: Checkpoints, note: _Note
) -> TunedText:
    """Trains for `num_steps` and returns the adapters of the best validation."""
    start = checkpoints.latest() or 0
    if start:
        progress = checkpoints.restore(start, tuning.like())
        logging.info('tune_text: goes on from step %d', start)
    else:
        progress, frozen = tuning.start()
        note = note._replace(frozen=frozen, best=frozen)
    batches, key = tuning.batches(), jax.random.key(seed)
    steps = range(start, tune.num_steps)
    for step in hosts.progress(
        steps, desc='tune_text', unit='step', initial=start, total=tune.num_steps
    ):
        progress = tuning.step(progress, step, batches(step), jax.random.fold_in(key, step))
        if (step + 1) % tune.eval_every == 0:
            metrics = tuning.judge(progress.average)
            logging.info('tune_text: step %d, %s', step + 1, _summary(metrics))
            if metrics[METRIC] > note.best[METRIC]:
                progress = progress._replace(best=progress.average.adapters)
                note = note._replace(best=metrics)
            checkpoints.save(step + 1, progress, note._asdict())
    if note.best == note.frozen:
        raise ValueError(
            'no step was better than the frozen text encoder on validation: lower '
            'tune_text.learning_rate, or leave the encoder frozen'
        )
    return TunedText(adapters.rounded(progress.best), note.frozen, note.best)


def _check(settings: Settings, encoder: TextEncoder) -> None:
    if encoder.adapters:
        raise ValueError(
            'the data set was prepared with adapters already: tune on one that was prepared with '
            'encoders.text_adapters empty'
        )
    if not isinstance(encoder.network, Bert):
        raise ValueError(
            f'{encoder.name} cannot be tuned: only text encoders whose model_type is bert, roberta '
            'or xlm-roberta can'
        )
    # The states half way are read too, and stay frozen.
    upper = encoder.num_layers - encoder.num_layers // 2
    if settings.tune_text.layers > upper:
        raise ValueError(
            f'tune_text.layers={settings.tune_text.layers}: at most the upper half of '
            f"{encoder.name}'s {encoder.num_layers} layers can be adapted, {upper}"
        )


def _summary(metrics: dict[str, float]) -> str:
    return ', '.join(f'{name} {value:.4f}' for name, value in sorted(metrics.items()))


class _Tuning:
    """The data, the networks and the jitted step of a tuning."""

    def __init__(self, settings: Settings, data: Prepared, conditions: ConditionEncoder) -> None:
        self._settings, self._conditions = settings, conditions
        self._train, self._validation = _fewer(data.splits['train']), data.splits['validation']
        normalise = Normalisation.fit(self._train.embedding_NxD, data.widths)
        self._table = training_table(self._train, normalise)
        self._x0_NxD = normalise(self._validation.embedding_NxD).astype(np.float32)
        # Sentences of the first coverage alone: encoding the others would take long.
        self._pairs = ValidationPairs(data, settings.captions.coverage[:1])
        self.transform = _optimiser(settings)
        tune = settings.tune_text
        self._states = frozen_states(conditions.encoder, self._train.text_T, tune.layers)
        self._layers, parameters = nnx.split(conditions.encoder.network.layers)
        self._last = jax.tree.map(lambda layer_SxX: layer_SxX[-tune.layers :], parameters)
        self._step = jax.jit(self._updated)
        self._towers, self._untrained = nnx.split(
            nnx.eval_shape(
                lambda: TwoTower(
                    self._x0_NxD.shape[1],
                    self._table.c_TxC.shape[1],
                    settings.evaluate.two_tower,
                    rngs=nnx.Rngs(0),
                )
            ),
            nnx.Param,
        )

    def start(self) -> tuple[_Progress, dict[str, float]]:
        """Adapters that change nothing, towers trained on frozen output, and their validation."""
        batches = training_batches(self._train, self._settings)
        towers = two_tower.fit_towers(
            self._settings.evaluate.two_tower,
            jax.device_put(self._table),
            batches,
            lambda towers: self._metrics(towers, self._validation.c_TxC)[METRIC],
            self._settings.seed,
        )
        metrics = self._metrics(towers, self._validation.c_TxC)
        logging.info('tune_text: frozen, %s', _summary(metrics))
        progress = self._first(nnx.state(towers, nnx.Param))
        # Placed as a step returns it, so that it is compiled once.
        return jax.device_put(progress, meshes.replicated(meshes.one_device_mesh())), metrics

    def like(self) -> _Progress:
        """Shapes, types and shardings of the progress."""
        sharding = meshes.replicated(meshes.one_device_mesh())
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            jax.eval_shape(self._first, self._untrained),
        )

    def _first(self, towers: nnx.State) -> _Progress:
        """The progress before the first step."""
        tune, key = self._settings.tune_text, jax.random.key(self._settings.seed)
        params = _Params(init_adapters(self._last, tune.layers, tune.rank, key), towers)
        return _Progress(params, self.transform.init(params), params, params.adapters)

    def batches(self) -> Batches:
        """The batches of the tuning."""
        tune, seed = self._settings.tune_text, self._settings.seed
        phrase_share = self._settings.train.phrase_share
        return Batches(self._train, tune.batch_size, tune.human_share, seed, phrase_share)

    def step(self, before: _Progress, step: int, batch: Batch, key: jax.Array) -> _Progress:
        """One step on a batch, whose sentences are padded in groups of similar length."""
        order = np.argsort(self._states.length_T[batch.text_B], kind='stable')
        batch = jax.tree.map(lambda rows_B: rows_B[order], batch)
        groups = [self._states.padded(texts) for texts in np.array_split(batch.text_B, _GROUPS)]
        rows = rows_of(self._table, batch)
        params, momenta = self._step(before.params, before.momenta, self._last, groups, rows, key)
        decay = min(_DECAY, (1 + step) / (10 + step))
        average = optax.incremental_update(params, before.average, 1 - decay)
        return before._replace(params=params, momenta=momenta, average=average)

    def judge(self, params: _Params) -> dict[str, float]:
        """Validation metrics of adapters with their towers."""
        encoder = self._conditions.encoder.with_adapters(adapters.rounded(params.adapters))
        texts = self._pairs.texts
        c_PxC = ConditionEncoder(encoder, self._conditions.standard).encode(
            self._validation.text_T[texts].tolist()
        )
        c_TxC = scatter_rows(c_PxC, texts, len(self._validation.text_T))
        return self._metrics(nnx.merge(self._towers, params.towers), c_TxC)

    def _metrics(self, towers: TwoTower, c_TxC: np.ndarray) -> dict[str, float]:
        features = two_tower.two_tower_features(
            towers, jnp.asarray(c_TxC), jnp.asarray(self._x0_NxD)
        )
        return self._pairs.judge(Features(*map(np.asarray, features))).metrics

    def _updated(
        self,
        params: _Params,
        momenta: Any,
        last: nnx.State,
        groups: Sequence[tuple[jax.Array, jax.Array]],
        rows: BatchRows,
        key: jax.Array,
    ) -> tuple[_Params, Any]:
        grads = jax.grad(self._loss)(params, last, groups, rows, key)
        updates, momenta = self.transform.update(grads, momenta, params)
        return optax.apply_updates(params, updates), momenta

    def _loss(
        self,
        params: _Params,
        last: nnx.State,
        groups: Sequence[tuple[jax.Array, jax.Array]],
        rows: BatchRows,
        key: jax.Array,
    ) -> jax.Array:
        c_BxC = self._adapted(params.adapters, last, groups, rows.c_BxC)
        towers = nnx.merge(self._towers, params.towers)
        settings = self._settings.evaluate.two_tower
        return two_tower.towers_loss(towers, c_BxC, rows, key, settings)

    def _adapted(
        self,
        trained: adapters.Adapters,
        last: nnx.State,
        groups: Sequence[tuple[jax.Array, jax.Array]],
        c_BxC: jax.Array,
    ) -> jax.Array:
        """Conditions of the encoder with adapters, from its frozen states and frozen conditions."""
        # NNX refuses variables of an outer trace: `tree.map` makes new ones.
        last = jax.tree.map(lambda layer_KxX: layer_KxX, last)
        layers = adapters.with_trained_adapters(nnx.merge(self._layers, last), trained)
        own_pooling = self._conditions.encoder.reading.pooling
        pooled = [_last_depth(layers, *group, own_pooling) for group in groups]
        return self._with_last_depth(c_BxC, jnp.concatenate(pooled))

    def _with_last_depth(self, c_BxC: jax.Array, last_BxP: jax.Array) -> jax.Array:
        """Conditions whose pools of the last depth are replaced."""
        width = self._conditions.encoder.width
        several = c_BxC.shape[1] == pooling.POOLS * width
        columns = pooling.last_depth_columns(width) if several else np.arange(width)
        mean_C, scale_C = (array_C[columns] for array_C in self._conditions.standard)
        return c_BxC.at[:, columns].set((last_BxP[:, : len(columns)] - mean_C) / scale_C)


def _fewer(split: Split) -> Split:
    """A training split with the first of the grammar's sentences about each photo, and all others.

    The grammar's sentences are many and alike, and each takes memory and time. Observations are
    left out: the towers compare photos with texts.
    """
    grammar_T = split.track_T == TRACKS.index('grammar')
    first_T = np.zeros(len(grammar_T), bool)
    rows = np.flatnonzero(grammar_T)
    first_T[rows[np.unique(split.photo_T[rows], return_index=True)[1]]] = True
    kept = np.flatnonzero(first_T | ~grammar_T)
    of_texts = ('photo_T', 'track_T', 'coverage_T', 'text_T', 'c_TxC')
    rows = {name: getattr(split, name)[kept] for name in of_texts}
    return dataclasses.replace(split, **rows, observations=None)


def _last_depth(
    layers: nnx.Module, x_BxLxC: jax.Array, mask_BxL: jax.Array, own_pooling: str
) -> jax.Array:
    """The last layer's states, pooled: the encoder's own vector, then the maximum; [B, 2 C]."""
    last_BxLxC = hidden_states(layers, x_BxLxC, mask_BxL)[-1]
    own_BxC = pooling.own_vector(last_BxLxC, mask_BxL, own_pooling)
    # The gradient of `max` is NaN where XLA computes the states once more for it and rounds them
    # differently, so that none equals the maximum.
    masked_BxLxC = jnp.where(mask_BxL[:, :, None], jax.lax.stop_gradient(last_BxLxC), -jnp.inf)
    largest_Bx1xC = jnp.argmax(masked_BxLxC, axis=1, keepdims=True)
    max_BxC = jnp.take_along_axis(last_BxLxC, largest_Bx1xC, axis=1)[:, 0]
    return jnp.concatenate([own_BxC, max_BxC], axis=-1)


def _optimiser(settings: Settings) -> optax.GradientTransformation:
    """AdamW for the adapters, with warm-up and cosine decay, and for the towers."""
    steps, towers = settings.tune_text.num_steps, settings.evaluate.two_tower
    rate = optax.warmup_cosine_decay_schedule(
        0.0, settings.tune_text.learning_rate, max(1, steps // 10), steps
    )
    adapted = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=0.01))
    transforms = {
        'adapters': adapted,
        'towers': optax.adamw(0.5 * towers.learning_rate, weight_decay=towers.weight_decay),
    }
    return optax.partition(transforms, _Params('adapters', 'towers'))

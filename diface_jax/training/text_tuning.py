"""Trains adapters of the text encoder on faces, before D and R are trained on its output.

The paper's text encoder is frozen. Frozen, it does not understand ways of speaking that differ from
the training sentences (docs/tried.md). Two plain towers take the place of D and R here, since a
step through the text encoder costs fifty times as much as a joint step. Face embeddings stay
frozen. The adapters of the best validation are kept, averaged over the steps.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging
from flax import nnx

from diface_jax.data.batches import Batch, Batches
from diface_jax.data.prepared import Prepared
from diface_jax.encoders.text import adapters, bert
from diface_jax.encoders.text.adapters import Adapters, init_adapters
from diface_jax.encoders.text.condition import ConditionEncoder
from diface_jax.evaluation import two_tower
from diface_jax.evaluation.two_tower import TwoTower
from diface_jax.models.features import Features, scatter_rows
from diface_jax.models.normalise import Normalisation
from diface_jax.runtime import hosts
from diface_jax.runtime.settings import Settings
from diface_jax.training.input_pipeline import BatchRows, rows_of
from diface_jax.training.loop import METRIC, training_batches, training_table
from diface_jax.training.model_selection import ValidationPairs

_DECAY = 0.99  # of the average over steps
_BUCKET = 32  # lengths are padded to multiples of it


class TunedText(NamedTuple):
    """Adapters, and validation without and with them: AUCs of towers by name."""

    adapters: dict[str, np.ndarray]
    frozen: dict[str, float]
    adapted: dict[str, float]


class _Params(NamedTuple):
    """What is trained: the adapters and the towers."""

    adapters: dict[str, jax.Array]
    towers: nnx.State


def tune_text(settings: Settings, data: Prepared, conditions: ConditionEncoder) -> TunedText:
    """Trains adapters of the last `tune_text.layers` layers of a text encoder.

    Args:
      settings: read are `tune_text`, `evaluate.two_tower`, `train` and `captions`.
      data: prepared with `conditions`; with a validation split.
      conditions: the frozen text encoder and its standardisation.

    Raises:
      ValueError: the encoder has fewer layers, or adapters already, or a batch has too few photos.
    """
    _check(settings, conditions.encoder)
    tuning = _Tuning(settings, data, conditions)
    params, frozen = tuning.start()
    tune = settings.tune_text
    batches = Batches(
        data.splits['train'],
        tune.batch_size,
        tune.human_share,
        settings.seed,
        settings.train.phrase_share,
    )
    momenta, average, best = tuning.transform.init(params), params, (frozen[METRIC], None, frozen)
    key = jax.random.key(settings.seed)
    for step in hosts.progress(range(tune.num_steps), desc='tune_text', unit='step'):
        params, momenta = tuning.step(params, momenta, batches(step), jax.random.fold_in(key, step))
        average = optax.incremental_update(
            params, average, 1 - min(_DECAY, (1 + step) / (10 + step))
        )
        if (step + 1) % tune.eval_every == 0:
            metrics = tuning.judge(average)
            logging.info('tune_text: step %d, %s', step + 1, _summary(metrics))
            if metrics[METRIC] > best[0]:
                best = metrics[METRIC], average.adapters, metrics
    if best[1] is None:
        raise ValueError(
            'no step was better than the frozen text encoder on validation: lower '
            'tune_text.learning_rate, or leave the encoder frozen'
        )
    return TunedText(adapters.rounded(best[1]), frozen, best[2])


def _check(settings: Settings, encoder: bert.TextEncoder) -> None:
    if encoder.adapters:
        raise ValueError(
            'the data set was prepared with adapters already: tune on one that was prepared with '
            'encoders.text_adapters empty'
        )
    layers = encoder.num_layers
    if settings.tune_text.layers > layers:
        raise ValueError(
            f'tune_text.layers={settings.tune_text.layers}, and {encoder.name} has {layers}'
        )


def _summary(metrics: dict[str, float]) -> str:
    return ', '.join(f'{name} {value:.4f}' for name, value in sorted(metrics.items()))


class _Tuning:
    """The data, the networks and the jitted step of a tuning."""

    def __init__(self, settings: Settings, data: Prepared, conditions: ConditionEncoder) -> None:
        self._settings, self._conditions = settings, conditions
        self._train, self._validation = data.splits['train'], data.splits['validation']
        normalise = Normalisation.fit(self._train.embedding_NxD, data.widths)
        self._table = training_table(self._train, normalise)
        self._tokens_T = conditions.encoder.tokenize(self._train.text_T)
        self._x0_NxD = normalise(self._validation.embedding_NxD).astype(np.float32)
        # Sentences of the first coverage alone: encoding the others would take long.
        self._pairs = ValidationPairs(data, settings.captions.coverage[:1])
        self.transform = _optimiser(settings)
        # An argument of the step: as constants these parameters would slow its compilation.
        self._graphdef, self._frozen = nnx.split(conditions.encoder.network)
        self._step = jax.jit(self._updated)

    def start(self) -> tuple[_Params, dict[str, float]]:
        """Adapters that change nothing, towers trained on frozen output, and their validation."""
        batches = training_batches(self._train, self._settings)
        towers = two_tower.fit_towers(
            self._settings.evaluate.two_tower,
            jax.device_put(self._table),
            batches,
            lambda towers: self._metrics(towers, self._validation.c_TxC)[METRIC],
            self._settings.seed,
        )
        self._towers, params = nnx.split(towers, nnx.Param)
        metrics = self._metrics(towers, self._validation.c_TxC)
        logging.info('tune_text: frozen, %s', _summary(metrics))
        tune, key = self._settings.tune_text, jax.random.key(self._settings.seed)
        return _Params(
            init_adapters(self._frozen['layers'], tune.layers, tune.rank, key), params
        ), metrics

    def step(
        self, params: _Params, momenta: Any, batch: Batch, key: jax.Array
    ) -> tuple[_Params, Any]:
        """One step on a batch; shorter and longer sentences are padded apart from each other."""
        order = np.argsort([len(self._tokens_T[text]) for text in batch.text_B], kind='stable')
        batch = jax.tree.map(lambda rows_B: rows_B[order], batch)
        halves = np.array_split(batch.text_B, 2)
        padded = [_padded([self._tokens_T[text] for text in texts]) for texts in halves]
        return self._step(params, momenta, self._frozen, padded, rows_of(self._table, batch), key)

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
        frozen: nnx.State,
        padded: Sequence[tuple[jax.Array, jax.Array]],
        rows: BatchRows,
        key: jax.Array,
    ) -> tuple[_Params, Any]:
        grads = jax.grad(self._loss)(params, frozen, padded, rows, key)
        updates, momenta = self.transform.update(grads, momenta, params)
        return optax.apply_updates(params, updates), momenta

    def _loss(
        self,
        params: _Params,
        frozen: nnx.State,
        padded: Sequence[tuple[jax.Array, jax.Array]],
        rows: BatchRows,
        key: jax.Array,
    ) -> jax.Array:
        pools = [self._pooled(params.adapters, frozen, *part) for part in padded]
        pool_BxP = jnp.concatenate(pools)
        c_BxC = self._conditions.of_vectors(pool_BxP)
        towers = nnx.merge(self._towers, params.towers)
        settings = self._settings.evaluate.two_tower
        return two_tower.towers_loss(towers, c_BxC, rows, key, settings)

    def _pooled(
        self,
        of_layers: Adapters,
        frozen: nnx.State,
        tokens_BxL: jax.Array,
        mask_BxL: jax.Array,
    ) -> jax.Array:
        """The pooled states; no gradient is computed below the adapted layers."""
        network = nnx.merge(self._graphdef, frozen)
        graphdef, layers = nnx.split(network.layers)
        end = self._conditions.encoder.num_layers - self._settings.tune_text.layers
        first, last = (
            jax.tree.map(lambda layer_SxX, part=part: layer_SxX[part], layers)
            for part in (slice(None, end), slice(end, None))
        )
        x_BxLxC = network.embed(tokens_BxL)
        low_SxBxLxC = bert.run_layers(nnx.merge(graphdef, first), x_BxLxC, mask_BxL)
        hidden_SxBxLxC = jax.lax.stop_gradient(jnp.concatenate([x_BxLxC[None], low_SxBxLxC]))
        last = nnx.merge(graphdef, adapters.adapt(last, of_layers))
        high_SxBxLxC = bert.run_layers(last, hidden_SxBxLxC[-1], mask_BxL)
        return bert.pool_depths(jnp.concatenate([hidden_SxBxLxC, high_SxBxLxC]), mask_BxL)


def _padded(tokens_by_row: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """tokens_BxL and mask_BxL of sentences, L a multiple of _BUCKET: few shapes are compiled."""
    length = -(-max(map(len, tokens_by_row)) // _BUCKET) * _BUCKET
    return bert.pad_tokens(list(tokens_by_row), (len(tokens_by_row), length))


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

"""Training: joint steps, validation, checkpoints, early stopping; it can be killed and goes on."""

import json
import pathlib
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from absl import logging
from jax.sharding import Mesh
from tqdm import tqdm

from diface_jax import parallel, stages
from diface_jax.data.batches import Batches, steps_of
from diface_jax.data.prepared import Prepared, Split
from diface_jax.models.diface import Sampling
from diface_jax.models.normalise import Normalisation
from diface_jax.recognition.extraction import Extractor
from diface_jax.training import state as states
from diface_jax.training.checkpoint import METRIC, Checkpoints
from diface_jax.training.state import Sizes
from diface_jax.training.step import Metrics, Table, make_steps
from diface_jax.training.validation import Validation, ValidationPairs

SECTIONS = (
    *('seed', 'model', 'diffusion', 'contrast', 'margin', 'loss_weight', 'train'),
    *('optimiser', 'sample', 'captions'),
)


class Best(NamedTuple):
    """The best validation so far: at which step, and how good."""

    step: int
    value: float


def settings_of(config: ml_collections.ConfigDict, data: Prepared) -> dict[str, Any]:
    """All that a training run depends on."""
    sections = {name: config.to_dict()[name] for name in SECTIONS}
    del sections['train']['resident']  # changes no number
    if sections['train']['compute_dtype'] == 'float32':
        del sections['train']['compute_dtype']  # as before there was a choice
    return stages.plain(sections | {'data': data.card['settings']})


def train(config: ml_collections.ConfigDict, data: Prepared, workdir: pathlib.Path) -> None:
    """Trains until `train.num_steps` or until validation has stopped rising.

    Leaves `checkpoints/` (latest and best), `metrics.jsonl` and, when done, `training.json` in the
    workdir. Goes on from the latest checkpoint; does nothing when it is done with these settings.

    Raises:
      SettingsDifferError: what is there was trained with other settings.
      FloatingPointError: the loss is not a number.
    """
    settings = settings_of(config, data)
    done_file = workdir / 'training.json'
    if done_file.is_file():
        done = json.loads(done_file.read_text())
        stages.require_same(f'The model in {workdir}', done['settings'], settings)
        logging.info('train: %s is done already, best at step %d', workdir, done['best_step'])
        return
    with Checkpoints(workdir / 'checkpoints') as checkpoints:
        run = _Run(config, data, settings, checkpoints, workdir / 'metrics.jsonl')
        why = run.to_the_end()
    done = {'best_step': run.best.step, 'steps': run.step, 'why': why, 'settings': settings}
    stages.write_json(done_file, done | {METRIC: run.best.value})
    logging.info('train: %s; best at step %d, %s %.4f', why, run.best.step, METRIC, run.best.value)


class _Run:
    """A run in progress: the state, and what is needed to move it on."""

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        data: Prepared,
        settings: dict[str, Any],
        checkpoints: Checkpoints,
        metrics_file: pathlib.Path,
    ) -> None:
        self._config, self._settings, self._checkpoints = config, settings, checkpoints
        self._encoders = data.card['encoders']
        mesh = parallel.make_mesh(config.mesh.model)
        parallel.check_batch(config.train.batch_size, mesh)
        split = data.splits['train']
        self._normalise = Normalisation.fit(split.embedding_NxD, data.widths)
        self._table = jax.device_put(table_of(split, self._normalise), parallel.replicated(mesh))
        self._batches = batches_of(split, config)
        self._pairs = ValidationPairs(data, config.captions.said)
        self._sizes = sizes_of(split)
        model = states.model_of(config, self._sizes)
        self._steps = make_steps(model, config, mesh)
        self._extractor = Extractor(model, Sampling(**config.sample), mesh)
        self._log = MetricsLog(metrics_file)
        self._key = jax.random.key(config.seed)
        self._start(mesh)

    def _start(self, mesh: Mesh) -> None:
        """The state to go on from: the latest checkpoint's, or a new one."""
        self.step, self.best = self._checkpoints.latest() or 0, Best(0, -np.inf)
        fsdp = self._config.mesh.fsdp
        self._log.keep_until(self.step)
        if not self.step:
            self.state = states.born(self._config, self._sizes, mesh, fsdp)
            return
        note = self._checkpoints.note(self.step)
        stages.require_same('The checkpoint to go on from', note['settings'], self._settings)
        like = states.shapes(self._config, self._sizes, mesh, fsdp)
        self.state = self._checkpoints.restore(self.step, like)
        self.best = Best(*note['best'])
        logging.info('train: goes on from step %d', self.step)

    def to_the_end(self) -> str:
        """Trains on; returns why it stopped."""
        train = self._config.train
        parameters = sum(leaf.size for leaf in jax.tree.leaves(self.state.params))
        logging.info(
            'train: %d steps at most on %d device(s), %s parameters, %d texts of %d photos',
            *(train.num_steps, jax.device_count(), f'{parameters:,}'),
            *(len(self._table.c_TxC), len(self._table.x0_NxD)),
        )
        with tqdm(total=train.num_steps, initial=self.step, unit='step', desc='train') as bar:
            while self.step < train.num_steps:
                if self._out_of_patience():
                    return f'validation has not risen for {self.step - self.best.step} steps'
                metrics = self._advance(min(train.eval_every, train.num_steps - self.step), bar)
                self._validate(metrics)
        return f'all {train.num_steps} steps taken'

    def _out_of_patience(self) -> bool:
        return self.step - self.best.step >= self._config.train.patience

    def _advance(self, count: int, bar: tqdm) -> dict[str, float]:
        """Takes `count` steps; returns the means of their metrics."""
        sums: dict[str, float] = {}
        for size in _dispatches(count, self._config.train.steps_per_dispatch):
            batches = steps_of(self._batches, self.step, size)
            self.state, metrics = self._steps(self.state, batches, self._table, self._key)
            self.step += size
            for name, value in _checked(metrics, self.step).items():
                sums[name] = sums.get(name, 0.0) + value * size / count
            bar.update(size)
        bar.set_postfix_str(f'loss {sums["loss"]:.3f}')
        return sums

    def _validate(self, metrics: dict[str, float]) -> None:
        """Judges the averaged parameters; logs, and saves a checkpoint."""
        features = self._extractor.features(
            self.state.average, self._pairs.split, self._pairs.texts, self._normalise, self._key
        )
        found = self._pairs.judge(features)
        self.best = max(self.best, Best(self.step, found.metrics[METRIC]), key=lambda b: b.value)
        self._log.write(self.step, metrics | found.metrics)
        self._checkpoints.save(self.step, self.state, self._note(found))

    def _note(self, found: Validation) -> dict[str, Any]:
        """All that is needed to use a checkpoint later, and to go on from it."""
        return {
            'settings': self._settings,
            'encoders': self._encoders,
            'sizes': list(self._sizes),
            'normalisation': {
                'mean': self._normalise.mean_D.tolist(),
                'widths': self._normalise.widths,
            },
            'thresholds': found.thresholds,
            'metrics': found.metrics,
            'best': list(self.best),
        }


def sizes_of(split: Split) -> Sizes:
    """What a model's shape takes from its training split."""
    identities = len(np.unique(split.identity_N))
    return Sizes(split.embedding_NxD.shape[1], split.c_TxC.shape[1], identities)


def table_of(split: Split, normalise: Normalisation) -> Table:
    """The training data as the step wants it, not yet on the devices."""
    return Table(
        x0_NxD=normalise(split.embedding_NxD).astype(np.float32),
        identity_N=np.unique(split.identity_N, return_inverse=True)[1].astype(np.int32),
        c_TxC=split.c_TxC,
        same_text_T=np.unique(split.text_T, return_inverse=True)[1].astype(np.int32),
    )


def batches_of(split: Split, config: ml_collections.ConfigDict) -> Batches:
    """The run's batches, by step."""
    return Batches(split, config.train.batch_size, config.train.human_share, config.seed)


def _dispatches(count: int, size: int) -> list[int]:
    """`count` steps in dispatches of `size`, the last one maybe shorter."""
    return [size] * (count // size) + [count % size] * (count % size > 0)


def _checked(metrics: Metrics, step: int) -> dict[str, float]:
    values = {name: float(value) for name, value in metrics.items()}
    if not np.isfinite(values['loss']):
        raise FloatingPointError(
            f'the loss is {values["loss"]} by step {step}: lower optimiser.*.learning_rate or '
            'raise warmup_steps; the checkpoints before it are whole'
        )
    return values


class MetricsLog:
    """`metrics.jsonl`, a line an evaluation, and the same as a readable log line."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path

    def keep_until(self, step: int) -> None:
        """Drops lines after a step, which a resumed run will write again."""
        lines = self._path.read_text().splitlines() if self._path.is_file() else []
        kept = [line for line in lines if line.endswith('}') and json.loads(line)['step'] <= step]
        self._path.write_text(''.join(f'{line}\n' for line in kept))

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Appends a line."""
        with self._path.open('a') as file:
            file.write(json.dumps({'step': step, **metrics}) + '\n')
        logging.info(
            'step %d: %s', step, ', '.join(f'{name} {value:.4g}' for name, value in metrics.items())
        )

"""Training: joint steps, validation, checkpoints, early stopping; it can be stopped and goes on."""

import json
import pathlib
from typing import Any, NamedTuple, NoReturn

import jax
import ml_collections
import numpy as np
from absl import logging
from jax.sharding import Mesh
from tqdm import tqdm

from diface_jax import hosts, parallel, preemption, stages
from diface_jax.data.batches import Batches
from diface_jax.data.prepared import Prepared, Split
from diface_jax.models.diface import Sampling
from diface_jax.models.normalise import Normalisation
from diface_jax.recognition.extraction import Extractor
from diface_jax.training import state as states
from diface_jax.training.checkpoint import METRIC, Checkpoints
from diface_jax.training.feed import Feed, Table
from diface_jax.training.program import Program
from diface_jax.training.state import Sizes
from diface_jax.training.step import Metrics, make_steps
from diface_jax.training.validation import ValidationPairs

SECTIONS = (
    *('seed', 'model', 'diffusion', 'contrast', 'margin', 'loss_weight', 'train'),
    *('optimiser', 'sample', 'captions'),
)
# Of the settings: the sampling that validation used, which trains nothing.
NOT_COMPARED = ('sample',)


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


def train(
    config: ml_collections.ConfigDict,
    data: Prepared,
    workdir: pathlib.Path,
    resume_from: int | None = None,
) -> None:
    """Trains until `train.num_steps` or until validation has stopped rising.

    Leaves `checkpoints/` (latest and best), `metrics.jsonl` and, when done, `training.json` in the
    workdir. Goes on from the latest checkpoint, and ends as if it had never stopped; does nothing
    when it is done with these settings.

    Args:
      config: the whole config.
      data: prepared.
      workdir: the same folder on all hosts.
      resume_from: goes on from the checkpoint of this step, and forgets what came after it.

    Raises:
      SettingsDifferError: what is there was trained with other settings.
      DamagedCheckpointError: the checkpoint to go on from cannot be used; says what to do.
      ValueError: there is no checkpoint of step `resume_from`.
      FloatingPointError: the loss is not a number.
      Preempted: SIGTERM has come, and all is saved.
    """
    settings = settings_of(config, data)
    done_file = workdir / 'training.json'
    if done_file.is_file() and resume_from is None:
        done = json.loads(done_file.read_text())
        stages.require_same(f'The model in {workdir}', done['settings'], settings, NOT_COMPARED)
        logging.info('train: %s is done already, best at step %d', workdir, done['best_step'])
        return
    with preemption.between_steps():
        with Checkpoints(workdir / 'checkpoints') as checkpoints:
            run = _Run(config, data, settings, checkpoints, workdir / 'metrics.jsonl', resume_from)
            stages.remove(done_file)
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
        resume_from: int | None,
    ) -> None:
        self._config, self._settings, self._checkpoints = config, settings, checkpoints
        self._encoders = data.card['encoders']
        self._mesh = mesh = parallel.make_mesh(config.mesh.model)
        parallel.check_batch(config.train.batch_size, mesh)
        split = data.splits['train']
        self._normalise = Normalisation.fit(split.embedding_NxD, data.widths)
        table, batches = table_of(split, self._normalise), batches_of(split, config)
        self._feed = Feed(table, batches, mesh, config.train.resident)
        self._pairs = ValidationPairs(data, config.captions.said)
        self._sizes = sizes_of(split)
        self._steps = Program(make_steps(config, self._sizes, mesh), mesh)
        model = states.model_of(config, self._sizes)
        self._extractor = Extractor(model, Sampling(**config.sample), mesh)
        self._log = MetricsLog(metrics_file)
        self._key = jax.random.key(config.seed)
        self._start(mesh, resume_from or checkpoints.latest() or 0)

    def _start(self, mesh: Mesh, step: int) -> None:
        """The state to go on from: a checkpoint's, or a new one."""
        self.step, self.best = step, Best(0, -np.inf)
        self._sums: dict[str, float] = {}
        fsdp = self._config.mesh.fsdp
        if step:
            note = self._checkpoints.note(step)
            stages.require_same(
                'The checkpoint to go on from', note['settings'], self._settings, NOT_COMPARED
            )
            like = states.shapes(self._config, self._sizes, mesh, fsdp)
            self.state = self._checkpoints.restore(step, like)
            self.best, self._sums = Best(*note['best']), note.get('sums', {})
            logging.info('train: goes on from step %d', step)
        else:
            self.state = states.born(self._config, self._sizes, mesh, fsdp)
        self._checkpoints.forget_after(step)
        self._log.keep_until(step)

    def to_the_end(self) -> str:
        """Trains on; returns why it stopped."""
        train = self._config.train
        logging.info(
            'train: %d steps at most, %d texts of %d photos', train.num_steps, *self._feed.counts
        )
        about = {'total': train.num_steps, 'initial': self.step, 'unit': 'step', 'desc': 'train'}
        with hosts.progress(**about) as bar:
            while self.step < train.num_steps:
                unrisen = self._interval.start - self.best.step
                if unrisen >= train.patience:
                    return f'validation has not risen for {unrisen} steps'
                self._advance(bar)
                self._validate()
        return f'all {train.num_steps} steps taken'

    @property
    def _interval(self) -> range:
        """The steps, this one among them, from one validation to the next."""
        every = self._config.train.eval_every
        start = self.step - self.step % every
        return range(start, min(start + every, self._config.train.num_steps))

    def _advance(self, bar: tqdm) -> None:
        """Takes the steps left of an interval; `_sums` become the means of its metrics."""
        interval = self._interval
        sizes = _dispatches(interval.stop - self.step, self._config.train.steps_per_dispatch)
        fed = self._feed.dispatches(self.step, sizes)
        for size, batches in zip(sizes, fed, strict=True):
            if preemption.stop_now():
                self._stop()
            self.state, metrics = self._steps(self.state, batches, self._feed.table, self._key)
            self.step += size
            for name, value in _checked(metrics, self.step).items():
                self._sums[name] = self._sums.get(name, 0.0) + value * size / len(interval)
            bar.update(size)
        bar.set_postfix_str(f'loss {self._sums["loss"]:.3f}')

    def _stop(self) -> NoReturn:
        """Saves, in the middle of an interval, what is needed to go on as if nothing had been."""
        if self.step > (self._checkpoints.latest() or 0):
            self._checkpoints.save(self.step, self.state, self._note() | {'sums': self._sums})
        logging.info('train: stops at step %d', self.step)
        raise preemption.Preempted(everywhere=True)

    def _validate(self) -> None:
        """Judges the averaged parameters; logs, and saves a checkpoint."""
        average = jax.device_put(self.state.average, parallel.replicated(self._mesh))
        features = self._extractor.features(
            average, self._pairs.split, self._pairs.texts, self._normalise, self._key
        )
        found = self._pairs.judge(features)
        self.best = max(self.best, Best(self.step, found.metrics[METRIC]), key=lambda b: b.value)
        self._log.write(self.step, self._sums | found.metrics)
        self._sums = {}
        self._checkpoints.save(self.step, self.state, self._note() | found._asdict())

    def _note(self) -> dict[str, Any]:
        """What is needed to use a checkpoint and to go on from it, but for its validation."""
        return {
            'settings': self._settings,
            'encoders': self._encoders,
            'sizes': list(self._sizes),
            'normalisation': {
                'mean': self._normalise.mean_D.tolist(),
                'widths': self._normalise.widths,
            },
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
        sentence_T=np.unique(split.text_T, return_inverse=True)[1].astype(np.int32),
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
        if not hosts.is_first():
            return
        lines = self._path.read_text().splitlines() if self._path.is_file() else []
        kept = [line for line in lines if line.endswith('}') and json.loads(line)['step'] <= step]
        self._path.write_text(''.join(f'{line}\n' for line in kept))

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Appends a line, on the first host."""
        if not hosts.is_first():
            return
        with self._path.open('a') as file:
            file.write(json.dumps({'step': step, **metrics}) + '\n')
        logging.info(
            'step %d: %s', step, ', '.join(f'{name} {value:.4g}' for name, value in metrics.items())
        )

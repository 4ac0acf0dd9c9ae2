"""Training: joint steps, validation, checkpoints, early stopping, and resuming."""

import json
import pathlib
from typing import Any, NamedTuple, NoReturn

import jax
import ml_collections
import numpy as np
from absl import logging
from jax.sharding import Mesh
from tqdm import tqdm

from diface_jax.data.batches import Batches
from diface_jax.data.identity_index import IdentityIndex
from diface_jax.data.prepared import Prepared, Split
from diface_jax.encoders.face import degrade
from diface_jax.models.diface import Params, Sampling, build_model
from diface_jax.models.features import FeatureExtractor, Features, scatter_rows
from diface_jax.models.normalise import Normalisation
from diface_jax.models.observation_rows import observation_rows, observations_at
from diface_jax.runtime import hosts, preemption, run_state
from diface_jax.runtime import mesh as meshes
from diface_jax.training import state as states
from diface_jax.training.checkpoint import METRIC, Checkpoints
from diface_jax.training.compiled_step import CompiledStep
from diface_jax.training.init_from import describe_start, load_start, with_networks
from diface_jax.training.input_pipeline import InputPipeline, TrainingTable
from diface_jax.training.model_selection import ValidationPairs
from diface_jax.training.state import ModelSizes
from diface_jax.training.step import DispatchMetrics, make_steps

SECTIONS = (
    'seed',
    'model',
    'diffusion',
    'contrast',
    'margin',
    'loss_weight',
    'train',
    'optimiser',
    'sample',
    'captions',
)
# The sampling of validation, which does not change the parameters.
NOT_COMPARED = ('sample',)
# Settings that may be raised to continue a finished run: both only decide when training ends.
EXTENDABLE = ('num_steps', 'patience')
_POOR_WIDTH = 12.0  # of the face in the photos that validation is logged for, in pixels


class BestStep(NamedTuple):
    """The step and the metric of the best validation so far."""

    step: int
    value: float


def training_settings(config: ml_collections.ConfigDict, data: Prepared) -> dict[str, Any]:
    """Everything that a training run depends on, as plain JSON."""
    sections = {name: config.to_dict()[name] for name in SECTIONS}
    del sections['train']['data_on_device']  # does not change the result
    if not data.splits['train'].observations:
        del sections['train']['probe_shares']  # without observations, every row is a text alone
    if sections['train']['compute_dtype'] == 'float32':
        del sections['train']['compute_dtype']  # as in runs from before it was a setting
    if sections['train']['init_from']:
        sections['train']['init_from'] = describe_start(sections['train']['init_from'])
    else:
        del sections['train']['init_from']  # as in runs from before it was a setting
    return run_state.to_plain_json(sections | {'data': data.card['settings']})


def train(
    config: ml_collections.ConfigDict,
    data: Prepared,
    workdir: pathlib.Path,
    resume_from: int | None = None,
) -> None:
    """Trains until `train.num_steps`, or until validation has not improved for `train.patience`.

    Writes `checkpoints/` (latest and best), `metrics.jsonl` and, at the end, `training.json` to the
    workdir. Continues from the latest checkpoint with the same result as an uninterrupted run. Does
    nothing if training is complete with these settings; if `train.num_steps` or `train.patience`
    has been raised, continues, with the learning rates that the new `num_steps` gives.

    Args:
      config: of the run.
      data: prepared.
      workdir: the same folder on all hosts.
      resume_from: continues from the checkpoint of this step, and deletes later ones.

    Raises:
      SettingsDifferError: the model in the workdir was trained with other settings, or stopped
        early and would stop at the same step again.
      DamagedCheckpointError: the checkpoint to continue from cannot be used; says what to do.
      ValueError: there is no checkpoint of step `resume_from`.
      FloatingPointError: a loss or a gradient is NaN or infinite; says which, and at which step.
      Preempted: SIGTERM or the first Ctrl-C has come; the state is saved.
    """
    settings = training_settings(config, data)
    done_file = workdir / 'training.json'
    if done_file.is_file() and resume_from is None and _is_done(done_file, settings):
        return
    with preemption.between_steps():
        with Checkpoints(workdir / 'checkpoints') as checkpoints:
            run = _Run(config, data, settings, checkpoints, workdir / 'metrics.jsonl', resume_from)
            run_state.remove_output(done_file)
            reason = run.run_to_end()
        summary = {
            'best_step': run.best.step,
            'steps': run.step,
            'why': reason,
            'settings': settings,
            METRIC: run.best.value,
        }
        run_state.write_json(done_file, summary)
    logging.info(
        'train: %s; best at step %d, %s %.4f', reason, run.best.step, METRIC, run.best.value
    )


def _is_done(done_file: pathlib.Path, settings: dict[str, Any]) -> bool:
    """Whether a finished run needs no more steps.

    Raises:
      SettingsDifferError: it was trained with other settings, or stopped early and would stop at
        the same step again.
    """
    done = json.loads(done_file.read_text())
    workdir, before = done_file.parent, done['settings']
    require_extended(f'The model in {workdir}', before, settings)
    if not run_state.settings_differences(
        before, run_state.to_plain_json(settings), ignore=NOT_COMPARED
    ):
        logging.info('train: %s is complete, best at step %d', workdir, done['best_step'])
        return True
    if done['steps'] >= settings['train']['num_steps']:
        logging.info('train: %s has all %d steps already', workdir, done['steps'])
        return True
    steps_since_best = done['steps'] - done['best_step']
    if steps_since_best >= settings['train']['patience']:
        raise run_state.SettingsDifferError(
            f'training in {workdir} ended at step {done["steps"]}, after {steps_since_best} steps '
            f'without a better validation: train.num_steps alone does not continue it; raise '
            f'train.patience above {steps_since_best} as well',
            overwrite_helps=False,
        )
    return False


def require_extended(output: str, before: dict[str, Any], settings: dict[str, Any]) -> None:
    """Raises SettingsDifferError unless settings are the same, with EXTENDABLE ones perhaps raised.

    Args:
      output: what was trained, for the message.
      before: the settings it was trained with.
      settings: those of this run.
    """
    train_before, train_now = before['train'], settings['train']
    raised = {
        name: train_now[name]
        for name in EXTENDABLE
        if train_now[name] > train_before.get(name, np.inf)
    }
    extended = before | {'train': train_before | raised}
    run_state.require_same_settings(output, extended, settings, NOT_COMPARED)
    for name, value in raised.items():
        logging.info('train: train.%s is raised from %d to %d', name, train_before[name], value)


def _check_same_photo_weight(same_photo_weight: float, split: Split) -> None:
    """Raises ValueError if a text would have no positive photo, which makes the contrast NaN."""
    alone_P = ~IdentityIndex(split.identity_N).has_another_photo(np.unique(split.photo_T))
    if same_photo_weight <= 0 and alone_P.any():
        raise ValueError(
            f'contrast.same_photo_weight={same_photo_weight}, but {alone_P.sum()} described '
            'training photos are the only ones of their person, and no other photo can match '
            'their sentences: give contrast.same_photo_weight a positive value'
        )


class _Run:
    """A run in progress: the training state, and everything that updates it."""

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
        self._mesh = mesh = meshes.make_mesh(config.mesh.model)
        meshes.check_batch(config.train.batch_size, mesh)
        split = data.splits['train']
        _check_same_photo_weight(config.contrast.same_photo_weight, split)
        self._start_model = load_start(config, data)
        self._normalise = (
            self._start_model.normalise
            if self._start_model
            else Normalisation.fit(split.embedding_NxD, data.widths)
        )
        table, batches = training_table(split, self._normalise), training_batches(split, config)
        self._feed = InputPipeline(table, batches, mesh, config.train.data_on_device)
        self._pairs = ValidationPairs(data, config.captions.coverage)
        self._sizes = model_sizes(split)
        self._steps = CompiledStep(make_steps(config, self._sizes, mesh), mesh)
        model = build_model(
            config.model,
            config.diffusion.schedule,
            self._sizes.embedding_dim,
            self._sizes.condition_dim,
            self._sizes.quality_dim,
        )
        self._extractor = FeatureExtractor(model, Sampling(**config.sample), mesh)
        self._log = MetricsLog(metrics_file)
        self._key = jax.random.key(config.seed)
        self._start(mesh, resume_from or checkpoints.latest() or 0)

    def _start(self, mesh: Mesh, step: int) -> None:
        """Restores the state of a checkpoint or, with step 0, initialises a new one."""
        self.step, self.best = step, BestStep(0, -np.inf)
        self._last_validation, self._metric_sums, self._steps_summed = step, {}, 0
        fsdp = self._config.mesh.fsdp
        if step:
            note = self._checkpoints.note(step)
            require_extended('The checkpoint to continue from', note['settings'], self._settings)
            like = states.abstract_state(self._config, self._sizes, mesh, fsdp)
            self.state = self._checkpoints.restore(step, like)
            self.best = BestStep(*note['best'])
            if 'metrics' not in note:
                self._continue_interval(note)
            logging.info('train: continues from step %d', step)
        else:
            self.state = states.init_sharded(self._config, self._sizes, mesh, fsdp)
            if self._start_model:
                self.state = with_networks(self.state, self._start_model.params)
                logging.info('train: starts from the pack %s', self._start_model.name)
        self._checkpoints.delete_after(step)
        self._log.keep_until(step)

    def _continue_interval(self, note: dict[str, Any]) -> None:
        """Restores the metrics since the last validation; old checkpoints do not have them."""
        since = self.step - self.step % self._config.train.eval_every
        self._last_validation = note.get('last_validation', since)
        self._metric_sums = note.get('metric_sums', {})
        self._steps_summed = note.get('steps_summed', 0)

    def run_to_end(self) -> str:
        """Trains to the end; returns the reason why it ended."""
        train = self._config.train
        logging.info(
            'train: %d steps at most, %d texts of %d photos', train.num_steps, *self._feed.counts
        )
        with hosts.progress(
            total=train.num_steps, initial=self.step, unit='step', desc='train'
        ) as bar:
            while self.step < train.num_steps:
                steps_since_best = self._last_validation - self.best.step
                if steps_since_best >= train.patience:
                    return f'validation has not improved for {steps_since_best} steps'
                self._advance(bar)
                self._validate()
        return f'all {train.num_steps} steps taken'

    @property
    def _next_validation(self) -> int:
        """The step of the next validation: a multiple of `eval_every`, or the last step."""
        train = self._config.train
        next_multiple = self.step - self.step % train.eval_every + train.eval_every
        return min(next_multiple, train.num_steps)

    def _advance(self, bar: tqdm) -> None:
        """Takes the steps up to the next validation.

        It reads the metrics of a dispatch while the next one runs, so that devices never wait.
        """
        count = self._next_validation - self.step
        sizes = _dispatches(count, self._config.train.steps_per_dispatch)
        unread: tuple[DispatchMetrics, int, int] | None = None
        for size, batches in zip(sizes, self._feed.dispatches(self.step, sizes), strict=True):
            if preemption.stop_now():
                self._read(unread)
                self._stop()
            self.state, metrics = self._steps(self.state, batches, self._feed.table, self._key)
            self._read(unread)
            unread = metrics, self.step, size
            self.step += size
            bar.update(size)
        self._read(unread)
        mean_loss = self._metric_sums['loss'] / self._steps_summed
        bar.set_postfix_str(f'loss {mean_loss:.3f}')

    def _read(self, dispatch: tuple[DispatchMetrics, int, int] | None) -> None:
        """Adds the metrics of a dispatch (metrics, steps before it, steps in it) to the sums."""
        if dispatch is None:
            return
        metrics, steps_before, size = dispatch
        for name, value in _checked(metrics, steps_before, size).items():
            self._metric_sums[name] = self._metric_sums.get(name, 0.0) + value * size
        self._steps_summed += size

    def _stop(self) -> NoReturn:
        """Saves between two validations, with the metrics so far, and raises Preempted."""
        if self.step > (self._checkpoints.latest() or 0):
            since_validation = {
                'last_validation': self._last_validation,
                'metric_sums': self._metric_sums,
                'steps_summed': self._steps_summed,
            }
            self._checkpoints.save(self.step, self.state, self._note() | since_validation)
        logging.info('train: stops at step %d', self.step)
        raise preemption.stopped(f'saved at step {self.step}')

    def _validate(self) -> None:
        """Validates the averaged parameters, logs the metrics, and saves a checkpoint."""
        average = jax.device_put(self.state.average, meshes.replicated(self._mesh))
        features = self._extractor.features(
            average, self._pairs.split, self._pairs.texts, self._normalise, self._key
        )
        validation = self._pairs.judge(features)
        # Of equal values the first, as in `Checkpoints.best`.
        self.best = max(
            self.best, BestStep(self.step, validation.metrics[METRIC]), key=lambda b: b.value
        )
        means = {name: total / self._steps_summed for name, total in self._metric_sums.items()}
        poor = self._poor_photo_metrics(average)
        self._log.write(self.step, means | validation.metrics | poor)
        self._last_validation, self._metric_sums, self._steps_summed = self.step, {}, 0
        self._checkpoints.save(self.step, self.state, self._note() | validation._asdict())

    def _poor_photo_metrics(self, average: Params) -> dict[str, float]:
        """AUCs of validation probes with a poor photo; empty where the data have none."""
        split, texts = self._pairs.split, self._pairs.first_track
        if not split.observations:
            return {}
        level = degrade.EVALUATION_WIDTHS.index(_POOR_WIDTH)
        observation = observations_at(
            split.observations, split.photo_T[texts], level, self._normalise
        )
        metrics = {}
        for kind, c_TxC in (('photo', None), ('text+photo', split.c_TxC[texts])):
            f_PxF = self._extractor.of_probes(average, c_TxC, self._key, observation)
            f_TxF = scatter_rows(f_PxF, texts, len(split.c_TxC))
            f_NxF = self._extractor.of_photos(average, self._normalise(split.embedding_NxD))
            name = f'validation/auc/{kind}/{_POOR_WIDTH:g} px/cross'
            metrics[name] = self._pairs.cross_auc(Features(f_TxF, f_NxF))
        return metrics

    def _note(self) -> dict[str, Any]:
        """The note of a checkpoint, without its validation."""
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


def model_sizes(split: Split) -> ModelSizes:
    """The sizes of a model for a training split."""
    identities = len(np.unique(split.identity_N))
    quality_dim = split.observations.quality_LxQ.shape[-1] if split.observations else 0
    return ModelSizes(split.embedding_NxD.shape[1], split.c_TxC.shape[1], identities, quality_dim)


def training_table(split: Split, normalise: Normalisation) -> TrainingTable:
    """The table of a training split, on the host.

    Raises:
      ValueError: an embedding or a condition is NaN or infinite; names the photo.
    """
    bad_texts = np.flatnonzero(~np.isfinite(split.c_TxC).all(axis=1))
    if len(bad_texts):
        photo = split.file_N[split.photo_T[bad_texts[0]]]
        raise ValueError(
            f'the text condition c of {len(bad_texts)} training sentences is NaN or infinite, the '
            f'first one {str(split.text_T[bad_texts[0]])!r} of photo {photo}: run --mode=prepare '
            'with --overwrite, or leave that sentence out'
        )
    return TrainingTable(
        x0_NxD=normalise(split.embedding_NxD).astype(np.float32),
        identity_N=np.unique(split.identity_N, return_inverse=True)[1].astype(np.int32),
        c_TxC=split.c_TxC,
        sentence_T=np.unique(split.text_T, return_inverse=True)[1].astype(np.int32),
        **_observed(split, normalise),
    )


def _observed(split: Split, normalise: Normalisation) -> dict[str, np.ndarray]:
    """The columns of the observations, if there are any."""
    if not split.observations:
        return {}
    y_MxD, quality_MxQ = observation_rows(split.observations, normalise)
    return {'y_MxD': y_MxD.astype(np.float16), 'quality_MxQ': quality_MxQ}


def training_batches(split: Split, config: ml_collections.ConfigDict) -> Batches:
    """The batches of a run, by step."""
    train = config.train
    return Batches(split, train.batch_size, train.human_share, config.seed, train.phrase_share)


def _dispatches(count: int, size: int) -> list[int]:
    """Divides `count` steps into dispatches of `size`; the last one may be shorter."""
    return [size] * (count // size) + [count % size] * (count % size > 0)


# For each metric its description and the advice if it is NaN or infinite; causes before effects.
_SMALLER_STEPS = 'lower optimiser.{0}.learning_rate or raise optimiser.{0}.warmup_steps'
_CAUSES = {
    'weight/denoise': ('loss_weight.denoise', 'give it a finite value'),
    'weight/refine': ('loss_weight.refine', 'give it a finite value'),
    'temperature': ("the contrast's temperature", _SMALLER_STEPS.format('refine')),
    'loss/denoise': ('the denoising loss (of D)', _SMALLER_STEPS.format('score')),
    'loss/refine': (
        'the refinement loss (of R)',
        f'{_SMALLER_STEPS.format("refine")}, or raise contrast.temperature',
    ),
    'grad_norm/score': ("D's gradient", _SMALLER_STEPS.format('score')),
    'grad_norm/refine': ("R's gradient", _SMALLER_STEPS.format('refine')),
    'loss': ('the weighted sum of the losses', 'lower loss_weight.denoise and loss_weight.refine'),
}


def _checked(metrics: DispatchMetrics, steps_before: int, size: int) -> dict[str, float]:
    """Means of the metrics; raises FloatingPointError for the first that is NaN or infinite."""
    first = {name: int(index) for name, index in metrics.first_nonfinite.items()}
    earliest = min(first.values())
    if earliest == size:
        return {name: float(value) for name, value in metrics.mean.items()}
    name = next(name for name in _CAUSES if first[name] == earliest)
    description, advice = _CAUSES[name]
    raise FloatingPointError(
        f'step {steps_before + earliest + 1}: {description} ({name}) is NaN or infinite: '
        f'{advice}, and train in another --workdir. The checkpoints of earlier steps are intact'
    )


class MetricsLog:
    """Writes the metrics of each validation, to `metrics.jsonl` and to the log."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path

    def keep_until(self, step: int) -> None:
        """Removes lines after a step, which a resumed run writes again."""
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

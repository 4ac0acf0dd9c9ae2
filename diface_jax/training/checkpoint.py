"""Saves and restores checkpoints: the latest two and the best, written in the background.

A checkpoint appears under its name only when it is complete. No other module imports orbax.
"""

import contextlib
import json
import logging
import pathlib
import zlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from diface_jax.runtime import mesh as meshes
from diface_jax.training.state import TrainState

# The metric that decides which checkpoint is best: higher is better.
METRIC = 'validation/auc'
_NOTE, _SUMS = 'note', 'checksums'
_STEP = 'step'


class DamagedCheckpointError(ValueError):
    """A checkpoint cannot be read, or its content differs from what was saved."""


class Checkpoints:
    """The checkpoints of a run; as a context manager it waits for the last save.

    A checkpoint holds the training state and a note: a JSON object with everything that using it
    and training on need besides (settings, normalisation, encoders, thresholds). Every host must
    make the same calls; each writes the part of the state that it holds.

    Args:
      folder: of the run's checkpoints.
      read_only: nothing in the folder is created, changed or deleted, so that a running training
        may write there at the same time.

    Raises:
      DamagedCheckpointError: the metrics of a checkpoint cannot be read; names the file.
    """

    def __init__(self, folder: pathlib.Path, read_only: bool = False) -> None:
        self._folder = folder.absolute()
        _check_metrics(self._folder)
        options = _reading_options() if read_only else _writing_options()
        with _hidden_warning('Given directory is read only'):
            self._manager = ocp.CheckpointManager(self._folder, options=options)

    def __enter__(self) -> 'Checkpoints':
        return self

    def __exit__(self, *error: object) -> None:
        with self._saving():
            self._manager.close()

    def latest(self) -> int | None:
        """The step of the newest checkpoint; None when there is none."""
        return self._manager.latest_step()

    def best(self) -> int | None:
        """The step of the best checkpoint on validation, the first one where several are level.

        None when no checkpoint was validated.
        """
        return self._manager.best_step()

    def save(self, step: int, state: TrainState, note: dict[str, Any]) -> None:
        """Starts to save a checkpoint; it gets its name only when it is complete.

        Args:
          step: number of steps taken.
          state: copied before this returns, so that it may be donated afterwards.
          note: JSON; `note['metrics'][METRIC]` decides which checkpoint is best. One without
            `metrics` is never the best, and is kept while it is one of the latest two.

        Raises:
          OSError: this checkpoint, or the one before, could not be written; earlier ones are
            intact.
        """
        sums = {'state': checksums(state), 'note': _crc(note)}
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state), note=ocp.args.JsonSave({_NOTE: note, _SUMS: sums})
        )
        metrics = note['metrics'] | {_STEP: step} if 'metrics' in note else None
        with self._saving():
            self._manager.save(step, args=items, metrics=metrics)

    def note(self, step: int) -> dict[str, Any]:
        """The note of a checkpoint.

        Raises:
          ValueError: there is no checkpoint of this step; lists those that exist.
          DamagedCheckpointError: the checkpoint cannot be read; says what to do.
        """
        steps = sorted(self._manager.all_steps())
        if step not in steps:
            raise ValueError(
                f'no checkpoint of step {step} in {self._folder}: there are {steps or "none"}'
            )
        return self._read_note(step)[0]

    def _read_note(self, step: int) -> tuple[dict[str, Any], list[int] | None]:
        """A note, and the checksums of the state; early checkpoints have no checksums."""
        items = ocp.args.Composite(note=ocp.args.JsonRestore())
        with self._reading(step):
            content = self._manager.restore(step, args=items).note
            if not content.keys() & {_NOTE, _SUMS}:
                return content, None
            note, sums = content[_NOTE], content[_SUMS]
            if sums['note'] != _crc(note):
                raise ValueError('its note differs from what was saved')
        return note, sums['state']

    def restore(self, step: int, like: TrainState) -> TrainState:
        """The state of a checkpoint.

        Args:
          step: number of the checkpoint.
          like: shapes, types and shardings to restore into (see `state.abstract_state`). Devices
            and hosts may be others than those that saved it.

        Raises:
          DamagedCheckpointError: it cannot be read, or differs from what was saved; says what to
            do.
        """
        _, saved_checksums = self._read_note(step)
        items = ocp.args.Composite(state=ocp.args.StandardRestore(like))
        with self._reading(step):
            state = self._manager.restore(step, args=items).state
            if saved_checksums is not None and saved_checksums != checksums(state):
                raise ValueError('its numbers differ from those that were saved')
        return state

    def delete_after(self, step: int) -> None:
        """Deletes the checkpoints of later steps."""
        for later in self._manager.all_steps():
            if later > step:
                self._manager.delete(later)

    @contextlib.contextmanager
    def _saving(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise OSError(
                f'a checkpoint could not be saved in {self._folder}: {_brief(error)}. If the disk '
                'is full, make room; the earlier checkpoints are intact, and the same command '
                'continues from them'
            ) from error

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # orbax and tensorstore raise many types
            before = max((s for s in self._manager.all_steps() if s < step), default=None)
            raise DamagedCheckpointError(
                f'the checkpoint {self._folder / str(step)} is damaged: {_brief(error)}. '
                + (
                    f'To continue from the one before, give --mode=train --resume_from={before}'
                    if before is not None
                    else f'There is no earlier one: to train from the start, remove {self._folder}'
                )
            ) from error


def _writing_options() -> ocp.CheckpointManagerOptions:
    best = policies.BestN(get_metric_fn=_metric, n=1, keep_checkpoints_without_metrics=False)
    # The latest two: if the latest is damaged, training can go on from the one before.
    return ocp.CheckpointManagerOptions(
        preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(2), best]),
        best_fn=_metric,
        cleanup_tmp_directories=True,
    )


def _reading_options() -> ocp.CheckpointManagerOptions:
    return ocp.CheckpointManagerOptions(
        best_fn=_metric, read_only=True, create=False, save_interval_steps=0
    )


@contextlib.contextmanager
def _hidden_warning(start: str) -> Iterator[None]:
    """Hides a warning that orbax logs to the logger of absl."""
    logger = logging.getLogger('absl')

    def keep(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(start)

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


def _check_metrics(folder: pathlib.Path) -> None:
    """Raises DamagedCheckpointError if the metrics of a complete checkpoint are no JSON."""
    for path in sorted(folder.glob('[0-9]*/metrics/metrics')):
        if not path.parents[1].name.isdigit():
            continue  # it is being written
        try:
            json.loads(path.read_bytes())
        except ValueError as error:
            step = path.parents[1]
            raise DamagedCheckpointError(
                f'the checkpoint {step} is damaged: {path} is not JSON ({error}). To continue '
                f'from the one before, remove {step}'
            ) from error


@jax.jit
def _checksums(leaves: list[jax.Array]) -> list[jax.Array]:
    """Weighted sums of the bits of arrays, modulo 2^32: exact, so the same for any sharding.

    Weights are odd, so that a changed number changes the sum, and differ, so that a changed order
    does too.
    """

    def weighted_sum(leaf: jax.Array) -> jax.Array:
        bits = jax.lax.bitcast_convert_type(leaf, jnp.dtype(f'uint{8 * leaf.dtype.itemsize}'))
        weights = 2 * jax.lax.iota(jnp.uint32, leaf.size).reshape(leaf.shape) + 1
        return jnp.sum(weights * bits.astype(jnp.uint32), dtype=jnp.uint32)

    return [weighted_sum(leaf) for leaf in leaves]


def checksums(state: TrainState) -> list[int]:
    """A checksum of every array of the state, in the order of its leaves."""
    return [int(total) for total in meshes.fetch_from_mesh(_checksums(jax.tree.leaves(state)))]


def _crc(note: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(note, sort_keys=True).encode())


def _metric(metrics: dict[str, float]) -> tuple[float, float]:
    """The key that orbax sorts by: of equal values the earlier step is better."""
    return metrics[METRIC], -metrics.get(_STEP, 0)


def _brief(error: Exception) -> str:
    """The first line of an error's message; tensorstore's may fill pages."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:300]

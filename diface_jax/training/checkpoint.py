"""Checkpoints: the latest two and the best, written in the background, whole or not at all.

The only file that knows orbax.
"""

import contextlib
import json
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

# What a checkpoint is compared by: higher is better.
METRIC = 'validation/auc'
_NOTE, _SUMS = 'note', 'checksums'
_STEP = 'step'


class DamagedCheckpointError(ValueError):
    """A checkpoint cannot be read, or is not what was saved."""


class Checkpoints:
    """A run's checkpoints in a folder; use it as a context manager, which waits for the last save.

    Each holds the training state and a note: a JSON object with all that is needed to use it
    (config, normalisation, encoders, thresholds) and to go on from it. Every host must make the
    same calls; each writes the part of the state that it holds.

    Raises:
      DamagedCheckpointError: what orbax reads of all of them at once is not whole; says where.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        best = policies.BestN(get_metric_fn=_metric, n=1, keep_checkpoints_without_metrics=False)
        # Two, so that there is one to offer should the latest be damaged.
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(2), best]),
            best_fn=_metric,
            cleanup_tmp_directories=True,
        )
        self._folder = folder.absolute()
        _check_metrics(self._folder)
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

        None when none was validated.
        """
        return self._manager.best_step()

    def save(self, step: int, state: TrainState, note: dict[str, Any]) -> None:
        """Starts saving; the folder appears under its name only when all is written.

        Args:
          step: its number.
          state: copied before this returns, so that it may be donated afterwards.
          note: JSON; `note['metrics'][METRIC]` tells how good it is. Without `metrics` it is never
            the best, and is kept while it is one of the latest.

        Raises:
          OSError: it, or the one before, could not be written; those before are whole.
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
          ValueError: there is none of this step; says of which there are.
          DamagedCheckpointError: it cannot be read; says what to do.
        """
        steps = sorted(self._manager.all_steps())
        if step not in steps:
            raise ValueError(
                f'no checkpoint of step {step} in {self._folder}: there are {steps or "none"}'
            )
        return self._read_note(step)[0]

    def _read_note(self, step: int) -> tuple[dict[str, Any], list[int] | None]:
        """A note, and the state's sums; checkpoints of earlier versions have none."""
        items = ocp.args.Composite(note=ocp.args.JsonRestore())
        with self._reading(step):
            found = self._manager.restore(step, args=items).note
            if not found.keys() & {_NOTE, _SUMS}:
                return found, None
            note, sums = found[_NOTE], found[_SUMS]
            if sums['note'] != _crc(note):
                raise ValueError('its note is not what was saved')
        return note, sums['state']

    def restore(self, step: int, like: TrainState) -> TrainState:
        """The state of a checkpoint.

        Args:
          step: which.
          like: shapes, types and shardings to restore into (`jax.eval_shape` gives them). They may
            be of other devices and hosts than those it was saved from.

        Raises:
          DamagedCheckpointError: it cannot be read, or is not what was saved; says what to do.
        """
        _, saved = self._read_note(step)
        items = ocp.args.Composite(state=ocp.args.StandardRestore(like))
        with self._reading(step):
            state = self._manager.restore(step, args=items).state
            if saved is not None and saved != checksums(state):
                raise ValueError('its numbers are not those that were saved')
        return state

    def forget_after(self, step: int) -> None:
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
                'is full, make room; the earlier checkpoints are whole, and the same command goes '
                'on from them'
            ) from error

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # orbax and tensorstore raise many kinds; all are told on
            before = max((s for s in self._manager.all_steps() if s < step), default=None)
            raise DamagedCheckpointError(
                f'the checkpoint {self._folder / str(step)} is damaged: {_brief(error)}. '
                + (
                    f'To train on from the one before, give --mode=train --resume_from={before}'
                    if before is not None
                    else f'There is none before it: to train anew, remove {self._folder}'
                )
            ) from error


def _check_metrics(folder: pathlib.Path) -> None:
    for path in sorted(folder.glob('[0-9]*/metrics/metrics')):
        try:
            json.loads(path.read_bytes())
        except ValueError as error:
            step = path.parents[1]
            raise DamagedCheckpointError(
                f'the checkpoint {step} is damaged: {path} is not JSON ({error}). To go on from '
                f'the one before, remove {step}'
            ) from error


@jax.jit
def _checksums(leaves: list[jax.Array]) -> list[jax.Array]:
    """Of the bits of arrays, modulo 2^32: exact, and so the same however they are cut.

    A changed number changes it, for its weight is odd; a changed order does, for weights differ.
    """

    def one(leaf: jax.Array) -> jax.Array:
        bits = jax.lax.bitcast_convert_type(leaf, jnp.dtype(f'uint{8 * leaf.dtype.itemsize}'))
        weights = 2 * jax.lax.iota(jnp.uint32, leaf.size).reshape(leaf.shape) + 1
        return jnp.sum(weights * bits.astype(jnp.uint32), dtype=jnp.uint32)

    return [one(leaf) for leaf in leaves]


def checksums(state: TrainState) -> list[int]:
    """A number an array, which tells whether it is what it was."""
    return [int(total) for total in meshes.fetch_from_mesh(_checksums(jax.tree.leaves(state)))]


def _crc(note: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(note, sort_keys=True).encode())


def _metric(metrics: dict[str, float]) -> tuple[float, float]:
    """What orbax sorts by: of equal values the earlier step is the better one."""
    return metrics[METRIC], -metrics.get(_STEP, 0)


def _brief(error: Exception) -> str:
    """The first line of what an error says, which with tensorstore may be pages."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:300]

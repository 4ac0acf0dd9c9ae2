"""Checkpoints: the latest and the best, written in the background, whole or not at all.

The only file that knows orbax.
"""

import pathlib
from typing import Any

import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from diface_jax.training.state import TrainState

# What a checkpoint is compared by: higher is better.
METRIC = 'validation/auc'


class Checkpoints:
    """A run's checkpoints in a folder; use it as a context manager, which waits for the last save.

    Each holds the training state and a note: a JSON object with all that is needed to use it
    (config, normalisation, encoders, thresholds) and to go on from it.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy(
                [policies.LatestN(1), policies.BestN(get_metric_fn=_metric, n=1)]
            ),
            best_fn=_metric,
            cleanup_tmp_directories=True,
        )
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def __enter__(self) -> 'Checkpoints':
        return self

    def __exit__(self, *error: object) -> None:
        self._manager.close()

    def latest(self) -> int | None:
        """The step of the newest whole checkpoint; None when there is none."""
        return self._manager.latest_step()

    def best(self) -> int | None:
        """The step of the checkpoint that did best on validation; None when there is none."""
        return self._manager.best_step()

    def save(self, step: int, state: TrainState, note: dict[str, Any]) -> None:
        """Starts saving; the folder appears under its name only when all is written.

        Args:
          step: its number.
          state: copied before this returns, so that it may be donated afterwards.
          note: JSON; `note['metrics'][METRIC]` tells how good it is.
        """
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), note=ocp.args.JsonSave(note))
        self._manager.save(step, args=items, metrics=note['metrics'])

    def note(self, step: int) -> dict[str, Any]:
        """The note of a checkpoint."""
        return self._manager.restore(
            step, args=ocp.args.Composite(note=ocp.args.JsonRestore())
        ).note

    def restore(self, step: int, like: TrainState) -> TrainState:
        """The state of a checkpoint.

        Args:
          step: which.
          like: shapes, types and shardings to restore into (`jax.eval_shape` gives them).

        Raises:
          ValueError: the checkpoint is of another model.
        """
        items = ocp.args.Composite(state=ocp.args.StandardRestore(like))
        return self._manager.restore(step, args=items).state


def _metric(metrics: dict[str, float]) -> float:
    return metrics[METRIC]

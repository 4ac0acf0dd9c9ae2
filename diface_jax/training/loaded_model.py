"""A trained model as it is used: the best checkpoint, with all it carries."""

import dataclasses
import pathlib
from typing import Any

import ml_collections
import numpy as np

from diface_jax.models.diface import DiFace, Params
from diface_jax.models.normalise import Normalisation
from diface_jax.runtime import mesh as meshes
from diface_jax.training import state as states
from diface_jax.training.checkpoint import Checkpoints


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """What a checkpoint holds.

    Attributes:
      step: when it was saved.
      model: D and R.
      params: their averaged parameters.
      normalise: from raw embeddings to x0.
      thresholds: threshold s by condition ('grammar/cross/random'), from validation.
      encoders: name, SHA-256 and width of the frozen encoders.
      settings: all that the training depended on.
    """

    step: int
    model: DiFace
    params: Params
    normalise: Normalisation
    thresholds: dict[str, float]
    encoders: dict[str, Any]
    settings: dict[str, Any]

    @property
    def config(self) -> ml_collections.ConfigDict:
        """The sections of the config it was trained with."""
        return ml_collections.ConfigDict(self.settings)


def load_best_checkpoint(workdir: pathlib.Path) -> LoadedModel:
    """The checkpoint of a workdir that did best on validation.

    Raises:
      FileNotFoundError: there is none; says how to make one.
    """
    folder = workdir / 'checkpoints'
    if not folder.is_dir():
        raise FileNotFoundError(f'no trained model in {workdir}: run --mode=train first')
    with Checkpoints(folder, read_only=True) as checkpoints:
        step = checkpoints.best()
        if step is None:
            raise FileNotFoundError(f'no whole checkpoint in {folder}: run --mode=train first')
        note = checkpoints.note(step)
        config, sizes = (
            ml_collections.ConfigDict(note['settings']),
            states.ModelSizes(*note['sizes']),
        )
        like = states.abstract_state(config, sizes, meshes.make_mesh())
        state = checkpoints.restore(step, like)
    mean, widths = note['normalisation']['mean'], note['normalisation']['widths']
    return LoadedModel(
        step=step,
        model=states.model_without_params(config, sizes),
        params=state.average,
        normalise=Normalisation(np.array(mean, np.float32), tuple(widths)),
        thresholds=note['thresholds'],
        encoders=note['encoders'],
        settings=note['settings'],
    )

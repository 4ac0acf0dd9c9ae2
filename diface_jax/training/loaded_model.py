"""A trained model for inference, and how it is read from the best checkpoint."""

import dataclasses
import hashlib
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np

from diface_jax.models.diface import DiFace, Params, build_model
from diface_jax.models.normalise import Normalisation
from diface_jax.runtime import mesh as meshes


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A trained model.

    Attributes:
      name: galleries remember it.
      sha256: hash of all that features depend on; galleries remember it too.
      step: training step of the checkpoint.
      model: D and R.
      params: their averaged parameters.
      normalise: from raw embeddings to x0.
      thresholds: threshold s by condition ('grammar/cross/random'), from validation.
      encoders: name, SHA-256 and width of the frozen encoders.
      settings: everything that the training depended on.
      terms: what the model may be used for; '' where nothing is said.
    """

    name: str
    sha256: str
    step: int
    model: DiFace
    params: Params
    normalise: Normalisation
    thresholds: dict[str, float]
    encoders: dict[str, Any]
    settings: dict[str, Any]
    terms: str = ''

    @property
    def widths(self) -> tuple[int, ...]:
        """D and C, and Q where D takes observations: of embeddings, conditions and qualities."""
        widths = len(self.normalise.mean_D), self.encoders['text']['width']
        return (*widths, self.model.quality_dim) if self.model.quality_dim else widths

    @property
    def config(self) -> ml_collections.ConfigDict:
        """The settings as a config, with the sections that training depends on."""
        return ml_collections.ConfigDict(self.settings)


def load_best_checkpoint(workdir: pathlib.Path) -> LoadedModel:
    """Loads the checkpoint of a workdir with the best validation; changes nothing on disk.

    Raises:
      FileNotFoundError: there is no checkpoint; says how to make one.
      DamagedCheckpointError: the checkpoint cannot be read; says what to do.
      ValueError: the model was trained by version 0.1.
    """
    # Imported here: they bring orbax and optax along, and a pack needs neither.
    from diface_jax.training.checkpoint import Checkpoints
    from diface_jax.training.state import ModelSizes, abstract_state

    folder = workdir / 'checkpoints'
    if not folder.is_dir():
        raise FileNotFoundError(f'no trained model in {workdir}: run --mode=train first')
    with Checkpoints(folder, read_only=True) as checkpoints:
        step = checkpoints.best()
        if step is None:
            raise FileNotFoundError(f'no complete checkpoint in {folder}: run --mode=train first')
        note = checkpoints.note(step)
        _require_current_names(note['settings'], workdir)
        config, sizes = ml_collections.ConfigDict(note['settings']), ModelSizes(*note['sizes'])
        state = checkpoints.restore(step, abstract_state(config, sizes, meshes.make_mesh()))
    mean, widths = note['normalisation']['mean'], note['normalisation']['widths']
    normalise = Normalisation(np.array(mean, np.float32), tuple(widths))
    return LoadedModel(
        name=workdir.resolve().name,
        sha256=sha256_of_model(state.average, normalise),
        step=step,
        model=build_model(
            config.model,
            config.diffusion.schedule,
            sizes.embedding_dim,
            sizes.condition_dim,
            sizes.quality_dim,
        ),
        params=state.average,
        normalise=normalise,
        thresholds=note['thresholds'],
        encoders=note['encoders'],
        settings=note['settings'],
    )


def sha256_of_model(params: Params, normalise: Normalisation) -> str:
    """The hash of all that the features of a model depend on."""
    digest = hashlib.sha256(normalise.mean_D.tobytes())
    for leaf in jax.tree.leaves(params):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _require_current_names(settings: dict[str, Any], workdir: pathlib.Path) -> None:
    """ValueError if settings of a checkpoint have keys of version 0.1."""
    from diface_jax.runtime.settings import Settings  # it brings optax along

    for section in dataclasses.fields(Settings):
        # `data` holds the settings of the prepared data set, which has checks of its own.
        if section.name == 'data' or not dataclasses.is_dataclass(section.type):
            continue
        known = {field.name for field in dataclasses.fields(section.type)}
        if unknown := sorted(settings.get(section.name, {}).keys() - known):
            raise ValueError(
                f'the model in {workdir} was trained by version 0.1, whose settings have other '
                f'names ({section.name}.{unknown[0]}): train again in another --workdir, or use '
                'that version'
            )

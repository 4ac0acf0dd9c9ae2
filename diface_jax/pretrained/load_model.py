"""Loads the model that a user names, from a pack or from the workdir of a training."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

from diface_jax.gallery.decision_rule import DecisionRule
from diface_jax.gallery.inference import InferenceModel
from diface_jax.models.diface import Sampling
from diface_jax.pretrained import pack_files, packed_model
from diface_jax.pretrained.find_model import find_model
from diface_jax.pretrained.pack_files import Pack, PackError


class UsableModel(NamedTuple):
    """A model for photographs and sentences, and what gives its decision rule when asked."""

    inference: InferenceModel
    decision_rule: Callable[[], DecisionRule]


def load_model(model: str | pathlib.Path | None, sampling: Sampling | None = None) -> UsableModel:
    """The model of a pack or of a workdir. Nothing is written into a pack.

    Args:
      model: a pack's folder, the name of a pack that comes with the package, or a workdir; None
        for the default pack.
      sampling: how descriptions become features; None: as in the validation of the model.

    Raises:
      FileNotFoundError: there is no such model, or an encoder is not installed.
      PackError: the pack is damaged, of another application or of a newer version.
      ValueError: the installed encoders are not those of the model, or the pack has no decision
        rule for this sampling.
    """
    folder = find_model(model)
    if pack_files.is_pack(folder):
        return _of_pack(folder, sampling)
    return _of_workdir(folder, sampling)


def _of_pack(folder: pathlib.Path, sampling: Sampling | None) -> UsableModel:
    pack = pack_files.read_pack(folder)
    trained, rule = packed_model.trained_model(pack), _decision_rule(pack, folder)
    if sampling not in (None, Sampling(**trained.settings['sample'])):
        raise ValueError(
            f'the pack {folder} has a decision rule for its own sampling alone '
            f'({trained.settings["sample"]}): for another, give the workdir that it was made from '
            'as --model'
        )
    text_encoder = packed_model.text_encoder_of(trained)
    encoders = packed_model.pack_encoders(pack, text_encoder, [folder])
    return UsableModel(InferenceModel(trained, encoders), lambda: rule)


def _decision_rule(pack: Pack, folder: pathlib.Path) -> DecisionRule:
    try:
        return DecisionRule.from_json(pack.description['decision_rule'])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        path = folder / pack_files.DESCRIPTION
        raise PackError(f'{path} is damaged ({error}): copy the pack again') from error


def _of_workdir(workdir: pathlib.Path, sampling: Sampling | None) -> UsableModel:
    # Imported here: a pack needs neither orbax nor prepared data.
    from diface_jax.data import prepared_folders
    from diface_jax.data.encoder_bundle import EncoderBundle
    from diface_jax.gallery import calibrate
    from diface_jax.training.loaded_model import load_best_checkpoint

    if not (workdir / 'checkpoints').is_dir():
        raise FileNotFoundError(
            f'{workdir} is neither a model pack (no {pack_files.DESCRIPTION}) nor the workdir of a '
            'training (no checkpoints)'
        )
    trained = load_best_checkpoint(workdir)
    train_data = prepared_folders.folder_of_model(
        workdir / 'prepared', trained.settings['data'], trained.encoders
    )
    encoders = EncoderBundle.load(packed_model.text_encoder_of(trained), train_data)
    inference = InferenceModel(trained, encoders, sampling)
    validated = calibrate.ValidationModel(trained, inference.sampling, train_data)
    return UsableModel(inference, lambda: calibrate.load_or_calibrate(validated, workdir))

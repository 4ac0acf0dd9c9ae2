"""From the content of a pack to a model that can be used: networks and encoders."""

import pathlib
from collections.abc import Sequence
from typing import Any

import ml_collections
import numpy as np

from diface_jax.data.encoder_bundle import EncoderBundle
from diface_jax.encoders.face.appearance import Appearance
from diface_jax.encoders.face.encoder import described_face_encoder
from diface_jax.encoders.text.condition import ConditionEncoder, Standardisation
from diface_jax.encoders.text.encoder import MODEL, TextEncoder, load_text_encoder
from diface_jax.models.diface import build_model
from diface_jax.models.normalise import Normalisation
from diface_jax.pretrained.network_arrays import params_of_arrays
from diface_jax.pretrained.pack_files import Pack, PackError
from diface_jax.training.loaded_model import LoadedModel

ADAPTERS = 'text_adapters'  # group of the tensors of the text encoder's adapters


def trained_model(pack: Pack) -> LoadedModel:
    """D and R of a pack, with all that inference and evaluation need besides.

    Raises:
      PackError: a tensor is missing or has another shape than the settings say.
    """
    description = pack.description
    settings, widths = description['settings'], tuple(description['sizes'])
    normalise = Normalisation(
        _tensor(pack, 'normalisation/mean_D'), tuple(description['normalisation_widths'])
    )
    return LoadedModel(
        name=pack.name,
        sha256=pack.sha256,
        step=description['step'],
        model=build_model(
            ml_collections.ConfigDict(settings['model']),
            settings['diffusion']['schedule'],
            *widths,
        ),
        params=params_of_arrays(pack.tensors, settings, widths),
        normalise=normalise,
        thresholds=description['thresholds'],
        encoders=description['encoders'],
        settings=settings,
        terms=description['terms'],
    )


def pack_encoders(pack: Pack, text: TextEncoder, folders: Sequence[pathlib.Path]) -> EncoderBundle:
    """The encoders of a pack: the installed frozen ones, with what the pack holds of them.

    Args:
      pack: the pack.
      text: the installed text encoder.
      folders: where the ONNX files of face encoders may lie.

    Raises:
      PackError: a tensor is missing.
      ValueError: its adapters are of another text encoder.
    """
    if adapters := pack.group(ADAPTERS):
        text = text.with_adapters(adapters)
    description = pack.description['encoders']['face']
    appearance = _fitted(pack, 'appearance', Appearance) if pack.group('appearance') else None
    standard = _fitted(pack, 'standardisation', Standardisation)
    face = described_face_encoder(description, appearance, folders)
    return EncoderBundle(face, ConditionEncoder(text, standard))


def text_encoder_of(trained: LoadedModel) -> TextEncoder:
    """The text encoder of a model's training: the one that comes along, or that of its setting.

    Raises:
      FileNotFoundError: the folder or repository of the setting is not on this machine.
    """
    if trained.encoders['text']['name'] == MODEL:
        return load_text_encoder()
    return load_text_encoder(trained.settings['data']['encoders']['text'])


def _fitted(pack: Pack, group: str, kind: type) -> Any:
    return kind(**{field: _tensor(pack, f'{group}/{field}') for field in kind._fields})


def _tensor(pack: Pack, name: str) -> np.ndarray:
    if name not in pack.tensors:
        raise PackError(f'the pack {pack.name} has no tensor {name}: copy the pack again')
    return pack.tensors[name]

"""Starts a training from a model pack: its D and R, its normalisation, its encoders."""

from typing import Any

import jax
import ml_collections
import numpy as np

from diface_jax.data.prepared import Prepared
from diface_jax.models.diface import Params
from diface_jax.pretrained import pack_files, packed_model
from diface_jax.pretrained.find_model import find_model
from diface_jax.pretrained.pack_files import Pack
from diface_jax.runtime import run_state
from diface_jax.training.loaded_model import LoadedModel
from diface_jax.training.state import TrainState

_FREE = ('score.dropout', 'refine.dropout')  # they may differ from the pack's


def read_start(init_from: str) -> Pack:
    """The pack that `train.init_from` names, by its folder or its name.

    Raises:
      ValueError: it is not a pack, or a pack that cannot be used.
      FileNotFoundError: there is no such folder and no such pack.
    """
    folder = find_model(init_from)
    if not pack_files.is_pack(folder):
        raise ValueError(
            f'train.init_from={init_from} is not a model pack: write one with --mode=pack'
        )
    return pack_files.read_pack(folder)


def describe_start(init_from: str) -> dict[str, Any]:
    """Name, hash and terms of a pack, for the settings of a training."""
    pack = read_start(init_from)
    return {'name': pack.name, 'sha256': pack.sha256, 'terms': pack.description['terms']}


def load_start(config: ml_collections.ConfigDict, data: Prepared) -> LoadedModel | None:
    """The model that a training starts from; None where it starts anew.

    Args:
      config: of the run; read are `train.init_from` and `model`.
      data: prepared with the encoders of the pack.

    Raises:
      SettingsDifferError: the data set has other encoders, or the networks other sizes.
    """
    if not config.train.init_from:
        return None
    start = packed_model.trained_model(read_start(config.train.init_from))
    run_state.require_same_settings(
        f'The pack {start.name} (train.init_from)',
        start.encoders,
        data.card['encoders'],
        instead='Prepare the data set with the encoders of the pack: --mode=prepare, with the same '
        'train.init_from, in another --workdir or with --overwrite.',
    )
    run_state.require_same_settings(
        f'The pack {start.name} (train.init_from)',
        start.settings['model'],
        config.model.to_dict(),
        ignore=_FREE,
        instead='Give config.model the values of the pack.',
    )
    return start


def with_networks(state: TrainState, params: Params) -> TrainState:
    """A state that starts with these D and R, in the parameters and in their average."""

    def put(value: np.ndarray, like: jax.Array) -> jax.Array:
        array = np.asarray(value, like.dtype)
        return jax.make_array_from_callback(array.shape, like.sharding, array.__getitem__)

    # Put twice: a donated buffer must not appear twice.
    started, average = (
        {**own, **{name: jax.tree.map(put, params[name], own[name]) for name in params}}
        for own in (state.params, state.average)
    )
    return state.replace(params=started, average=average)

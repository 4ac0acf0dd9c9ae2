"""The last layers of a text encoder, trained on faces: how they are saved, and put in place.

`training/text_tuning.py` trains them. They are kept in float16 beside the fitted arrays of a
prepared data set and in a pack; the other layers, the tokens' embeddings and the tokenizer are
those of the frozen encoder.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from flax import nnx

from diface_jax.runtime import run_state

Layers = Mapping[str, np.ndarray]  # parameters by path, such as 'qkv.kernel'; float16 [K, ...]


def layers_sha256(frozen_sha256: str, layers: Layers) -> str:
    """The hash of an encoder: that of the frozen one, and the numbers of its tuned layers."""
    digest = hashlib.sha256(frozen_sha256.encode())
    for name in sorted(layers):
        digest.update(name.encode() + layers[name].astype(np.float16).tobytes())
    return digest.hexdigest()


def last_layers(layers: nnx.State, count: int) -> Layers:
    """The last `count` of stacked layers, by path, float16."""
    return {
        '.'.join(path): np.asarray(value[-count:], np.float16)
        for path, value in nnx.to_flat_state(nnx.as_pure(layers))
    }


def with_last_layers(layers: nnx.State, tuned: Layers) -> nnx.State:
    """Stacked layers, the last of them replaced by tuned ones, in float32.

    Raises:
      ValueError: a parameter is missing, is not of these layers, or has another shape.
    """
    flat = dict(nnx.to_flat_state(layers))
    if wrong := sorted({'.'.join(path) for path in flat} ^ tuned.keys()):
        raise ValueError(f'tuned layers of another text encoder: {wrong[0]} is missing or unknown')
    return nnx.from_flat_state(
        (path, variable.replace(_joined(variable[...], tuned['.'.join(path)], path)))
        for path, variable in flat.items()
    )


def _joined(layer_SxX: jnp.ndarray, tuned_KxX: np.ndarray, path: tuple[str, ...]) -> jnp.ndarray:
    if tuned_KxX.shape[1:] != layer_SxX.shape[1:] or len(tuned_KxX) > len(layer_SxX):
        raise ValueError(
            f'tuned layers of another text encoder: {".".join(path)} is {tuned_KxX.shape}, and the '
            f'encoder has {layer_SxX.shape}'
        )
    kept = layer_SxX[: len(layer_SxX) - len(tuned_KxX)]
    return jnp.concatenate([kept, jnp.asarray(tuned_KxX, jnp.float32)])


def save_layers(path: pathlib.Path, layers: Layers, frozen: Mapping[str, str]) -> None:
    """Writes tuned layers, with name and hash of the frozen encoder; raises OSError."""
    metadata = {'frozen': json.dumps(dict(frozen))}
    with run_state.open_replacing(path) as file:
        file.write(safetensors.numpy.save(dict(layers), metadata))


def load_layers(path: pathlib.Path, frozen: Mapping[str, str]) -> Layers:
    """Reads tuned layers that `save_layers` wrote.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is damaged, or its layers belong to another frozen encoder.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist: write it with --mode=tune_text')
    try:
        with safetensors.safe_open(path, 'numpy') as file:
            written_for = json.loads((file.metadata() or {}).get('frozen', '{}'))
            layers = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, ValueError) as error:
        raise ValueError(f'{path} is not a file of tuned layers, or is damaged: {error}') from error
    if written_for != dict(frozen):
        raise ValueError(
            f'{path} tunes {written_for.get("name", "no known encoder")}, and the text encoder '
            f'in use is {frozen["name"]} of another hash or name: give the encoder that was tuned'
        )
    return layers

"""Adapters of a text encoder's last layers: small matrices that are added to frozen ones.

LoRA (Hu et al. 2021, "LoRA: Low-rank adaptation of large language models", section 4.1): a matrix W
becomes W + A B, where A has R columns and B has R rows. `training/text_tuning.py` trains A and B on
faces. They are kept in float16 beside the fitted arrays of a prepared data set, and in a pack.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from flax import nnx

from diface_jax.runtime import run_state

# 'qkv.a' [K, I, R] and 'qkv.b' [K, R, O] of the last K layers, and so on for each of MATRICES.
Adapters = Mapping[str, jax.Array | np.ndarray]

MATRICES = ('qkv', 'mix', 'up', 'down')


def init_adapters(layers: nnx.State, count: int, rank: int, key: jax.Array) -> dict[str, jax.Array]:
    """Adapters that change nothing yet: A is random, B is zero.

    Args:
      layers: parameters of S stacked layers.
      count: K, the number of layers to adapt, the last ones.
      rank: R.
      key: of the random numbers.
    """
    adapters = {}
    for number, name in enumerate(MATRICES):
        _, width_in, width_out = layers[name]['kernel'][...].shape
        noise = jax.random.normal(jax.random.fold_in(key, number), (count, width_in, rank))
        adapters[f'{name}.a'] = noise / jnp.sqrt(width_in)
        adapters[f'{name}.b'] = jnp.zeros((count, rank, width_out))
    return adapters


class AdaptedLinear(nnx.Module):
    """A linear map and its adapter, x W + bias + x A B, of which A and B are trained.

    The gradient of W + A B would be as large as W; this one never computes it.
    """

    def __init__(self, linear: nnx.Linear, a_IxR: jax.Array, b_RxO: jax.Array) -> None:
        self.linear = linear
        self.a, self.b = nnx.Param(a_IxR), nnx.Param(b_RxO)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., I] to [..., O]."""
        # As one matrix: twice as fast on a CPU as the gradient of a product with two batch axes.
        x_NxI = x.reshape(-1, x.shape[-1])
        y_NxO = self.linear(x_NxI) + x_NxI @ self.a[...] @ self.b[...]
        return y_NxO.reshape(*x.shape[:-1], -1)


def with_trained_adapters(layers: nnx.Module, adapters: Adapters) -> nnx.Module:
    """Stacked layers, all of which have adapters that a gradient can be taken of."""
    for name in MATRICES:
        parts = (adapters[f'{name}.{part}'] for part in 'ab')
        setattr(layers, name, AdaptedLinear(getattr(layers, name), *parts))
    return layers


def adapt(layers: nnx.State, adapters: Adapters) -> nnx.State:
    """Parameters of stacked layers, the last of them with their adapters added; float32."""
    adapted = nnx.State(dict(layers))
    for name in MATRICES:
        kernel = layers[name]['kernel']
        a_KxIxR, b_KxRxO = (np.asarray(adapters[f'{name}.{part}'], np.float32) for part in 'ab')
        # By NumPy: there is nothing to compile.
        added = np.array(kernel[...])
        added[len(added) - len(a_KxIxR) :] += a_KxIxR @ b_KxRxO
        kernel = kernel.replace(jax.device_put(added))
        adapted[name] = nnx.State({**layers[name], 'kernel': kernel})
    return adapted


def rounded(adapters: Adapters) -> dict[str, np.ndarray]:
    """Adapters as they are kept, float16."""
    return {name: np.asarray(array, np.float16) for name, array in adapters.items()}


def check_adapters(layers: nnx.State, adapters: Adapters) -> None:
    """Raises ValueError if adapters are not of such layers; names the matrix."""
    names = {f'{name}.{part}' for name in MATRICES for part in 'ab'}
    if wrong := sorted(names ^ adapters.keys()):
        raise ValueError(f'adapters of another text encoder: {wrong[0]} is missing or unknown')
    for name in MATRICES:
        count, width_in, width_out = layers[name]['kernel'][...].shape
        a, b = (np.shape(adapters[f'{name}.{part}']) for part in 'ab')
        expected = (a[0], width_in, a[-1]), (a[0], a[-1], width_out)
        if (a, b) != expected or a[0] > count:
            raise ValueError(
                f'adapters of another text encoder: those of {name} are {a} and {b}, and the '
                f'matrices of its {count} layers are {(width_in, width_out)}'
            )


def adapters_sha256(frozen_sha256: str, adapters: Adapters) -> str:
    """The hash of an adapted encoder: of the frozen one's hash, and of the adapters."""
    digest = hashlib.sha256(frozen_sha256.encode())
    for name, array in sorted(rounded(adapters).items()):
        digest.update(name.encode() + array.tobytes())
    return digest.hexdigest()


def save_adapters(path: pathlib.Path, adapters: Adapters, frozen: Mapping[str, str]) -> None:
    """Writes adapters, with name and hash of the frozen encoder; raises OSError."""
    metadata = {'frozen': json.dumps(dict(frozen))}
    with run_state.open_replacing(path) as file:
        file.write(safetensors.numpy.save(rounded(adapters), metadata))


def load_adapters(path: pathlib.Path, frozen: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Reads adapters that `save_adapters` wrote; float16.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is damaged, or its adapters are of another frozen encoder.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist: write it with --mode=tune_text')
    try:
        with safetensors.safe_open(path, 'numpy') as file:
            written_for = json.loads((file.metadata() or {}).get('frozen', '{}'))
            adapters = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, ValueError) as error:
        raise ValueError(f'{path} is not a file of adapters, or is damaged: {error}') from error
    if written_for != dict(frozen):
        raise ValueError(
            f'{path} adapts {written_for.get("name", "no known encoder")}, and the text encoder '
            f'in use is {frozen["name"]} of another hash or name: give the encoder it was made for'
        )
    return adapters

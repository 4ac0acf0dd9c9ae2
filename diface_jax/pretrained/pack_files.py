"""The files of a model pack: which they are, and how they are read and verified.

A pack is a folder::

    PACK/model.safetensors   the numbers: D and R, and what was fitted to the encoders
    PACK/model.json          everything else: settings, encoders, decision rule, terms, hashes
    PACK/MODEL_CARD.md       what it was trained on, how well it does, and its terms; for people

Both data files are plain: nothing in them is executed or unpickled. `model.json` holds the hash of
the numbers and one of itself, so that a damaged or mixed pack is refused. Nothing here writes.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

FORMAT, VERSION = 'diface_jax model pack', 1
WEIGHTS, DESCRIPTION, CARD = 'model.safetensors', 'model.json', 'MODEL_CARD.md'
_KEYS = frozenset(
    (
        *('name', 'weights_sha256', 'tensors', 'settings', 'step', 'sizes', 'encoders'),
        *('normalisation_widths', 'thresholds', 'decision_rule', 'trained_on', 'terms', 'parity'),
    )
)
_SHIPPED = pathlib.Path(__file__).parent
_SCALE = 'standardisation/scale_C'
_DTYPES = (np.float16, np.float32)


class PackError(ValueError):
    """A folder is not a model pack, or a pack is damaged or of a newer version."""


class Pack(NamedTuple):
    """The verified content of a pack.

    Attributes:
      name: of the model; galleries remember it.
      sha256: of the file of the numbers; galleries remember it too.
      tensors: arrays by name, such as 'appearance/mean_P', float32.
      description: the content of `model.json`.
    """

    name: str
    sha256: str
    tensors: Mapping[str, np.ndarray]
    description: Mapping[str, Any]

    def group(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays whose names start with `prefix` and a slash, by the rest of their names."""
        start = f'{prefix}/'
        return {
            name.removeprefix(start): array
            for name, array in self.tensors.items()
            if name.startswith(start)
        }


def is_pack(folder: pathlib.Path) -> bool:
    """Whether a folder looks like a pack, whole or damaged."""
    return (folder / DESCRIPTION).is_file() or (folder / WEIGHTS).is_file()


def shipped_packs() -> list[str]:
    """Names of the packs that come with the package."""
    return sorted(path.parent.name for path in _SHIPPED.glob(f'*/{DESCRIPTION}'))


def shipped_folder(name: str) -> pathlib.Path:
    """The folder of a pack that comes with the package."""
    return _SHIPPED / name


def read_pack(folder: pathlib.Path) -> Pack:
    """Reads and verifies a pack.

    Raises:
      PackError: the pack is incomplete, damaged, of another application or of a newer version;
        names the file and says what to do.
      OSError: a file cannot be read.
    """
    description = read_description(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise PackError(f'{folder} is not complete: it has no {WEIGHTS}; copy the pack again')
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != description['weights_sha256']:
        raise PackError(
            f'{path} is damaged: its hash is not the one in {DESCRIPTION}; copy the pack again'
        )
    tensors = _read_tensors(path, data, description['tensors'])
    return Pack(description['name'], digest, tensors, description)


def read_description(folder: pathlib.Path) -> dict[str, Any]:
    """The verified content of a pack's `model.json`; errors as of `read_pack`."""
    path = folder / DESCRIPTION
    if not path.is_file():
        raise PackError(f'{folder} is not complete: it has no {DESCRIPTION}; copy the pack again')
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise PackError(f'{path} is damaged ({error}): copy the pack again') from error
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        raise PackError(f'{path} is not of a model pack: it belongs to another application')
    if content.get('version') != VERSION:
        raise PackError(
            f'{path} is of pack version {content.get("version")}, and this program reads version '
            f'{VERSION}: update diface_jax'
        )
    if missing := sorted(_KEYS - content.keys()):
        raise PackError(f'{path} is damaged: it has no {missing[0]!r}; copy the pack again')
    if content.get('sha256') != description_sha256(content):
        raise PackError(f'{path} is damaged: it is not what was written; copy the pack again')
    return content


def description_sha256(content: Mapping[str, Any]) -> str:
    """The hash of a description, without the hash that it holds."""
    rest = {name: value for name, value in content.items() if name != 'sha256'}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _read_tensors(
    path: pathlib.Path, data: bytes, names: Mapping[str, list[int]]
) -> dict[str, np.ndarray]:
    try:
        tensors = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise PackError(f'{path} is damaged ({error}): copy the pack again') from error
    if tensors.keys() != names.keys():
        wrong = sorted(tensors.keys() ^ names.keys())[0]
        raise PackError(f'{path} is damaged: the tensor {wrong} is missing, or is not of the model')
    for name, array in tensors.items():
        if array.dtype not in _DTYPES or list(array.shape) != names[name]:
            raise PackError(f'{path} is damaged: the tensor {name} has another type or shape')
        # The scale of a dimension that is the same in every sentence is infinite.
        if np.isnan(array).any() or (name != _SCALE and np.isinf(array).any()):
            raise PackError(f'{path} is damaged: the tensor {name} has numbers that are not finite')
    return {name: array.astype(np.float32) for name, array in tensors.items()}

"""D and R as named arrays, as a pack stores them."""

from collections.abc import Mapping
from typing import Any

import jax
import ml_collections
import numpy as np

from diface_jax.models.diface import Params, param_shapes
from diface_jax.pretrained.pack_files import PackError

NETWORKS = ('score', 'refine')


def named_arrays(params: Params) -> dict[str, np.ndarray]:
    """The arrays of D and R by name, such as 'score/blocks/0/up/kernel'."""
    networks = {name: params[name] for name in NETWORKS}
    leaves, _ = jax.tree_util.tree_flatten_with_path(networks)
    return {_name(path): np.asarray(leaf) for path, leaf in leaves}


def params_of_arrays(
    arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any], widths: tuple[int, ...]
) -> Params:
    """D and R from the arrays that `named_arrays` gave.

    Args:
      arrays: by name; others are ignored.
      settings: of the training.
      widths: D, C and Q, of embeddings, conditions and qualities; without Q, D of the model takes
        no observation.

    Raises:
      PackError: an array is missing or has another shape than the settings say; names it.
    """
    model = ml_collections.ConfigDict(settings['model'])

    def fill(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        name = _name(path)
        if name not in arrays or arrays[name].shape != leaf.shape:
            raise PackError(f'the tensor {name} is missing, or has another shape than its network')
        return arrays[name].astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, param_shapes(model, *widths))


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator='/').removesuffix('/value')

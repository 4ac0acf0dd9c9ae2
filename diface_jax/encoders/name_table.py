"""Fills a Flax module with the tensors of a PyTorch model, by a table of names."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import jax
import numpy as np
from flax import nnx

Network = TypeVar('Network', bound=nnx.Module)

# From the path of one of our modules to the names of its tensors, without '.weight' and '.bias'.
# Several tensors are joined along the output; a name with {} stands for a tensor of each layer. A
# parameter that belongs to no module of its own is listed by its path and its whole name.
NameTable = Mapping[str, Sequence[str]]

# Our names of parameters, and PyTorch's.
_KINDS = {'kernel': '.weight', 'embedding': '.weight', 'scale': '.weight', 'bias': '.bias'}


def fill(
    make: Callable[[], Network],
    table: NameTable,
    tensors: Mapping[str, np.ndarray],
    skipped: tuple[str, ...],
    file: str,
) -> Network:
    """A module whose parameters are the tensors of a file, in float32.

    Args:
      make: builds the module; it is called for its shapes alone.
      table: names of the tensors of each of its parameters.
      tensors: of the file, by name; matrices are [output, input], as PyTorch has them.
      skipped: beginnings of the names of tensors that the module does not use.
      file: name of the file, for messages.

    Raises:
      ValueError: a tensor is missing, has another shape or is not used; the message names it.
    """
    left = dict(tensors)
    graphdef, abstract = nnx.split(nnx.eval_shape(make))
    state = nnx.from_flat_state(
        (path, variable.replace(_take(left, table, path, variable.shape, file)))
        for path, variable in nnx.to_flat_state(abstract)
    )
    unused = [name for name in left if not name.startswith(skipped)]
    if unused:
        raise ValueError(
            f'{file} has {len(unused)} tensors that the network does not use, such as {min(unused)}'
        )
    return nnx.merge(graphdef, jax.device_put(state))


def _take(
    left: dict[str, np.ndarray],
    table: NameTable,
    path: tuple[str, ...],
    shape: tuple[int, ...],
    file: str,
) -> np.ndarray:
    """Removes the tensors of a parameter from `left`; stacks those of all layers."""
    kind = _KINDS.get(path[-1])
    names = table['/'.join(path if kind is None else path[:-1])]
    names = [f'{name}{kind or ""}' for name in names]
    is_kernel = path[-1] == 'kernel'
    if '{}' not in names[0]:
        return _join(left, names, shape, is_kernel, file)
    return np.stack(
        [
            _join(left, [name.format(layer) for name in names], shape[1:], is_kernel, file)
            for layer in range(shape[0])
        ]
    )


def _join(
    left: dict[str, np.ndarray],
    names: Sequence[str],
    shape: tuple[int, ...],
    is_kernel: bool,
    file: str,
) -> np.ndarray:
    """Removes the named tensors from `left` and joins them along the output axis."""
    rows, *rest = reversed(shape) if is_kernel else shape
    expected = (rows // len(names), *rest)
    parts = []
    for name in names:
        part = left.pop(name, None)
        if part is None:
            raise ValueError(f'{file} has no tensor {name}')
        if part.shape != expected:
            raise ValueError(f'{file}: {name} is {part.shape}, not {expected}')
        parts.append(part.astype(np.float32, copy=False))
    joined = np.concatenate(parts) if len(parts) > 1 else parts[0]
    return joined.T if is_kernel else joined

"""Converts a function of arrays to ONNX, by jax2onnx (extra [export])."""

import importlib.util
import logging
import pathlib
import shutil
from collections.abc import Callable, Sequence

import jax
from jax.extend.core import jaxpr_as_fun

MISSING = "no ONNX was written: it needs pip install 'diface_jax[export]'"


def can_convert() -> bool:
    """Whether the converter is installed."""
    return importlib.util.find_spec('jax2onnx') is not None


def write_onnx(
    function: Callable[..., jax.Array],
    inputs: Sequence[jax.ShapeDtypeStruct],
    names: Sequence[str],
    path: pathlib.Path,
) -> None:
    """Writes a function as an ONNX file.

    Args:
      function: of arrays, with its weights inside; gives one array.
      inputs: their shapes, whose symbolic dimensions may have any size.
      names: of the inputs; the output is `f`.
      path: of the file; large weights go to a file beside it, of that name and `.data`.
    """
    import jax2onnx  # takes seconds to import

    for library in ('jax2onnx', 'onnx_ir'):  # they log about shapes inside that they leave open
        logging.getLogger(library).setLevel(logging.ERROR)
    # Traced here: jax2onnx replaces functions of jax.numpy by versions that can do less, and then
    # traces. So it gets primitives alone.
    traced = jax.make_jaxpr(function)(*inputs)
    primitives = jaxpr_as_fun(traced)
    jax2onnx.to_onnx(
        lambda *arrays: primitives(*arrays)[0],
        inputs=list(inputs),
        input_names=list(names),
        output_names=['f'],
        return_mode='file',
        output_path=str(path),
    )
    # Large weights lie beside the graph, in a file that only its owner could read.
    weights = path.with_name(f'{path.name}.data')
    if weights.is_file():
        shutil.copymode(path, weights)

"""Writes a model as files that run without this package: StableHLO, and ONNX.

Two functions: text to f after the tokenizer, and embedding of E to f. Both formats take any number
of rows and tokens; StableHLO runs on CPU, CUDA and TPU.
"""

import hashlib
import importlib.util
import json
import pathlib
import shutil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diface_jax.gallery.inference import InferenceModel
from diface_jax.pretrained import exported_functions, onnx_graph
from diface_jax.runtime import versions

FORMAT, VERSION = 'diface export', 1
DESCRIPTION = 'export.json'
PLATFORMS = ('cpu', 'cuda', 'tpu')
TOLERANCE = 1e-5  # of a feature's numbers, against the package
_SENTENCES = ('a man with a short beard', 'a young woman with wavy blond hair')
_EMBEDDINGS = 3  # of the example
_READER = pathlib.Path(__file__).with_name('exported_reader.py')

_README = """\
# {name}, exported

The model {name} (SHA-256 `{sha256}`) as two functions. Terms: {terms}

* `text_to_f.stablehlo`, `text_to_f.onnx`: `tokens` (int32) and `mask` (bool), [B, L], to `f`
  [B, {feature_width}], float32
* `embedding_to_f.stablehlo`, `embedding_to_f.onnx`: `embedding`
  [B, {embedding_width}], float32, to `f`

`f` has length 1; the score of a sentence and a face is the dot product. `tokenizer.json` is for the
library tokenizers; the mask is True where there is a token, special ones included, and a sentence
has at most {max_tokens} tokens. Embeddings are raw outputs of {encoders}.

`python read.py` needs numpy and onnxruntime, reads `example.npz` and compares. With JAX alone:

    import jax, numpy
    text_to_f = jax.export.deserialize(open('text_to_f.stablehlo', 'rb').read())
    example = numpy.load('example.npz')
    f = text_to_f.call(example['tokens'], example['mask'])
"""


class ExportReport(NamedTuple):
    """What was written.

    Attributes:
      folder: of the export.
      size: of its files, in bytes.
      difference: the largest of a feature's numbers to the package's own, in StableHLO.
      has_onnx: whether ONNX files are there.
    """

    folder: pathlib.Path
    size: int
    difference: float
    has_onnx: bool

    def __str__(self) -> str:
        line = (
            f'{self.folder}: {self.size / 1e6:.1f} MB; features differ from those of the package '
            f'by {self.difference:.1e} at most'
        )
        return line if self.has_onnx else f'{line}\n{onnx_graph.MISSING}'


def write_export(
    inference: InferenceModel, out: pathlib.Path, overwrite: bool = False
) -> ExportReport:
    """Writes an export; the folder gets its name once it is complete and compared.

    Args:
      inference: the model and its encoders.
      out: the folder.
      overwrite: replaces an export that is there.

    Raises:
      FileExistsError: an export is there and `overwrite` is False, or something else is there.
      ValueError: the sampler cannot be exported, or features differ by more than TOLERANCE.
      ImportError: the extra for exports is not installed.
    """
    _check_free(out, overwrite)
    if not importlib.util.find_spec('flatbuffers'):
        raise ImportError("an export needs pip install 'diface_jax[export]'")
    building = out.with_name(f'{out.name}.new')
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    trained, encoders = inference.parts
    text_to_f = exported_functions.text_function(trained, encoders, inference.sampling)
    embedding_to_f = exported_functions.embedding_function(trained)
    example = _example(inference)
    rows, tokens = jax.export.symbolic_shape('b, l')
    of_tokens = [_shape((rows, tokens), jnp.int32), _shape((rows, tokens), jnp.bool_)]
    of_embedding = [_shape((rows, inference.width), jnp.float32)]
    _write_stablehlo(building / 'text_to_f.stablehlo', text_to_f, of_tokens)
    _write_stablehlo(building / 'embedding_to_f.stablehlo', embedding_to_f, of_embedding)
    difference = _difference(building, example)
    if has_onnx := onnx_graph.can_convert():
        names, path = ('tokens', 'mask'), building / 'text_to_f.onnx'
        onnx_graph.write_onnx(text_to_f, of_tokens, names, path)
        path = building / 'embedding_to_f.onnx'
        onnx_graph.write_onnx(embedding_to_f, of_embedding, ('embedding',), path)
    _write_rest(building, inference, example)
    if out.exists():
        shutil.rmtree(out)
    building.rename(out)
    size = sum(path.stat().st_size for path in out.iterdir())
    return ExportReport(out, size, difference, has_onnx)


def _check_free(out: pathlib.Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / DESCRIPTION).is_file():
        raise FileExistsError(f'{out} is there and is not an export: give another --out')
    if not overwrite:
        raise FileExistsError(f'{out} is an export already: give another --out, or --overwrite')


def _shape(shape: tuple, dtype: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def _example(inference: InferenceModel) -> dict[str, np.ndarray]:
    """Inputs, and the features that the package itself computes of them."""
    _, encoders = inference.parts
    tokens_BxL, mask_BxL = encoders.text.encoder.tokens(_SENTENCES)
    shape = (_EMBEDDINGS, inference.width)
    embedding = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return {
        'sentence': np.array(_SENTENCES),
        'tokens': tokens_BxL,
        'mask': mask_BxL,
        'text_f': inference.of_texts(_SENTENCES),
        'embedding': embedding,
        'f': inference.of_photos(embedding),
    }


def _write_stablehlo(path: pathlib.Path, function: Any, inputs: list) -> None:
    exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)(*inputs)
    path.write_bytes(exported.serialize())


def _difference(folder: pathlib.Path, example: dict[str, np.ndarray]) -> float:
    """The largest difference of the written functions from the package on the example.

    Raises:
      ValueError: it is above TOLERANCE.
    """
    text_to_f, embedding_to_f = (
        jax.export.deserialize((folder / f'{name}.stablehlo').read_bytes())
        for name in ('text_to_f', 'embedding_to_f')
    )
    text_f = text_to_f.call(example['tokens'], example['mask'])
    f = embedding_to_f.call(example['embedding'])
    difference = max(
        float(np.abs(text_f - example['text_f']).max()), float(np.abs(f - example['f']).max())
    )
    if not difference <= TOLERANCE:
        raise ValueError(f'exported features differ from those of the package by {difference:.1e}')
    return difference


def _write_rest(
    folder: pathlib.Path, inference: InferenceModel, example: dict[str, np.ndarray]
) -> None:
    """Writes the example, the tokenizer, the reader, the README and the description."""
    _, encoders = inference.parts
    text, face = encoders.text.encoder, inference.face_encoder
    np.savez(folder / 'example.npz', **example)
    (folder / 'tokenizer.json').write_text(text.tokenizer_json, encoding='utf-8')
    shutil.copy(_READER, folder / 'read.py')
    files = sorted(folder.iterdir())
    description = {
        'format': FORMAT,
        'version': VERSION,
        'written_by': versions.version_summary(),
        'name': inference.name,
        'sha256': inference.model,
        'terms': inference.terms or 'not stated',
        'embedding_width': inference.width,
        'feature_width': int(example['f'].shape[1]),
        'max_tokens': text.max_tokens,
        'encoders': {'face': face, 'text': {'name': text.name, 'sha256': text.sha256}},
        'files': {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + '\n', encoding='utf-8')
    names = ' and '.join(part['name'] for part in face)
    readme = _README.format(**{**description, 'encoders': names})
    (folder / 'README.md').write_text(readme, encoding='utf-8')

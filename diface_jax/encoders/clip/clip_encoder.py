"""CLIP as it is used: sentences and photographs to vectors of the space they share."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from diface_jax.encoders import folder_files, weights
from diface_jax.encoders.clip import clip_files
from diface_jax.encoders.text.sentence_tokens import SentenceTokenizer

_BATCH = 32  # photos


@dataclasses.dataclass(frozen=True, eq=False)
class ClipEncoder:
    """Embeds sentences and photos; their cosine is the score of a CLIP.

    Attributes:
      name: name of the folder.
      sha256: hash of the file of weights.
      licence: of the weights, as their README.md gives it, or `licence.UNKNOWN`.
    """

    name: str
    sha256: str
    licence: str
    _tokenizer: SentenceTokenizer = dataclasses.field(repr=False)
    _colours: tuple[tuple[float, ...], tuple[float, ...]] = dataclasses.field(repr=False)
    _graphdef: nnx.GraphDef = dataclasses.field(repr=False)
    _state: nnx.State = dataclasses.field(repr=False)

    @classmethod
    def from_folder(cls, folder: pathlib.Path) -> Self:
        """Reads both towers and the tokenizer.

        Raises:
          FileNotFoundError: a file is missing; says how to write a missing tokenizer.json.
          ValueError: the files do not hold a supported CLIP.
        """
        clip_files.require_clip(folder)
        folder_files.require_tokenizer(folder)
        network = clip_files.load_clip(folder)
        return cls(
            folder.resolve().name,
            weights.sha256_of_file(folder_files.weights_file(folder)),
            folder_files.read_licence(folder),
            SentenceTokenizer.from_file(folder / folder_files.TOKENIZER, network.text.max_tokens),
            clip_files.read_colours(folder),
            *nnx.split(network),
        )

    def embed_texts(self, sentences: Sequence[str], batch_tokens: int = 1024) -> np.ndarray:
        """Vectors text_NxF, float32, not normalised, in order.

        Args:
          sentences: those over the tower's length are truncated, with a warning.
          batch_tokens: number of sentences times length in a batch.

        Raises:
          ValueError: a sentence is empty or blank; the message gives its index.
        """
        tokens_N = self._tokenizer.ids(sentences)
        rows_of_batches, parts = [], []
        for rows, *batch in self._tokenizer.batches(tokens_N, batch_tokens):
            text_BxF = _embed_texts(self._graphdef, self._state, *batch)
            rows_of_batches.append(rows)
            parts.append(np.asarray(text_BxF)[: len(rows)])
        return np.concatenate(parts)[np.argsort(np.concatenate(rows_of_batches))]

    def embed_photos(self, chips_NxHxWx3: np.ndarray) -> np.ndarray:
        """Vectors photo_NxF, float32, not normalised, of RGB crops, uint8, N at least 1.

        Crops are resized to the tower's size by bicubic interpolation. The last batch is padded
        with black crops, so that one program is compiled.
        """
        parts = []
        for start in range(0, len(chips_NxHxWx3), _BATCH):
            chips = chips_NxHxWx3[start : start + _BATCH]
            padded = np.zeros((_BATCH, *chips.shape[1:]), np.uint8)
            padded[: len(chips)] = chips
            photo_BxF = _embed_photos(self._graphdef, self._state, padded, self._colours)
            parts.append(np.asarray(photo_BxF)[: len(chips)])
        return np.concatenate(parts)


@functools.partial(jax.jit, static_argnames='graphdef')
def _embed_texts(
    graphdef: nnx.GraphDef, state: nnx.State, tokens_BxL: jax.Array, mask_BxL: jax.Array
) -> jax.Array:
    with jax.default_matmul_precision('highest'):
        return nnx.merge(graphdef, state).embed_texts(tokens_BxL, mask_BxL)


@functools.partial(jax.jit, static_argnames=('graphdef', 'colours'))
def _embed_photos(
    graphdef: nnx.GraphDef,
    state: nnx.State,
    chips_BxHxWx3: jax.Array,
    colours: tuple[tuple[float, ...], tuple[float, ...]],
) -> jax.Array:
    clip = nnx.merge(graphdef, state)
    mean_3, scale_3 = (jnp.array(numbers) for numbers in colours)
    shape = (len(chips_BxHxWx3), clip.image.size, clip.image.size, 3)
    pixels = jax.image.resize(chips_BxHxWx3 / 255, shape, 'cubic')
    standardised = (jnp.clip(pixels, 0, 1) - mean_3) / scale_3
    with jax.default_matmul_precision('highest'):
        return clip.embed_images(standardised.transpose(0, 3, 1, 2))

"""Hidden states of the text encoder's frozen layers, computed once for all steps of a tuning."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx

from diface_jax.encoders.text import bert
from diface_jax.runtime import hosts

_SENTENCES = 64  # of similar length, in a batch
_BUCKET = 16  # lengths are padded to multiples of it: few shapes are compiled


class FrozenStates(NamedTuple):
    """The states of T sentences, one after the other.

    Attributes:
      state_NxC: of all their tokens, float16.
      start_T: the first token of each sentence.
      length_T: the number of its tokens.
    """

    state_NxC: np.ndarray
    start_T: np.ndarray
    length_T: np.ndarray

    def padded(self, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """state_BxLxC, float32, and mask_BxL of sentences; L is a multiple of 16."""
        length = _padded_length(self.length_T[texts])
        mask_BxL = np.arange(length) < self.length_T[texts][:, None]
        # Padding repeats the first token.
        token_BxL = self.start_T[texts][:, None] + np.where(mask_BxL, np.arange(length), 0)
        return self.state_NxC[token_BxL].astype(np.float32), mask_BxL


def frozen_states(
    encoder: bert.TextEncoder, sentences: Sequence[str], adapted: int
) -> FrozenStates:
    """The states that the last `adapted` layers of a text encoder take in.

    Args:
      encoder: without adapters.
      sentences: T of them.
      adapted: the number of layers that are left out, the last ones.
    """
    tokens_T = encoder.tokenize(sentences)
    length_T = np.array([len(tokens) for tokens in tokens_T])
    start_T = np.cumsum(length_T) - length_T
    state_NxC = np.empty((length_T.sum(), encoder.width), np.float16)
    graphdef, state = nnx.split(encoder.network)
    order = np.argsort(length_T, kind='stable')
    batches = [order[first : first + _SENTENCES] for first in range(0, len(order), _SENTENCES)]
    for texts in hosts.progress(batches, desc='frozen layers', unit='batch'):
        shape = _SENTENCES, _padded_length(length_T[texts])
        tokens_BxL, mask_BxL = bert.pad_tokens([tokens_T[text] for text in texts], shape)
        state_BxLxC = np.asarray(_lower(graphdef, adapted, state, tokens_BxL, mask_BxL))
        for row, text in enumerate(texts):
            end = start_T[text] + length_T[text]
            state_NxC[start_T[text] : end] = state_BxLxC[row, : length_T[text]]
    return FrozenStates(state_NxC, start_T, length_T)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _lower(
    graphdef: nnx.GraphDef,
    adapted: int,
    state: nnx.State,
    tokens_BxL: jax.Array,
    mask_BxL: jax.Array,
) -> jax.Array:
    network = nnx.merge(graphdef, state)
    layers, parameters = nnx.split(network.layers)
    lower = jax.tree.map(lambda layer_SxX: layer_SxX[: len(layer_SxX) - adapted], parameters)
    x_BxLxC = network.embed(tokens_BxL)
    if not len(jax.tree.leaves(lower)[0]):
        return x_BxLxC
    return bert.run_layers(nnx.merge(layers, lower), x_BxLxC, mask_BxL)[-1]


def _padded_length(length_B: np.ndarray) -> int:
    return -(-int(length_B.max()) // _BUCKET) * _BUCKET

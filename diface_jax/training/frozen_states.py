"""Hidden states of the text encoder's frozen layers, computed once for all steps of a tuning."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from diface_jax.encoders.text.encoder import TextEncoder
from diface_jax.runtime import hosts

_SENTENCES = 512  # in a chunk, whose states are in memory as float32
_BUCKET = 16  # lengths are padded to multiples of it: few shapes are compiled


class FrozenStates(NamedTuple):
    """The states of T sentences; equal sentences share theirs.

    Attributes:
      state_NxC: of all tokens, one sentence after the other, float16.
      start_T: the first token of each sentence.
      length_T: the number of its tokens.
    """

    state_NxC: np.ndarray
    start_T: np.ndarray
    length_T: np.ndarray

    def padded(self, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """state_BxLxC, float32, and mask_BxL of sentences; L is a multiple of 16."""
        length = -(-int(self.length_T[texts].max()) // _BUCKET) * _BUCKET
        mask_BxL = np.arange(length) < self.length_T[texts][:, None]
        # Padding repeats the first token.
        token_BxL = self.start_T[texts][:, None] + np.where(mask_BxL, np.arange(length), 0)
        return self.state_NxC[token_BxL].astype(np.float32), mask_BxL


def frozen_states(encoder: TextEncoder, sentences: Sequence[str], adapted: int) -> FrozenStates:
    """The states that the last `adapted` layers of a text encoder take in.

    Args:
      encoder: without adapters.
      sentences: T of them, at least one.
      adapted: the number of layers that are left out, the last ones.

    Raises:
      ValueError: a sentence is empty or blank.
    """
    lower = encoder.lower_layers(encoder.num_layers - adapted)
    different, of_T = np.unique(np.asarray(sentences, object), return_inverse=True)
    states, lengths = [], []
    for start in hosts.progress(
        range(0, len(different), _SENTENCES), desc='frozen layers', unit='chunk'
    ):
        state_BxLxC, mask_BxL = lower.token_states(different[start : start + _SENTENCES].tolist())
        states.append(state_BxLxC[mask_BxL].astype(np.float16))
        lengths.append(mask_BxL.sum(axis=1))
    length_U = np.concatenate(lengths)
    start_U = np.cumsum(length_U) - length_U
    return FrozenStates(np.concatenate(states), start_U[of_T], length_U[of_T])

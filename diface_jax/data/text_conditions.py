"""Sentences of a data set to text conditions: pooled vectors, and how they are standardised."""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from diface_jax.data import array_cache, sharded_work
from diface_jax.encoders.text.condition import (
    ConditionEncoder,
    Standardisation,
    sentence_vectors,
)
from diface_jax.encoders.text.encoder import TextEncoder
from diface_jax.encoders.text.pooling import POOLS


def pooled_vectors(
    encoder: TextEncoder, sentences: Sequence[str], cache: pathlib.Path
) -> np.ndarray:
    """The pooled hidden states of sentences, each of them encoded once.

    Args:
      encoder: the frozen text encoder.
      sentences: T of them; may be none.
      cache: folder of the cache, the same one on all hosts.

    Returns:
      pool_TxP, float16 since there are many; P is POOLS times the encoder's width.
    """
    if not sentences:
        return np.zeros((0, POOLS * encoder.width), np.float16)

    def encode(batch: Sequence[str], on_encoded: Callable[[int], object]) -> array_cache.Arrays:
        return {'pool': encoder.encode(batch, on_encoded=on_encoded).astype(np.float16)}

    depends_on = ('pools', encoder.sha256, *encoder.unusual_reading.values())
    return sharded_work.map_sentences(sentences, cache, depends_on, encode)['pool']


def fit_condition_encoder(
    encoder: TextEncoder, pool_TxP: np.ndarray, is_train_T: np.ndarray, text_layers: str
) -> ConditionEncoder:
    """Standardises conditions by the training sentences, or by all where none is for training.

    Args:
      encoder: the frozen text encoder.
      pool_TxP: from `pooled_vectors`.
      is_train_T: bool, whether a sentence is about a training photo.
      text_layers: 'several' keeps all pools, 'last' the sentence vector alone.

    Raises:
      ValueError: there is no sentence.
    """
    if not len(pool_TxP):
        raise ValueError('no photo has a sentence: add labels or descriptions (see docs/data.md)')
    train_TxP = pool_TxP[is_train_T] if is_train_T.any() else pool_TxP
    several = text_layers == 'several'
    vector_TxC = train_TxP if several else sentence_vectors(train_TxP)
    pools = POOLS if several else 1
    return ConditionEncoder(encoder, Standardisation.fit(vector_TxC, pools))

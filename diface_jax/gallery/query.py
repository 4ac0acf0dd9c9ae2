"""Descriptions as features: whole, and without each of their phrases."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from diface_jax.gallery import wording
from diface_jax.recognition.baselines import unit

# A sentence, or several about one person.
Texts = str | Sequence[str]


class Query(NamedTuple):
    """A description of one person.

    Attributes:
      texts: what was said.
      f_F: its features; several sentences count alike: the mean of theirs, scaled to length 1.
      phrases: its parts.
      without_PxF: its features without each of them.
    """

    texts: tuple[str, ...]
    f_F: np.ndarray
    phrases: tuple[str, ...]
    without_PxF: np.ndarray


def queries(asked: Sequence[Texts], of_texts: Callable[[Sequence[str]], np.ndarray]) -> list[Query]:
    """Makes queries of descriptions; the encoder sees all their texts at once, each one time.

    Args:
      asked: a description each.
      of_texts: sentences to features.

    Raises:
      ValueError: a description is empty, too long or no text.
    """
    said = [wording.checked(texts) for texts in asked]
    parted = [[wording.phrases(text) for text in texts] for texts in said]
    every = dict.fromkeys(itertools.chain(*said))
    for phrases in itertools.chain(*parted):
        every |= dict.fromkeys(wording.without(phrases, i) for i in range(len(phrases)))
    f_of = dict(zip(every, of_texts(list(every)), strict=True))
    return [_query(texts, parts, f_of) for texts, parts in zip(said, parted, strict=True)]


def _query(
    texts: Sequence[str],
    parts: Sequence[Sequence[wording.Phrase]],
    f_of: Mapping[str, np.ndarray],
) -> Query:
    f_SxF = np.stack([f_of[text] for text in texts])
    said, without = [], []
    for number, phrases in enumerate(parts):
        for left_out, phrase in enumerate(phrases):
            if phrase.words.lower() == wording.NOBODY:
                continue  # it says nothing
            rest_SxF = f_SxF.copy()
            rest_SxF[number] = f_of[wording.without(phrases, left_out)]
            said.append(phrase.words)
            without.append(_fused(rest_SxF))
    return Query(
        tuple(texts), _fused(f_SxF), tuple(said), np.array(without).reshape(-1, f_SxF.shape[1])
    )


def _fused(f_SxF: np.ndarray) -> np.ndarray:
    return f_SxF[0] if len(f_SxF) == 1 else unit(f_SxF.mean(axis=0, keepdims=True))[0]

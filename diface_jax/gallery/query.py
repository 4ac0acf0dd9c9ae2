"""Features of descriptions: of the whole text, and of the text without each of its phrases."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from diface_jax.gallery import query_text
from diface_jax.gallery.vocabulary import UnreadWords
from diface_jax.models.features import unit_rows

# A sentence, or several about one person.
Texts = str | Sequence[str]


class Query(NamedTuple):
    """A description of one person.

    Attributes:
      texts: the sentences.
      f_F: the features; of several sentences, their mean, scaled to length 1.
      phrases: the phrases of all sentences.
      without_PxF: the features without each of the phrases.
      not_understood: words that the model does not understand.
      not_read: words past the text encoder's length.
    """

    texts: tuple[str, ...]
    f_F: np.ndarray
    phrases: tuple[str, ...]
    without_PxF: np.ndarray
    not_understood: tuple[str, ...]
    not_read: tuple[str, ...]


def make_queries(
    descriptions: Sequence[Texts],
    of_texts: Callable[[Sequence[str]], np.ndarray],
    check: Callable[[str], UnreadWords],
) -> list[Query]:
    """Queries of descriptions. Each different text is encoded once, all in one call.

    Args:
      descriptions: one description for each query.
      of_texts: sentences to features.
      check: which words of a sentence the model does not understand.

    Raises:
      ValueError: a description is empty, too long, no text, or not understood at all.
    """
    texts_of_each = [query_text.check_texts(texts) for texts in descriptions]
    unread_of = {text: check(text) for text in dict.fromkeys(itertools.chain(*texts_of_each))}
    parted = [[query_text.split_phrases(text) for text in texts] for texts in texts_of_each]
    every = dict.fromkeys(itertools.chain(*texts_of_each))
    for phrases in itertools.chain(*parted):
        every |= dict.fromkeys(query_text.text_without(phrases, i) for i in range(len(phrases)))
    f_of = dict(zip(every, of_texts(list(every)), strict=True))
    return [
        _query(texts, parts, f_of, [unread_of[text] for text in texts])
        for texts, parts in zip(texts_of_each, parted, strict=True)
    ]


def _query(
    texts: Sequence[str],
    parts: Sequence[Sequence[query_text.TextPhrase]],
    f_of: Mapping[str, np.ndarray],
    unread: Sequence[UnreadWords],
) -> Query:
    f_SxF = np.stack([f_of[text] for text in texts])
    kept_phrases, without = [], []
    for number, phrases in enumerate(parts):
        for left_out, phrase in enumerate(phrases):
            if phrase.words.lower() == query_text.NEUTRAL_SUBJECT:
                continue  # it says nothing
            rest_SxF = f_SxF.copy()
            rest_SxF[number] = f_of[query_text.text_without(phrases, left_out)]
            kept_phrases.append(phrase.words)
            without.append(_fused(rest_SxF))
    return Query(
        texts=tuple(texts),
        f_F=_fused(f_SxF),
        phrases=tuple(kept_phrases),
        without_PxF=np.array(without).reshape(-1, f_SxF.shape[1]),
        not_understood=_together(words.not_understood for words in unread),
        not_read=_together(words.not_read for words in unread),
    )


def _together(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The words of all lists, each once, in order."""
    return tuple(dict.fromkeys(itertools.chain.from_iterable(lists)))


def _fused(f_SxF: np.ndarray) -> np.ndarray:
    return f_SxF[0] if len(f_SxF) == 1 else unit_rows(f_SxF.mean(axis=0, keepdims=True))[0]

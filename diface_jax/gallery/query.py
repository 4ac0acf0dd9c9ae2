"""Features of descriptions: of the whole text, and of each of its phrases on its own."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from diface_jax.gallery import query_text
from diface_jax.gallery.vocabulary import UnreadWords
from diface_jax.models.features import unit_rows

_SAYING_NOTHING = ('a person', 'person', 'he', 'she', 'they')

# A sentence, or several about one person.
Texts = str | Sequence[str]


class Query(NamedTuple):
    """A description of one person.

    Attributes:
      texts: the sentences.
      f_F: the features; of several sentences, their mean, scaled to length 1.
      phrases: the phrases of all sentences.
      phrase_PxF: the features of each phrase on its own.
      unread: words that do not help the search.
    """

    texts: tuple[str, ...]
    f_F: np.ndarray
    phrases: tuple[str, ...]
    phrase_PxF: np.ndarray
    unread: UnreadWords


def make_queries(
    descriptions: Sequence[Texts],
    of_texts: Callable[[Sequence[str]], np.ndarray],
    check: Callable[[str], UnreadWords],
) -> list[Query]:
    """Queries of descriptions. Each different text is encoded once, all in one call.

    Args:
      descriptions: one description for each query.
      of_texts: sentences to features.
      check: which words of a sentence do not help; raises ValueError where none does.

    Raises:
      ValueError: a description is empty, too long, no text, or not about a face.
    """
    texts_of_each = [query_text.check_texts(texts) for texts in descriptions]
    unread_of = {text: check(text) for text in dict.fromkeys(itertools.chain(*texts_of_each))}
    phrases_of_each = [_phrases(texts) for texts in texts_of_each]
    every = list(dict.fromkeys(itertools.chain(*texts_of_each, *phrases_of_each)))
    f_of = dict(zip(every, of_texts(every), strict=True))
    return [
        _query(texts, phrases, f_of, [unread_of[text] for text in texts])
        for texts, phrases in zip(texts_of_each, phrases_of_each, strict=True)
    ]


def _phrases(texts: Sequence[str]) -> list[str]:
    """The phrases of all texts, each once, without those that say nothing."""
    phrases = itertools.chain.from_iterable(map(query_text.split_phrases, texts))
    return [text for text in dict.fromkeys(phrases) if text.lower() not in _SAYING_NOTHING]


def _query(
    texts: Sequence[str],
    phrases: Sequence[str],
    f_of: Mapping[str, np.ndarray],
    unread: Sequence[UnreadWords],
) -> Query:
    f_SxF = np.stack([f_of[text] for text in texts])
    return Query(
        texts=tuple(texts),
        f_F=f_SxF[0] if len(f_SxF) == 1 else unit_rows(f_SxF.mean(axis=0, keepdims=True))[0],
        phrases=tuple(phrases),
        phrase_PxF=np.array([f_of[text] for text in phrases]).reshape(-1, f_SxF.shape[1]),
        unread=UnreadWords(*map(_together, zip(*unread, strict=True))),
    )


def _together(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The words of all lists, each once, in order."""
    return tuple(dict.fromkeys(itertools.chain.from_iterable(lists)))

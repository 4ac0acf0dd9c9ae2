"""Features of descriptions: of the whole text, and of each of its phrases on its own."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np

from diface_jax.data.phrases import split_phrases
from diface_jax.gallery import query_text
from diface_jax.gallery.query_text import UnreadWords
from diface_jax.gallery.vocabulary import leave_out, says_nothing
from diface_jax.models.features import unit_rows

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
    described = [_Described.read(query_text.check_texts(texts), check) for texts in descriptions]
    every = list(dict.fromkeys(itertools.chain(*(each.encoded() for each in described))))
    f_of = dict(zip(every, of_texts(every), strict=True))
    return [each.query(f_of) for each in described]


class _Described(NamedTuple):
    """A description, its phrases, and its words that do not help."""

    texts: tuple[str, ...]
    phrases: tuple[str, ...]
    unread: UnreadWords

    @classmethod
    def read(cls, texts: Sequence[str], check: Callable[[str], UnreadWords]) -> Self:
        unread = UnreadWords(*map(_together, zip(*map(check, texts), strict=True)))
        phrases = _together(map(split_phrases, texts))
        telling = [text for text in phrases if not says_nothing(leave_out(text, unread))]
        return cls(tuple(texts), tuple(telling), unread)

    def encoded(self) -> list[str]:
        """What is encoded: the texts, then the phrases, without the words that do not help."""
        return [leave_out(text, self.unread) for text in (*self.texts, *self.phrases)]

    def query(self, f_of: Mapping[str, np.ndarray]) -> Query:
        f_NxF = np.stack([f_of[text] for text in self.encoded()])
        f_SxF, phrase_PxF = np.split(f_NxF, [len(self.texts)])
        f_F = f_SxF[0] if len(f_SxF) == 1 else unit_rows(f_SxF.mean(axis=0, keepdims=True))[0]
        return Query(self.texts, f_F, self.phrases, phrase_PxF, self.unread)


def _together(lists: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The words of all lists, each once, in order."""
    return tuple(dict.fromkeys(itertools.chain.from_iterable(lists)))

"""Features of probes: of words, of a photograph, or of both; and of each phrase on its own."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self

import jax
import numpy as np

from diface_jax.data.phrases import split_phrases
from diface_jax.gallery import query_text
from diface_jax.gallery.decision_rule import PHOTO, TEXT, TEXT_AND_PHOTO
from diface_jax.gallery.probe_photo import ProbePhoto
from diface_jax.gallery.query_text import UnreadWords
from diface_jax.gallery.shares import Shares, shares_of
from diface_jax.gallery.vocabulary import leave_out, says_nothing
from diface_jax.models.features import unit_rows

# A sentence, or several about one person.
Texts = str | Sequence[str]


class ProbeEncoder(Protocol):
    """From sentences and photographs to features."""

    def of_texts(self, sentences: Sequence[str]) -> np.ndarray:
        """Returns the features of sentences; f_TxF."""

    def observe(self, chips: Sequence[np.ndarray], face_px: Sequence[float]) -> Any:
        """Returns observations of faces, a tree of arrays with a row a face."""

    def conditions(self, sentences: Sequence[str]) -> np.ndarray:
        """Returns the conditions of sentences; c_TxC."""

    def of_probes(self, c_BxC: np.ndarray | None, observation: Any) -> np.ndarray:
        """Returns the features of observed faces, each alone or with a condition; f_BxF."""


class Probe(NamedTuple):
    """What is given of one person: sentences (or none), and a photo (or None)."""

    texts: Texts
    photo: ProbePhoto | None = None


class Query(NamedTuple):
    """A probe, with its features.

    Attributes:
      texts: the sentences; none of a photo alone.
      f_F: the features; with several sentences, the mean over them, scaled to length 1.
      phrases: the phrases of all sentences.
      phrase_PxF: the features of each phrase on its own.
      unread: words that do not help the search.
      photo: the photo, or None.
      shares: how much words and photo contributed; None where there are not both.
    """

    texts: tuple[str, ...]
    f_F: np.ndarray
    phrases: tuple[str, ...]
    phrase_PxF: np.ndarray
    unread: UnreadWords
    photo: ProbePhoto | None = None
    shares: Shares | None = None

    @property
    def kind(self) -> str:
        """TEXT, PHOTO or TEXT_AND_PHOTO."""
        if not self.photo:
            return TEXT
        return TEXT_AND_PHOTO if self.texts else PHOTO

    @property
    def detail_px(self) -> float | None:
        """Width of a sharp face that shows as much as the photo's; None without a photo."""
        return self.photo and self.photo.summary.detail_px


def make_queries(
    probes: Sequence[Probe], encoder: ProbeEncoder, check: Callable[[str], UnreadWords]
) -> list[Query]:
    """Queries of probes. Each different text is encoded once, all in one call.

    Args:
      probes: one for each query.
      encoder: computes features.
      check: which words of a sentence do not help; raises ValueError where none does.

    Raises:
      ValueError: a probe is empty, or a description is empty, too long, no text, or not about a
        face.
    """
    described = [_Described.read(query_text.check_probe(*probe), check) for probe in probes]
    every = list(dict.fromkeys(itertools.chain(*(each.encoded() for each in described))))
    f_of = dict(zip(every, encoder.of_texts(every), strict=True)) if every else {}
    return [
        each.query_with_photo(f_of, probe.photo, encoder) if probe.photo else each.query(f_of)
        for each, probe in zip(described, probes, strict=True)
    ]


class _Described(NamedTuple):
    """A description, its phrases, and its words that do not help; all empty without one."""

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
        return Query(self.texts, _mean(f_SxF), self.phrases, phrase_PxF, self.unread)

    def query_with_photo(
        self, f_of: Mapping[str, np.ndarray], photo: ProbePhoto, encoder: ProbeEncoder
    ) -> Query:
        observation = encoder.observe([photo.chips], [photo.summary.face_px])
        (photo_F,) = encoder.of_probes(None, observation)
        if not self.texts:
            return Query((), photo_F, (), np.zeros((0, len(photo_F))), self.unread, photo)
        of_text = self.query(f_of)
        c_SxC = encoder.conditions(self.encoded()[: len(self.texts)])
        of_each = jax.tree.map(lambda row: np.repeat(row, len(c_SxC), axis=0), observation)
        f_F = _mean(encoder.of_probes(c_SxC, of_each))
        shares = shares_of(f_F, of_text.f_F, photo_F)
        return of_text._replace(f_F=f_F, photo=photo, shares=shares)


def _mean(f_SxF: np.ndarray) -> np.ndarray:
    """The mean of features, scaled to length 1; of a single one, itself."""
    return f_SxF[0] if len(f_SxF) == 1 else unit_rows(f_SxF.mean(axis=0, keepdims=True))[0]


def _together(lists: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The words of all lists, each once, in order."""
    return tuple(dict.fromkeys(itertools.chain.from_iterable(lists)))

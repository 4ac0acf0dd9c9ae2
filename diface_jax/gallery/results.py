"""Results of searches and verifications, as Python and as JSON (schema in docs/searching.md)."""

import dataclasses
from typing import Any

from diface_jax.gallery.next_question import NextQuestion
from diface_jax.gallery.store import GalleryEntry

SCHEMA = 1
MATCH, NO_MATCH = 'match', 'no match'


@dataclasses.dataclass(frozen=True)
class PhraseEffect:
    """What a phrase contributes: how far the log-likelihood ratio falls without it, in nats."""

    phrase: str
    nats: float


@dataclasses.dataclass(frozen=True)
class FaceScore:
    """The score of a face, given a description.

    Attributes:
      score: the dot product of the features of face and description.
      log_likelihood_ratio: in nats; above 0, the description supports this face.
      probability: posterior probability that this is the person described.
      expected_false_matches: how many of the faces searched would score as high by chance.
      match: whether it is a match.
      phrases: the contribution of each phrase of the description.
    """

    score: float
    log_likelihood_ratio: float
    probability: float
    expected_false_matches: float
    match: bool
    phrases: tuple[PhraseEffect, ...]


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """A result: an entry of the gallery, its rank from 1, and its score."""

    rank: int
    entry: GalleryEntry
    scored: FaceScore


@dataclasses.dataclass(frozen=True)
class SearchResults:
    """The faces or people of a gallery that match a description best.

    Attributes:
      mode: 'search' (faces), or 'identify' (people, each by their best face).
      texts: the sentences of the description.
      gallery: its path, and the numbers of entries and people in it and of those searched.
      where: the conditions of the search: by name, a pattern or a list of patterns.
      prior: prior probability of each person searched that they are the one described; None when
        nobody was searched.
      threshold: s; a match scores at least this.
      false_matches: a match may score as high by chance at most this often.
      results: best first; often none of them is a match.
      next_question: the most informative question to ask the witness, if one is worth asking.
      not_understood: words of the texts that the model does not understand.
      not_read: words past the text encoder's length.
    """

    mode: str
    texts: tuple[str, ...]
    gallery: dict[str, Any]
    where: dict[str, str | list[str]]
    prior: float | None
    threshold: float
    false_matches: float
    results: tuple[SearchResult, ...]
    next_question: NextQuestion | None
    not_understood: tuple[str, ...] = ()
    not_read: tuple[str, ...] = ()

    @property
    def decision(self) -> str:
        """'match' when a result is a match, else 'no match'."""
        return MATCH if any(result.scored.match for result in self.results) else NO_MATCH

    def to_json(self) -> dict[str, Any]:
        """As the documented schema."""
        head = {'schema': SCHEMA, 'mode': self.mode, 'decision': self.decision}
        results = [
            {'rank': result.rank, **_entry(result.entry), **dataclasses.asdict(result.scored)}
            for result in self.results
        ]
        question = self.next_question and self.next_question.to_json()
        return head | dataclasses.asdict(self) | {'results': results, 'next_question': question}


@dataclasses.dataclass(frozen=True)
class VerifiedFace:
    """A face of the photo: its box and its score, as the only face of a gallery."""

    box: tuple[int, int, int, int]
    scored: FaceScore


@dataclasses.dataclass(frozen=True)
class VerifyResults:
    """Whether a photo shows the person described: whether one of its faces is a match.

    `not_understood` and `not_read` are as in `SearchResults`.
    """

    photo: str
    texts: tuple[str, ...]
    prior: float
    threshold: float
    faces: tuple[VerifiedFace, ...]
    not_understood: tuple[str, ...] = ()
    not_read: tuple[str, ...] = ()

    @property
    def decision(self) -> str:
        """'match' when a face is a match, else 'no match'."""
        return MATCH if any(face.scored.match for face in self.faces) else NO_MATCH

    def to_json(self) -> dict[str, Any]:
        """As the documented schema."""
        head = {'schema': SCHEMA, 'mode': 'verify', 'decision': self.decision}
        faces = [{'box': face.box, **dataclasses.asdict(face.scored)} for face in self.faces]
        return head | dataclasses.asdict(self) | {'faces': faces}


def _entry(entry: GalleryEntry) -> dict[str, Any]:
    values = dataclasses.asdict(entry)
    if not entry.other_people:  # most entries have none
        del values['other_people']
    return {'entry': values.pop('id'), **values}

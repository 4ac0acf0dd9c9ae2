"""What a search or a verification answers, as Python and as JSON (the schema is in README.md)."""

import dataclasses
from typing import Any

from diface_jax.gallery.questions import Asked
from diface_jax.gallery.store import Entry

SCHEMA = 1
MATCH, NO_MATCH = 'match', 'no match'


@dataclasses.dataclass(frozen=True)
class Told:
    """What a phrase did to a score: how much the log-likelihood ratio falls without it, in nats."""

    phrase: str
    nats: float


@dataclasses.dataclass(frozen=True)
class Scored:
    """A face held against a description.

    Attributes:
      score: the dot product of features.
      log_likelihood_ratio: in nats; above 0, the description speaks for this face.
      probability: that it is the person described, given the prior.
      expected_false_matches: how many of the faces searched would score as high by chance.
      match: whether it passes.
      phrases: what each phrase of the description did.
    """

    score: float
    log_likelihood_ratio: float
    probability: float
    expected_false_matches: float
    match: bool
    phrases: tuple[Told, ...]


@dataclasses.dataclass(frozen=True)
class Found:
    """A face of a gallery, by rank from 1."""

    rank: int
    entry: Entry
    scored: Scored


@dataclasses.dataclass(frozen=True)
class SearchAnswer:
    """The faces of a gallery that fit a description best.

    Attributes:
      mode: 'search' (faces), or 'identify' (people, each by their best face).
      texts: what was said of the one person.
      gallery: where it is; entries and people in all, and of those searched.
      where: the conditions they were searched under: a pattern by name, or a list of patterns
        where a name was given several.
      prior: the probability, before looking, that one person searched is the one described.
      threshold: s; a match scores no less.
      false_matches: a match is expected by chance no more often in a gallery of this size.
      results: best first; leads, of which none may be a match.
      next_question: what to ask the witness, if anything is worth it.
      not_understood: words of the texts that say nothing to the model.
      not_read: words past the text encoder's length.
    """

    mode: str
    texts: tuple[str, ...]
    gallery: dict[str, Any]
    where: dict[str, str | list[str]]
    prior: float | None
    threshold: float
    false_matches: float
    results: tuple[Found, ...]
    next_question: Asked | None
    not_understood: tuple[str, ...] = ()
    not_read: tuple[str, ...] = ()

    @property
    def decision(self) -> str:
        """'match' when a result passes, else 'no match'."""
        return MATCH if any(found.scored.match for found in self.results) else NO_MATCH

    def to_json(self) -> dict[str, Any]:
        """As the documented schema."""
        head = {'schema': SCHEMA, 'mode': self.mode, 'decision': self.decision}
        results = [
            {'rank': found.rank, **_entry(found.entry), **dataclasses.asdict(found.scored)}
            for found in self.results
        ]
        question = self.next_question and self.next_question.to_json()
        made = dataclasses.asdict(self) | {'results': results, 'next_question': question}
        return head | made


@dataclasses.dataclass(frozen=True)
class VerifiedFace:
    """A face of the photo: its box, and how it fares. A false match here is of one in one."""

    box: tuple[int, int, int, int]
    scored: Scored


@dataclasses.dataclass(frozen=True)
class VerifyAnswer:
    """Whether a photo shows the person described; it does when one of its faces passes.

    `not_understood` and `not_read` are as in `SearchAnswer`.
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
        """'match' when a face passes, else 'no match'."""
        return MATCH if any(face.scored.match for face in self.faces) else NO_MATCH

    def to_json(self) -> dict[str, Any]:
        """As the documented schema."""
        head = {'schema': SCHEMA, 'mode': 'verify', 'decision': self.decision}
        faces = [{'box': face.box, **dataclasses.asdict(face.scored)} for face in self.faces]
        return head | dataclasses.asdict(self) | {'faces': faces}


def _entry(entry: Entry) -> dict[str, Any]:
    made = dataclasses.asdict(entry)
    return {'entry': made.pop('id'), **made}

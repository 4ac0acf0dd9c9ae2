"""Results of searches and verifications, as Python and as JSON (schema in docs/searching.md)."""

import dataclasses
from typing import Any

from diface_jax.gallery.entries import GalleryEntry
from diface_jax.gallery.likelihood_words import likelihood_in_words
from diface_jax.gallery.next_question import NextQuestion
from diface_jax.gallery.probe_summary import ProbeSummary
from diface_jax.gallery.query_text import UnreadWords

SCHEMA = 1
MATCH, NO_MATCH = 'match', 'no match'
_SEARCHED = {'search': ('face', 'faces'), 'identify': ('person', 'people')}
# What the three numbers of a result and those of its phrases mean, by their names in `FaceScore`.
MEANING = {
    'likelihood': (
        'how likely this face is the person described, if the chance that this person is in the '
        'gallery at all is {enrolled:.0%}.'
    ),
    'expected_false_matches': (
        'how many of the {searched:,} faces searched would score as high although they show '
        'somebody else.'
    ),
    'score': (
        'how well face and {probe} agree: 1 at best, around 0 for a face that has nothing to do '
        'with the {probe}.'
    ),
    'phrases': (
        'how much each phrase on its own speaks for this face (above 0) or against it (below 0), '
        'as a log-likelihood ratio.'
    ),
}


@dataclasses.dataclass(frozen=True)
class PhraseEffect:
    """How well a face fits a phrase: the log-likelihood ratio of the phrase alone, in nats."""

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
      phrases: how well the face fits each phrase of the description.
    """

    score: float
    log_likelihood_ratio: float
    probability: float
    expected_false_matches: float
    match: bool
    phrases: tuple[PhraseEffect, ...]

    @property
    def likelihood(self) -> str:
        """The probability in words: 'about 1 in 30'."""
        return likelihood_in_words(self.probability)

    def to_json(self) -> dict[str, Any]:
        """As the documented schema."""
        return dataclasses.asdict(self) | {'likelihood': self.likelihood}


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
      probe: what the search was given.
      gallery: its path, and the numbers of entries and people in it and of those searched.
      where: the conditions of the search: by name, a pattern or a list of patterns.
      prior: prior probability of each person searched that they are the one described; None when
        nobody was searched.
      threshold: s; a match scores at least this.
      false_matches: a match may score as high by chance at most this often.
      results: best first; often none of them is a match.
      next_question: the most informative question to ask the witness, if one is worth asking.
      enrolled: prior probability that the person described is in the gallery.
    """

    mode: str
    probe: ProbeSummary
    gallery: dict[str, Any]
    where: dict[str, str | list[str]]
    prior: float | None
    threshold: float
    false_matches: float
    results: tuple[SearchResult, ...]
    next_question: NextQuestion | None
    enrolled: float

    @property
    def texts(self) -> tuple[str, ...]:
        """The sentences of the description."""
        return self.probe.texts

    @property
    def unread(self) -> UnreadWords:
        """Words of the texts that do not help the search."""
        return self.probe.unread

    @property
    def decision(self) -> str:
        """'match' when a result is a match, else 'no match'."""
        return MATCH if any(result.scored.match for result in self.results) else NO_MATCH

    @property
    def summary(self) -> str:
        """What was found, in a sentence: '10 leads among 186 faces, most likely first'."""
        searched = self._searched
        if not searched:
            return 'the gallery is empty, or no face in it fits the conditions'
        matches = sum(result.scored.match for result in self.results)
        counts = [(matches, 'match', 'matches'), (len(self.results) - matches, 'lead', 'leads')]
        parts = [f'{count} {_form(count, *forms)}' for count, *forms in counts if count]
        what = _form(searched, *_SEARCHED[self.mode])
        return f'{" and ".join(parts)} among {searched:,} {what}, most likely first'

    @property
    def match_rule(self) -> str:
        """When a result is called a match, in two sentences."""
        return (
            f'A match scores at least {self.threshold:.3f}, which was chosen on people the model '
            f'was not trained on, and no more than {self.false_matches:g} of the '
            f'{self.gallery["entries_searched"]:,} faces searched would be expected to score as '
            'high by chance. Every other result is a lead: a reason to look, and no more.'
        )

    @property
    def meaning(self) -> dict[str, str]:
        """What the numbers of a result mean, in a sentence each, by name.

        Without 'phrases' where there is no description.
        """
        values = {
            'searched': self.gallery['entries_searched'],
            'enrolled': self.enrolled,
            'probe': self.probe.name,
        }
        return {
            name: sentence.format(**values)
            for name, sentence in MEANING.items()
            if name != 'phrases' or self.texts
        }

    @property
    def _searched(self) -> int:
        return self.gallery['people_searched' if self.mode == 'identify' else 'entries_searched']

    def to_json(self) -> dict[str, Any]:
        """As the documented schema."""
        head = {
            'schema': SCHEMA,
            'mode': self.mode,
            'decision': self.decision,
            'summary': self.summary,
            'match_rule': self.match_rule,
            'notes': self.probe.notes,
        }
        results = [
            {'rank': result.rank, **_entry(result.entry), **result.scored.to_json()}
            for result in self.results
        ]
        question = self.next_question and self.next_question.to_json()
        return head | _fields(self) | {'results': results, 'next_question': question}


@dataclasses.dataclass(frozen=True)
class VerifiedFace:
    """A face of the photo: its box and its score, as the only face of a gallery."""

    box: tuple[int, int, int, int]
    scored: FaceScore


@dataclasses.dataclass(frozen=True)
class VerifyResults:
    """Whether a photo shows the person sought: whether one of its faces is a match.

    Attributes:
      photo: path of the photo that was verified; '' of bytes.
      probe: what it was verified against.
      prior: prior probability that the photo shows the person sought.
      threshold: s; a match scores at least this.
      faces: of the photo, the best first.
    """

    photo: str
    probe: ProbeSummary
    prior: float
    threshold: float
    faces: tuple[VerifiedFace, ...]

    @property
    def decision(self) -> str:
        """'match' when a face is a match, else 'no match'."""
        return MATCH if any(face.scored.match for face in self.faces) else NO_MATCH

    def to_json(self) -> dict[str, Any]:
        """As the documented schema."""
        head = {
            'schema': SCHEMA,
            'mode': 'verify',
            'decision': self.decision,
            'notes': self.probe.notes,
        }
        faces = [{'box': face.box, **face.scored.to_json()} for face in self.faces]
        return head | _fields(self) | {'faces': faces}


def _form(count: int, one_of_them: str, several: str) -> str:
    return one_of_them if count == 1 else several


def _fields(results: SearchResults | VerifyResults) -> dict[str, Any]:
    values = {field.name: getattr(results, field.name) for field in dataclasses.fields(results)}
    return values | values.pop('probe').to_json()


def _entry(entry: GalleryEntry) -> dict[str, Any]:
    values = dataclasses.asdict(entry)
    if not entry.other_people:  # most entries have none
        del values['other_people']
    return {'entry': values.pop('id'), **values}

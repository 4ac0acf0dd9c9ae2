"""What a search was given of a person, and how it was read: for results."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from diface_jax.gallery.decision_rule import PHOTO, TEXT
from diface_jax.gallery.photo_summary import PhotoSummary
from diface_jax.gallery.query_text import UnreadWords
from diface_jax.gallery.shares import Shares

if TYPE_CHECKING:  # it imports JAX, which a command that only reads results need not wait for
    from diface_jax.gallery.query import Query


@dataclasses.dataclass(frozen=True)
class ProbeSummary:
    """What a search was given.

    Attributes:
      kind: 'text', 'photo' or 'text+photo'.
      texts: the sentences of the description; none of a photo alone.
      unread: words of the texts that do not help the search.
      photo: the photo, or None.
      shares: how much words and photo contributed; None where there are not both.
    """

    kind: str
    texts: tuple[str, ...]
    unread: UnreadWords
    photo: PhotoSummary | None = None
    shares: Shares | None = None

    @classmethod
    def of(cls, query: 'Query') -> Self:
        """The summary of a query."""
        photo = query.photo and query.photo.summary
        return cls(query.kind, query.texts, query.unread, photo, query.shares)

    @property
    def title(self) -> str:
        """The probe in a line: its photo and its sentences."""
        return ' / '.join([*([self.photo.title] if self.photo else []), *self.texts])

    @property
    def name(self) -> str:
        """What a sentence calls the probe."""
        return {TEXT: 'words', PHOTO: 'photo'}.get(self.kind, 'words and photo')

    @property
    def in_words(self) -> str:
        """How much photo and words count, or how good a photo alone is; '' of text alone."""
        if not self.photo:
            return ''
        if self.shares:
            return self.shares.sentence(self.photo.size)
        return f'The face in the photo is {self.photo.size}.'

    @property
    def notes(self) -> list[str]:
        """What the user should know of how photo and words were read, a sentence each."""
        return [*(self.photo.notes if self.photo else []), *unread_notes(self.unread)]

    def to_json(self) -> dict[str, Any]:
        """As the documented schema."""
        return {
            'probe': self.kind,
            'probe_in_words': self.in_words,
            'texts': list(self.texts),
            'probe_photo': self.photo and self.photo.to_json(),
            'shares': self.shares and self.shares._asdict(),
            **self.unread._asdict(),
        }


def unread_notes(unread: UnreadWords) -> list[str]:
    """What of a description does not help the search, a sentence for each kind."""
    notes = []
    if unread.not_about_a_face:
        notes.append(f'{_quoted(unread.not_about_a_face)}: not about a face')
    if unread.not_understood:
        notes.append(f'{_quoted(unread.not_understood)}: not understood')
    if unread.not_read:
        notes.append(f'too long, the end is not read: {" ".join(unread.not_read)}')
    return notes


def _quoted(words: Sequence[str]) -> str:
    return ', '.join(f"'{word}'" for word in words)

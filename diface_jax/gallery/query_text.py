"""Checks a description."""

from collections.abc import Sequence
from typing import NamedTuple

MAX_CHARACTERS = 2000  # the text encoder reads about 1,000; answers name the words it cuts


class UnreadWords(NamedTuple):
    """Words of a text that do not help a search.

    Attributes:
      not_about_a_face: English words that sentences about faces do not use.
      not_understood: words that the model does not know.
      not_read: words past the text encoder's length.
    """

    not_about_a_face: tuple[str, ...] = ()
    not_understood: tuple[str, ...] = ()
    not_read: tuple[str, ...] = ()


def check_probe(texts: str | Sequence[str], photo: object | None) -> list[str]:
    """The sentences of a probe as `check_texts` returns them; none where it is a photo alone.

    Raises:
      ValueError: there is neither a sentence nor a photo, or a sentence cannot be used.
    """
    if photo is not None and not (texts if isinstance(texts, str) else list(texts)):
        return []
    return check_texts(texts)


def check_texts(texts: str | Sequence[str]) -> list[str]:
    """One or more sentences about one person, with single spaces.

    Raises:
      ValueError: there are none, or one is empty, longer than MAX_CHARACTERS, or holds control
        characters.
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    if not texts:
        raise ValueError(
            'nothing to search by: give a description (--text="..."), a photograph of the person '
            '(--photo), or both'
        )
    for text in texts:
        if not any(letter.isalnum() for letter in text):
            raise ValueError('the description is empty: it holds no word')
        if len(text) > MAX_CHARACTERS:
            raise ValueError(
                f'the description has {len(text):,} characters, and at most {MAX_CHARACTERS:,} are '
                'taken: shorten it, or give it as several --text'
            )
        if not text.isprintable() and not all(c.isprintable() or c.isspace() for c in text):
            raise ValueError('the description holds characters that are no text')
    return [' '.join(text.split()) for text in texts]

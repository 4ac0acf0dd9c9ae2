"""Checks a description, and splits it into phrases."""

import re
from collections.abc import Sequence
from typing import NamedTuple

MAX_CHARACTERS = 2000  # the text encoder reads about 1,000; answers name the words it cuts
NEUTRAL_SUBJECT = 'a person'  # stands for the subject that is taken out of a description

# Phrases begin after punctuation, and after words that join one thing to another.
_BETWEEN = re.compile(
    r'\s*[,;:.!?()]+(?:\s*(?:and|with|but)\b)?\s*'
    r'|\s+(?:and|with|who|whose|but|plus|also|wearing|having|has|had)\s+',
    re.IGNORECASE,
)


class TextPhrase(NamedTuple):
    """A part of a text, and the words before it that join it to the part before."""

    joint: str
    words: str


def check_texts(texts: str | Sequence[str]) -> list[str]:
    """One or more sentences about one person, with single spaces.

    Raises:
      ValueError: there are none, or one is empty, longer than MAX_CHARACTERS, or holds control
        characters.
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    if not texts:
        raise ValueError('no description: give --text="..."')
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


def split_phrases(text: str) -> list[TextPhrase]:
    """The phrases of a text, in order: 'a man', 'a beard' of 'a man with a beard'."""
    parts, joint, start = [], '', 0
    for between in [*_BETWEEN.finditer(text), None]:
        end = between.start() if between else len(text)
        words = text[start:end].strip()
        if words:
            parts.append(TextPhrase(joint, words))
            joint = ''
        if between:
            joint += between.group()
            start = between.end()
    return parts


def text_without(parts: Sequence[TextPhrase], left_out: int) -> str:
    """The text without one of its phrases."""
    kept = list(parts)
    gone = kept.pop(left_out)
    if left_out == 0:
        kept.insert(0, TextPhrase('', NEUTRAL_SUBJECT))
    elif left_out < len(kept):  # 'a man with a beard and a hat' becomes 'a man with a hat'
        kept[left_out] = kept[left_out]._replace(joint=gone.joint)
    return ''.join(part.joint + part.words for part in kept)

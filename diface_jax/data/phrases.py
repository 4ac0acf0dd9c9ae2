"""Splits a sentence into phrases: what one types who is in a hurry, and what an answer explains."""

import re

# Phrases begin after punctuation, and after words that join one thing to another.
_BETWEEN = re.compile(
    r'\s*[,;:.!?()]+(?:\s*(?:and|with|but)\b)?\s*'
    r'|\s+(?:and|with|who|whose|but|plus|also|wearing|having|has|had)\s+',
    re.IGNORECASE,
)


def split_phrases(text: str) -> list[str]:
    """The phrases of a text, in order: 'a man', 'a beard' of 'a man with a beard'."""
    return [phrase.strip() for phrase in _BETWEEN.split(text) if phrase.strip()]

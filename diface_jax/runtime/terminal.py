"""Text for the terminal, without the characters that could control it."""

import re

# Control characters, characters without width, and those that change the direction of writing.
# Joiners (U+200C, U+200D) stay: names in Persian and emoji need them.
_UNSAFE = re.compile(
    '[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff'
    '\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]'
)


def printable(text: str) -> str:
    """One line of text that is safe to print: 'a\\x1b[31m' in place of a change of colour.

    File names, people, tags and whatever else somebody else wrote go through this.
    """
    return _UNSAFE.sub(lambda unsafe: unsafe.group().encode('unicode_escape').decode(), text)


def printable_lines(text: str) -> str:
    """As `printable`, but line ends stay."""
    return '\n'.join(map(printable, text.split('\n')))

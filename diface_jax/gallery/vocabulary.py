"""Which words of a description a model can understand.

The text encoder turns any text into a vector, also Russian, noise and a shopping list, and the
score of such a vector looks like any other. So words are checked first: a word is understood if
sentences about faces use it (the caption grammar, the free-hand sentences of the package, or the
model's own validation sentences). If at least half the words of a text are understood, other words
that are single tokens of the text encoder count as English and as understood too.
"""

import functools
import itertools
import json
import re
import unicodedata
from collections.abc import Callable, Set
from typing import NamedTuple, Protocol

from diface_jax.data.grammar import captions
from diface_jax.data.readers import celeba
from diface_jax.gallery import next_question

_ENGLISH = 0.5  # share of the words that sentences about faces use, from which a text is English
_SHOWN = 60  # characters of a text in a message


class TextReader(Protocol):
    """The vocabulary and the length of a text encoder."""

    is_token: Callable[[str], bool]
    split: Callable[[str], tuple[str, str]]


class UnreadWords(NamedTuple):
    """Words of a text that a model does not understand, and those past the encoder's length."""

    not_understood: tuple[str, ...]
    not_read: tuple[str, ...]


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case and without accents; numbers are none."""
    return [_plain(word) for word in _written(text)]


def _written(text: str) -> list[str]:
    """The words of a text, as they are written."""
    return re.findall(r'[^\W\d_]+', unicodedata.normalize('NFC', text))


def _plain(word: str) -> str:
    letters = unicodedata.normalize('NFKD', word.lower())
    return ''.join(letter for letter in letters if not unicodedata.combining(letter))


# Words that say nothing about a face.
_FUNCTION_WORDS = frozenset(
    words_of(
        'a an and are as at be but by for from had has have having in is it its not of on or that '
        'the their there they this to was were what which who whose will with without y'
    )
)


@functools.cache
def face_words() -> frozenset[str]:
    """The words of the grammar, of the package's free-hand sentences, and of the questions."""
    lines = celeba.FREE_HAND.read_text(encoding='utf-8').splitlines()
    free_hand = (json.loads(line)['description'] for line in lines)
    texts = itertools.chain(captions.vocabulary(), free_hand, next_question.answer_sentences())
    # Each word once: there are twenty times as many.
    return frozenset(map(_plain, set(itertools.chain.from_iterable(map(_written, texts)))))


def check_words(text: str, reader: TextReader, taught: Set[str] = frozenset()) -> UnreadWords:
    """Which words of a description do not reach the model.

    Args:
      text: the description.
      reader: knows the text encoder's vocabulary and length.
      taught: words of the model's own validation sentences, in any language.

    Raises:
      ValueError: no word of it says anything about a face.
    """
    read, cut = reader.split(text)
    known = face_words() | taught
    written = {_plain(word): word for word in _written(read)}
    of_faces = [word for word in written if word in known]
    understood = set(of_faces)
    if len(of_faces) >= _ENGLISH * len(written):
        understood |= {word for word in written if reader.is_token(word)}
    if not understood - _FUNCTION_WORDS:
        shown = text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'
        raise ValueError(
            f'the description "{shown}" is not understood: it is not about a face, or not in '
            'English. Describe the face, such as "a young man with a short beard"'
        )
    not_understood = tuple(as_typed for word, as_typed in written.items() if word not in understood)
    return UnreadWords(not_understood, tuple(cut.split()))

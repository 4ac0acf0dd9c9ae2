"""Which words of a description a model can understand.

The text encoder turns any text into a vector, also Russian, noise and a shopping list, and the
score of such a vector looks like any other. So words are checked first: a word is about a face if
sentences about faces use it (the caption grammar, the free-hand sentences of the package, or the
model's own validation sentences). Where fewer than half of the words are, the text is refused.
Other words that are single tokens of the text encoder are English, but not about a face. Words of
neither kind are left out of what is encoded, since they move its features: by 0.03 to 0.15 in the
cosine for five sentences about people on a beach, in a car and so on, and by 0.01 to 0.02 without.
"""

import functools
import itertools
import json
import re
import unicodedata
from collections.abc import Callable, Set
from typing import Protocol

from diface_jax.data.grammar import captions
from diface_jax.data.readers import celeba, lfw
from diface_jax.gallery import next_question
from diface_jax.gallery.query_text import UnreadWords

_ENOUGH = 0.5  # share of the words that sentences about faces use, from which a text is accepted
_SHOWN = 60  # characters of a text in a message


class TextReader(Protocol):
    """The vocabulary and the length of a text encoder."""

    is_token: Callable[[str], bool]
    split: Callable[[str], tuple[str, str]]


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
        'a an and are as at be but by for from had has have having i in is it its me my not of on '
        'or that the their there they this to was we were what which who whose will with without y '
        'you'
    )
)
_SUBJECTS = frozenset(words_of('he people person she somebody someone'))
# Words about faces that are in none of the sentences.
_FURTHER_WORDS = frozenset(
    words_of(
        'acne aquiline aunt birthmark blemish blind brother crossed dreadlock emerald eyelashes '
        'father friend grandfather grandma grandmother grandpa granny handlebar hijab hispanic '
        'husband monobrow monocle mother nineties pigtail scarred sister son spectacled tattoo '
        'toddler toothless ugly unibrow uncle undercut walrus wart wife daughter'
    )
)
# Words that the free-hand sentences use for what is around a face, and in passing.
_BACKGROUND_WORDS = frozenset(
    words_of(
        'bar basketball beach boat building car cars court curtain dinner dog door field '
        'flag football fox garden house indoors jump jumped lake lazy met music net '
        'ocean office outdoors party pool quick report road room scoreboard sea sky snow '
        'stage street sunshine tomato tree trees wall water window'
    )
)
_ENDINGS = ('s', 'es', 'd', 'ed', 'ing', 'ish')


@functools.cache
def face_words() -> frozenset[str]:
    """The words of the grammar, of the package's free-hand sentences, and of the questions.

    Without the words that the sentences use for the background.
    """
    lines = (
        line
        for path in (celeba.SENTENCES, lfw.SENTENCES)
        for line in path.read_text(encoding='utf-8').splitlines()
    )
    free_hand = (json.loads(line)['description'] for line in lines)
    texts = itertools.chain(captions.vocabulary(), free_hand, next_question.answer_sentences())
    # Each word once: there are twenty times as many.
    written = set(itertools.chain.from_iterable(map(_written, texts)))
    known = frozenset(map(_plain, written)) - _BACKGROUND_WORDS
    return known | _FUNCTION_WORDS | _FURTHER_WORDS


def check_words(text: str, reader: TextReader, taught: Set[str] = frozenset()) -> UnreadWords:
    """Which words of a description do not reach the model.

    Args:
      text: the description.
      reader: knows the text encoder's vocabulary and length.
      taught: words of the model's own validation sentences, in any language.

    Raises:
      ValueError: fewer than half of its words are of sentences about faces, or none says anything.
    """
    read, cut = reader.split(text)
    known = _known_words(frozenset(taught))
    written = {_plain(word): word for word in _written(read)}
    of_faces = {word for word in written if _is_known(word, known)}
    if len(of_faces) < _ENOUGH * len(written) or not of_faces - _FUNCTION_WORDS:
        raise ValueError(_refusal(text, [written[word] for word in written if word in of_faces]))
    others = [word for word in written if word not in of_faces]
    return UnreadWords(
        not_about_a_face=tuple(written[word] for word in others if reader.is_token(word)),
        not_understood=tuple(written[word] for word in others if not reader.is_token(word)),
        not_read=tuple(cut.split()),
    )


def leave_out(text: str, unread: UnreadWords) -> str:
    """A text, or a part of it, without the words that are not about a face or not understood."""
    words = {*unread.not_about_a_face, *unread.not_understood}
    if not words:
        return text
    either = '|'.join(map(re.escape, sorted(words, key=len, reverse=True)))
    return ' '.join(re.sub(rf'(?<!\w)(?:{either})(?!\w)', '', text).split())


def says_nothing(text: str) -> bool:
    """Whether a phrase is of words that say nothing about a face, such as 'a person'."""
    return set(re.findall(r'\w+', text.lower())) <= _FUNCTION_WORDS | _SUBJECTS


@functools.lru_cache(maxsize=4)
def _known_words(taught: frozenset[str]) -> frozenset[str]:
    """Words about faces, of the package and of a model."""
    return face_words() | (taught - _BACKGROUND_WORDS)


def _is_known(word: str, known: Set[str]) -> bool:
    """Whether a word is known, as it is or without an ending ('smiles', 'freckled')."""
    endings = [e for e in _ENDINGS if word.endswith(e) and len(word) > len(e) + 3]
    stems = [word.removesuffix(ending) for ending in endings]
    return not known.isdisjoint([word, *stems, *(f'{stem}e' for stem in stems)])


def _refusal(text: str, understood: list[str]) -> str:
    shown = text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'
    telling = [word for word in understood if _plain(word) not in _FUNCTION_WORDS]
    only = f' (only {", ".join(map(repr, telling))} would be understood)' if telling else ''
    return (
        f'"{shown}" is not about a face, or not in English{only}. Describe the face in English, '
        'such as "a young man with a short beard"'
    )

"""The next question for the witness: the one whose answer is most informative.

The candidates are the best results of a search, weighted by their likelihood. For each candidate
the model predicts the answer: its odds are the share of people of whom it is true, times the
likelihood ratio of a sentence that says so. The gain of a question is the mutual information of
answer and candidate, in bits.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

CANDIDATES = 50
_WORTH = 0.001  # bits; a question that gains less is not asked
_RED_HAIR = 'Red_Hair'  # CelebA has no such label
_UNLABELLED_RATES = {_RED_HAIR: 0.06}  # share of the package's free-hand sentences that name it


class PossibleAnswer(NamedTuple):
    """An answer, the sentence to add to the description, and the attribute and value it means."""

    say: str
    sentence: str
    label: tuple[str, bool]


class Question(NamedTuple):
    """A question, its answers, and the words of a text that answers it already.

    A word of more than three letters also stands for all words that begin with it.

    Attributes:
      ask: the question.
      answers: its answers.
      words: any of them answers it.
      hair_words: any of them does so in a sentence about hair.
    """

    ask: str
    answers: tuple[PossibleAnswer, ...]
    words: str
    hair_words: str = ''


def _yes_no(ask: str, attribute: str, yes: str, no: str, words: str) -> Question:
    answers = (
        PossibleAnswer('yes', yes, (attribute, True)),
        PossibleAnswer('no', no, (attribute, False)),
    )
    return Question(ask, answers, words)


def _hair(colour: str, label: str) -> PossibleAnswer:
    return PossibleAnswer(colour, f'A person with {colour} hair.', (label, True))


_WOMAN = (
    'woman women female lady ladies girl she her hers herself mother grandmother grandma granny '
    'aunt sister daughter wife actress queen'
)
_MAN = (
    'man men male boy guy gentleman gentlemen he him his himself father grandfather grandpa uncle '
    'brother son husband actor king'
)
_BEARD = 'beard shaven stubble goatee whisker mustache moustache sideburn'
_BALD = 'bald shaved hairless'
_COLOURED_HAIR = 'blond brunette redhead ginger auburn silver platinum grizzled highlights'
_CURLS = 'wavy wave curl afro kink coil frizz dreadlock dreads braid cornrow perm'

QUESTIONS = (
    Question(
        'Is it a man or a woman?',
        (
            PossibleAnswer('a man', 'A man.', ('Male', True)),
            PossibleAnswer('a woman', 'A woman.', ('Male', False)),
        ),
        f'{_MAN} {_WOMAN} {_BEARD}',
    ),
    Question(
        'Is the person young or older?',
        (
            PossibleAnswer('young', 'A young person.', ('Young', True)),
            PossibleAnswer('older', 'An older person.', ('Young', False)),
        ),
        'young old older elder aged ageing teen twent thirt fort fift sixt sevent eight ninet '
        'girl boy child kid baby toddler senior grandmother grandfather grandma grandpa granny '
        '20s 30s 40s 50s 60s 70s 80s',
    ),
    Question(
        'What colour is the hair?',
        (
            _hair('black', 'Black_Hair'),
            _hair('brown', 'Brown_Hair'),
            _hair('blond', 'Blond_Hair'),
            _hair('red', _RED_HAIR),
            _hair('gray', 'Gray_Hair'),
        ),
        f'{_COLOURED_HAIR} {_BALD}',
        'black brown dark fair light red copper orange gray grey white golden sandy chestnut salt '
        'pink blue green purple dyed bleached',
    ),
    Question(
        'Is the hair wavy or straight?',
        (
            PossibleAnswer('wavy', 'A person with wavy hair.', ('Wavy_Hair', True)),
            PossibleAnswer('straight', 'A person with straight hair.', ('Straight_Hair', True)),
        ),
        f'{_CURLS} straight spiky {_BALD}',
    ),
    _yes_no(
        'Does the hair fall over the forehead (bangs)?',
        'Bangs',
        'A person with bangs.',
        'A person with the forehead free.',
        f'bang bangs fringe forehead quiff reced {_BALD}',
    ),
    _yes_no(
        'Is the hairline receding, or the head bald?',
        'Receding_Hairline',
        'A person with a receding hairline.',
        'A person with thick hair.',
        f'reced hairline thinning thick {_BALD} {_CURLS} {_WOMAN} bang bangs fringe ponytail bun',
    ),
    _yes_no(
        'Does the person wear glasses?',
        'Eyeglasses',
        'A person with glasses.',
        'A person without glasses.',
        'glasses eyeglasses sunglasses spectacle bespectacled goggles shades monocle',
    ),
    Question(
        'Is there a beard?',
        (
            PossibleAnswer('yes', 'A person with a beard.', ('No_Beard', False)),
            PossibleAnswer('no', 'A person without a beard.', ('No_Beard', True)),
        ),
        f'beard shaven stubble goatee whisker {_WOMAN}',
    ),
    _yes_no(
        'Is there a mustache?',
        'Mustache',
        'A person with a mustache.',
        'A person without a mustache.',
        f'mustache moustache shaven {_WOMAN}',
    ),
    _yes_no(
        'Are the eyebrows bushy?',
        'Bushy_Eyebrows',
        'A person with bushy eyebrows.',
        'A person with thin eyebrows.',
        'eyebrow brow brows unibrow monobrow',
    ),
    _yes_no(
        'Are the eyebrows arched?',
        'Arched_Eyebrows',
        'A person with arched eyebrows.',
        'A person with flat eyebrows.',
        'eyebrow brow brows arched',
    ),
    _yes_no(
        'Are there bags under the eyes?',
        'Bags_Under_Eyes',
        'A person with bags under the eyes.',
        'A person without bags under the eyes.',
        'bags baggy',
    ),
    _yes_no(
        'Are the eyes narrow?',
        'Narrow_Eyes',
        'A person with narrow eyes.',
        'A person with wide eyes.',
        'narrow hooded wide-eyed wide squint',
    ),
    _yes_no(
        'Is the nose big?',
        'Big_Nose',
        'A person with a big nose.',
        'A person with a small nose.',
        'nose',
    ),
    _yes_no(
        'Is the nose pointed?',
        'Pointy_Nose',
        'A person with a pointy nose.',
        'A person with a round nose.',
        'nose',
    ),
    _yes_no(
        'Are the lips full?',
        'Big_Lips',
        'A person with full lips.',
        'A person with thin lips.',
        'lips lipped',
    ),
    _yes_no(
        'Are the cheekbones high?',
        'High_Cheekbones',
        'A person with high cheekbones.',
        'A person with flat cheekbones.',
        'cheekbone',
    ),
    _yes_no(
        'Is the face oval?',
        'Oval_Face',
        'A person with an oval face.',
        'A person with a square face.',
        'oval jaw square round',
    ),
    _yes_no(
        'Is the person heavy, with a double chin or full cheeks?',
        'Chubby',
        'A chubby person.',
        'A slim person.',
        'chubby chin slim plump heavy thin fat skinny overweight jowl',
    ),
    _yes_no(
        'Is the skin pale?',
        'Pale_Skin',
        'A person with pale skin.',
        'A person with dark skin.',
        'skin skinned pale tan tanned complexion olive asian african indian latino caucasian',
    ),
    _yes_no(
        'Is there much make-up?',
        'Heavy_Makeup',
        'A person with heavy makeup.',
        'A person without makeup.',
        f'make-up makeup made-up lipstick mascara eyeliner eyeshadow {_BEARD}',
    ),
)


def _places() -> np.ndarray:
    """Columns of the answers to each question; -1 where it has fewer than N."""
    counts = [len(question.answers) for question in QUESTIONS]
    place_QxN, start = np.full((len(counts), max(counts)), -1), 0
    for row_N, count in zip(place_QxN, counts, strict=True):
        row_N[:count] = np.arange(start, start := start + count)
    return place_QxN


_PLACES_QxN = _places()


class NextQuestion(NamedTuple):
    """A question worth asking, its answers, and the expected gain in bits."""

    ask: str
    answers: tuple[PossibleAnswer, ...]
    gain_bits: float

    def to_json(self) -> dict[str, Any]:
        """As the documented schema."""
        answers = [{'say': answer.say, 'sentence': answer.sentence} for answer in self.answers]
        return {'ask': self.ask, 'answers': answers, 'gain_bits': self.gain_bits}


def next_question(
    texts: Sequence[str],
    llr_K: np.ndarray,
    answer_llr_KxA: np.ndarray,
    rates: Mapping[str, float],
) -> NextQuestion | None:
    """The question with the largest expected gain that the texts have not answered yet.

    Args:
      texts: the description so far.
      llr_K: log-likelihood ratios of the candidates, given the description.
      answer_llr_KxA: those given each sentence of `answer_sentences()` alone.
      rates: the share of people with each attribute.

    Returns:
      The question, or None where no question gains enough.
    """
    log_odds_KxA = answer_llr_KxA + np.log(_shares(rates))
    absent_Kx1 = np.full((len(log_odds_KxA), 1), -np.inf)
    log_odds_KxQxN = np.hstack([log_odds_KxA, absent_Kx1])[:, _PLACES_QxN]
    gain_Q = mutual_information(_softmax(llr_K), _softmax(log_odds_KxQxN))
    for number in np.argsort(-gain_Q, kind='stable'):
        question, gain = QUESTIONS[number], float(gain_Q[number])
        if gain < _WORTH:
            break
        if not _is_answered(texts, question):
            return NextQuestion(question.ask, question.answers, gain)
    return None


def answer_sentences() -> list[str]:
    """The sentences of all answers, question by question."""
    return [answer.sentence for question in QUESTIONS for answer in question.answers]


def mutual_information(weight_K: np.ndarray, answer_KxQxN: np.ndarray) -> np.ndarray:
    """Mutual information, in bits, of candidate and answer to each question; [Q].

    Args:
      weight_K: probabilities of the candidates.
      answer_KxQxN: probabilities of the answers, given each candidate; 0 where a question has
        fewer.
    """
    overall_QxN = np.tensordot(weight_K, answer_KxQxN, 1)
    known_Q = np.tensordot(weight_K, _entropy(answer_KxQxN), 1)
    return np.maximum(0.0, _entropy(overall_QxN) - known_Q)


# Not scipy's, which takes a while to import, and longer for so few numbers.
def _softmax(log_odds_xA: np.ndarray) -> np.ndarray:
    odds_xA = np.exp(log_odds_xA - log_odds_xA.max(axis=-1, keepdims=True))
    return odds_xA / odds_xA.sum(axis=-1, keepdims=True)


def _entropy(share_xA: np.ndarray) -> np.ndarray:
    bits_xA = -np.log2(np.where(share_xA > 0, share_xA, 1.0))
    return (share_xA * bits_xA).sum(axis=-1)


def _shares(rates: Mapping[str, float]) -> np.ndarray:
    """The share of people of whom each answer is true; [A]."""
    rates = _UNLABELLED_RATES | dict(rates)
    return np.array([share for question in QUESTIONS for share in _shares_of(question, rates)])


def _shares_of(question: Question, rates: Mapping[str, float]) -> list[float]:
    """The shares of the answers to a question; equal ones where a share is not known."""
    labels = [answer.label for answer in question.answers]
    if any(name not in rates for name, _ in labels):
        return [1.0 / len(labels)] * len(labels)
    shares = [max(rates[name] if value else 1.0 - rates[name], 1e-3) for name, value in labels]
    return [share / sum(shares) for share in shares]


def _is_answered(texts: Sequence[str], question: Question) -> bool:
    sentences = [part for text in texts for part in re.split(r'[.;!?]', text.lower())]
    about_hair = [sentence for sentence in sentences if _says(sentence, 'hair haired')]
    return any(_says(sentence, question.words) for sentence in sentences) or any(
        _says(sentence, question.hair_words) for sentence in about_hair
    )


def _says(sentence: str, words: str) -> bool:
    """Whether a sentence has one of the words: as a word, or as a part of one with hyphens."""
    return any(map(_pattern(words).fullmatch, _written(sentence)))


@functools.lru_cache(maxsize=64)
def _written(sentence: str) -> tuple[str, ...]:
    compounds = re.findall(r'[^\W_]+(?:-[^\W_]+)*', sentence)
    return (*compounds, *(part for word in compounds for part in word.split('-')))


@functools.cache
def _pattern(words: str) -> re.Pattern[str]:
    """Of a whole word that is one of these, or begins with one of more than three letters."""
    stems = words.split()
    return re.compile('|'.join(re.escape(stem) + '.*' * (len(stem) > 3) for stem in stems))

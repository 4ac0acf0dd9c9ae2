"""The next question: the mutual information of its answer and the candidate."""

import numpy as np
import pytest

from diface_jax.data.grammar import captions
from diface_jax.gallery import next_question as questions
from diface_jax.gallery.next_question import (
    QUESTIONS,
    answer_sentences,
    mutual_information,
    next_question,
)
from tests.gallery import world

GLASSES = 'Does the person wear glasses?'


def columns(ask):
    """The columns of a question's answers."""
    start = 0
    for question in QUESTIONS:
        if question.ask == ask:
            return slice(start, start + len(question.answers))
        start += len(question.answers)
    raise KeyError(ask)


def test_information_in_closed_form():
    half = np.array([0.5, 0.5])
    assert mutual_information(half, np.eye(2)) == pytest.approx(1.0)
    assert mutual_information(half, np.full((2, 2), 0.5)) == pytest.approx(0.0)
    assert mutual_information(np.array([1.0, 0.0]), np.eye(2)) == pytest.approx(0.0)
    # A symmetric channel that errs in one of ten: 1 - h(0.1).
    noisy = np.array([[0.9, 0.1], [0.1, 0.9]])
    expected = 1 + 0.1 * np.log2(0.1) + 0.9 * np.log2(0.9)
    assert mutual_information(half, noisy) == pytest.approx(expected)
    assert mutual_information(np.full(8, 1 / 8), np.eye(8)) == pytest.approx(3.0)


def test_it_is_the_fall_of_the_candidates_entropy():
    rng = np.random.default_rng(0)
    weight, answer = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(3), 6)
    joint = weight[:, None] * answer

    def entropy(p):
        return -(p * np.log2(p)).sum()

    after = sum(joint[:, a].sum() * entropy(joint[:, a] / joint[:, a].sum()) for a in range(3))
    assert mutual_information(weight, answer) == pytest.approx(entropy(weight) - after)


def test_what_splits_the_candidates_is_asked():
    llr_KxA = np.zeros((4, len(answer_sentences())))
    llr_KxA[:2, columns(GLASSES)] = (9, -9)
    llr_KxA[2:, columns(GLASSES)] = (-9, 9)
    asked = next_question(['somebody'], np.zeros(4), llr_KxA, {})
    assert asked.ask == GLASSES
    assert [answer.say for answer in asked.answers] == ['yes', 'no']
    assert asked.gain_bits == pytest.approx(1.0, abs=1e-3)
    # It tells nothing when only candidates of one kind are likely.
    certain = next_question(['somebody'], np.array([30, 30, 0, 0]), llr_KxA, {})
    assert certain is None or certain.gain_bits < 1e-6


@pytest.mark.parametrize(
    'said', ['a man with glasses', 'No Glasses.', 'one wearing sunglasses or spectacles']
)
def test_what_was_said_is_not_asked(said):
    rng = np.random.default_rng(1)
    llr_KxA = rng.normal(0, 0.1, (4, len(answer_sentences())))
    llr_KxA[:2, columns(GLASSES)] = (9, -9)
    assert next_question(['nothing'], np.zeros(4), llr_KxA, {}).ask == GLASSES
    assert next_question([said], np.zeros(4), llr_KxA, {}).ask != GLASSES


def is_answered(text, part_of_ask):
    (question,) = [question for question in QUESTIONS if part_of_ask in question.ask]
    return questions._is_answered([text], question)


def test_short_words_must_be_whole():
    assert questions._says('he is old', 'he')
    assert not questions._says('other hats', 'he hat')
    assert questions._says('"bearded", they said', 'beard')


@pytest.mark.parametrize(
    ('said', 'part_of_ask'),
    [
        ('an old man with white hair', 'colour is the hair'),
        ('a white-haired man', 'colour is the hair'),
        ('His hair is red.', 'colour is the hair'),
        ('a redhead', 'colour is the hair'),
        ('a curly-haired woman', 'bald'),
        ('a curly-haired woman', 'wavy or straight'),
        ('a woman', 'beard'),
        ('two women', 'mustache'),
        ('a bearded stranger', 'man or a woman'),
        ('a man in his 40s', 'young or older'),
    ],
)
def test_what_was_said_in_other_words_is_not_asked(said, part_of_ask):
    assert is_answered(said, part_of_ask)


@pytest.mark.parametrize('said', ['a black man', 'a woman in a red dress', 'long hair. A red hat'])
def test_a_colour_of_something_else_is_no_colour_of_hair(said):
    assert not is_answered(said, 'colour is the hair')


@pytest.mark.parametrize('question', QUESTIONS, ids=lambda question: question.ask)
def test_an_answer_answers_its_question(question):
    for answer in question.answers:
        assert questions._is_answered([answer.sentence], question)


def test_red_hair_can_be_answered():
    (question,) = [question for question in QUESTIONS if 'colour' in question.ask]
    assert 'red' in [answer.say for answer in question.answers]
    rates = {'Black_Hair': 0.3, 'Brown_Hair': 0.3, 'Blond_Hair': 0.2, 'Gray_Hair': 0.1}
    share_A = questions._shares(rates)[columns(question.ask)]
    assert share_A.argmin() == [answer.say for answer in question.answers].index('red')


def test_what_hardly_anybody_has_is_not_worth_asking():
    """The model sees it weakly, in half of the candidates; only how common it is differs."""
    llr_KxA = np.zeros((4, len(answer_sentences())))
    llr_KxA[:2, columns(GLASSES)] = (1, -1)
    llr_KxA[2:, columns(GLASSES)] = (-1, 1)
    gains = [
        next_question(['x'], np.zeros(4), llr_KxA, {'Eyeglasses': rate}).gain_bits
        for rate in (0.5, 0.2, 0.01)
    ]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 5 * gains[2]


def test_no_attribute_is_misspelt():
    labels = {answer.label[0] for question in QUESTIONS for answer in question.answers}
    assert labels - set(questions._UNLABELLED_RATES) <= set(captions.CELEBA_40)
    assert len(answer_sentences()) == len(set(answer_sentences()))


def test_a_search_asks_what_tells_its_candidates_apart(tmp_path):
    """The oracle sees glasses on every other person, and nothing else."""
    model = world.model()
    world.folder_of(tmp_path / 'photos', people=10)
    model.enroll(tmp_path / 'gallery', tmp_path / 'photos')
    found = model.search(tmp_path / 'gallery', ['person 1', 'person 2']).next_question
    assert found.ask == GLASSES
    assert 0 < found.gain_bits <= 1
    assert model.search(tmp_path / 'gallery', 'person 1 with glasses').next_question is None

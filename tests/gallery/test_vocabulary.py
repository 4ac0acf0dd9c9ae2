"""What of a description is understood."""

import pytest

from diface_jax.encoders.text.encoder import load_text_encoder
from diface_jax.gallery import query_text, vocabulary


@pytest.fixture(scope='module')
def reader():
    return load_text_encoder()


@pytest.mark.parametrize(
    'text',
    [
        *('мужчина с бородой', '男人', '留着胡子的男人', 'رجل ملتح', 'ein Mann mit Bart'),
        *('ein alter Mann mit grauem Bart', 'un homme avec une barbe', 'un uomo con la barba'),
        *('un hombre con barba y gafas', 'una mujer joven con el pelo largo', 'une femme'),
        *('mies jolla on parta', 'mężczyzna z brodą', 'asdkj qwe zxcv', 'Lorem ipsum dolor amet'),
        *('quarterly revenue report for the board', 'with a', '12345', 'car engine repair manual'),
        *('een man met een baard', 'En man med skägg', 'the car on the beach'),
        'the quick brown fox jumps over the lazy dog',
    ],
)
def test_another_language_nonsense_and_other_subjects_are_refused(reader, text):
    with pytest.raises(ValueError, match='not about a face, or not in English'):
        vocabulary.check_words(text, reader)


@pytest.mark.parametrize(
    ('text', 'not_about_a_face', 'not_understood'),
    [
        ('a man with a beard', (), ()),
        ('Short spiky black hair, tan skin, and faint stubble. Male, mid-twenties.', (), ()),
        ("A bespectacled gentleman's grey moustache", (), ()),
        ('a freckled boy who smiles, his hair curled', (), ()),
        ('a man with a car on the beach', ('car', 'beach'), ()),
        ('a woman I met in Spain', ('met', 'Spain'), ()),
        ('a man with a борода', (), ('борода',)),
        ('a man with a qwzx and a beard', (), ('qwzx',)),
    ],
)
def test_words_that_do_not_help_are_named(reader, text, not_about_a_face, not_understood):
    unread = vocabulary.check_words(text, reader)
    assert unread == (not_about_a_face, not_understood, ())


def test_what_would_be_understood_is_told(reader):
    with pytest.raises(ValueError, match="only 'man' would be understood"):
        vocabulary.check_words('een man met een baard', reader)


def test_words_the_model_was_taught_are_understood(reader):
    taught = frozenset(vocabulary.words_of('Ein Mann mit Bart und Brille'))
    assert vocabulary.check_words('Mann mit Bart', reader, taught) == ((), (), ())


def test_the_background_is_not_about_a_face_though_validation_sentences_name_it(reader):
    taught = frozenset(vocabulary.words_of('a man in front of a car, with a Bart'))
    unread = vocabulary.check_words('a man with a Bart in a car', reader, taught)
    assert unread.not_about_a_face == ('car',)


def test_words_past_the_length_are_named(reader):
    beard = 'a man with a short beard and a very big nose, '
    text = beard * 24 + 'wearing red spectacles'
    read, cut = reader.split(text)
    assert read + ' ' + cut == text
    assert len(reader._tokenizer.ids([read])[0]) <= reader.max_tokens
    unread = vocabulary.check_words(text, reader)
    assert unread.not_understood == ()
    assert unread.not_read == tuple(cut.split())
    assert unread.not_read[-3:] == ('wearing', 'red', 'spectacles')
    assert reader.split(beard) == (beard, '')


def test_one_word_without_end_is_cut_within(reader):
    read, cut = reader.split('x' * 2000)
    assert read
    assert read + cut == 'x' * 2000


def test_a_long_text_is_not_warned_of_for_each_of_its_variants(reader, caplog):
    reader.encode([reader.split('a man with a beard, ' * 60)[0]])
    assert not caplog.records


def test_words_that_do_not_help_are_left_out():
    unread = query_text.UnreadWords(('car', 'beach'), ('борода',))
    assert vocabulary.leave_out('a man, in a car on the beach', unread) == 'a man, in a on the'
    assert vocabulary.leave_out('a scarf, a борода', unread) == 'a scarf, a'
    assert vocabulary.leave_out('a  man', query_text.UnreadWords()) == 'a  man'


@pytest.mark.parametrize(
    ('text', 'expected'),
    [('a person', True), ('He', True), ('in a', True), ('', True), ('3', False), ('a man', False)],
)
def test_what_says_nothing(text, expected):
    assert vocabulary.says_nothing(text) == expected

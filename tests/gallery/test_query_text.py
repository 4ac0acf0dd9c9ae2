"""Descriptions taken apart."""

import pytest

from diface_jax.gallery import query_text


def words(text):
    return query_text.split_phrases(text)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        (
            'a young woman with wavy blond hair and arched eyebrows',
            ['a young woman', 'wavy blond hair', 'arched eyebrows'],
        ),
        (
            'Short spiky black hair, tan skin, and faint stubble. Male, mid-twenties.',
            ['Short spiky black hair', 'tan skin', 'faint stubble', 'Male', 'mid-twenties'],
        ),
        ('bald', ['bald']),
        ('He has a beard; he wears glasses!', ['He', 'a beard', 'he wears glasses']),
        ('Sandy-haired, withdrawn (and handsome)', ['Sandy-haired', 'withdrawn', 'handsome']),
        ('...with a hat', ['a hat']),
    ],
)
def test_phrases(text, expected):
    assert words(text) == expected


def test_texts_are_cleaned_and_checked():
    assert query_text.check_texts('  a man\n with\ta hat ') == ['a man with a hat']
    assert query_text.check_texts(['a', 'b']) == ['a', 'b']
    assert query_text.check_texts('ein Mann mit Bärtchen, 男人') == ['ein Mann mit Bärtchen, 男人']
    assert (
        len(query_text.check_texts('x' * query_text.MAX_CHARACTERS)[0]) == query_text.MAX_CHARACTERS
    )
    for bad in ('', [], [' '], 'x' * (query_text.MAX_CHARACTERS + 1), 'a\x00b'):
        with pytest.raises(ValueError, match='description'):
            query_text.check_texts(bad)

"""Sentences taken apart."""

import pytest

from diface_jax.data.phrases import split_phrases


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
    assert split_phrases(text) == expected

"""Probabilities in words."""

import pytest

from diface_jax.gallery.likelihood_words import likelihood_in_words


@pytest.mark.parametrize(
    ('probability', 'words'),
    [
        (0.0, 'less than 1 in 1,000'),
        (0.001, 'about 1 in 1,000'),
        (0.0333, 'about 1 in 30'),
        (0.032, 'about 1 in 30'),
        (0.1, 'about 1 in 10'),
        (0.45, 'about 1 in 2'),
        (0.5, 'about 1 in 2'),
        (0.66, 'about 2 in 3'),
        (0.88, 'about 9 in 10'),
        (0.999, 'more than 19 in 20'),
    ],
)
def test_a_probability_in_words(probability, words):
    assert likelihood_in_words(probability) == words


def test_what_is_likelier_never_sounds_less_likely():
    def value(words):
        count, of = words.replace(',', '').split(' in ')
        return int(count.split()[-1]) / int(of)

    values = [value(likelihood_in_words(step / 5000)) for step in range(5, 5001)]
    assert values == sorted(values)

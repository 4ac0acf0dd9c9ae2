"""Probabilities in plain words: 'about 1 in 30'."""

# What follows 'about 1 in'; people take in round numbers better than exact ones.
_ROUND = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200, 300, 500, 1000)
# Above a half, the nearest of these.
_LIKELY = {0.5: '1 in 2', 0.67: '2 in 3', 0.75: '3 in 4', 0.8: '4 in 5', 0.9: '9 in 10'}
_VERY_LIKELY = 0.95


def likelihood_in_words(probability: float) -> str:
    """A probability in words, rounded to a number that is easy to picture."""
    if probability > _VERY_LIKELY:
        return 'more than 19 in 20'
    if probability >= 0.5:
        nearest = min(_LIKELY, key=lambda share: abs(share - probability))
        return f'about {_LIKELY[nearest]}'
    if probability * _ROUND[-1] < 1:
        return f'less than 1 in {_ROUND[-1]:,}'
    nearest = min(_ROUND, key=lambda people: abs(people * probability - 1))
    return f'about 1 in {nearest:,}'

"""What a model may be used for, by the data that it was trained on."""

from collections.abc import Sequence

# Data sets whose own terms say so, by the names that their readers give them. Simulated people are
# drawn from averages over CelebA.
_NON_COMMERCIAL = {
    'celeba': 'CelebA',
    'celeb_a (TFDS)': 'CelebA',
    'lfw': 'LFW',
    'simulated': 'CelebA',
}


def terms_of(data_sets: Sequence[str], before: str = '') -> str:
    """What a model may be used for: the end of a sentence that starts 'It may be used'.

    Args:
      data_sets: names of the data sets that the model was trained on.
      before: the terms of the model that the training started from; '' where there was none.
    """
    known = dict.fromkeys(_NON_COMMERCIAL[name] for name in data_sets if name in _NON_COMMERCIAL)
    parts = [before] if before else []
    if known:
        names = ' and '.join(known)
        parts.append(f'for non-commercial research only, like the photographs of {names}')
    if any(name not in _NON_COMMERCIAL for name in data_sets):
        parts.append('as the terms of its own training photographs allow')
    return '; '.join(dict.fromkeys(parts))

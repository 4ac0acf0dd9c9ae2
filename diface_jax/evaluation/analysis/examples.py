"""Example searches: a sentence, the best photos of the gallery, and the rank of the mate."""

from collections.abc import Iterator

import numpy as np

from diface_jax.data.prepared import Split
from diface_jax.evaluation import identification
from diface_jax.evaluation.protocols import ResultRow
from diface_jax.evaluation.ranking import TIE
from diface_jax.models.features import Features

NUM_BEST = 10


def draw_examples(
    features: Features,
    split: Split,
    track: str,
    protocol: str,
    texts: np.ndarray,
    count: int,
    seed: int,
) -> list[ResultRow]:
    """Example searches with texts drawn at random, so that they are typical.

    Args:
      features: unit features of all texts and photos of the split.
      split: the split that is measured; the gallery holds one photo of each of its people.
      track: the track of the texts.
      protocol: 'same' if the gallery holds the described photo of a person, 'cross' if it holds
        another one.
      texts: rows of the texts to draw from.
      count: the largest number of searches; each is for another person.
      seed: of the gallery and of the texts drawn.

    Returns:
      A row a text: the NUM_BEST best photos with scores, the score of the mate (the photo of the
      person described), and its rank among the `gallery` people; ties count half.
    """
    rng = np.random.default_rng(seed)
    search = identification.draw_identification(rng, split, texts, protocol)
    chosen = rng.permutation(len(search.text_P))[:count]
    text_P, mate_P = search.text_P[chosen], search.person_P[chosen]
    score_PxI = features.text_TxF[text_P] @ features.photo_NxF[search.photo_I].T
    rank_P = _ranks(score_PxI, mate_P)
    return [
        {
            'track': track,
            'protocol': protocol,
            'text': str(split.text_T[text]),
            'described': str(split.file_N[split.photo_T[text]]),
            'person': int(split.identity_N[split.photo_T[text]]),
            'gallery': len(search.photo_I),
            'rank': float(rank),
            'mate': {
                'file': str(split.file_N[search.photo_I[mate]]),
                'score': float(score_I[mate]),
            },
            'best': list(_best_photos(split, search.photo_I, score_I, mate)),
        }
        for text, mate, rank, score_I in zip(text_P, mate_P, rank_P, score_PxI, strict=True)
    ]


def _ranks(score_PxI: np.ndarray, mate_P: np.ndarray) -> np.ndarray:
    """Rank of each mate, from 1; ties count half, as in `ranking`."""
    lead_PxI = score_PxI - np.take_along_axis(score_PxI, mate_P[:, None], axis=1)
    is_better_PxI, is_tied_PxI = lead_PxI > TIE, np.abs(lead_PxI) <= TIE
    return 0.5 + np.sum(is_better_PxI + 0.5 * is_tied_PxI, axis=1)


def _best_photos(
    split: Split, photo_I: np.ndarray, score_I: np.ndarray, mate: int
) -> Iterator[ResultRow]:
    """The NUM_BEST photos of the gallery with the highest scores, best first."""
    for column in np.argsort(-score_I, kind='stable')[:NUM_BEST]:
        yield {
            'file': str(split.file_N[photo_I[column]]),
            'person': int(split.identity_N[photo_I[column]]),
            'score': float(score_I[column]),
            'mate': bool(column == mate),
        }

"""Example searches: a sentence, the best photos of the gallery, and the rank of the right one."""

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
    """Example searches of texts drawn at random, so that they are typical.

    Args:
      features: of the method.
      split: the split measured on; its gallery is one photo of each person.
      track: which track the texts are of.
      protocol: 'same' or 'cross': which photo of the person described is in the gallery.
      texts: rows of the texts that may be asked.
      count: panels, at most; a person is asked for once.
      seed: of the gallery and the texts.

    Returns:
      A record a text: the BEST photos with scores, the mate's score, and its rank among the
      `gallery` people, ties counted half.
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
            'best': list(_best(split, search.photo_I, score_I, mate)),
        }
        for text, mate, rank, score_I in zip(text_P, mate_P, rank_P, score_PxI, strict=True)
    ]


def _ranks(score_PxI: np.ndarray, mate_P: np.ndarray) -> np.ndarray:
    """Rank of each mate from 1; those level with it count half, as in `scoring`."""
    ahead_PxI = score_PxI - np.take_along_axis(score_PxI, mate_P[:, None], axis=1)
    better, level = ahead_PxI > TIE, np.abs(ahead_PxI) <= TIE
    return 0.5 + np.sum(better + 0.5 * level, axis=1)


def _best(split: Split, photo_I: np.ndarray, score_I: np.ndarray, mate: int) -> Iterator[ResultRow]:
    for column in np.argsort(-score_I, kind='stable')[:NUM_BEST]:
        yield {
            'file': str(split.file_N[photo_I[column]]),
            'person': int(split.identity_N[photo_I[column]]),
            'score': float(score_I[column]),
            'mate': bool(column == mate),
        }

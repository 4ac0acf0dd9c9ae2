"""Image-level retrieval: at which rank is the photo that a caption describes, among all photos?

The protocol of FaceCPT (Hasan et al., BMVC 2025) and of the papers that it compares with: the first
two captions of each test photo are searched for among all test photos, and only the described photo
counts as a hit; other photos of the same person compete. Published numbers are of other photos and
captions, so docs/benchmark.md names the differences.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from jax.sharding import Mesh

from diface_jax.data.prepared import Split
from diface_jax.evaluation import bootstrap, ranking
from diface_jax.evaluation.protocols import Repetitions, ResultRow
from diface_jax.evaluation.ranking import GalleryPartitions, Probes
from diface_jax.evaluation.score_matrix import ScoreMatrix, ranked_rows
from diface_jax.models.features import Features
from diface_jax.runtime import hosts

CAPTIONS = 2  # of each photo, the first ones
RANKS = (1, 5, 10, 20)


def first_captions(photo_T: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """The rows of the first CAPTIONS texts of each photo.

    Args:
      photo_T: row of the photo that each text describes.
      texts: rows of the texts of a track, in ascending order.
    """
    _, first, index = np.unique(photo_T[texts], return_index=True, return_inverse=True)
    # The texts of a photo follow each other.
    return texts[np.arange(len(texts)) - first[index] < CAPTIONS]


def retrieval_rows(
    methods: Mapping[str, Features | ScoreMatrix],
    split: Split,
    texts: Mapping[str, np.ndarray],
    repetitions: Repetitions,
    mesh: Mesh,
) -> Iterator[ResultRow]:
    """Image-level retrieval of every method on every track.

    Args:
      methods: features or scores of the split, by method.
      split: the split to measure on.
      texts: rows of the texts, by track.
      repetitions: the number of bootstrap resamples, and their seed.
      mesh: the devices to score on.

    Yields:
      A row for each method, track and rank k: `metric` is 'recall@k', the share of captions whose
      photo is among the first k of `photos`; `ci95` is a bootstrap over identities.
    """
    person_N = np.unique(split.identity_N, return_inverse=True)[1]
    counts_RxI = bootstrap.resample_counts(
        person_N.max() + 1, repetitions.resamples, repetitions.seed
    )
    for track, track_texts in hosts.progress(texts.items(), 'retrieval', unit='track'):
        captions = first_captions(split.photo_T, track_texts)
        labels = {'track': track, 'captions': len(captions), 'photos': len(person_N)}
        for method, scorer in methods.items():
            is_hit_PxK = _photo_ranks(scorer, split, captions, mesh)[:, None] <= np.asarray(RANKS)
            person_P = person_N[split.photo_T[captions]]
            spread_RxK = bootstrap.resampled_means(is_hit_PxK, person_P, counts_RxI)
            ci95_Kx2 = bootstrap.percentile_interval(spread_RxK).tolist()
            recall_K = is_hit_PxK.mean(axis=0).tolist()
            for k, recall, ci95 in zip(RANKS, recall_K, ci95_Kx2, strict=True):
                metric = {'metric': f'recall@{k}', 'value': recall, 'ci95': ci95}
                yield {'method': method, **labels, **metric}


def _photo_ranks(
    scorer: Features | ScoreMatrix, split: Split, captions: np.ndarray, mesh: Mesh
) -> np.ndarray:
    """Rank of the described photo among all photos; each photo stands for itself."""
    photos = np.arange(len(split.file_N))
    f_PxF, f_GxF = ranked_rows(scorer, captions, photos)
    nobody = np.full(len(captions), -1)
    probes = Probes(f_PxF, split.photo_T[captions], nobody, nobody)
    gallery = GalleryPartitions(
        f_GxF, photos, np.zeros((1, len(photos)), int), np.ones(len(photos), bool)
    )
    return ranking.rank_mates(probes, gallery, mesh).person_SxP[0]

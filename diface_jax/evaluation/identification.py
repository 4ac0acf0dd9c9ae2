"""Identification: whose photo in a gallery does the text describe?

Galleries hold 100, 1,000 or all people, with one photo of each person or with all photos. A rank is
that of a person ('identity': by their best photo) or of a photo ('image'). At image level the mate
is the described photo in the protocol 'same', and the best of the person's other photos in 'cross',
where the described photo is removed; the person's further photos are neither mates nor competitors.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from jax.sharding import Mesh

from diface_jax.data.prepared import Split, another_photo
from diface_jax.evaluation import bootstrap, protocols, ranking, verification
from diface_jax.evaluation.protocols import Estimate, Repetitions, ResultRow
from diface_jax.evaluation.ranking import GalleryPartitions, MateRanks, Probes
from diface_jax.evaluation.score_matrix import ScoreMatrix, ranked_rows
from diface_jax.models.features import Features
from diface_jax.runtime import hosts

RANKS = (1, 5, 10, 20, 50, 100)
CMC_RANKS = range(1, 101)
# Open set: accepted shares of the probes without a mate, and ranks that count as a hit.
FPIRS, OPEN_RANKS = (0.01, 0.1), (1, 10)
# More probes would hardly narrow an interval, as with pairs.
RESAMPLED_PROBES = 10_000
# Levels at which ranks are measured, by the photos of each person in the gallery.
LEVELS = {'one': ('identity',), 'all': ('identity', 'image')}


class IdentificationDraw(NamedTuple):
    """A draw of identification: the probe texts, and one gallery photo of each person.

    People are numbered in the order of the split's identities.

    Attributes:
      text_P: rows of the probe texts.
      person_P: the person each text describes.
      photo_I: row of the gallery photo of each person.
    """

    text_P: np.ndarray
    person_P: np.ndarray
    photo_I: np.ndarray


def draw_identification(
    rng: np.random.Generator, split: Split, texts: np.ndarray, protocol: str
) -> IdentificationDraw:
    """Draws one text and one gallery photo of each person.

    Args:
      rng: source of the draw.
      split: the split to measure on.
      texts: rows of the texts to draw from.
      protocol: 'same': the gallery holds the described photo; 'cross': another photo of the person.

    Returns:
      The draw. People who cannot be probes (without a text, or in 'cross' with a single photo) are
      in the gallery only.
    """
    people, index_N = np.unique(split.identity_N, return_inverse=True)
    shuffled_photos = rng.permutation(len(index_N))
    photo_I = np.empty(len(people), int)
    photo_I[index_N[shuffled_photos]] = shuffled_photos
    shuffled_texts = rng.permutation(texts)
    text_I = np.full(len(people), -1)
    text_I[index_N[split.photo_T[shuffled_texts]]] = shuffled_texts
    person_P = np.flatnonzero(text_I >= 0)
    text_P = text_I[person_P]
    described = split.photo_T[text_P]
    mate = described if protocol == 'same' else another_photo(rng, split.identity_N, described)
    photo_I[person_P[mate >= 0]] = mate[mate >= 0]
    return IdentificationDraw(text_P[mate >= 0], person_P[mate >= 0], photo_I)


def split_into_galleries(rng: np.random.Generator, num_people: int, size: int) -> np.ndarray:
    """Partitions people at random into disjoint galleries of `size` people.

    Args:
      rng: source of the shuffle.
      num_people: I, the number of people.
      size: people in a gallery.

    Returns:
      The number of each person's gallery, [I]; -1 for the people left over.
    """
    gallery_I = np.arange(num_people) // size
    gallery_I[num_people // size * size :] = -1
    return rng.permutation(gallery_I)


class GalleryDraw(NamedTuple):
    """A draw, its galleries of each size, and the people enrolled in the open set."""

    draw: IdentificationDraw
    gallery_SxI: np.ndarray
    enrolled_I: np.ndarray


def gallery_sizes(galleries: Sequence[int], num_people: int) -> list[int]:
    """Sizes of galleries that the people of a data set fill; see `identification_results`."""
    return sorted({size or num_people for size in galleries if size <= num_people} or {num_people})


def gallery_draws(
    split: Split,
    texts: np.ndarray,
    protocol: str,
    sizes: Sequence[int],
    repetitions: Repetitions,
) -> list[GalleryDraw]:
    """Draws of probes and galleries, the same for every method.

    Args:
      split: the split to measure on.
      texts: rows of the texts of a track.
      protocol: as in `draw_identification`.
      sizes: people in a gallery, from `gallery_sizes`.
      repetitions: how many draws, and their seed.
    """
    rng = np.random.default_rng(repetitions.seed)
    # All probes are drawn before all galleries: the order decides what the seed gives.
    draws = [draw_identification(rng, split, texts, protocol) for _ in range(repetitions.draws)]
    return [_draw_galleries(rng, draw, sizes) for draw in draws]


def _draw_galleries(
    rng: np.random.Generator, draw: IdentificationDraw, sizes: Sequence[int]
) -> GalleryDraw:
    """Galleries of each size; in the open set half of the probes' people are not enrolled."""
    num_people = len(draw.photo_I)
    gallery_SxI = np.stack([split_into_galleries(rng, num_people, size) for size in sizes])
    enrolled_I = np.ones(num_people, bool)
    enrolled_I[rng.permutation(draw.person_P)[: len(draw.person_P) // 2]] = False
    return GalleryDraw(draw, gallery_SxI, enrolled_I)


def _rank_draw(
    features: Features | ScoreMatrix,
    split: Split,
    gallery_draw: GalleryDraw,
    protocol: str,
    photos: str,
    mesh: Mesh,
) -> MateRanks:
    """Ranks of the mates of a draw among 'one' or 'all' photos of each person."""
    draw = gallery_draw.draw
    gallery_photos, person_G = draw.photo_I, np.arange(len(draw.photo_I))
    mate_P = hidden_P = np.full(len(draw.text_P), -1)
    if photos == 'all':
        person_G = np.unique(split.identity_N, return_inverse=True)[1]
        gallery_photos = np.arange(len(person_G))
        if protocol == 'same':
            mate_P = split.photo_T[draw.text_P]
        else:
            hidden_P = split.photo_T[draw.text_P]
    f_PxF, f_GxF = ranked_rows(features, draw.text_P, gallery_photos)
    probes = Probes(f_PxF, draw.person_P, mate_P, hidden_P)
    gallery = GalleryPartitions(f_GxF, person_G, gallery_draw.gallery_SxI, gallery_draw.enrolled_I)
    return ranking.rank_mates(probes, gallery, mesh)


class RankList(NamedTuple):
    """Ranks of mates.

    Attributes:
      rank_P: the ranks, from 1.
      among_P: the number of ranked candidates: the mate and its competitors.
      person_P: the person each mate shows.
    """

    rank_P: np.ndarray
    among_P: np.ndarray
    person_P: np.ndarray


def cmc(ranks: RankList, first_K: Sequence[int], resample_counts_RxI: np.ndarray) -> np.ndarray:
    """Cumulative match characteristic: share of mates among the first k, by resample; [R, K]."""
    return bootstrap.resampled_means(
        ranks.rank_P[:, None] <= np.asarray(first_K), ranks.person_P, resample_counts_RxI
    )


def rank_metrics(ranks: RankList, resample_counts_RxI: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of a list of ranks, each by resample; [R].

    'rank@k' is the share of mates among the first k. 'rank_percentile_*' is (rank - 1/2) / G, 1/2
    by chance. 'penetration@0.9' is the least share of the gallery, searched from the top, that
    contains 90% of the mates.
    """
    percentile_P = (ranks.rank_P - 0.5) / ranks.among_P
    share_P = ranks.rank_P / ranks.among_P
    person_P = ranks.person_P
    names = [f'rank@{k}' for k in RANKS]
    return {
        **dict(zip(names, cmc(ranks, RANKS, resample_counts_RxI).T, strict=True)),
        'rank_percentile_mean': bootstrap.resampled_means(
            percentile_P[:, None], person_P, resample_counts_RxI
        )[:, 0],
        'rank_percentile_median': bootstrap.resampled_quantiles(
            percentile_P, 0.5, person_P, resample_counts_RxI
        ),
        'penetration@0.9': bootstrap.resampled_quantiles(
            share_P, 0.9, person_P, resample_counts_RxI
        ),
    }


class OpenSet(NamedTuple):
    """Scores of the open set.

    Attributes:
      score_Q: score of each enrolled mate.
      rank_Q: its rank among enrolled people.
      person_Q: its person.
      rival_M: best score of each probe whose person is not enrolled.
      person_M: the person of that probe.
    """

    score_Q: np.ndarray
    rank_Q: np.ndarray
    person_Q: np.ndarray
    rival_M: np.ndarray
    person_M: np.ndarray


def open_set_rates(open_set: OpenSet, resample_counts_RxI: np.ndarray) -> dict[str, np.ndarray]:
    """Detection and identification rates, each by resample; [R].

    'dir@fpir=f,rank=k' is the share of enrolled mates that are among the first k and score above
    the threshold: the least one that at most a share f of the probes without a mate exceeds.
    """
    rate_RxKxF = bootstrap.accepted_share(
        open_set.rival_M + ranking.TIE,
        open_set.score_Q,
        (
            (count_I[open_set.person_M], count_I[open_set.person_Q])
            for count_I in resample_counts_RxI
        ),
        FPIRS,
        open_set.rank_Q <= np.array(OPEN_RANKS)[:, None],
    )
    return {
        f'dir@fpir={fpir:g},rank={rank}': rate_RxKxF[:, k, f]
        for k, rank in enumerate(OPEN_RANKS)
        for f, fpir in enumerate(FPIRS)
    }


def _rank_list(
    person_N: np.ndarray, gallery_draw: GalleryDraw, ranks: MateRanks, s: int, level: str
) -> RankList:
    """Ranks in the galleries of the s-th size, of the probes whose person is in a gallery."""
    gallery_I = gallery_draw.gallery_SxI[s]
    in_gallery_P = gallery_I[gallery_draw.draw.person_P] >= 0
    person_P = gallery_draw.draw.person_P[in_gallery_P]
    if level == 'identity':
        candidate_person_C, own_I = np.arange(len(gallery_I)), np.zeros(len(gallery_I), int)
    else:  # a photo competes with photos of other people only
        candidate_person_C, own_I = person_N, np.bincount(person_N) - 1
    gallery_C = gallery_I[candidate_person_C]
    among_P = np.bincount(gallery_C[gallery_C >= 0])[gallery_I[person_P]] - own_I[person_P]
    rank_SxP = ranks.person_SxP if level == 'identity' else ranks.photo_SxP
    return RankList(rank_SxP[s, in_gallery_P], among_P, person_P)


def _open_set(gallery_draw: GalleryDraw, ranks: MateRanks, s: int) -> OpenSet:
    """The open set of a draw in galleries of the s-th size."""
    person_P = gallery_draw.draw.person_P
    in_gallery_P = gallery_draw.gallery_SxI[s, person_P] >= 0
    is_enrolled_P = gallery_draw.enrolled_I[person_P]
    enrolled, missing = in_gallery_P & is_enrolled_P, in_gallery_P & ~is_enrolled_P
    return OpenSet(
        ranks.score_P[enrolled],
        ranks.enrolled_SxP[s, enrolled],
        person_P[enrolled],
        ranks.rival_SxP[s, missing],
        person_P[missing],
    )


class IdentificationResults(NamedTuple):
    """Identification metrics and CMC curves."""

    estimates: list[Estimate]
    curves: list[ResultRow]

    @property
    def rows(self) -> list[ResultRow]:
        """The rows of the results."""
        return [estimate.row for estimate in self.estimates]


def identification_results(
    methods: Mapping[str, Features | ScoreMatrix],
    split: Split,
    track: str,
    texts: np.ndarray,
    galleries: Sequence[int],
    repetitions: Repetitions,
    mesh: Mesh,
) -> IdentificationResults:
    """Identification metrics of a track: every method, protocol, size and kind of gallery.

    Args:
      methods: features of the split, or its scores, by method.
      split: the split to measure on.
      track: name of the track.
      texts: rows of its texts.
      galleries: numbers of people in a gallery; 0: all people. Sizes above the number of people are
        left out; if no size is left, all people form one gallery.
      repetitions: numbers of draws and bootstrap resamples, and their seed.
      mesh: the devices to score on.

    Returns:
      Estimates and CMC curves. Impostors are random. In the open set half of the probes' people are
      missing from the same galleries, whose size still counts them.
    """
    person_N = np.unique(split.identity_N, return_inverse=True)[1]
    num_people = person_N.max() + 1
    sizes = gallery_sizes(galleries, num_people)
    resample_counts_RxI = bootstrap.resample_counts(
        num_people, repetitions.resamples, repetitions.seed
    )
    results = IdentificationResults([], [])
    tasks = list(itertools.product(verification.PROTOCOLS, LEVELS, methods))
    for protocol, photos, method in hosts.progress(tasks, desc=f'identification, {track}'):
        draws = gallery_draws(split, texts, protocol, sizes, repetitions)
        ranks = [_rank_draw(methods[method], split, d, protocol, photos, mesh) for d in draws]
        condition = protocols.Condition(track, protocol, 'random')
        labels = {'method': method, **condition._asdict(), 'photos': photos}
        ranked = list(zip(draws, ranks, strict=True))
        for s, size in enumerate(sizes):
            labels['gallery'] = int(size)
            _add_results(results, labels, person_N, ranked, s, resample_counts_RxI)
    return results


def _add_results(
    results: IdentificationResults,
    labels: ResultRow,
    person_N: np.ndarray,
    ranked: Sequence[tuple[GalleryDraw, MateRanks]],
    s: int,
    resample_counts_RxI: np.ndarray,
) -> None:
    """Adds the metrics and curves in galleries of the s-th size, at every level."""
    labels = labels | {'level': 'identity'}
    open_sets = [_open_set(draw, ranks, s) for draw, ranks in ranked]
    results.estimates.extend(_estimates(labels, open_set_rates, open_sets, resample_counts_RxI))
    for level in LEVELS[labels['photos']]:
        labels = labels | {'level': level}
        rank_lists = [_rank_list(person_N, draw, ranks, s, level) for draw, ranks in ranked]
        results.estimates.extend(_estimates(labels, rank_metrics, rank_lists, resample_counts_RxI))
        results.curves.append(_cmc_curve(labels, rank_lists, resample_counts_RxI))


Draw = TypeVar('Draw', RankList, OpenSet)


def _estimates(
    labels: ResultRow,
    metrics_of: Callable[[Draw, np.ndarray], dict[str, np.ndarray]],
    draws: Sequence[Draw],
    resample_counts_RxI: np.ndarray,
) -> Iterator[Estimate]:
    everybody_once_1xI = np.ones((1, resample_counts_RxI.shape[1]))
    by_draw = [metrics_of(draw, everybody_once_1xI) for draw in draws]
    pooled = bootstrap.draws_with_rows(draws, RESAMPLED_PROBES)
    for metric, spread_R in metrics_of(pooled, resample_counts_RxI).items():
        values = [metrics[metric][0] for metrics in by_draw]
        yield protocols.make_estimate(labels, metric, values, spread_R)


def _cmc_curve(
    labels: ResultRow, draws: Sequence[RankList], resample_counts_RxI: np.ndarray
) -> ResultRow:
    everybody_once_1xI = np.ones((1, resample_counts_RxI.shape[1]))
    rate_K = np.mean([cmc(draw, CMC_RANKS, everybody_once_1xI)[0] for draw in draws], axis=0)
    pooled = bootstrap.draws_with_rows(draws, RESAMPLED_PROBES)
    spread_RxK = cmc(pooled, CMC_RANKS, resample_counts_RxI)
    columns = {key: value for key, value in labels.items() if key != 'impostors'}
    return {
        'kind': 'cmc',
        **columns,
        'k': list(CMC_RANKS),
        'rate': protocols.round_curve(rate_K),
        'ci95': protocols.round_curve(bootstrap.percentile_interval(spread_RxK)),
    }

"""Identification: whose photo in a gallery does the text describe?

Galleries hold 100, 1,000 or all people, with one photo of each or with all. A rank is a person's
('identity': by the best of their photos) or a photo's ('image'). At image level the mate is the
described photo in the protocol 'same', and the best of the person's other photos in 'cross', where
the described one is taken out; further photos of that person are neither mates nor competitors.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from jax.sharding import Mesh

from diface_jax.data.prepared import Split, another_photo
from diface_jax.evaluation import bootstrap, protocols, ranking, verification
from diface_jax.evaluation.protocols import Estimate, Repetitions, ResultRow
from diface_jax.evaluation.ranking import GalleryCuts, MateRanks, Probes
from diface_jax.models.features import Features
from diface_jax.runtime import hosts

RANKS = (1, 5, 10, 20, 50, 100)
CMC_RANKS = range(1, 101)
# Open-set: shares of mateless probes that are let in, and ranks that count as a hit.
FPIRS, OPEN_RANKS = (0.01, 0.1), (1, 10)
# As with pairs: more would hardly narrow an interval.
RESAMPLED_PROBES = 10_000
LEVELS = {'one': ('identity',), 'all': ('identity', 'image')}


class IdentificationDraw(NamedTuple):
    """One draw of identification: texts, one photo a person, and each text's person.

    `person_P` and `photo_I` are in the order of the split's identities: person i's photo is
    `photo_I[i]`.
    """

    text_P: np.ndarray
    person_P: np.ndarray
    photo_I: np.ndarray


def draw_identification(
    rng: np.random.Generator, split: Split, texts: np.ndarray, protocol: str
) -> IdentificationDraw:
    """One text a person against one photo a person.

    Args:
      rng: source of the draw.
      split: the split measured on.
      texts: rows of the texts that may be asked.
      protocol: 'same': the gallery holds the described photo; 'cross': another photo of the person.

    Returns:
      The draw; people who cannot be asked (no text, or in cross one photo) are in the gallery only.
    """
    people, index_N = np.unique(split.identity_N, return_inverse=True)
    shuffled = rng.permutation(len(index_N))
    photo_I = np.empty(len(people), int)
    photo_I[index_N[shuffled]] = shuffled
    asked = rng.permutation(texts)
    text_of = np.full(len(people), -1)
    text_of[index_N[split.photo_T[asked]]] = asked
    person_P = np.flatnonzero(text_of >= 0)
    text_P = text_of[person_P]
    described = split.photo_T[text_P]
    mate = described if protocol == 'same' else another_photo(rng, split.identity_N, described)
    photo_I[person_P[mate >= 0]] = mate[mate >= 0]
    return IdentificationDraw(text_P[mate >= 0], person_P[mate >= 0], photo_I)


def split_into_galleries(rng: np.random.Generator, num_people: int, size: int) -> np.ndarray:
    """People shuffled and cut into galleries of `size` that share nobody.

    Args:
      rng: source of the shuffle.
      num_people: how many there are.
      size: people a gallery.

    Returns:
      The number of each person's gallery, [I]; -1 for those left over.
    """
    number_I = np.arange(num_people) // size
    number_I[num_people // size * size :] = -1
    return rng.permutation(number_I)


class _Draw(NamedTuple):
    """A search, the galleries of each size it is made in, and who is enrolled in the open set."""

    search: IdentificationDraw
    number_SxI: np.ndarray
    enrolled_I: np.ndarray


def _draws(
    split: Split, texts: np.ndarray, protocol: str, sizes: Sequence[int], effort: Repetitions
) -> list[_Draw]:
    rng = np.random.default_rng(effort.seed)
    found = []
    for search in [draw_identification(rng, split, texts, protocol) for _ in range(effort.draws)]:
        num_people = len(search.photo_I)
        number_SxI = np.stack([split_into_galleries(rng, num_people, size) for size in sizes])
        enrolled_I = np.ones(num_people, bool)
        enrolled_I[rng.permutation(search.person_P)[: len(search.person_P) // 2]] = False
        found.append(_Draw(search, number_SxI, enrolled_I))
    return found


def _stand(
    features: Features, split: Split, draw: _Draw, protocol: str, photos: str, mesh: Mesh
) -> MateRanks:
    """Ranks of the mates of a draw among 'one' or 'all' photos of each person."""
    search = draw.search
    shown, person_G = search.photo_I, np.arange(len(search.photo_I))
    mate_P = hidden_P = np.full(len(search.text_P), -1)
    if photos == 'all':
        person_G = np.unique(split.identity_N, return_inverse=True)[1]
        shown = np.arange(len(person_G))
        if protocol == 'same':
            mate_P = split.photo_T[search.text_P]
        else:
            hidden_P = split.photo_T[search.text_P]
    probes = Probes(features.text_TxF[search.text_P], search.person_P, mate_P, hidden_P)
    gallery = GalleryCuts(features.photo_NxF[shown], person_G, draw.number_SxI, draw.enrolled_I)
    return ranking.rank_mates(probes, gallery, mesh)


class RankList(NamedTuple):
    """Ranks of mates, out of how many each (itself and its competitors), and whose they are."""

    rank_P: np.ndarray
    among_P: np.ndarray
    who_P: np.ndarray


def cmc(ranks: RankList, first_K: Sequence[int], times_RxI: np.ndarray) -> np.ndarray:
    """Cumulative match characteristic: share of mates among the first k, by resample; [R, K]."""
    return bootstrap.resampled_means(
        ranks.rank_P[:, None] <= np.asarray(first_K), ranks.who_P, times_RxI
    )


def rank_numbers(ranks: RankList, times_RxI: np.ndarray) -> dict[str, np.ndarray]:
    """The numbers of a list of ranks, each by resample; [R].

    'rank@k' is the share of mates among the first k. 'rank_percentile_*' is (rank - 1/2) / G, 1/2
    by chance. 'penetration@0.9' is the least share of the gallery, looked through from the top,
    that holds 90% of the mates.
    """
    percentile_P = (ranks.rank_P - 0.5) / ranks.among_P
    share_P = ranks.rank_P / ranks.among_P
    names = [f'rank@{k}' for k in RANKS]
    return {
        **dict(zip(names, cmc(ranks, RANKS, times_RxI).T, strict=True)),
        'rank_percentile_mean': bootstrap.resampled_means(
            percentile_P[:, None], ranks.who_P, times_RxI
        )[:, 0],
        'rank_percentile_median': bootstrap.resampled_quantiles(
            percentile_P, 0.5, ranks.who_P, times_RxI
        ),
        'penetration@0.9': bootstrap.resampled_quantiles(share_P, 0.9, ranks.who_P, times_RxI),
    }


class OpenSet(NamedTuple):
    """The open set: Q mates that are enrolled, and the best rivals of M probes without a mate."""

    score_Q: np.ndarray
    rank_Q: np.ndarray
    who_Q: np.ndarray
    rival_M: np.ndarray
    who_M: np.ndarray


def open_numbers(found: OpenSet, times_RxI: np.ndarray) -> dict[str, np.ndarray]:
    """Detection and identification rates, each by resample; [R].

    'dir@fpir=f,rank=k' is the share of enrolled mates that are among the first k and above the
    threshold: the least one above which somebody stands for a share f at most of the probes
    without a mate.
    """
    rate_RxKxF = bootstrap.accepted_share(
        found.rival_M + ranking.TIE,
        found.score_Q,
        ((times_I[found.who_M], times_I[found.who_Q]) for times_I in times_RxI),
        FPIRS,
        found.rank_Q <= np.array(OPEN_RANKS)[:, None],
    )
    return {
        f'dir@fpir={fpir:g},rank={rank}': rate_RxKxF[:, k, f]
        for k, rank in enumerate(OPEN_RANKS)
        for f, fpir in enumerate(FPIRS)
    }


def _ranks(person_N: np.ndarray, draw: _Draw, stood: MateRanks, s: int, level: str) -> RankList:
    """Ranks of a draw in galleries of the s-th size, of the people who are in one."""
    number_I = draw.number_SxI[s]
    asked = number_I[draw.search.person_P] >= 0
    who = draw.search.person_P[asked]
    # An image competes with other people's alone.
    counted_N, own_I = person_N, np.bincount(person_N) - 1
    if level == 'identity':
        counted_N, own_I = np.arange(len(number_I)), np.zeros(len(number_I), int)
    number_C = number_I[counted_N]
    among = np.bincount(number_C[number_C >= 0])[number_I[who]] - own_I[who]
    rank_SxP = stood.person_SxP if level == 'identity' else stood.photo_SxP
    return RankList(rank_SxP[s, asked], among, who)


def _open(draw: _Draw, stood: MateRanks, s: int) -> OpenSet:
    """The open set of a draw in galleries of the s-th size."""
    who_P = draw.search.person_P
    asked_P, enrolled_P = draw.number_SxI[s, who_P] >= 0, draw.enrolled_I[who_P]
    mates, strangers = asked_P & enrolled_P, asked_P & ~enrolled_P
    return OpenSet(
        stood.score_P[mates],
        stood.enrolled_SxP[s, mates],
        who_P[mates],
        stood.rival_SxP[s, strangers],
        who_P[strangers],
    )


class IdentificationResults(NamedTuple):
    """Identification metrics and CMC curves."""

    estimates: list[Estimate]
    curves: list[ResultRow]

    @property
    def rows(self) -> list[ResultRow]:
        """The rows of results."""
        return [found.row for found in self.estimates]


def identification_results(
    methods: Mapping[str, Features],
    split: Split,
    track: str,
    texts: np.ndarray,
    galleries: Sequence[int],
    effort: Repetitions,
    mesh: Mesh,
) -> IdentificationResults:
    """Identification metrics of a track: every method, protocol, size and kind of gallery.

    Args:
      methods: features of the split by method.
      split: the split measured on.
      track: which track the texts are of.
      texts: their rows.
      galleries: people a gallery; 0 stands for all. A size larger than that is left out; all
        people are one gallery where no size is left.
      effort: draws and resamples.
      mesh: the devices to score on.

    Returns:
      Estimates and curves; impostors are random ones. In the open set half of the people asked for
      are missing from the very same galleries, which go by their full size.
    """
    person_N = np.unique(split.identity_N, return_inverse=True)[1]
    num_people = person_N.max() + 1
    sizes = sorted({size or num_people for size in galleries if size <= num_people} or {num_people})
    times_RxI = bootstrap.resample_counts(num_people, effort.resamples, effort.seed)
    measured = IdentificationResults([], [])
    tasks = list(itertools.product(verification.PROTOCOLS, LEVELS, methods))
    for protocol, photos, method in hosts.progress(tasks, desc=f'identification, {track}'):
        draws = _draws(split, texts, protocol, sizes, effort)
        stood = [_stand(methods[method], split, d, protocol, photos, mesh) for d in draws]
        condition = protocols.Condition(track, protocol, 'random')
        about = {'method': method, **condition._asdict(), 'photos': photos}
        for s, size in enumerate(sizes):
            found = [_open(*one, s) for one in zip(draws, stood, strict=True)]
            here = about | {'gallery': int(size), 'level': 'identity'}
            measured.estimates.extend(_estimates(here, open_numbers, found, times_RxI))
            for level in LEVELS[photos]:
                here = here | {'level': level}
                found = [_ranks(person_N, *one, s, level) for one in zip(draws, stood, strict=True)]
                measured.estimates.extend(_estimates(here, rank_numbers, found, times_RxI))
                measured.curves.append(_cmc_curve(here, found, times_RxI))
    return measured


Found = TypeVar('Found', RankList, OpenSet)


def _estimates(
    about: ResultRow,
    numbers: Callable[[Found, np.ndarray], dict[str, np.ndarray]],
    draws: Sequence[Found],
    times_RxI: np.ndarray,
) -> Iterator[Estimate]:
    once_1xI = np.ones((1, times_RxI.shape[1]))
    of_draws = [numbers(draw, once_1xI) for draw in draws]
    spread = numbers(bootstrap.draws_with_rows(draws, RESAMPLED_PROBES), times_RxI)
    for metric in spread:
        values = [found[metric][0] for found in of_draws]
        yield protocols.make_estimate(about, metric, values, spread[metric])


def _cmc_curve(about: ResultRow, draws: Sequence[RankList], times_RxI: np.ndarray) -> ResultRow:
    once_1xI = np.ones((1, times_RxI.shape[1]))
    rate_K = np.mean([cmc(draw, CMC_RANKS, once_1xI)[0] for draw in draws], axis=0)
    spread_RxK = cmc(bootstrap.draws_with_rows(draws, RESAMPLED_PROBES), CMC_RANKS, times_RxI)
    curve = {key: value for key, value in about.items() if key != 'impostors'}
    return {'kind': 'cmc', **curve} | {
        'k': list(CMC_RANKS),
        'rate': protocols.round_curve(rate_K),
        'ci95': protocols.round_curve(bootstrap.percentile_interval(spread_RxK)),
    }

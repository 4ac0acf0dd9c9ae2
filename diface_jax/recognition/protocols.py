"""The protocols: every method on the same pairs and galleries, with spread and intervals.

One row a number: method, track, protocol, impostors, metric, gallery, value, sd, ci95. `value` and
`sd` are the mean and standard deviation over draws of pairs (or galleries); `ci95` is a percentile
bootstrap over identities (Efron & Tibshirani 1993, chapter 13) with the draws pooled, as many of
them as make RESAMPLED_PAIRS.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from diface_jax.data.prepared import Split, another_photo
from diface_jax.recognition import identification, verification
from diface_jax.recognition.baselines import Features
from diface_jax.recognition.verification import Pairs

Row = dict[str, Any]
FARS = (0.1, 0.01, 0.001)
RANKS = (1, 5, 10)
# More hardly narrow an interval, since identities are resampled, not pairs, and cost minutes.
RESAMPLED_PAIRS = 40_000


class Condition(NamedTuple):
    """What a verification number is about."""

    track: str
    protocol: str
    impostors: str

    @property
    def name(self) -> str:
        """'grammar/cross/random', a key for thresholds."""
        return '/'.join(self)


class Effort(NamedTuple):
    """How often things are drawn: pairs and galleries, and bootstrap resamples; from one seed."""

    draws: int
    resamples: int
    seed: int


def conditions(tracks: Sequence[str], has_gender: bool) -> list[Condition]:
    """Every protocol and kind of impostor for the tracks; same gender needs its label."""
    kinds = verification.IMPOSTORS if has_gender else verification.IMPOSTORS[:1]
    return [Condition(t, p, i) for t in tracks for p in verification.PROTOCOLS for i in kinds]


def draws_of(
    split: Split,
    texts: np.ndarray,
    condition: Condition,
    gender_N: np.ndarray | None,
    effort: Effort,
) -> list[Pairs]:
    """Draws of pairs for texts (rows of the split), the same for every method."""
    rng = np.random.default_rng(effort.seed)
    owner_T = split.photo_T[texts]
    gender_N = gender_N if condition.impostors == 'same_gender' else None
    drawn = [
        verification.draw_pairs(rng, owner_T, split.identity_N, condition.protocol, gender_N)
        for _ in range(effort.draws)
    ]
    return [pairs._replace(text_P=texts[pairs.text_P]) for pairs in drawn]


def scores(features: Features, pairs: Pairs) -> np.ndarray:
    """The score of each pair; [P]."""
    f_text, f_photo = features.text_TxF[pairs.text_P], features.photo_NxF[pairs.photo_P]
    return np.einsum('pf,pf->p', f_text, f_photo)


def threshold(features: Features, draws: Sequence[Pairs]) -> float:
    """The threshold s of a method, from draws of *validation* pairs."""
    pooled = _pooled(draws)
    curve = verification.roc(scores(features, pooled), pooled.genuine_P)
    return verification.best_threshold(curve)


def verification_rows(
    methods: Mapping[str, Features],
    thresholds: Mapping[str, Mapping[str, float]],
    split: Split,
    draws: Mapping[Condition, Sequence[Pairs]],
    effort: Effort,
) -> Iterator[Row]:
    """Verification rows of all methods under all conditions.

    Args:
      methods: features of the split by method.
      thresholds: by method, then by `Condition.name`, from validation.
      split: the split measured on.
      draws: pairs by condition.
      effort: the bootstrap's.

    Yields:
      One row a number.
    """
    for condition, some in draws.items():
        pooled = _pooled(some[: max(1, RESAMPLED_PAIRS // len(some[0].text_P))])
        weights_RxP = _pair_weights(split, pooled, effort)
        for method, features in methods.items():
            measure = _verification_measure(thresholds[method][condition.name])
            about = {'method': method, **condition._asdict()}
            yield from _pair_rows(about, measure, features, some, pooled, weights_RxP)


Measure = Callable[[np.ndarray, np.ndarray, np.ndarray | None], dict[str, float]]


def _verification_measure(threshold: float) -> Measure:
    def measure(
        score_P: np.ndarray, genuine_P: np.ndarray, weight_P: np.ndarray | None = None
    ) -> dict[str, float]:
        curve = verification.roc(score_P, genuine_P, weight_P)
        return {
            'accuracy': verification.accuracy(score_P, genuine_P, threshold, weight_P),
            'auc': verification.auc(curve),
            'eer': verification.equal_error_rate(curve),
            **{f'tar@far={far:g}': verification.tar_at_far(curve, far) for far in FARS},
        }

    return measure


def _pair_rows(
    about: Row,
    measure: Measure,
    features: Features,
    draws: Sequence[Pairs],
    pooled: Pairs,
    weights_RxP: np.ndarray,
) -> Iterator[Row]:
    of_draws = [measure(scores(features, pairs), pairs.genuine_P, None) for pairs in draws]
    score_P = scores(features, pooled)
    # Sorted once, so that sorting in every resample is a single pass.
    order = np.argsort(-score_P, kind='stable')
    score_P, genuine_P = score_P[order], pooled.genuine_P[order]
    resampled = [measure(score_P, genuine_P, weight_P[order]) for weight_P in weights_RxP]
    for metric in of_draws[0]:
        values = [found[metric] for found in of_draws]
        spread = [found[metric] for found in resampled]
        yield _row(about, metric, None, values, spread)


def _row(
    about: Row, metric: str, gallery: int | None, draws: Sequence[float], spread: Sequence[float]
) -> Row:
    low, high = np.percentile(spread, (2.5, 97.5))
    return about | {
        'metric': metric,
        'gallery': gallery,
        'value': float(np.mean(draws)),
        'sd': float(np.std(draws, ddof=1)) if len(draws) > 1 else 0.0,
        'ci95': [float(low), float(high)],
    }


def _pooled(draws: Sequence[Pairs]) -> Pairs:
    return Pairs(*map(np.concatenate, zip(*draws, strict=True)))


def _resampled_identities(split: Split, effort: Effort) -> np.ndarray:
    """How often each identity is in each bootstrap resample; [R, identities]."""
    rng = np.random.default_rng((effort.seed, effort.resamples))
    count = len(np.unique(split.identity_N))
    return rng.multinomial(count, np.full(count, 1.0 / count), size=effort.resamples)


def _pair_weights(split: Split, pairs: Pairs, effort: Effort) -> np.ndarray:
    """Weight of each pair in each resample: how often its one or two people were drawn; [R, P]."""
    index_N = np.unique(split.identity_N, return_inverse=True)[1]
    times_RxI = _resampled_identities(split, effort).astype(np.float32)
    described = index_N[split.photo_T[pairs.text_P]]
    shown = index_N[pairs.photo_P]
    return times_RxI[:, described] * np.where(pairs.genuine_P, 1.0, times_RxI[:, shown])


class Search(NamedTuple):
    """One draw of identification: texts, one photo a person, and each text's person.

    `person_P` and `photo_G` are in the order of the split's identities: person i's photo is
    `photo_G[i]`.
    """

    text_P: np.ndarray
    person_P: np.ndarray
    photo_G: np.ndarray


def draw_search(rng: np.random.Generator, split: Split, texts: np.ndarray, protocol: str) -> Search:
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
    photo_G = np.empty(len(people), int)
    photo_G[index_N[shuffled]] = shuffled
    asked = rng.permutation(texts)
    text_of = np.full(len(people), -1)
    text_of[index_N[split.photo_T[asked]]] = asked
    person_P = np.flatnonzero(text_of >= 0)
    text_P = text_of[person_P]
    described = split.photo_T[text_P]
    mate = described if protocol == 'same' else another_photo(rng, split.identity_N, described)
    photo_G[person_P[mate >= 0]] = mate[mate >= 0]
    return Search(text_P[mate >= 0], person_P[mate >= 0], photo_G)


def identification_rows(
    methods: Mapping[str, Features],
    split: Split,
    track: str,
    texts: np.ndarray,
    galleries: Sequence[int],
    effort: Effort,
) -> Iterator[Row]:
    """Rank-k rows of all methods in both protocols and all gallery sizes.

    Args:
      methods: features of the split by method.
      split: the split measured on.
      track: which track the texts are of.
      texts: their rows.
      galleries: people a gallery; 0 stands for all. A size larger than that is left out.
      effort: draws and resamples.

    Yields:
      One row a number; impostors are random ones.
    """
    num_people = len(np.unique(split.identity_N))
    sizes = sorted({size or num_people for size in galleries if size <= num_people})
    times_RxI = _resampled_identities(split, effort)
    for protocol in verification.PROTOCOLS:
        rng = np.random.default_rng(effort.seed)
        searches = [draw_search(rng, split, texts, protocol) for _ in range(effort.draws)]
        for size in sizes:
            blocks = [identification.gallery_blocks(rng, num_people, size) for _ in searches]
            for method, features in methods.items():
                about = {'method': method, **Condition(track, protocol, 'random')._asdict()}
                found = [
                    _ranks_in_blocks(features, search, some)
                    for search, some in zip(searches, blocks, strict=True)
                ]
                yield from _rank_rows(about, size, found, times_RxI)


def _ranks_in_blocks(
    features: Features, search: Search, blocks: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of the mates, and whose they are, in galleries of some people each."""
    rank, who = [], []
    for people in blocks:
        asked = np.flatnonzero(np.isin(search.person_P, people))
        column_of = np.empty(len(search.photo_G), int)
        column_of[people] = np.arange(len(people))
        score_PxG = (
            features.text_TxF[search.text_P[asked]] @ features.photo_NxF[search.photo_G[people]].T
        )
        rank.append(identification.ranks(score_PxG, column_of[search.person_P[asked]]))
        who.append(search.person_P[asked])
    return np.concatenate(rank), np.concatenate(who)


def _rank_rows(
    about: Row, size: int, found: Sequence[tuple[np.ndarray, np.ndarray]], times_RxI: np.ndarray
) -> Iterator[Row]:
    rank_P, who_P = (np.concatenate(parts) for parts in zip(*found, strict=True))
    for k in RANKS:
        draws = [identification.rank_k(rank, k) for rank, _ in found]
        hit_P = (rank_P <= k).astype(float)
        weight_RxP = times_RxI[:, who_P]
        spread = weight_RxP @ hit_P / np.maximum(weight_RxP.sum(axis=1), 1)
        yield _row(about, f'rank@{k}', size, draws, spread)

"""Attribute sensitivity: how far the score drops when an attribute is left out or wrong.

The grammar describes a photo twice with the same random numbers, once from all its labels and once
with one label changed, and both sentences are scored against that photo. Other labels stay, also
those that imply the changed one (a beard implies a man).
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from diface_jax.data.grammar import captions
from diface_jax.data.grammar.captions import Caption
from diface_jax.data.prepared import Split
from diface_jax.evaluation import bootstrap
from diface_jax.evaluation.protocols import Repetitions, ResultRow

MIN_PHOTOS = 10

# From P sentences and the rows of P photos to the score of each pair; [P].
Score = Callable[[Sequence[str], np.ndarray], np.ndarray]
Labels = Mapping[str, bool]
# The caption of the true labels, and that of the changed ones.
_CaptionPair = tuple[Caption, Caption]


class _LabelledPhoto(NamedTuple):
    """The row of a photo, the identity in it, and its known labels."""

    row: int
    identity: int
    labels: Labels


class _Trial(NamedTuple):
    """The row of a photo, the sentence of its true labels, and that of the changed ones."""

    photo: int
    true: str
    changed: str


def score_drops(
    split: Split,
    attributes: Sequence[str],
    score: Score,
    impostor_sd: float,
    most_photos: int,
    effort: Repetitions,
) -> list[ResultRow]:
    """Drop of the score when each attribute is left out or wrong.

    Args:
      split: the split that is measured.
      attributes: names of its labels; those that the grammar does not know are skipped.
      score: called once, with all sentences.
      impostor_sd: standard deviation of impostor scores, the unit of `drop_in_sd`.
      most_photos: the largest number of photos for an attribute and change; one for each person.
      effort: its seed draws photos and words, and its resamples give the interval.

    Returns:
      A row for each attribute and change with at least MIN_PHOTOS photos. `change` is 'unsaid' (the
      attribute holds, and the second sentence omits it) or 'wrong' (the second sentence states the
      opposite). `drop` is the mean drop of the score. `ci95` is the interval of `drop_in_sd`, from
      a bootstrap over people.

    Raises:
      ValueError: `impostor_sd` is not positive.
    """
    if not impostor_sd > 0:
        raise ValueError(f'impostor scores must differ to be a unit, but their sd is {impostor_sd}')
    photos = _shuffled_photos(split, attributes, effort.seed)
    trials = {}
    for attribute, change in itertools.product(attributes, _CAPTION_PAIRS):
        usable = _trials(photos, attribute, _CAPTION_PAIRS[change], effort.seed)
        chosen = list(itertools.islice(usable, most_photos))
        if len(chosen) >= MIN_PHOTOS:
            trials[attribute, change] = chosen
    if not trials:
        return []
    drop_T = _drops(list(itertools.chain(*trials.values())), score)
    ends = np.cumsum([len(chosen) for chosen in trials.values()])
    return [
        _row(attribute, change, drop_P, impostor_sd, effort)
        for (attribute, change), drop_P in zip(trials, np.split(drop_T, ends[:-1]), strict=True)
    ]


def _row(
    attribute: str, change: str, drop_P: np.ndarray, impostor_sd: float, effort: Repetitions
) -> ResultRow:
    # Each photo is of another person, so resampling photos resamples people.
    resample_counts_RxP = bootstrap.resample_counts(len(drop_P), effort.resamples, effort.seed)
    mean_R = resample_counts_RxP @ drop_P / len(drop_P)
    return {
        'attribute': attribute,
        'change': change,
        'photos': len(drop_P),
        'drop': float(drop_P.mean()),
        'drop_in_sd': float(drop_P.mean() / impostor_sd),
        'ci95': bootstrap.percentile_interval(mean_R / impostor_sd).tolist(),
    }


def _drops(trials: Sequence[_Trial], score: Score) -> np.ndarray:
    """Score of the true sentence minus that of the changed one, of each trial."""
    pairs = [(trial.true, trial.photo) for trial in trials]
    pairs += [(trial.changed, trial.photo) for trial in trials]
    # The true sentence of a photo serves many attributes: it is scored once.
    distinct = list(dict.fromkeys(pairs))
    sentences, photos = zip(*distinct, strict=True)
    score_of = dict(zip(distinct, score(sentences, np.array(photos)).tolist(), strict=True))
    true_T, changed_T = np.array([score_of[pair] for pair in pairs]).reshape(2, -1)
    return true_T - changed_T


def _shuffled_photos(split: Split, attributes: Sequence[str], seed: int) -> list[_LabelledPhoto]:
    """All photos. One order for all attributes lets them share photos and true sentences."""
    photos = []
    for row in np.random.default_rng(seed).permutation(len(split.file_N)).tolist():
        labels = {
            name: bool(label)
            for name, label in zip(attributes, split.label_NxA[row], strict=True)
            if name in captions.KNOWN_ATTRIBUTES and label >= 0
        }
        photos.append(_LabelledPhoto(row, int(split.identity_N[row]), labels))
    return photos


def _trials(
    photos: Sequence[_LabelledPhoto],
    attribute: str,
    caption_pair: Callable[[Labels, str, tuple[int, int]], _CaptionPair | None],
    seed: int,
) -> Iterator[_Trial]:
    """Trials of an attribute and a change, one for each person that it applies to."""
    seen = set()
    for photo in photos:
        if photo.identity in seen or attribute not in photo.labels:
            continue
        pair = caption_pair(photo.labels, attribute, (seed, photo.row))
        if pair is not None:
            seen.add(photo.identity)
            true, changed = pair
            yield _Trial(photo.row, true.text, changed.text)


def _describe(labels: Labels, seed: tuple[int, int]) -> Caption:
    return captions.describe(labels, np.random.default_rng(seed))


def _unsaid_pair(labels: Labels, attribute: str, seed: tuple[int, int]) -> _CaptionPair | None:
    """With and without a label that holds; None if it does not, or if the caption omits it."""
    if not labels[attribute]:
        return None
    true = _describe(labels, seed)
    if attribute not in true.facts:
        return None
    return true, _describe({name: labels[name] for name in labels if name != attribute}, seed)


def _wrong_pair(labels: Labels, attribute: str, seed: tuple[int, int]) -> _CaptionPair | None:
    """With a label, and with its opposite; None if the grammar does not state the opposite."""
    opposite = not labels[attribute]
    if not captions.CHANCES.get((attribute, opposite)):
        return None
    changed = _describe({**labels, attribute: opposite}, seed)
    if attribute not in changed.facts:
        return None
    return _describe(labels, seed), changed


_CAPTION_PAIRS = {'unsaid': _unsaid_pair, 'wrong': _wrong_pair}

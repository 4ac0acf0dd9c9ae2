"""Attribute sensitivity: how the score drops when an attribute is left out or wrong.

A photo is described twice by the same random numbers, once with all its labels and once with one
of them changed, and both sentences are scored against that photo. What other labels tell of the
changed one (a beard tells of a man) stays told.
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

# From sentences and the row of the photo each is held against, to scores; [P].
Score = Callable[[Sequence[str], np.ndarray], np.ndarray]
Labels = Mapping[str, bool]
_Said = tuple[Caption, Caption]  # the truth, and with the change


class _Face(NamedTuple):
    """A photo (its row), who is in it, and its labels that are known."""

    photo: int
    person: int
    labels: Labels


class _Trial(NamedTuple):
    """A photo (its row), the sentence that tells its labels, and the one with the change."""

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
      split: the split measured on.
      attributes: the names of its labels; those the grammar does not know are left out.
      score: called once, with all sentences.
      impostor_sd: standard deviation of the scores of impostors, the unit of `drop_in_sd`.
      most_photos: photos an attribute and change, at most one of a person.
      effort: its seed draws photos and words, its resamples make the interval.

    Returns:
      A row for each attribute and change with MIN_PHOTOS photos: `change` is 'unsaid' (it holds,
      and the second sentence leaves it out) or 'wrong' (the second sentence says the opposite);
      `drop` is the mean fall of the score; `ci95` is of `drop_in_sd`, a bootstrap over people.

    Raises:
      ValueError: `impostor_sd` is not positive.
    """
    if not impostor_sd > 0:
        raise ValueError(f'impostor scores must differ to be a unit, but their sd is {impostor_sd}')
    faces = _shuffled(split, attributes, effort.seed)
    found = {
        (attribute, change): list(
            itertools.islice(_trials(faces, attribute, pair, effort.seed), most_photos)
        )
        for attribute in attributes
        for change, pair in _PAIRS.items()
    }
    trials = {key: some for key, some in found.items() if len(some) >= MIN_PHOTOS}
    if not trials:
        return []
    drop_T = _drops(list(itertools.chain(*trials.values())), score)
    parts = np.split(drop_T, np.cumsum([len(some) for some in trials.values()])[:-1])
    return [
        _row(attribute, change, drop_P, impostor_sd, effort)
        for (attribute, change), drop_P in zip(trials, parts, strict=True)
    ]


def _row(
    attribute: str, change: str, drop_P: np.ndarray, impostor_sd: float, effort: Repetitions
) -> ResultRow:
    # A photo is a person, so to resample photos is to resample people.
    times_RxP = bootstrap.resample_counts(len(drop_P), effort.resamples, effort.seed)
    mean_R = times_RxP @ drop_P / len(drop_P)
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
    asked = [(trial.true, trial.photo) for trial in trials]
    asked += [(trial.changed, trial.photo) for trial in trials]
    # The true sentence of a photo serves many attributes: it is scored once.
    distinct = list(dict.fromkeys(asked))
    sentences, photos = zip(*distinct, strict=True)
    score_of = dict(zip(distinct, score(sentences, np.array(photos)).tolist(), strict=True))
    true_T, changed_T = np.array([score_of[one] for one in asked]).reshape(2, -1)
    return true_T - changed_T


def _shuffled(split: Split, attributes: Sequence[str], seed: int) -> list[_Face]:
    """All photos. One order for all attributes lets them share photos and true sentences."""
    faces = []
    for photo in np.random.default_rng(seed).permutation(len(split.file_N)).tolist():
        labels = {
            name: bool(label)
            for name, label in zip(attributes, split.label_NxA[photo], strict=True)
            if name in captions.KNOWN_ATTRIBUTES and label >= 0
        }
        faces.append(_Face(photo, int(split.identity_N[photo]), labels))
    return faces


def _trials(
    faces: Sequence[_Face], attribute: str, pair: Callable[..., _Said | None], seed: int
) -> Iterator[_Trial]:
    """Trials of one attribute and change, of as many people."""
    seen = set()
    for face in faces:
        if face.person in seen or attribute not in face.labels:
            continue
        said = pair(face.labels, attribute, (seed, face.photo))
        if said is not None:
            seen.add(face.person)
            yield _Trial(face.photo, *(caption.text for caption in said))


def _say(labels: Labels, seed: tuple[int, int]) -> Caption:
    return captions.describe(labels, np.random.default_rng(seed))


def _unsaid(labels: Labels, attribute: str, seed: tuple[int, int]) -> _Said | None:
    """With and without a label that holds; None where it does not, or the grammar is silent."""
    if not labels[attribute]:
        return None
    true = _say(labels, seed)
    if attribute not in true.facts:
        return None
    return true, _say({name: labels[name] for name in labels if name != attribute}, seed)


def _wrong(labels: Labels, attribute: str, seed: tuple[int, int]) -> _Said | None:
    """The truth, and the opposite of one label; None where the grammar does not say that."""
    opposite = not labels[attribute]
    if not captions.CHANCES.get((attribute, opposite)):
        return None
    changed = _say({**labels, attribute: opposite}, seed)
    if attribute not in changed.facts:
        return None
    return _say(labels, seed), changed


_PAIRS = {'unsaid': _unsaid, 'wrong': _wrong}

"""Checks whether a data set can be trained on and evaluated, from its reader alone.

Nothing is embedded, so that a fault that would stop a run after hours is known in seconds. Photos
without a detectable face are known only after the embedding, so slightly fewer may remain.
"""

import collections
import pathlib
from collections.abc import Callable, Mapping, Sequence

import ml_collections
from absl import logging

from diface_jax.data.grammar.captions import KNOWN_ATTRIBUTES
from diface_jax.data.readers.dispatch import read_section
from diface_jax.data.readers.records import SPLITS, DataSet, Photo, Problem
from diface_jax.encoders.face.appearance import MAX_PHOTOS
from diface_jax.encoders.face.encoder import encoder_names
from diface_jax.runtime import hosts
from diface_jax.runtime.settings import (
    APPEARANCE,
    CaptionsSettings,
    DataSettings,
    TrainSettings,
)
from diface_jax.runtime.terminal import printable

_FIRST_PROBLEMS = 3
_KINDS = {
    'photo': 'photos left out',
    'labels': 'labels missing',
    'captions': 'captions not used',
    'list': 'faults of lists',
}


def run_check(config: ml_collections.ConfigDict) -> int:
    """Prints what the data sets of a config contain, and whether they can be used.

    Args:
      config: all settings; `second_data` and `evaluate.data` are checked where they have a root.

    Returns:
      The exit code: 0 if the model can be trained on them, 1 if not.

    Raises:
      OSError: a data set, or a file that its layout needs, is missing.
      ValueError: no root is given, or a data set contradicts itself.
    """
    source = read_section(config.data, config.simulated)
    reasons = _reasons_not_to_train(source, config)
    print('\n'.join(describe_data_set(source, config.captions, config.data.root)))
    _print_verdict('can be trained', reasons)
    _print_verdict('can be evaluated', reasons_not_to_evaluate(source, config.captions))
    if config.second_data.root:
        second = read_section(config.second_data, config.simulated)
        reasons_of_second = reasons_not_to_join(second, config.captions, config.train)
        lines = describe_data_set(second, config.captions, config.second_data.root)
        print('\n'.join(['', *lines]))
        _print_verdict('can be trained on together with the first', reasons_of_second)
        reasons = [*reasons, *reasons_of_second]
    if config.evaluate.data.root:
        # The second data set keeps its own split, as in an evaluation.
        is_second = _is_same_folder(config.evaluate.data.root, config.second_data.root)
        data = config.second_data if is_second else config.evaluate.data
        test_data = read_section(data, config.simulated)
        lines = describe_data_set(test_data, config.captions, config.evaluate.data.root)
        print('\n'.join(['', *lines]))
        _print_verdict('can be evaluated', reasons_not_to_evaluate(test_data, config.captions))
    return 1 if reasons else 0


def require_trainable(config: ml_collections.ConfigDict) -> None:
    """Makes sure that a model can be trained on the data sets of a config; logs their problems.

    Raises:
      OSError: a data set, or a file that its layout needs, is missing.
      ValueError: they cannot be trained on; gives every reason.
    """
    source = read_section(config.data, config.simulated)
    log_problems(source)
    _require(config.data.root, 'trained', _reasons_not_to_train(source, config))
    for reason in reasons_not_to_evaluate(source, config.captions):
        logging.warning('prepare: %s cannot be evaluated: %s', config.data.root, reason)
    if config.second_data.root:
        second = read_section(config.second_data, config.simulated)
        log_problems(second)
        reasons = reasons_not_to_join(second, config.captions, config.train)
        _require(config.second_data.root, 'trained', reasons)


def require_evaluable(config: ml_collections.ConfigDict, data: DataSettings) -> None:
    """Makes sure that a model can be evaluated on a data set; logs its problems.

    Args:
      config: all settings; read are `captions` and `simulated`.
      data: the data set.

    Raises:
      OSError: the data set, or a file that its layout needs, is missing.
      ValueError: it cannot be evaluated on; gives every reason.
    """
    source = read_section(data, config.simulated)
    log_problems(source)
    _require(data.root, 'evaluated', reasons_not_to_evaluate(source, config.captions))


def _require(root: str, use: str, reasons: Sequence[str]) -> None:
    if reasons:
        raise ValueError(f'{root} cannot be {use}: ' + '; '.join(reasons))


def _reasons_not_to_train(source: DataSet, config: ml_collections.ConfigDict) -> list[str]:
    has_appearance = APPEARANCE in encoder_names(config.encoders)
    appearance_dim = config.encoders.appearance_dim if has_appearance else 0
    return reasons_not_to_train(source, config.captions, config.train, appearance_dim)


def describe_data_set(source: DataSet, settings: CaptionsSettings, root: str) -> list[str]:
    """Lines about a data set: photos, people, labels, sentences, splits and problems."""
    photos = source.photos
    rows = [
        ('data set', f'{source.name} in {printable(str(root))}'),
        ('photos', _by_split(photos, len)),
        ('people', _by_split(photos, count_people)),
        ('labels', _describe_labels(photos)),
        ('sentences', _describe_sentences(photos, settings)),
        ('problems', describe_problems(source.problems) or 'none'),
    ]
    return [f'{name:<10} {value}' for name, value in rows]


def describe_problems(problems: Sequence[Problem]) -> str:
    """Counts by kind and the first three reasons, in one line; '' if there is no problem."""
    if not problems:
        return ''
    counts = collections.Counter(problem.kind for problem in problems)
    counted = ', '.join(f'{counts[kind]:,} {name}' for kind, name in _KINDS.items() if counts[kind])
    first = '; '.join(
        _short(printable(f'{problem.file}: {problem.reason}'), 200)
        for problem in problems[:_FIRST_PROBLEMS]
    )
    more = len(problems) - _FIRST_PROBLEMS
    return f'{counted}: {first}' + (f'; and {more:,} more' if more > 0 else '')


def log_problems(source: DataSet) -> None:
    """Logs the problems of a reader, if any: counts and the first three reasons."""
    if source.problems and hosts.is_first():
        logging.warning('%s: %s', source.name, describe_problems(source.problems))


def log_failures(failures: Sequence[Mapping[str, str]]) -> None:
    """Logs which photos have no embedding, if any: how many and the first three reasons.

    Args:
      failures: `file` and `why` of each, as in a data card.
    """
    if failures and hosts.is_first():
        problems = [Problem(failure['file'], failure['why']) for failure in failures]
        logging.warning('without an embedding: %s', describe_problems(problems))


def reasons_not_to_train(
    source: DataSet, captions: CaptionsSettings, train: TrainSettings, appearance_dim: int
) -> list[str]:
    """Why a model cannot be trained on a data set; empty if it can be.

    Args:
      source: the data set.
      captions: how many sentences the grammar writes.
      train: batch size, and the share of free-hand sentences.
      appearance_dim: components of the appearance encoder; 0 where there is none.
    """
    if reasons := _reasons_of_any_use(source):
        return reasons
    photos = _of_split(source, 'train')
    return [
        *_reasons_of_training_photos(photos, captions, train, 'data.shares'),
        *_reasons_of_appearance(source, len(photos), appearance_dim),
        *_reasons_of_pairs(source, 'validation', captions),
    ]


def reasons_not_to_join(
    source: DataSet, captions: CaptionsSettings, train: TrainSettings
) -> list[str]:
    """Why a data set cannot be trained on together with the first one; empty if it can be."""
    return _reasons_of_any_use(source) or _reasons_of_training_photos(
        _of_split(source, 'train'), captions, train, 'second_data.shares'
    )


def reasons_not_to_evaluate(source: DataSet, captions: CaptionsSettings) -> list[str]:
    """Why a model cannot be evaluated on a data set; empty if it can be."""
    return _reasons_of_any_use(source) or _reasons_of_pairs(source, 'test', captions)


def count_people(photos: Sequence[Photo]) -> int:
    """The number of people in photos."""
    return len({photo.identity for photo in photos})


def _reasons_of_any_use(source: DataSet) -> list[str]:
    if not source.photos:
        return [f'no photo can be used: {describe_problems(source.problems) or "there is none"}']
    if count_people(source.photos) == 1:
        return [_reason_of_one_person(source)]
    attributes = {name for photo in source.photos for name in photo.labels or ()}
    if unknown := ', '.join(map(repr, sorted(attributes - KNOWN_ATTRIBUTES))):
        return [
            f'the grammar knows no attribute {_short(unknown, 200)}: remove it from '
            "the labels (it knows CelebA's 40 and LFWA+'s 73)"
        ]
    if not any(photo.labels or photo.descriptions for photo in source.photos):
        return [
            'no photo has labels or a sentence: write some into captions.csv (file,caption), or '
            'add the label lists of the data set'
        ]
    return []


def _reason_of_one_person(source: DataSet) -> str:
    person = source.photos[0].identity
    folders = {photo.file.rpartition('/')[0] for photo in source.photos}
    hint = ''
    if source.name == 'folder' and len(folders) > 1:
        hint = f'. If the folders in {printable(person)} are people, set the root to that folder'
    return (
        f'all {len(source.photos)} photos are of one person ({printable(person)}), and faces can '
        f'only be told apart where there are several{hint}'
    )


def _reasons_of_training_photos(
    photos: Sequence[Photo], captions: CaptionsSettings, train: TrainSettings, shares_key: str
) -> list[str]:
    if not photos:
        return [f'no photo to train on: give {shares_key} a share for train']
    described = sum(_has_training_sentence(photo, captions, train) for photo in photos)
    if described < train.batch_size:
        return [
            f'{described} training photos have labels or a sentence, fewer than train.batch_size='
            f'{train.batch_size}: choose a smaller batch, or describe more photos'
        ]
    return []


def _has_training_sentence(photo: Photo, captions: CaptionsSettings, train: TrainSettings) -> bool:
    from_labels = bool(photo.labels) and captions.full + captions.partial > 0
    return from_labels or (bool(photo.descriptions) and train.human_share > 0)


def _reasons_of_appearance(source: DataSet, train_photos: int, appearance_dim: int) -> list[str]:
    usable = min(train_photos, MAX_PHOTOS)
    if source.embedded or appearance_dim <= usable:
        return []
    return [
        f'encoders.appearance_dim={appearance_dim} components need as many training photos, and '
        f'{usable} can be used: lower it, or leave the appearance out with 0'
    ]


def _reasons_of_pairs(source: DataSet, split: str, captions: CaptionsSettings) -> list[str]:
    """Why the pairs of sentences and photos of both protocols cannot be drawn from a split."""
    photos = _of_split(source, split)
    if not photos:
        return [
            f'no {split} photo: give {split} a share, or draw the split with another split_seed'
        ]
    tracks = {
        'labels': [p for p in photos if p.labels and len(captions.coverage)],
        'sentences': [p for p in photos if p.descriptions],
    }
    tracks = {track: described for track, described in tracks.items() if described}
    if not tracks:
        return [f'no {split} photo has labels or a sentence']
    if count_people(photos) < 2:
        return [f'the {split} split has one person, and needs several: give it a larger share']
    return [
        reason
        for track, described in tracks.items()
        if (reason := _reason_of_track(split, track, photos, described))
    ]


def _reason_of_track(
    split: str, track: str, photos: Sequence[Photo], described: Sequence[Photo]
) -> str | None:
    count = collections.Counter(photo.identity for photo in photos)
    with_another = [photo for photo in described if count[photo.identity] > 1]
    if not with_another:
        return (
            f'no person with {track} in the {split} split has a second photo, which the cross '
            'protocol compares with: add photos of the same people, or give it a larger share'
        )
    if not any('Male' in (photo.labels or ()) for photo in photos):
        return None
    people = collections.defaultdict(set)
    for photo in photos:
        people[_gender(photo)].add(photo.identity)
    if all(len(people[_gender(photo)]) < 2 for photo in with_another):
        return (
            f'nobody with {track} in the {split} split can be compared with another person of the '
            'same gender: add people, or give it a larger share'
        )
    return None


def _gender(photo: Photo) -> bool | None:
    return (photo.labels or {}).get('Male')


def _of_split(source: DataSet, split: str) -> list[Photo]:
    return [photo for photo in source.photos if photo.split == split]


def _by_split(photos: Sequence[Photo], count: Callable[[Sequence[Photo]], int]) -> str:
    of_splits = ', '.join(
        f'{split} {count([photo for photo in photos if photo.split == split]):,}'
        for split in SPLITS
    )
    return f'{count(photos):,} ({of_splits})'


def _describe_labels(photos: Sequence[Photo]) -> str:
    attributes = sorted({name for photo in photos for name in photo.labels or ()})
    if not attributes:
        return 'none'
    labelled = sum(bool(photo.labels) for photo in photos)
    names = _short(printable(', '.join(attributes)), 1500)
    return f'{len(attributes)} attributes of {labelled:,} photos: {names}'


def _describe_sentences(photos: Sequence[Photo], settings: CaptionsSettings) -> str:
    written = sum(len(photo.descriptions) for photo in photos)
    described = sum(bool(photo.descriptions) for photo in photos)
    text = f'{written:,} written about {described:,} photos'
    if any(photo.labels for photo in photos):
        train = settings.full + settings.partial
        text += f'; from labels: {train} per training photo, {len(settings.coverage)} per other'
    return text


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f'{text[:length]}...'


def _is_same_folder(first: str, second: str) -> bool:
    return bool(second) and pathlib.Path(first).resolve() == pathlib.Path(second).resolve()


def _print_verdict(use: str, reasons: Sequence[str]) -> None:
    print(f'{use}: {"no" if reasons else "yes"}')
    for reason in reasons:
        print(f'  {reason}')

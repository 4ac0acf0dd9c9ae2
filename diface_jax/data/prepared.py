"""A prepared data set, on disk and in memory: embeddings, text conditions and identities.

On disk it is a TFDS data set in ArrayRecord files, with a row for each photo, and a data card.
"""

import dataclasses
import functools
import itertools
import json
import pathlib
import shutil
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from diface_jax.data.identity_index import IdentityIndex
from diface_jax.data.observations import Observations
from diface_jax.data.readers.records import SPLITS
from diface_jax.runtime import run_state

TRACKS = ('grammar', 'human', 'style')
CARD = 'data_card.json'
BUILDING = '.new'  # suffix of a folder that is not complete yet
_ROWS = 'rows'
_OBSERVED = ('observed', 'quality', 'face_px')  # the columns of Observations


class PreparedPhoto(NamedTuple):
    """A photo as it is stored; fields as in `Split`, with the M texts of this photo."""

    file: str
    identity: int
    embedding: np.ndarray
    labels: np.ndarray
    captions: list[str]
    tracks: np.ndarray
    said: np.ndarray
    conditions: np.ndarray
    sha256: str = ''
    observations: Observations | None = None


@dataclasses.dataclass(frozen=True)
class Split:
    """Photos (N rows) and the texts that describe them (T rows, in the photos' order).

    Attributes:
      file_N: path of each photo, relative to the data set's root.
      identity_N: number of the person in it, the same in every split.
      embedding_NxD: raw output of the face encoder E, float32.
      label_NxA: attributes: 1, 0, or -1 for unknown.
      photo_T: row of the photo that a text describes.
      track_T: index into TRACKS: 0 for the grammar's sentences, 1 for free-hand ones, 2 for
        free-hand ones in voices that are never trained on.
      coverage_T: chance of each label to be mentioned by the grammar; nan for free-hand sentences.
      text_T: the sentences.
      c_TxC: their conditions, from the text encoder, float32.
      starts: first row of the photos of each data set, where several are joined.
      sha256_N: of each photo's content, as from `photo_hashes`; None where it is unknown.
      observations: of L degraded copies of each photo, [N, L, ...]; None if it was prepared
        without.
    """

    file_N: np.ndarray
    identity_N: np.ndarray
    embedding_NxD: np.ndarray
    label_NxA: np.ndarray
    photo_T: np.ndarray
    track_T: np.ndarray
    coverage_T: np.ndarray
    text_T: np.ndarray
    c_TxC: np.ndarray
    starts: tuple[int, ...] = (0,)
    sha256_N: np.ndarray | None = None
    observations: Observations | None = None

    def texts(self, track: str, coverage: float | None = None) -> np.ndarray:
        """Rows of the texts of a track; with `coverage`, of those with that coverage."""
        in_track_T = self.track_T == TRACKS.index(track)
        if coverage is None:
            return np.flatnonzero(in_track_T)
        return np.flatnonzero(in_track_T & np.isclose(self.coverage_T, coverage))

    def tracks(self, coverages: Sequence[float]) -> dict[str, np.ndarray]:
        """Rows of the texts to evaluate on, by track.

        Args:
          coverages: of the grammar's sentences; those of each coverage are a track of their own.

        Returns:
          Rows by name: 'grammar-100' (all attributes may be mentioned), 'grammar-50', ...,
          'human', 'style'. A track without texts is left out.
        """
        rows = {
            f'grammar-{100 * coverage:g}': self.texts('grammar', coverage) for coverage in coverages
        }
        rows |= {track: self.texts(track) for track in ('human', 'style')}
        return {track: texts for track, texts in rows.items() if len(texts)}


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A prepared data set: its splits by name, the names of its attributes, and its data card."""

    splits: dict[str, Split]
    attributes: tuple[str, ...]
    card: dict[str, Any]

    def labels(self, split: str, attributes: Sequence[str]) -> np.ndarray:
        """Labels of a split's photos: 1, 0, or -1 for unknown; [N, len(attributes)]."""
        columns = [self.attributes.index(name) for name in attributes]
        return self.splits[split].label_NxA[:, columns]

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths of the parts of an embedding, one for each face encoder."""
        return tuple(encoder['width'] for encoder in self.card['encoders']['face'])

    def gender(self, split: str) -> np.ndarray | None:
        """The label 'Male' of a split's photos: 1, 0 or -1; None if it was not labelled."""
        return self.labels(split, ['Male'])[:, 0] if 'Male' in self.attributes else None


def join(first: Prepared, second: Prepared) -> Prepared:
    """Adds the training photos of a second data set to those of the first.

    Args:
      first: its validation and test splits and its attributes are kept. An attribute that the
        second data set lacks is unknown for the photos of that one.
      second: prepared with the encoders of the first; of other people.

    Raises:
      SettingsDifferError: the second was prepared with other encoders.
      ValueError: the second has no photo to train on, or photos that are in the first too.
    """
    run_state.require_same_settings(
        f'The second data set ({second.card["name"]})',
        second.card['encoders'],
        first.card['encoders'],
        instead='Prepare it again with the encoders of the first: --mode=prepare --overwrite.',
    )
    if 'train' not in second.splits:
        raise ValueError(
            f'{second.card["name"]} has no photo to train on: give second_data.shares a share for '
            'train'
        )
    _require_no_shared_photos(first, second)
    train = _join_rows(first.splits['train'], _renumbered_training_split(first, second))
    settings = {**first.card['settings'], 'second_data': second.card['settings']}
    card = {**first.card, 'settings': settings, 'splits': _joined_counts(first.card, second.card)}
    return Prepared({**first.splits, 'train': train}, first.attributes, card)


def _renumbered_training_split(first: Prepared, second: Prepared) -> Split:
    """The second training split, with numbers and columns that continue those of the first."""
    split = second.splits['train']
    label_NxA = np.full((len(split.file_N), len(first.attributes)), -1, np.int8)
    for column, name in enumerate(first.attributes):
        if name in second.attributes:
            label_NxA[:, column] = second.labels('train', [name])[:, 0]
    first_identity = 1 + max(split.identity_N.max() for split in first.splits.values())
    return dataclasses.replace(
        split,
        identity_N=split.identity_N + first_identity,
        label_NxA=label_NxA,
        photo_T=split.photo_T + len(first.splits['train'].file_N),
    )


def _join_rows(first: Split, second: Split) -> Split:
    columns = {}
    for field in dataclasses.fields(Split):
        parts = getattr(first, field.name), getattr(second, field.name)
        if field.name == 'starts' or any(part is None for part in parts):
            continue
        if field.name == 'observations':
            columns[field.name] = Observations(*map(np.concatenate, zip(*parts, strict=True)))
        else:
            columns[field.name] = np.concatenate(parts)
    return Split(**columns, starts=(0, len(first.file_N)))


def _require_no_shared_photos(first: Prepared, second: Prepared) -> None:
    """Raises ValueError if training photos of the second are in the first, maybe in its test."""
    train = second.splits['train']
    hashes = [split.sha256_N for split in first.splits.values()]
    if train.sha256_N is None or any(sha256_N is None for sha256_N in hashes):
        logging.warning(
            'a data set was prepared by an earlier version, so the two data sets cannot be checked '
            'for shared photos: prepare it again with --mode=prepare --overwrite'
        )
        return
    shared_N = shared_photos(train.sha256_N, hashes)
    if shared_N.any():
        raise ValueError(
            f'{shared_N.sum()} of {len(shared_N)} photos that the second data set '
            f'({second.card["name"]}) has for training, of '
            f'{len(np.unique(train.identity_N[shared_N]))} people, are in the first data set too '
            f'(such as {", ".join(train.file_N[shared_N][:3])}): take these people out of one'
        )


def shared_photos(sha256_N: np.ndarray, hashes: Iterable[np.ndarray]) -> np.ndarray:
    """Whether each photo, by the hash of its content, is among other photos; bool [N].

    Args:
      sha256_N: hashes of the photos; '' is shared with none.
      hashes: those of the other photos, in one or more arrays.
    """
    return np.isin(sha256_N, np.concatenate(list(hashes))) & (sha256_N != '')


def _joined_counts(first: dict[str, Any], second: dict[str, Any]) -> dict[str, dict[str, int]]:
    added = second['splits']['train']
    train = {name: count + added[name] for name, count in first['splits']['train'].items()}
    return {**first['splits'], 'train': train}


def another_photo(
    rng: np.random.Generator, identity_N: np.ndarray, photo_P: np.ndarray
) -> np.ndarray:
    """For each photo, another one of the same identity, drawn uniformly; -1 if there is none."""
    return IdentityIndex(identity_N).another_photo(rng, photo_P)


def write_prepared(
    folder: pathlib.Path, rows: Iterable[tuple[str, PreparedPhoto]], splits: Sequence[str]
) -> None:
    """Writes rows of (split, row) as a TFDS data set in ArrayRecord files.

    Args:
      folder: of the data set; existing rows are replaced once all new ones are written.
      rows: at least one.
      splits: names of the splits that have rows.
    """
    tfds = _tfds()
    rows = iter(rows)
    first = next(rows)
    building = folder / f'{_ROWS}.building'
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    info = tfds.core.DatasetInfo(
        builder=tfds.core.dataset_info.DatasetIdentity(
            name='faces', version=tfds.core.Version('1.0.0'), data_dir=str(building), module_name=''
        ),
        description='Face embeddings, sentences and conditions, one row a photo.',
        features=_features(tfds, first[1]),
    )
    writer = tfds.core.SequentialWriter(info, 20_000, file_format='array_record')
    writer.initialize_splits(list(splits))
    # Each call rewrites the metadata, so rows are added in batches.
    for batch in _batched(itertools.chain([first], rows), 500):
        by_split = {
            name: [_stored(row) for split, row in batch if split == name] for name in splits
        }
        writer.add_examples(by_split)
    writer.close_all()
    shutil.rmtree(folder / _ROWS, ignore_errors=True)
    building.rename(folder / _ROWS)


def _stored(row: PreparedPhoto) -> dict[str, Any]:
    """A row by the names of `_features`."""
    columns = row._asdict()
    observations = columns.pop('observations')
    return columns | (dict(zip(_OBSERVED, observations, strict=True)) if observations else {})


def _batched(rows: Iterable, size: int) -> Iterable[list]:
    rows = iter(rows)
    return iter(lambda: list(itertools.islice(rows, size)), [])


def _tfds() -> Any:
    """TFDS, imported late: it takes a second that `--help` need not wait for."""
    import tensorflow_datasets

    return tensorflow_datasets


def _features(tfds: Any, row: PreparedPhoto) -> Any:
    # Writing tensors as bytes is three times as fast.
    tensor = functools.partial(tfds.features.Tensor, encoding='bytes')
    width = row.conditions.shape[1]
    observed = {}
    if row.observations:
        observed = {
            name: tensor(shape=(None, *column.shape[1:]), dtype=column.dtype)
            for name, column in zip(_OBSERVED, row.observations, strict=True)
        }
    return tfds.features.FeaturesDict(
        {
            'file': tfds.features.Text(),
            'sha256': tfds.features.Text(),
            'identity': np.int32,
            'embedding': tensor(shape=row.embedding.shape, dtype=np.float32),
            'labels': tensor(shape=row.labels.shape, dtype=np.int8),
            'captions': tfds.features.Sequence(tfds.features.Text()),
            'tracks': tensor(shape=(None,), dtype=np.int8),
            'said': tensor(shape=(None,), dtype=np.float32),
            # Half the size of float32; the rounding is below the text encoder's own noise.
            'conditions': tensor(shape=(None, width), dtype=np.float16),
            **observed,
        }
    )


def load_prepared(folder: pathlib.Path) -> Prepared:
    """Reads a prepared data set into memory.

    Args:
      folder: as `prepare` returned it.

    Raises:
      FileNotFoundError: there is no complete data set; says how to prepare it.
    """
    card = read_card(folder)
    source = _tfds().builder_from_directory(folder / _ROWS).as_data_source()
    splits = {
        name: _split(source[name].__getitems__(range(len(source[name]))), card)
        for name in SPLITS
        if card['splits'][name]['photos']
    }
    return Prepared(splits, tuple(card['attributes']), card)


def read_card(folder: pathlib.Path) -> dict[str, Any]:
    """The data card of a prepared data set.

    Raises:
      FileNotFoundError: there is none; says how to prepare the data set.
      ValueError: it is damaged; says what to do.
    """
    path = folder / CARD
    if not path.is_file():
        raise FileNotFoundError(f'no prepared data set in {folder}: run --mode=prepare first')
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(
            f'{path} is damaged ({error}): remove {folder}, and run --mode=prepare again'
        ) from error


def root_of(card: dict[str, Any]) -> str:
    """The folder of the photos when the data set was prepared or last used."""
    return card.get('root') or card['settings'].get('data', {}).get('root', '')


def _split(rows: list[dict[str, Any]], card: dict[str, Any]) -> Split:
    count = [len(row['tracks']) for row in rows]
    width = card['encoders']['text']['width']
    has_hashes = all(row.get('sha256') for row in rows)
    return Split(
        file_N=np.array([row['file'].decode() for row in rows]),
        identity_N=np.array([row['identity'] for row in rows], np.int32),
        embedding_NxD=np.stack([row['embedding'] for row in rows]),
        label_NxA=np.stack([row['labels'] for row in rows]),
        photo_T=np.repeat(np.arange(len(rows), dtype=np.int32), count),
        track_T=np.concatenate([row['tracks'] for row in rows]),
        coverage_T=np.concatenate([row['said'] for row in rows]),
        text_T=np.array([text.decode() for row in rows for text in row['captions']], object),
        c_TxC=np.concatenate(
            [row['conditions'].reshape(-1, width) for row in rows], dtype=np.float32
        ),
        sha256_N=np.array([row['sha256'].decode() for row in rows]) if has_hashes else None,
        observations=_observations(rows),
    )


def _observations(rows: list[dict[str, Any]]) -> Observations | None:
    if _OBSERVED[0] not in rows[0]:
        return None
    # The copies of a photo come back in one row.
    face_px_NxL = np.stack([row['face_px'].reshape(-1) for row in rows])
    observed_NxLxD, quality_NxLxQ = (
        np.stack([row[name].reshape(face_px_NxL.shape[1], -1) for row in rows])
        for name in _OBSERVED[:2]
    )
    return Observations(observed_NxLxD, quality_NxLxQ, face_px_NxL)


def card_summary(card: dict[str, Any]) -> str:
    """The counts of a data card in one line."""
    splits = '; '.join(
        f'{name}: ' + ', '.join(f'{count} {unit}' for unit, count in counts.items())
        for name, counts in card['splits'].items()
    )
    return f'{splits}; {len(card["no_embedding"])} photos without an embedding'

"""A prepared data set, on disk and in memory: embeddings, conditions, and who is who.

On disk it is a TFDS data set in ArrayRecord files, one row a photo, with a data card beside it.
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
from diface_jax.data.readers.records import SPLITS
from diface_jax.runtime import run_state

TRACKS = ('grammar', 'human')
CARD = 'data_card.json'
BUILDING = '.new'  # ends the name of a folder that is not complete yet
_ROWS = 'rows'


class PreparedPhoto(NamedTuple):
    """One photo as it is stored; fields as in `Split`, with the M texts of this photo."""

    file: str
    identity: int
    embedding: np.ndarray
    labels: np.ndarray
    captions: list[str]
    tracks: np.ndarray
    said: np.ndarray
    conditions: np.ndarray
    sha256: str = ''


@dataclasses.dataclass(frozen=True)
class Split:
    """Photos (N rows) and the texts that describe them (T rows, in the photos' order).

    Attributes:
      file_N: where each photo was, relative to the data set's root.
      identity_N: who is in it; a number that stands for the same person in every split.
      embedding_NxD: raw output of the face encoder E.
      label_NxA: attributes, 1, 0 or -1 for unknown.
      photo_T: the photo a text describes.
      track_T: 0 for the grammar's sentences, 1 for the human track: an index into TRACKS.
      said_T: share of the attributes the grammar was allowed to say; nan for the human track.
      text_T: the sentences.
      c_TxC: their conditions, from the text encoder.
      starts: the row at which the photos of each data set begin, where several are joined.
      sha256_N: of each photo's content, as `photo_hashes` gives it; None where it is not known.
    """

    file_N: np.ndarray
    identity_N: np.ndarray
    embedding_NxD: np.ndarray
    label_NxA: np.ndarray
    photo_T: np.ndarray
    track_T: np.ndarray
    said_T: np.ndarray
    text_T: np.ndarray
    c_TxC: np.ndarray
    starts: tuple[int, ...] = (0,)
    sha256_N: np.ndarray | None = None

    def texts(self, track: str, said: float | None = None) -> np.ndarray:
        """Rows of the texts of a track, and for the grammar of a share said when one is given."""
        chosen = self.track_T == TRACKS.index(track)
        return np.flatnonzero(chosen if said is None else chosen & np.isclose(self.said_T, said))

    def tracks(self, said: Sequence[float]) -> dict[str, np.ndarray]:
        """Text rows to measure by, of each track there is.

        Args:
          said: shares of the attributes said; grammar sentences at each are a track of their own.

        Returns:
          Rows by name: 'grammar-100' (all attributes may be said), 'grammar-50', ..., 'human'.
        """
        rows = {f'grammar-{100 * share:g}': self.texts('grammar', share) for share in said}
        rows['human'] = self.texts('human')
        return {track: some for track, some in rows.items() if len(some)}


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A prepared data set: its splits by name, the names of its attributes, and its data card."""

    splits: dict[str, Split]
    attributes: tuple[str, ...]
    card: dict[str, Any]

    def labels(self, split: str, attributes: Sequence[str]) -> np.ndarray:
        """Some attributes of a split's photos, 1, 0 or -1 for unknown; [N, len(attributes)]."""
        columns = [self.attributes.index(name) for name in attributes]
        return self.splits[split].label_NxA[:, columns]

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths of the parts of an embedding, one for each face encoder."""
        return tuple(one['width'] for one in self.card['encoders']['face'])

    def gender(self, split: str) -> np.ndarray | None:
        """The label 'Male' of a split's photos, 1, 0 or -1; None where nobody labelled it."""
        return self.labels(split, ['Male'])[:, 0] if 'Male' in self.attributes else None


def join(home: Prepared, other: Prepared) -> Prepared:
    """`home`, with the training photos of another data set among its own.

    Args:
      home: whose validation and test splits, and whose attributes, stay as they are; an attribute
        that only it has is unknown of the other's photos.
      other: prepared with the encoders of `home`, and of other people.

    Raises:
      SettingsDifferError: it was prepared with other encoders.
      ValueError: it has no photo to train on, or photos that are in `home` too.
    """
    run_state.require_same_settings(
        f'The second data set ({other.card["name"]})',
        other.card['encoders'],
        home.card['encoders'],
        instead='Prepare it again with the encoders of the first: --mode=prepare --overwrite.',
    )
    if 'train' not in other.splits:
        raise ValueError(
            f'{other.card["name"]} has no photo to train on: give second_data.shares some'
        )
    _check_apart(home, other)
    taken = 1 + max(split.identity_N.max() for split in home.splits.values())
    mine, theirs = home.splits['train'], other.splits['train']
    label_NxA = np.full((len(theirs.file_N), len(home.attributes)), -1, np.int8)
    for column, name in enumerate(home.attributes):
        if name in other.attributes:
            label_NxA[:, column] = other.labels('train', [name])[:, 0]
    theirs = dataclasses.replace(
        theirs,
        identity_N=theirs.identity_N + taken,
        label_NxA=label_NxA,
        photo_T=theirs.photo_T + len(mine.file_N),
    )
    pairs = {
        field.name: (getattr(mine, field.name), getattr(theirs, field.name))
        for field in dataclasses.fields(Split)
        if field.name != 'starts'
    }
    rows = {
        name: np.concatenate(both)
        for name, both in pairs.items()
        if all(values is not None for values in both)
    }
    train = Split(**rows, starts=(0, len(mine.file_N)))
    settings = home.card['settings'] | {'second_data': other.card['settings']}
    card = home.card | {'settings': settings, 'splits': _counts_joined(home.card, other.card)}
    return Prepared(home.splits | {'train': train}, home.attributes, card)


def _check_apart(home: Prepared, other: Prepared) -> None:
    """Raises ValueError if photos to train on are in `home` too, where they may be tested on."""
    theirs = other.splits['train']
    hashes = [split.sha256_N for split in home.splits.values()]
    if theirs.sha256_N is None or any(sha256_N is None for sha256_N in hashes):
        logging.warning(
            'a data set was prepared by an earlier version, so it is not checked whether the two '
            'data sets share photos: prepare it again with --mode=prepare --overwrite'
        )
        return
    shared_N = shared_photos(theirs.sha256_N, hashes)
    if shared_N.any():
        raise ValueError(
            f'{shared_N.sum()} of {len(shared_N)} photos that the second data set '
            f'({other.card["name"]}) has for training, of '
            f'{len(np.unique(theirs.identity_N[shared_N]))} people, are in the first data set too '
            f'(such as {", ".join(theirs.file_N[shared_N][:3])}): take these people out of one'
        )


def shared_photos(sha256_N: np.ndarray, others: Iterable[np.ndarray]) -> np.ndarray:
    """Which photos, by the hash of their content, are among others too; bool [N]."""
    return np.isin(sha256_N, np.concatenate(list(others))) & (sha256_N != '')


def _counts_joined(home: dict[str, Any], other: dict[str, Any]) -> dict[str, dict[str, int]]:
    more = other['splits']['train']
    train = {what: count + more[what] for what, count in home['splits']['train'].items()}
    return home['splits'] | {'train': train}


def another_photo(
    rng: np.random.Generator, identity_N: np.ndarray, photo_P: np.ndarray
) -> np.ndarray:
    """For each photo, another one of the same identity, uniformly; -1 where there is none."""
    return IdentityIndex(identity_N).another_photo(rng, photo_P)


def write_prepared(
    folder: pathlib.Path, rows: Iterable[tuple[str, PreparedPhoto]], splits: Sequence[str]
) -> None:
    """Writes rows of (split, row) as a TFDS data set in ArrayRecord files.

    Args:
      folder: where; rows that are there are replaced once all new ones are written.
      rows: at least one.
      splits: those that have rows.
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
    # Each call rewrites the metadata, so rows go in by the hundred.
    for some in _batched(itertools.chain([first], rows), 500):
        by_split = {
            name: [row._asdict() for split, row in some if split == name] for name in splits
        }
        writer.add_examples(by_split)
    writer.close_all()
    shutil.rmtree(folder / _ROWS, ignore_errors=True)
    building.rename(folder / _ROWS)


def _batched(rows: Iterable, size: int) -> Iterable[list]:
    rows = iter(rows)
    return iter(lambda: list(itertools.islice(rows, size)), [])


def _tfds() -> Any:
    """TFDS, imported late: it takes a second that `--help` need not wait for."""
    import tensorflow_datasets

    return tensorflow_datasets


def _features(tfds: Any, row: PreparedPhoto) -> Any:
    # Encoded as bytes they are written three times as fast.
    tensor = functools.partial(tfds.features.Tensor, encoding='bytes')
    width = row.conditions.shape[1]
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
            # Half of the bytes; the text encoder's own noise is larger than the rounding.
            'conditions': tensor(shape=(None, width), dtype=np.float16),
        }
    )


def load_prepared(folder: pathlib.Path) -> Prepared:
    """Reads what `write_prepared` wrote, and its data card.

    Args:
      folder: with both.

    Returns:
      All of it, in memory.

    Raises:
      FileNotFoundError: nothing complete is there; says how to make it.
    """
    about = read_card(folder)
    source = _tfds().builder_from_directory(folder / _ROWS).as_data_source()
    splits = {
        name: _split(source[name].__getitems__(range(len(source[name]))), about)
        for name in SPLITS
        if about['splits'][name]['photos']
    }
    return Prepared(splits, tuple(about['attributes']), about)


def read_card(folder: pathlib.Path) -> dict[str, Any]:
    """The data card of a prepared data set.

    Raises:
      FileNotFoundError: there is none; says how to make one.
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
    """Where the photos lay when the data set was prepared or last asked for."""
    return card.get('root') or card['settings'].get('data', {}).get('root', '')


def _split(rows: list[dict[str, Any]], card: dict[str, Any]) -> Split:
    count = [len(row['tracks']) for row in rows]
    width = card['encoders']['text']['width']
    hashed = all(row.get('sha256') for row in rows)
    return Split(
        file_N=np.array([row['file'].decode() for row in rows]),
        identity_N=np.array([row['identity'] for row in rows], np.int32),
        embedding_NxD=np.stack([row['embedding'] for row in rows]),
        label_NxA=np.stack([row['labels'] for row in rows]),
        photo_T=np.repeat(np.arange(len(rows), dtype=np.int32), count),
        track_T=np.concatenate([row['tracks'] for row in rows]),
        said_T=np.concatenate([row['said'] for row in rows]),
        text_T=np.array([text.decode() for row in rows for text in row['captions']], object),
        c_TxC=np.concatenate(
            [row['conditions'].reshape(-1, width) for row in rows], dtype=np.float32
        ),
        sha256_N=np.array([row['sha256'].decode() for row in rows]) if hashed else None,
    )


def card_summary(card: dict[str, Any]) -> str:
    """The counts of a data card in one line."""
    splits = '; '.join(
        f'{name}: ' + ', '.join(f'{count} {what}' for what, count in counts.items())
        for name, counts in card['splits'].items()
    )
    return f'{splits}; {len(card["no_embedding"])} photos without an embedding'

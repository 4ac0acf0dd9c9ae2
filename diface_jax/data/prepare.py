"""Prepare: photographs and labels to embeddings, sentences and conditions, on disk.

Records from a reader, faces through E, captions from the grammar, texts through the text encoder,
and all of it into an ArrayRecord data set with a data card. The slow parts are kept in shards named
after what they were made from, so that an interrupted job goes on where it was and a change of
captions does not cost the faces again. Several hosts share the shards out between them; the first
one puts all together.
"""

import collections
import dataclasses
import functools
import itertools
import pathlib
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections
import numpy as np
from absl import logging

from diface_jax.data import array_cache, check, prepared, prepared_folders, sharded_work
from diface_jax.data.encoder_bundle import EncoderBundle
from diface_jax.data.face_crops import FaceCrops
from diface_jax.data.grammar import captions
from diface_jax.data.photo_hashes import photo_hashes
from diface_jax.data.readers import dispatch, simulated
from diface_jax.data.readers.records import DataSet, Photo
from diface_jax.encoders import arrays
from diface_jax.encoders.face import align, appearance, dlib_resnet
from diface_jax.encoders.face.appearance import MAX_PHOTOS, Appearance
from diface_jax.encoders.face.encoder import FaceEncoder, SimulatedEncoder
from diface_jax.encoders.text import bert
from diface_jax.encoders.text.condition import (
    ConditionEncoder,
    Standardisation,
    sentence_vectors,
)
from diface_jax.runtime import hosts, run_state


class Sentence(NamedTuple):
    """A sentence about a photo: its track, the share the grammar was allowed to say, the words."""

    track: str
    said: float
    sentence: str


class EmbeddedPhotos(NamedTuple):
    """What E made of the photos: embeddings, whether each has one, and a note where one is due."""

    embedding_NxD: np.ndarray
    found_N: np.ndarray
    note_N: np.ndarray


def prepare(
    config: ml_collections.ConfigDict,
    data: ml_collections.ConfigDict,
    store: pathlib.Path,
    home: pathlib.Path | None = None,
    *,
    overwrite: bool = False,
    protected: Sequence[pathlib.Path] = (),
) -> pathlib.Path:
    """Makes the prepared data set of one root, or does nothing when it is there already.

    Args:
      config: for its `captions`, `encoders` and `simulated`.
      data: `root`, `layout`, `shares` and `split_seed`, as the readers take them.
      store: folder of all prepared data sets, WORKDIR/prepared.
      home: the prepared data set whose fitted encoders are used; None fits them now.
      overwrite: one of other settings is replaced, once the new one is complete.
      protected: prepared data sets that are never replaced, since a model was trained on them.

    Returns:
      The folder of the prepared data set.

    Raises:
      FileNotFoundError: `home` is not a prepared data set.
      SettingsDifferError: one is there, made with other settings or from other photos.
      ValueError: an identity is in two splits, no photo can be used or has a face, or there are
        too few training photos to fit encoders on.
    """
    root = pathlib.Path(data.root).resolve()
    source, hashes = _read(config, data, store)
    _check_usable(source, data.root)
    text_encoder = bert.load_text_encoder(config.encoders.text or None)
    existing = _existing(store, root, _identity(source, hashes))
    fitted = None if home in (None, existing) else EncoderBundle.load(text_encoder, home)
    settings = _settings(config, data, source, hashes, text_encoder, fitted)
    if existing and _is_done(existing, settings, root, overwrite, existing in protected):
        return existing
    folder = prepared_folders.prepared_folder_for(store, root.name, settings)
    logging.info(
        'prepare: reads %d photos of %s in %s; writes %s',
        *(len(source.photos), source.name, root, folder),
    )
    building = folder.with_name(folder.name + prepared.BUILDING)
    card = _Job(config, source, hashes, text_encoder, building, store).run(fitted)
    card |= {'root': str(root), 'settings': settings}
    run_state.write_json(building / prepared.CARD, card)
    _put_in_place(building, folder, existing)
    logging.info('prepare: wrote %s; %s', folder, prepared.card_summary(card))
    check.log_failures(card['no_embedding'])
    return folder


def find_prepared(
    config: ml_collections.ConfigDict, data: ml_collections.ConfigDict, store: pathlib.Path
) -> pathlib.Path:
    """The folder of a prepared data set, wherever its photos lie now.

    Args:
      config: for its `simulated`.
      data: `root` and how it is read, as `prepare` takes it.
      store: folder of all prepared data sets, WORKDIR/prepared.

    Raises:
      FileNotFoundError: it is not prepared; says how to do it.
      ValueError: no root is given.
    """
    if not data.root:
        raise ValueError('no data set: give --config.data.root=FOLDER')
    root = pathlib.Path(data.root).resolve()
    folder = prepared_folders.of_root(store, root)
    if folder is None and root.is_dir():
        source, hashes = _read(config, data, store)
        folder = _existing(store, root, _identity(source, hashes))
    if folder is None:
        raise FileNotFoundError(
            f'no prepared data set of {root} in {store}: run --mode=prepare first'
        )
    return folder


def _read(
    config: ml_collections.ConfigDict, data: ml_collections.ConfigDict, store: pathlib.Path
) -> tuple[DataSet, list[str]]:
    """A data set, and the hash of each photo's content."""
    if not data.root:
        raise ValueError('no data set: give --config.data.root=FOLDER')
    root = pathlib.Path(data.root).resolve()
    source = dispatch.read_data_set(
        root, data.layout, tuple(data.shares), data.split_seed, config.simulated
    )
    return source, photo_hashes(source, root, store / prepared_folders.CACHE)


def _settings(
    config: ml_collections.ConfigDict,
    data: ml_collections.ConfigDict,
    source: DataSet,
    hashes: Sequence[str],
    text_encoder: bert.TextEncoder,
    fitted: EncoderBundle | None,
) -> dict[str, Any]:
    """All that a prepared data set depends on; where its photos lie is no part of it."""
    how_read = {name: value for name, value in data.to_dict().items() if name != 'root'}
    settings = {
        'data': how_read,
        'captions': config.captions.to_dict(),
        'encoders': config.encoders.to_dict() | _frozen(text_encoder),
        'fitted': fitted.about if fitted else None,
        **_identity(source, hashes),
    }
    if source.embedded:
        settings['simulated'] = config.simulated.to_dict()
    return run_state.to_plain_json(settings)


def _identity(source: DataSet, hashes: Sequence[str]) -> dict[str, str]:
    """What tells one data set from another: its lists, and the content of its photos."""
    return {
        prepared_folders.LISTS: _fingerprint(source),
        prepared_folders.CONTENT: array_cache.cache_key(*hashes),
    }


def _existing(
    store: pathlib.Path, root: pathlib.Path, settings: Mapping[str, Any]
) -> pathlib.Path | None:
    """The prepared data set of the same content, or of an earlier content of the same folder."""
    lists = settings[prepared_folders.LISTS]
    return (
        prepared_folders.with_content(store, settings)
        or prepared_folders.of_root(store, root)
        or prepared_folders.of_earlier_version(store, root.name, lists)
    )


def _is_done(
    folder: pathlib.Path,
    settings: dict[str, Any],
    root: pathlib.Path,
    overwrite: bool,
    protected: bool,
) -> bool:
    """Whether a prepared data set is the one asked for; False: it is to be replaced."""
    card = prepared.read_card(folder)
    made = card['settings']
    # An earlier version compared the root's path, and no content.
    ignore = [] if prepared_folders.CONTENT in made else ['data.root', prepared_folders.CONTENT]
    instead = 'A model was trained on it: give the settings of its training.'
    try:
        run_state.require_same_settings(
            f'The prepared data set in {folder}',
            *(made, settings, ignore),
            instead=instead if protected else None,
        )
    except run_state.SettingsDifferError as error:
        if not (overwrite and error.overwrite_helps):
            raise
        logging.warning('%s', error)
        return False
    logging.info('prepare: %s is there already, with the same settings', folder)
    if prepared.root_of(card) != str(root):
        run_state.write_json(folder / prepared.CARD, card | {'root': str(root)})
    return True


def _put_in_place(
    building: pathlib.Path, folder: pathlib.Path, replaced: pathlib.Path | None
) -> None:
    """Gives a complete data set its name, and removes the one that it replaces."""
    hosts.barrier('prepared')
    if hosts.is_first():
        if replaced:
            logging.warning('removes %s (--overwrite)', replaced)
            shutil.rmtree(replaced)
        building.rename(folder)
    hosts.barrier('in place')


def _check_usable(source: DataSet, root: str) -> None:
    """ValueError, with the first three reasons, if no photo of a data set can be used."""
    if not source.photos:
        reasons = '; '.join(f'{problem.file}: {problem.why}' for problem in source.problems[:3])
        raise ValueError(
            f'no photo of {source.name} in {root} can be used ({len(source.problems)} problems, '
            f'the first: {reasons})'
        )


def _frozen(text_encoder: bert.TextEncoder) -> dict[str, Any]:
    """What is fitted to nothing: dlib's network, the cut of its chips, the text encoder."""
    hashes = {'dlib_sha256': dlib_resnet.SHA256, 'text_sha256': text_encoder.sha256}
    return hashes | {'alignment': align.VERSION}


def _fingerprint(source: DataSet) -> str:
    """Changes when the lists do: a photo, identity, split, label, description or embedding."""
    return array_cache.cache_key(
        *(f'{p.file}|{p.identity}|{p.split}|{p.labels}|{p.descriptions}' for p in source.photos),
        *(one['sha256'] for one in (source.embedded.encoders if source.embedded else ())),
    )


@dataclasses.dataclass(frozen=True)
class _Job:
    """What a data set is made from, and where it goes."""

    config: ml_collections.ConfigDict
    source: DataSet
    hashes: Sequence[str]
    text_encoder: bert.TextEncoder
    folder: pathlib.Path
    store: pathlib.Path

    def run(self, fitted: EncoderBundle | None) -> dict[str, Any]:
        """Writes the rows, and with no `fitted` encoders those too; returns the data card."""
        face = self._face_encoder(fitted)
        faces = self._embed_faces(face)
        if not faces.found_N.any():
            raise ValueError(
                f'no face was found in any of the {len(faces.note_N)} photos of '
                f'{self.source.name}: {"; ".join(sorted(set(faces.note_N)))}'
            )
        kept = [p for p, found in zip(self.source.photos, faces.found_N, strict=True) if found]
        hashes = [h for h, found in zip(self.hashes, faces.found_N, strict=True) if found]
        texts = [_texts(photo, self.config.captions) for photo in kept]
        pool_TxP = self._pools([text.sentence for text in itertools.chain(*texts)])
        text = fitted.text if fitted else self._fit_conditions(kept, texts, pool_TxP)
        attributes = sorted({name for photo in kept for name in photo.labels or ()})
        encoders = EncoderBundle(face, text)
        if hosts.is_first():
            shutil.rmtree(self.folder, ignore_errors=True)
            embedding_NxD = faces.embedding_NxD[faces.found_N]
            rows = _rows(kept, hashes, embedding_NxD, texts, pool_TxP, text, attributes)
            prepared.write_prepared(self.folder, rows, sorted({photo.split for photo in kept}))
            if not fitted:
                encoders.save(self.folder)
            if self.source.embedded:
                simulated.write_gallery(self.source, self.folder)
        card = _card(self.source, faces, kept, texts, attributes)
        return card | {'encoders': encoders.about}

    def _face_encoder(self, fitted: EncoderBundle | None) -> FaceEncoder | SimulatedEncoder:
        if self.source.embedded:
            return SimulatedEncoder(self.source.embedded.encoders)
        return fitted.face if fitted else FaceEncoder(self._fit_appearance())

    def _fit_appearance(self) -> Appearance | None:
        """The appearance encoder, from training photos drawn by a fixed seed; None if left out."""
        width = self.config.encoders.appearance_dim
        if not width:
            return None
        train_N = np.flatnonzero([photo.split == 'train' for photo in self.source.photos])
        if not len(train_N):
            raise ValueError(
                f'no photo of {self.source.name} is to train on, and '
                f'encoders.appearance_dim={width} '
                'is fitted on training photos: give data.shares a share for train, or set '
                'encoders.appearance_dim to 0'
            )
        drawn = np.random.default_rng(0).permutation(len(train_N))[:MAX_PHOTOS]
        rows = train_N[np.sort(drawn)]
        blocks = dlib_resnet.block_widths(dlib_resnet.load_dlib_resnet(), len(align.PADDINGS))
        maps_of = functools.partial(_maps_of, FaceEncoder(None), sum(blocks))
        found = self._of_photos('maps', rows, maps_of)
        hashes = [self.hashes[row] for row in rows]
        landmarks = str(self.source.landmarks_5x2)
        name = array_cache.cache_key('appearance', str(width), landmarks, *self._made_by, *hashes)

        def make() -> array_cache.Arrays:
            return appearance.fit_appearance(found['maps'][found['found']], blocks, width)._asdict()

        cached = functools.partial(array_cache.cached_arrays, self._cache, name, make)
        return Appearance(**hosts.first_then_others('appearance', cached))

    def _embed_faces(self, face: FaceEncoder | SimulatedEncoder) -> EmbeddedPhotos:
        if self.source.embedded:
            count = len(self.source.photos)
            embedding_NxD = self.source.embedded.embedding_NxD
            return EmbeddedPhotos(
                embedding_NxD, np.ones(count, bool), array_cache.string_array([''] * count)
            )
        looks = arrays.sha256_of_arrays(face.appearance) if face.appearance else ''
        make = functools.partial(_faces_of, face)
        rows = np.arange(len(self.source.photos))
        return EmbeddedPhotos(**self._of_photos('faces', rows, make, looks))

    def _of_photos(
        self, what: str, rows: np.ndarray, make: sharded_work.Make, *made_by: str
    ) -> array_cache.Arrays:
        files = [self.source.photos[row].file for row in rows]
        hashes = [self.hashes[row] for row in rows]
        made_by = (what, *self._made_by, *made_by)
        return sharded_work.map_photos(self.source, files, hashes, self._cache, made_by, make)

    @property
    def _made_by(self) -> tuple[str, ...]:
        return dlib_resnet.SHA256, str(align.VERSION)

    @property
    def _cache(self) -> pathlib.Path:
        return self.store / prepared_folders.CACHE

    def _pools(self, sentences: Sequence[str]) -> np.ndarray:
        """What the text encoder makes of sentences; float16, for there are many."""
        encoder = self.text_encoder
        if not sentences:
            return np.zeros((0, bert.POOLS * encoder.width), np.float16)

        def make(some: Sequence[str]) -> array_cache.Arrays:
            return {'pool': encoder.encode(some).astype(np.float16)}

        return sharded_work.map_sentences(sentences, self._cache, ('pools', encoder.sha256), make)[
            'pool'
        ]

    def _fit_conditions(
        self, photos: Sequence[Photo], texts: Sequence[Sequence[Sentence]], pool_TxP: np.ndarray
    ) -> ConditionEncoder:
        """Standardises by the sentences of training photos, or by all where none is to train on."""
        of_train = [p.split == 'train' for p, some in zip(photos, texts, strict=True) for _ in some]
        mine = pool_TxP[np.array(of_train, bool)] if any(of_train) else pool_TxP
        if not len(mine):
            raise ValueError(
                f'no photo of {self.source.name} has a sentence: give it labels, or descriptions '
                '(see README.md, Data)'
            )
        words = self.config.encoders.text_layers == 'several'
        mine = mine if words else sentence_vectors(mine)
        standard = Standardisation.fit(mine, bert.POOLS if words else 1)
        return ConditionEncoder(self.text_encoder, standard)


def _maps_of(
    encoder: FaceEncoder, width: int, files: Sequence[str], aligned: Sequence[FaceCrops]
) -> array_cache.Arrays:
    found = [chip for chip, _ in aligned if chip is not None]
    found_N = np.array([chip is not None for chip, _ in aligned])
    maps_NxP = np.zeros((len(files), width), np.float16)
    if found:
        maps_NxP[found_N] = encoder.maps(np.stack(found))
    return {'maps': maps_NxP, 'found': found_N}


def _faces_of(
    encoder: FaceEncoder, files: Sequence[str], aligned: Sequence[FaceCrops]
) -> array_cache.Arrays:
    found = [chip for chip, _ in aligned if chip is not None]
    found_N = np.array([chip is not None for chip, _ in aligned])
    embedding_NxD = np.zeros((len(files), encoder.width), np.float32)
    if found:
        embedding_NxD[found_N] = encoder.embed(np.stack(found))
    return EmbeddedPhotos(
        embedding_NxD, found_N, array_cache.string_array([note for _, note in aligned])
    )._asdict()


def _card(
    source: DataSet,
    faces: EmbeddedPhotos,
    kept: Sequence[Photo],
    texts: Sequence[Sequence[Sentence]],
    attributes: Sequence[str],
) -> dict[str, Any]:
    """The data card, without encoders and settings."""
    words = {word for some in texts for text in some for word in text.sentence.lower().split()}
    return {
        'name': source.name,
        'attributes': attributes,
        'splits': {name: _count(name, kept, texts) for name in prepared.SPLITS},
        'words': {'grammar can say': len(captions.vocabulary()), 'sentences use': len(words)},
        'no_embedding': _listed(source, faces, found=False),
        'notes': _listed(source, faces, found=True),
        'problems': [dataclasses.asdict(problem) for problem in source.problems],
    }


def _texts(photo: Photo, config: ml_collections.ConfigDict) -> list[Sentence]:
    """The grammar's sentences of a photo, if it has labels, then the human track's."""
    rng = np.random.default_rng((config.seed, zlib.crc32(photo.file.encode())))
    said = list(config.coverage)
    if photo.split == 'train':
        said = [1.0] * config.full + list(rng.random(config.partial))
    made = [
        Sentence('grammar', share, captions.caption(photo.labels, rng, share))
        for share in (said if photo.labels else ())
    ]
    return made + [Sentence('human', float('nan'), text) for text in photo.descriptions]


def _rows(
    photos: Sequence[Photo],
    hashes: Sequence[str],
    embedding_NxD: np.ndarray,
    texts: Sequence[Sequence[Sentence]],
    pool_TxP: np.ndarray,
    conditions: ConditionEncoder,
    attributes: Sequence[str],
) -> Iterator[tuple[str, prepared.PreparedPhoto]]:
    """(split, row) of each photo."""
    numbers = {who: i for i, who in enumerate(sorted({p.identity for p in photos}))}
    ends = np.cumsum([len(mine) for mine in texts])
    columns = zip(photos, hashes, embedding_NxD, texts, ends, strict=True)
    for photo, sha256, embedding, mine, end in columns:
        labels = photo.labels or {}
        yield (
            photo.split,
            prepared.PreparedPhoto(
                file=photo.file,
                sha256=sha256,
                identity=numbers[photo.identity],
                embedding=embedding,
                labels=np.array([labels.get(name, -1) for name in attributes], np.int8),
                captions=[text.sentence for text in mine],
                tracks=np.array([prepared.TRACKS.index(text.track) for text in mine], np.int8),
                said=np.array([text.said for text in mine], np.float32),
                conditions=conditions.of_vectors(pool_TxP[end - len(mine) : end]).astype(
                    np.float16
                ),
            ),
        )


def _count(
    split: str, photos: Sequence[Photo], texts: Sequence[Sequence[Sentence]]
) -> dict[str, int]:
    mine = [(p, t) for p, t in zip(photos, texts, strict=True) if p.split == split]
    tracks = collections.Counter(text.track for _, some in mine for text in some)
    return {
        'photos': len(mine),
        'identities': len({photo.identity for photo, _ in mine}),
        **{f'{track} sentences': tracks[track] for track in prepared.TRACKS},
    }


def _listed(source: DataSet, faces: EmbeddedPhotos, found: bool) -> list[dict[str, str]]:
    rows = zip(source.photos, faces.found_N, faces.note_N, strict=True)
    return [{'file': p.file, 'why': str(note)} for p, has, note in rows if note and has == found]

"""Prepare: photographs and labels to embeddings, sentences and conditions, on disk.

A reader lists the photos, E embeds their faces, the grammar and people describe them, the text
encoder encodes the sentences, and all of it becomes an ArrayRecord data set with a data card.
Embeddings and conditions are cached by content, so that an interrupted job resumes where it
stopped, and other captions do not embed the faces again. Several hosts share the work; the first
one writes the data set.
"""

import dataclasses
import functools
import itertools
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections
import numpy as np
from absl import logging

from diface_jax.data import array_cache, check, prepared, prepared_folders
from diface_jax.data.data_card import data_card
from diface_jax.data.encoder_bundle import EncoderBundle
from diface_jax.data.observations import Observations
from diface_jax.data.photo_embeddings import PhotoEmbedder, PhotoEmbeddings
from diface_jax.data.photo_hashes import photo_hashes
from diface_jax.data.photo_sentences import sentences_of_photo
from diface_jax.data.prepared_rows import DescribedPhoto, prepared_rows
from diface_jax.data.readers import dispatch, simulated
from diface_jax.data.readers.records import DataSet
from diface_jax.data.text_conditions import fit_condition_encoder, pooled_vectors
from diface_jax.encoders.face import align, degrade, dlib_resnet, quality
from diface_jax.encoders.face.encoder import (
    FaceEncoder,
    SimulatedEncoder,
    build_face_encoder,
    encoder_names,
    read_recognisers,
)
from diface_jax.encoders.face.onnx_recogniser import OnnxRecogniser
from diface_jax.encoders.licence import WeightsLicence, accepted_licences
from diface_jax.encoders.text.adapters import load_adapters
from diface_jax.encoders.text.condition import ConditionEncoder
from diface_jax.encoders.text.encoder import TextEncoder, load_text_encoder
from diface_jax.runtime import hosts, run_state
from diface_jax.runtime.settings import (
    APPEARANCE,
    DLIB,
    CaptionsSettings,
    DataSettings,
    DegradedSettings,
    EncodersSettings,
    SimulatedSettings,
)


def prepare(
    config: ml_collections.ConfigDict,
    data: ml_collections.ConfigDict,
    store: pathlib.Path,
    encoders_from: pathlib.Path | None = None,
    *,
    overwrite: bool = False,
    protected: Sequence[pathlib.Path] = (),
    encoders: EncoderBundle | None = None,
) -> pathlib.Path:
    """Prepares the data set of a root, unless it is prepared already.

    Args:
      config: all settings; read are `captions`, `degraded`, `encoders` and `simulated`.
      data: `root`, `layout` and the split, as the readers take them.
      store: folder of all prepared data sets, WORKDIR/prepared.
      encoders_from: a prepared data set whose fitted encoders are used; None: this one has
        encoders of its own.
      overwrite: replaces a data set that was prepared with other settings, once the new one is
        complete.
      protected: prepared data sets that a model was trained on: they are never replaced.
      encoders: those of a model pack, for a data set with encoders of its own; None fits new ones.

    Returns:
      The folder of the prepared data set.

    Raises:
      FileNotFoundError: `encoders_from` is not a prepared data set.
      SettingsDifferError: it was prepared with other settings or from other photos.
      ValueError: an identity is in two splits, no photo can be used or has a face, or there are
        too few training photos to fit encoders on.
    """
    source, hashes = _read(data, config.simulated, store)
    _check_usable(source, data.root)
    _check_degraded(source, config.degraded)
    root = pathlib.Path(data.root).resolve()
    if encoders:
        text_encoder = encoders.text.encoder
    else:
        text_encoder = load_text_encoder(config.encoders.text or None)
    existing = _existing_folder(store, root, _identity(source, hashes))
    has_own = not encoders_from or encoders_from == existing
    fitted = encoders if has_own else EncoderBundle.load(text_encoder, encoders_from)
    builder = _Builder(
        config.captions,
        config.encoders,
        config.degraded,
        source,
        hashes,
        fitted.text.encoder if fitted else _adapted(text_encoder, config.encoders),
        fitted,
        has_own,
        store,
    )
    settings = _settings(config, data, builder)
    if existing and _is_up_to_date(existing, settings, root, overwrite, existing in protected):
        return existing
    folder = prepared_folders.prepared_folder_for(store, root.name, settings)
    _write(builder, folder, {'root': str(root), 'settings': settings}, existing)
    return folder


def _adapted(text_encoder: TextEncoder, encoders: EncodersSettings) -> TextEncoder:
    """The text encoder with adapters, where the settings name a file of them."""
    if not encoders.text_adapters:
        return text_encoder
    path = pathlib.Path(encoders.text_adapters)
    return text_encoder.with_adapters(load_adapters(path, text_encoder.frozen))


def find_prepared(
    config: ml_collections.ConfigDict, data: ml_collections.ConfigDict, store: pathlib.Path
) -> pathlib.Path:
    """The folder of a prepared data set, also when its photos were moved since.

    Args:
      config: all settings; read is `simulated`.
      data: `root`, `layout` and the split, as `prepare` takes them.
      store: folder of all prepared data sets, WORKDIR/prepared.

    Raises:
      FileNotFoundError: it is not prepared; says how to do it.
      ValueError: no root is given.
    """
    dispatch.require_root(data)
    root = pathlib.Path(data.root).resolve()
    folder = prepared_folders.folder_of_root(store, root)
    if folder is None and root.is_dir():
        source, hashes = _read(data, config.simulated, store)
        folder = _existing_folder(store, root, _identity(source, hashes))
    if folder is None:
        raise FileNotFoundError(
            f'no prepared data set of {root} in {store}: run --mode=prepare first'
        )
    return folder


def _read(
    data: DataSettings, simulated_people: SimulatedSettings, store: pathlib.Path
) -> tuple[DataSet, list[str]]:
    """A data set, and the hash of each photo's content."""
    source = dispatch.read_section(data, simulated_people)
    root = pathlib.Path(data.root).resolve()
    return source, photo_hashes(source, root, store / prepared_folders.CACHE)


def _settings(
    config: ml_collections.ConfigDict, data: ml_collections.ConfigDict, builder: '_Builder'
) -> dict[str, Any]:
    """All that a prepared data set depends on; where its photos and lists lie is not part of it."""
    source, fitted = builder.source, builder.fitted
    how_read = {
        name: value for name, value in data.to_dict().items() if name not in ('root', 'split_file')
    }
    settings = {
        'data': how_read,
        'captions': config.captions.to_dict(),
        'encoders': _encoder_settings(config.encoders, builder),
        'fitted': None if builder.has_own else fitted.description,
        **_identity(source, builder.hashes),
    }
    if fitted and builder.has_own:
        settings['encoders of the pack'] = fitted.description
    if config.degraded.per_photo:
        versions = {'version': degrade.VERSION, 'quality': quality.VERSION}
        settings['degraded'] = config.degraded.to_dict() | versions
    if source.embedded:
        settings['simulated'] = config.simulated.to_dict()
    return run_state.to_plain_json(settings)


def _encoder_settings(encoders: EncodersSettings, builder: '_Builder') -> dict[str, Any]:
    """The encoders; where E is dlib's alone, as versions that knew no other E wrote them."""
    settings, names = encoders.to_dict(), encoder_names(encoders)
    # Where the file of adapters lies is not part of it: they are part of `text_sha256`.
    for name in ('face', 'onnx', 'accept_licence', 'text_adapters'):
        del settings[name]
    frozen = {
        'appearance_dim': encoders.appearance_dim if APPEARANCE in names else 0,
        'dlib_sha256': dlib_resnet.SHA256,
        'text_sha256': builder.text_encoder.sha256,
        'alignment': align.VERSION,
    }
    if builder.text_encoder.unusual_reading:
        frozen['text_reading'] = builder.text_encoder.unusual_reading
    if not builder.fitted and names not in ((DLIB,), (DLIB, APPEARANCE)):
        read = {
            name: {'sha256': recogniser.sha256, **recogniser.details}
            for name, recogniser in builder.recognisers.items()
        }
        frozen['face'] = [read.get(name, name) for name in names]
    return settings | frozen


def _identity(source: DataSet, hashes: Sequence[str]) -> dict[str, str]:
    """What tells one data set from another: its lists, and the content of its photos."""
    return {
        prepared_folders.LISTS: _hash_of_lists(source),
        prepared_folders.CONTENT: array_cache.cache_key(*hashes),
    }


def _hash_of_lists(source: DataSet) -> str:
    """Changes when a photo, an identity, a split, a label, a description or an embedding does."""
    encoders = source.embedded.encoders if source.embedded else ()
    return array_cache.cache_key(
        *(
            f'{p.file}|{p.identity}|{p.split}|{p.labels}|{p.descriptions}|{p.held_out_descriptions}'
            for p in source.photos
        ),
        *(encoder['sha256'] for encoder in encoders),
    )


def _existing_folder(
    store: pathlib.Path, root: pathlib.Path, identity: Mapping[str, Any]
) -> pathlib.Path | None:
    """The prepared data set of the same content, or of an earlier content of the same folder."""
    return (
        prepared_folders.folder_with_content(store, identity)
        or prepared_folders.folder_of_root(store, root)
        or prepared_folders.folder_of_earlier_version(
            store, root.name, identity[prepared_folders.LISTS]
        )
    )


def _is_up_to_date(
    folder: pathlib.Path,
    settings: dict[str, Any],
    root: pathlib.Path,
    overwrite: bool,
    protected: bool,
) -> bool:
    """Whether a prepared data set has these settings; False where it is to be replaced."""
    card = prepared.read_card(folder)
    prepared_with = card['settings']
    # An earlier version stored the root's path, and no hash of the content.
    ignore = []
    if prepared_folders.CONTENT not in prepared_with:
        ignore = ['data.root', prepared_folders.CONTENT]
    instead = 'A model was trained on it: give the settings of its training.'
    try:
        run_state.require_same_settings(
            f'The prepared data set in {folder}',
            prepared_with,
            settings,
            ignore,
            instead=instead if protected else None,
        )
    except run_state.SettingsDifferError as error:
        if not (overwrite and error.overwrite_helps):
            raise
        logging.warning('%s', error)
        return False
    logging.info('prepare: %s is prepared already, with the same settings', folder)
    if prepared.root_of(card) != str(root):
        run_state.write_json(folder / prepared.CARD, {**card, 'root': str(root)})
    return True


def _write(
    builder: '_Builder',
    folder: pathlib.Path,
    root_and_settings: Mapping[str, Any],
    replaced: pathlib.Path | None,
) -> None:
    """Builds a data set beside its final folder, and moves it there when it is complete."""
    builder.check_licences()
    source = builder.source
    logging.info(
        'prepare: reads %d photos of %s in %s; writes %s',
        len(source.photos),
        source.name,
        root_and_settings['root'],
        folder,
    )
    building = folder.with_name(folder.name + prepared.BUILDING)
    card = {**builder.build(building), **root_and_settings}
    run_state.write_json(building / prepared.CARD, card)
    _put_in_place(building, folder, replaced)
    logging.info('prepare: wrote %s; %s', folder, prepared.card_summary(card))
    check.log_failures(card['no_embedding'])


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
        reasons = '; '.join(f'{problem.file}: {problem.reason}' for problem in source.problems[:3])
        raise ValueError(
            f'no photo of {source.name} in {root} can be used ({len(source.problems)} problems, '
            f'the first: {reasons})'
        )


def _check_degraded(source: DataSet, degraded: DegradedSettings) -> None:
    """ValueError if people without photographs are to have degraded ones."""
    if degraded.per_photo and source.embedded:
        raise ValueError(
            f'degraded.per_photo={degraded.per_photo} needs photographs, and simulated people have '
            'none: set it to 0'
        )


@dataclasses.dataclass(frozen=True)
class _Builder:
    """Embeds and describes the photos of a data set.

    Attributes:
      captions: how many sentences the grammar writes.
      encoders: how the encoders are fitted.
      degraded: how many degraded copies of the photos are embedded too.
      source: the data set.
      hashes: of its photos' content.
      text_encoder: frozen, or with adapters.
      fitted: the encoders to use; None fits new ones on the training photos.
      has_own: whether the encoders are stored with this data set, and not with another one.
      store: folder of all prepared data sets.
    """

    captions: CaptionsSettings
    encoders: EncodersSettings
    degraded: DegradedSettings
    source: DataSet
    hashes: Sequence[str]
    text_encoder: TextEncoder
    fitted: EncoderBundle | None
    has_own: bool
    store: pathlib.Path

    @functools.cached_property
    def recognisers(self) -> dict[str, OnnxRecogniser]:
        """The face encoders in ONNX files, by their names in `encoders.face`; read when needed."""
        if self.fitted or self.source.embedded:
            return {}
        return read_recognisers(self.encoders)

    def check_licences(self) -> None:
        """Makes sure, before the work starts, that the licences of the encoders are accepted.

        Raises:
          ValueError: the user has to accept the licence of an encoder first.
        """
        if not self.has_own:
            return
        text = self.text_encoder
        if self.fitted:
            face = self.fitted.face.licences
        elif self.source.embedded:
            face = []
        else:
            # `appearance` is not fitted yet: its components are under dlib's licence.
            names = [name for name in encoder_names(self.encoders) if name != APPEARANCE]
            face = build_face_encoder(names, recognisers=self.recognisers).licences
        weights = [*face, WeightsLicence(**text.frozen, licence=text.licence)]
        accepted_licences(weights, self.encoders.accept_licence)

    def build(self, folder: pathlib.Path) -> dict[str, Any]:
        """Writes the rows and newly fitted encoders; returns the card without root and settings."""
        cache = self.store / prepared_folders.CACHE
        embedder = PhotoEmbedder(self.source, self.hashes, cache)
        face = embedder.face_encoder(self.fitted, self.encoders, self.recognisers)
        embeddings = embedder.embed(face)
        photos = self._describe(embeddings, self._observe(embedder, face, embeddings))
        pool_TxP = self._pooled_vectors(photos, cache)
        with hosts.working('fits the text conditions'):
            bundle = EncoderBundle(face, self._text_conditions(photos, pool_TxP))
        attributes = sorted({name for described in photos for name in described.photo.labels or ()})
        if hosts.is_first():
            shutil.rmtree(folder, ignore_errors=True)
            splits = sorted({described.photo.split for described in photos})
            with hosts.working('writes the rows'):
                rows = prepared_rows(photos, pool_TxP, bundle.text, attributes)
                prepared.write_prepared(folder, rows, splits)
            if self.has_own:
                bundle.save(folder)
            if self.source.embedded:
                simulated.write_gallery(self.source, folder)
        card = data_card(self.source, embeddings, photos, attributes)
        return {**card, 'encoders': bundle.description, **self._encoder_files(bundle)}

    def _encoder_files(self, bundle: EncoderBundle) -> dict[str, Any]:
        """What the card says of the files of encoders that are stored with this data set."""
        if not self.has_own:
            return {}
        return {
            'licences': accepted_licences(bundle.licences, self.encoders.accept_licence),
            'folders_of_encoders': [str(folder) for folder in bundle.face.folders],
        }

    def _observe(
        self,
        embedder: PhotoEmbedder,
        face: FaceEncoder | SimulatedEncoder,
        embeddings: PhotoEmbeddings,
    ) -> list[Observations | None]:
        """The observations of degraded copies of each photo, None where there are none."""
        if not self.degraded.per_photo:
            return [None] * len(embeddings.has_embedding_N)
        return embedder.embed_degraded(face, self.degraded, embeddings.has_embedding_N)

    def _describe(
        self, embeddings: PhotoEmbeddings, observations: Sequence[Observations | None]
    ) -> list[DescribedPhoto]:
        """The photos with an embedding, and their sentences; ValueError where none has one."""
        if not embeddings.has_embedding_N.any():
            reasons = '; '.join(sorted(set(embeddings.note_N)))
            raise ValueError(
                f'no face was found in any of the {len(embeddings.note_N)} photos of '
                f'{self.source.name}: {reasons}'
            )
        columns = zip(
            self.source.photos,
            self.hashes,
            embeddings.embedding_NxD,
            embeddings.has_embedding_N,
            observations,
            strict=True,
        )
        return [
            DescribedPhoto(
                photo, sha256, embedding, sentences_of_photo(photo, self.captions), observed
            )
            for photo, sha256, embedding, has_embedding, observed in hosts.progress(
                columns, total=len(self.source.photos), desc='sentences', unit='photo', delay=1
            )
            if has_embedding
        ]

    def _pooled_vectors(self, photos: Sequence[DescribedPhoto], cache: pathlib.Path) -> np.ndarray:
        sentences = itertools.chain.from_iterable(described.sentences for described in photos)
        texts = [sentence.text for sentence in sentences]
        return pooled_vectors(self.text_encoder, texts, cache)

    def _text_conditions(
        self, photos: Sequence[DescribedPhoto], pool_TxP: np.ndarray
    ) -> ConditionEncoder:
        if self.fitted:
            return self.fitted.text
        # Phrases are left out: the standardisation is that of sentences.
        is_train_T = np.array(
            [
                described.photo.split == 'train' and sentence.track != 'phrase'
                for described in photos
                for sentence in described.sentences
            ]
        )
        return fit_condition_encoder(
            self.text_encoder, pool_TxP, is_train_T, self.encoders.text_layers
        )

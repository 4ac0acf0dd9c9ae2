"""Face embeddings of a data set's photos, and the appearance encoder that is fitted on them."""

import functools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from diface_jax.data import array_cache, sharded_work
from diface_jax.data.encoder_bundle import EncoderBundle
from diface_jax.data.face_crops import FaceCrops
from diface_jax.data.observations import Observations
from diface_jax.data.readers.records import DataSet
from diface_jax.encoders.face import align, appearance, degrade, dlib_resnet, quality
from diface_jax.encoders.face.appearance import MAX_PHOTOS, Appearance
from diface_jax.encoders.face.dlib_encoder import DlibPass
from diface_jax.encoders.face.encoder import (
    FaceEncoder,
    SimulatedEncoder,
    build_face_encoder,
    encoder_names,
)
from diface_jax.encoders.face.onnx_recogniser import OnnxRecogniser
from diface_jax.runtime import hosts
from diface_jax.runtime.settings import APPEARANCE, DegradedSettings, EncodersSettings

# Cached arrays depend on the weights of dlib's network and on how faces are cropped.
_MAPS = 'maps'  # name of the cache of feature maps
_VERSIONS = (dlib_resnet.SHA256, str(align.VERSION))
_MAPS_AT_A_TIME = 512  # photos, 36 MB


class PhotoEmbeddings(NamedTuple):
    """The embeddings of N photos.

    Attributes:
      embedding_NxD: raw output of E, float32; zeros where there is none.
      has_embedding_N: bool; False where no face was detected or the file cannot be read.
      note_N: why there is none, or how an uncertain face was cropped; '' where nothing is to note.
    """

    embedding_NxD: np.ndarray
    has_embedding_N: np.ndarray
    note_N: np.ndarray


class PhotoEmbedder:
    """Embeds the photos of a data set, and fits the appearance encoder on its training photos.

    Args:
      source: the data set.
      hashes: of the photos' content, as `photo_hashes` gives them.
      cache: folder of the cache, the same one on all hosts.
    """

    def __init__(self, source: DataSet, hashes: Sequence[str], cache: pathlib.Path) -> None:
        self._source, self._hashes, self._cache = source, hashes, cache

    def face_encoder(
        self,
        fitted: EncoderBundle | None,
        encoders: EncodersSettings,
        recognisers: Mapping[str, OnnxRecogniser],
    ) -> FaceEncoder | SimulatedEncoder:
        """E of the data set: that of `fitted` if given, else fitted on the training photos.

        Args:
          fitted: encoders to use; None: those of the settings.
          encoders: lists the face encoders.
          recognisers: those in ONNX files, by their names in `encoders.face`.

        Raises:
          ValueError: there are too few training photos to fit the appearance encoder on.
        """
        if self._source.embedded:
            return SimulatedEncoder(self._source.embedded.encoders)
        if fitted:
            return fitted.face
        names = encoder_names(encoders)
        if APPEARANCE in names:
            return self._fit_appearance(names, recognisers, encoders.appearance_dim)
        return build_face_encoder(names, None, recognisers)

    def embed(self, encoder: FaceEncoder | SimulatedEncoder) -> PhotoEmbeddings:
        """The embeddings of all photos; those of a simulated data set come with it."""
        count = len(self._source.photos)
        if self._source.embedded:
            notes = array_cache.string_array([''] * count)
            return PhotoEmbeddings(self._source.embedded.embedding_NxD, np.ones(count, bool), notes)
        columns = self._map(
            np.arange(count),
            _depends_on('faces', encoder),
            functools.partial(_embed_crops, encoder),
        )
        return PhotoEmbeddings(columns['embedding_NxD'], columns['found_N'], columns['note_N'])

    def embed_degraded(
        self, encoder: FaceEncoder, degraded: DegradedSettings, has_embedding_N: np.ndarray
    ) -> list[Observations | None]:
        """The observations of each photo; None where it has no embedding.

        Args:
          encoder: E.
          degraded: how many degraded copies of a training photo are drawn.
          has_embedding_N: of which photos, bool.
        """
        result: list[Observations | None] = [None] * len(has_embedding_N)
        is_train_N = np.array([photo.split == 'train' for photo in self._source.photos])
        for in_part_N, copies in ((is_train_N, degraded.per_photo), (~is_train_N, 0)):
            rows = np.flatnonzero(in_part_N & has_embedding_N)
            if not len(rows):
                continue
            versions = str(degrade.VERSION), str(quality.VERSION)
            draw = str(copies), str(degraded.seed if copies else '')
            hash_of = {self._source.photos[row].file: self._hashes[row] for row in rows}
            columns = self._map(
                rows,
                _depends_on('degraded', encoder, *versions, *draw),
                functools.partial(_observe_crops, encoder, copies, degraded.seed, hash_of),
            )
            for row, *observed in zip(rows, *columns.values(), strict=True):
                result[row] = Observations(**dict(zip(columns, observed, strict=True)))
        return result

    def _fit_appearance(
        self, names: Sequence[str], recognisers: Mapping[str, OnnxRecogniser], width: int
    ) -> FaceEncoder:
        """E, whose appearance encoder is fitted on training photos drawn with a fixed seed.

        The embeddings of these photos are computed in the same pass, and cached for `embed`.
        """
        rows = self._training_rows(width)
        landmarks, (_, hashes) = str(self._source.landmarks_5x2), self._files(rows)
        name = array_cache.cache_key('appearance', str(width), landmarks, *_VERSIONS, *hashes)
        cached = array_cache.read_arrays(self._cache, name)
        if not hosts.any_host(cached is None):
            return build_face_encoder(names, Appearance(**cached), recognisers)
        dlib = DlibPass(with_maps=True)
        blocks = dlib.block_widths()
        columns = self._maps(rows, names, recognisers, dlib, sum(blocks))

        def fit() -> array_cache.Arrays:
            # Rounded to float16, so that components are those of versions that cached them so.
            maps_NxP = columns['maps'][columns['found']].astype(np.float16)
            with hosts.working('fits the appearance encoder'):
                return appearance.fit_appearance(maps_NxP, blocks, width)._asdict()

        fit_once = functools.partial(array_cache.cached_arrays, self._cache, name, fit)
        fitted = Appearance(**hosts.first_then_others('appearance', fit_once))
        encoder = build_face_encoder(names, fitted, recognisers, dlib)
        with hosts.working('embeds the photos that it was fitted on'):
            faces = _faces_of_maps(encoder, columns)
            sharded_work.add_photos(
                self._source, *self._files(rows), self._cache, _depends_on('faces', encoder), faces
            )
        return encoder

    def _maps(
        self,
        rows: np.ndarray,
        names: Sequence[str],
        recognisers: Mapping[str, OnnxRecogniser],
        dlib: DlibPass,
        width: int,
    ) -> array_cache.Arrays:
        """Maps of photos, `width` wide, and their embeddings by all encoders but `appearance`."""
        others = [name for name in names if name != APPEARANCE]
        frozen = build_face_encoder(others, recognisers=recognisers, dlib=dlib)
        described = json.dumps(frozen.description, sort_keys=True)
        maps_of = functools.partial(_maps_of_crops, dlib, frozen, width)
        return self._map(rows, (_MAPS, *_VERSIONS, described), maps_of)

    def _training_rows(self, width: int) -> np.ndarray:
        """Rows of at most MAX_PHOTOS training photos, sorted; ValueError where there is none."""
        train_N = np.flatnonzero([photo.split == 'train' for photo in self._source.photos])
        if not len(train_N):
            raise ValueError(
                f'{self._source.name} has no training photo, and encoders.appearance_dim={width} '
                'is fitted on training photos: give data.shares a share for train, or set '
                'encoders.appearance_dim to 0'
            )
        return train_N[np.sort(np.random.default_rng(0).permutation(len(train_N))[:MAX_PHOTOS])]

    def _map(
        self, rows: np.ndarray, depends_on: Sequence[str], compute: sharded_work.MapCrops
    ) -> array_cache.Arrays:
        return sharded_work.map_photos(
            self._source, *self._files(rows), self._cache, depends_on, compute
        )

    def _files(self, rows: np.ndarray) -> tuple[list[str], list[str]]:
        """The photos of these rows, and the hashes of their content."""
        files = [self._source.photos[row].file for row in rows]
        return files, [self._hashes[row] for row in rows]


def _depends_on(name: str, encoder: FaceEncoder, *more: str) -> tuple[str, ...]:
    """The key of cached embeddings; that of dlib's is of versions that knew no other E.

    Args:
      name: of the cache.
      encoder: E.
      more: what the embeddings depend on besides.
    """
    dlib, *others = encoder.description
    if dlib['name'] == dlib_resnet.NAME and len(others) == bool(encoder.appearance):
        return name, *_VERSIONS, *more, ''.join(other['sha256'] for other in others)
    return name, *more, json.dumps(encoder.description, sort_keys=True)


def cached_maps(
    cache: pathlib.Path, hashes: Sequence[str], count: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Feature maps of photos that the fit of the appearance encoder has left in the cache.

    Args:
      cache: folder of the cache.
      hashes: of the photos' content.
      count: of photos, at most.

    Returns:
      Rows of `hashes`, and the maps of these photos; none and None where none is cached.
    """
    for folder in sorted(cache.glob(f'{_MAPS}-*')):
        rows = array_cache.RowCache(folder)
        missing = set(rows.missing(hashes))
        kept = [row for row, sha256 in enumerate(hashes) if sha256 not in missing][:count]
        if kept:
            columns = rows.take([hashes[row] for row in kept])
            return np.array(kept)[columns['found']], columns['maps'][columns['found']]
    return np.array([], int), None


# The names of these arrays stand in the cache of existing working directories.
def _maps_of_crops(
    dlib: DlibPass,
    frozen: FaceEncoder,
    width: int,
    files: Sequence[str],
    crops: Sequence[FaceCrops],
) -> array_cache.Arrays:
    """Maps of crops, `width` wide, and their embeddings by the encoders that are not fitted."""

    def encode(chips_NxSxHxWx3: np.ndarray) -> np.ndarray:
        embeddings = [part.embed(chips_NxSxHxWx3) for part in frozen.parts]
        return np.concatenate([dlib.maps(chips_NxSxHxWx3), *embeddings], axis=1)

    vector_NxW, has_face_N = _encode_crops(encode, width + frozen.width, np.float32, crops)
    maps_NxP, frozen_NxD = np.split(vector_NxW, [width], axis=1)
    note_N = array_cache.string_array([crop.note for crop in crops])
    return {'maps': maps_NxP, 'frozen': frozen_NxD, 'found': has_face_N, 'note': note_N}


def _faces_of_maps(encoder: FaceEncoder, columns: array_cache.Arrays) -> array_cache.Arrays:
    """What `_embed_crops` returns of these photos, from the arrays of `_maps_of_crops`."""
    has_face_N = columns['found']
    embedding_NxD = np.zeros((len(has_face_N), encoder.width), np.float32)
    for start in range(0, len(has_face_N), _MAPS_AT_A_TIME):
        part = slice(start, start + _MAPS_AT_A_TIME)
        embedding_NxD[part] = encoder.embed_maps(columns['frozen'][part], columns['maps'][part])
    embedding_NxD[~has_face_N] = 0
    return {'embedding_NxD': embedding_NxD, 'found_N': has_face_N, 'note_N': columns['note']}


def _embed_crops(
    encoder: FaceEncoder, files: Sequence[str], crops: Sequence[FaceCrops]
) -> array_cache.Arrays:
    embedding_NxD, has_face_N = _encode_crops(encoder.embed, encoder.width, np.float32, crops)
    note_N = array_cache.string_array([crop.note for crop in crops])
    return {'embedding_NxD': embedding_NxD, 'found_N': has_face_N, 'note_N': note_N}


def _observe_crops(
    encoder: FaceEncoder,
    copies: int,
    seed: int,
    hash_of: Mapping[str, str],
    files: Sequence[str],
    crops: Sequence[FaceCrops],
) -> array_cache.Arrays:
    """Observations of degraded crops: as many copies as given, drawn; 0: those to evaluate on."""
    chips, qualities, widths = [], [], []
    for file, crop in zip(files, crops, strict=True):
        photo = hash_of[file]
        drawn = degrade.training_degradations(copies, seed, photo) if copies else []
        for how in drawn or degrade.evaluation_degradations():
            face_px = min(how.face_px, crop.face_px)
            chips.append(degrade.degrade(crop.chips, how, photo))
            qualities.append(quality.photo_quality(chips[-1], face_px))
            widths.append(face_px)
    observed = encoder.embed(np.stack(chips)).astype(np.float16)
    return {
        'observed_LxD': observed.reshape(len(files), -1, encoder.width),
        'quality_LxQ': np.stack(qualities).reshape(len(files), -1, len(quality.NAMES)),
        'face_px_L': np.array(widths, np.float32).reshape(len(files), -1),
    }


def _encode_crops(
    encode: Callable[[np.ndarray], np.ndarray],
    width: int,
    dtype: type[np.floating],
    crops: Sequence[FaceCrops],
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of crops, zeros where a photo has no face; and whether each has one."""
    faces = [crop.chips for crop in crops if crop.chips is not None]
    has_face_N = np.array([crop.chips is not None for crop in crops])
    vector_NxW = np.zeros((len(crops), width), dtype)
    if faces:
        vector_NxW[has_face_N] = encode(np.stack(faces))
    return vector_NxW, has_face_N

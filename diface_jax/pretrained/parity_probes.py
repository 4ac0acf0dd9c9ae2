"""Sentences and photographs of a workdir, to compare the scores of two versions of a model on."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from diface_jax.data.photo_embeddings import cached_maps
from diface_jax.data.prepared import Prepared, Split
from diface_jax.encoders.face.appearance import Appearance, AppearanceEncoder
from diface_jax.models.diface import Sampling
from diface_jax.models.features import FeatureExtractor
from diface_jax.pretrained.network_arrays import params_of_arrays
from diface_jax.runtime import mesh as meshes
from diface_jax.training.loaded_model import LoadedModel

_SENTENCES, _PHOTOS = 1000, 1000


class ParityProbes:
    """Sentences and photographs.

    Args:
      trained: the model.
      c_TxC: conditions of sentences.
      embedding_NxD: raw embeddings of photographs.
      maps_NxP: their feature maps, from which the appearance part of an embedding is computed
        anew; None: the embeddings are taken as they are.
    """

    def __init__(
        self,
        trained: LoadedModel,
        c_TxC: np.ndarray,
        embedding_NxD: np.ndarray,
        maps_NxP: np.ndarray | None,
    ) -> None:
        self._trained, self._c_TxC = trained, c_TxC
        self._embedding_NxD, self._maps_NxP = embedding_NxD, maps_NxP
        self._appearance = _appearance_columns(trained.encoders['face'])
        sampling = Sampling(**trained.settings['sample'])
        self._extractor = FeatureExtractor(trained.model, sampling, meshes.make_mesh())

    @property
    def have_maps(self) -> bool:
        """Whether scores depend on the arrays of the appearance encoder."""
        return self._maps_NxP is not None

    def scores(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Scores of all sentences against all photographs, with these arrays; [T, N]."""
        normalise = self._trained.normalise._replace(mean_D=arrays['normalisation/mean_D'])
        embedding_NxD = self._embedding_NxD
        if self._maps_NxP is not None:
            appearance = Appearance(
                arrays['appearance/mean_P'], arrays['appearance/components_PxK']
            )
            embedding_NxD = embedding_NxD.copy()
            embedding_NxD[:, self._appearance] = appearance(self._maps_NxP)
        params = params_of_arrays(arrays, self._trained.settings, self._trained.widths)
        f_TxF = self._extractor.of_texts(params, self._c_TxC, jax.random.key(0))
        f_NxF = self._extractor.of_photos(params, normalise(embedding_NxD))
        return f_TxF @ f_NxF.T


def probes_of(
    trained: LoadedModel, data: Prepared, texts: np.ndarray, cache: pathlib.Path
) -> ParityProbes:
    """Validation sentences, and photographs whose feature maps are cached, if there are any.

    Args:
      trained: the model.
      data: the data set that it was trained on.
      texts: rows of the validation sentences to choose from.
      cache: folder of the cache of `prepare`.
    """
    validation, train = data.splits['validation'], data.splits['train']
    c_TxC = validation.c_TxC[_evenly(texts, _SENTENCES)]
    rows, maps_NxP = np.array([], int), None
    if _appearance_columns(trained.encoders['face']):
        rows, maps_NxP = _maps(train, cache)
    if not len(rows):
        return ParityProbes(trained, c_TxC, validation.embedding_NxD[:_PHOTOS], None)
    return ParityProbes(trained, c_TxC, train.embedding_NxD[rows], maps_NxP)


def _appearance_columns(encoders: Sequence[Mapping[str, Any]]) -> slice | None:
    """Where the appearance stands in an embedding; None where it is no part of it."""
    start = 0
    for encoder in encoders:
        if encoder['name'] == AppearanceEncoder.name:
            return slice(start, start + encoder['width'])
        start += encoder['width']
    return None


def _maps(train: Split, cache: pathlib.Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows of training photos whose feature maps are cached, and the maps."""
    if train.sha256_N is None:
        return np.array([], int), None
    return cached_maps(cache, train.sha256_N.tolist(), _PHOTOS)


def _evenly(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the rows, evenly spread over them."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, count).round().astype(int))]

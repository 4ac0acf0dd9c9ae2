"""CLIP (Radford et al., 2021) as a baseline: zero-shot, and with a linear head.

CLIP embeds sentence and photo on its own, without any of our encoders. FLIP and FaRL are CLIPs that
were trained on faces. The linear head is fitted on the training photos and their sentences.
"""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import numpy as np

from diface_jax.data import array_cache, sharded_work
from diface_jax.data.face_crops import FaceCrops
from diface_jax.data.prepared import Prepared
from diface_jax.data.prepared_photos import map_prepared_photos, stacked_chips
from diface_jax.encoders.clip.clip_encoder import ClipEncoder
from diface_jax.encoders.face import align
from diface_jax.evaluation import baselines
from diface_jax.models.features import Features, unit_rows

_TEMPLATE = align.WIDE  # CLIP was trained on whole photographs


class ClipVectors(NamedTuple):
    """Unit vectors of a split's texts and photos, and the photo of each text."""

    text_TxF: np.ndarray
    photo_NxF: np.ndarray
    photo_T: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class ClipBaseline:
    """Embeds the splits of data sets with a CLIP, and fits linear heads.

    Attributes:
      clip: the model.
      cache: folder of cached vectors, the same one on all hosts.
    """

    clip: ClipEncoder
    cache: pathlib.Path
    _vectors: dict[tuple[int, str], ClipVectors] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(cls, folder: str, cache: pathlib.Path, data_sets: Sequence[Prepared]) -> Self:
        """The baseline of a folder with a CLIP.

        Args:
          folder: of the CLIP.
          cache: folder of cached vectors.
          data_sets: those that it will be fitted and measured on.

        Raises:
          FileNotFoundError: a file of the CLIP is missing.
          ValueError: the folder holds another model, or a data set is of simulated people.
        """
        if any('simulated' in data.card['settings'] for data in data_sets):
            raise ValueError(
                f'evaluate.clip={folder} needs photographs, and simulated people have none: leave '
                'it out'
            )
        return cls(ClipEncoder.from_folder(pathlib.Path(folder)), cache)

    def zero_shot(self, data: Prepared, name: str) -> Features:
        """Features of a split's texts and photos: CLIP's own unit vectors.

        Raises:
          FileNotFoundError: the folder of the photos does not exist any more.
          ValueError: a photo has no face any more.
        """
        vectors = self._vectors_of(data, name)
        return Features(vectors.text_TxF, vectors.photo_NxF)

    def linear_heads(
        self,
        train_data: Prepared,
        texts: np.ndarray,
        strengths: Sequence[float],
        dims: Sequence[int],
    ) -> dict[str, Callable[[Prepared, str], Features]]:
        """Methods to choose from, by label: ridge regression of photo on text, and CCA of both.

        Args:
          train_data: they are fitted on its training split; of two joined data sets on the first.
          texts: rows of the training texts.
          strengths: ridge penalties, in units of a side's mean variance.
          dims: numbers of CCA's directions.

        Raises:
          FileNotFoundError: the folder of the photos does not exist any more.
          ValueError: a photo has no face any more.
        """
        vectors = self._vectors_of(train_data, 'train')
        texts = texts[texts < len(vectors.text_TxF)]
        moments = baselines.CrossMoments.from_pairs(
            vectors.text_TxF[texts], vectors.photo_NxF[vectors.photo_T[texts]]
        )
        fits = {f'ridge {s:g}': baselines.fit_ridge(moments, s) for s in strengths}
        cca = zip(strengths, baselines.fit_cca(moments, strengths), strict=True)
        for (strength, fit), dim in itertools.product(cca, dims):
            fits[f'CCA {strength:g}, {dim} directions'] = fit.first_directions(dim)
        mean_F = vectors.photo_NxF.mean(axis=0)
        return {label: functools.partial(self._project, fit, mean_F) for label, fit in fits.items()}

    def _project(
        self, projection: baselines.LinearProjection, mean_F: np.ndarray, data: Prepared, name: str
    ) -> Features:
        vectors = self._vectors_of(data, name)
        return projection.features(vectors.text_TxF, vectors.photo_NxF - mean_F)

    def _vectors_of(self, data: Prepared, name: str) -> ClipVectors:
        if (id(data), name) not in self._vectors:
            self._vectors[id(data), name] = self._embed(data, name)
        return self._vectors[id(data), name]

    def _embed(self, data: Prepared, name: str) -> ClipVectors:
        """Vectors of a split; the photos of a second data set lie elsewhere and are left out."""
        split = data.splits[name]
        photos = split.starts[1] if len(split.starts) > 1 else len(split.file_N)
        own_T = split.photo_T < photos
        text_TxF = sharded_work.map_sentences(
            split.text_T[own_T].tolist(), self.cache, ('CLIP texts', self.clip.sha256), self._texts
        )['vector']
        photo_NxF = map_prepared_photos(
            data,
            split.file_N[:photos].tolist(),
            self.cache,
            ('CLIP photos', self.clip.sha256, str(align.VERSION)),
            self._photos,
        )['vector']
        return ClipVectors(unit_rows(text_TxF), unit_rows(photo_NxF), split.photo_T[own_T])

    def _texts(
        self, sentences: Sequence[str], on_encoded: Callable[[int], object]
    ) -> array_cache.Arrays:
        vector_TxF = self.clip.embed_texts(sentences)
        on_encoded(len(sentences))
        return {'vector': vector_TxF}

    def _photos(self, files: Sequence[str], crops: Sequence[FaceCrops]) -> array_cache.Arrays:
        return {'vector': self.clip.embed_photos(stacked_chips(files, crops, _TEMPLATE))}

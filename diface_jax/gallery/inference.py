"""Inference: photographs and sentences to features f.

The gallery uses the frozen encoders and the trained model only through this module.
"""

import functools
import hashlib
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from diface_jax.data import prepared
from diface_jax.data.encoder_bundle import EncoderBundle
from diface_jax.encoders.face import align
from diface_jax.encoders.text import bert
from diface_jax.models.diface import Sampling
from diface_jax.models.features import FeatureExtractor, Features
from diface_jax.runtime import mesh as meshes
from diface_jax.runtime import run_state
from diface_jax.training.loaded_model import LoadedModel
from diface_jax.training.model_selection import ValidationPairs

_KEY = 0  # of the sampler's noise: a sentence always gets the same features

# From a photo's pixels to the boxes and crops of its faces, the largest first; raises ValueError
# where it shows none. Worker processes import its module, which imports little.
faces_of = align.align_every_face


class ValidationScores(NamedTuple):
    """The validation split under a sampling, to calibrate on.

    Attributes:
      data: the prepared data set.
      features: of the validation split.
      texts: rows of the texts that `features` holds.
      thresholds: threshold s by condition ('human/cross/random').
    """

    data: prepared.Prepared
    features: Features
    texts: np.ndarray
    thresholds: dict[str, float]


class InferenceModel:
    """A trained model with its frozen encoders, ready for photographs and sentences.

    Args:
      trained: the checkpoint.
      train_data: folder of the prepared data set it was trained on, which holds the fitted
        encoders.
      sampling: how texts become embeddings; None: as in the validation of the checkpoint. Features
        of photos do not depend on it.

    Attributes:
      face_encoder: name, hash and width of each face encoder E.
      model: SHA-256 of the parameters of D and R, and of the mean embedding.
      width: D, the width of an embedding.
      validated_sampling: the sampling that the checkpoint was validated with.
      sampling: the sampling in use.

    Raises:
      FileNotFoundError: `train_data` does not exist, or an encoder is not installed.
      SettingsDifferError: the installed encoders are not those it was trained with.
    """

    faces_of = staticmethod(faces_of)

    def __init__(
        self, trained: LoadedModel, train_data: pathlib.Path, sampling: Sampling | None = None
    ) -> None:
        self._trained, self._train_data = trained, train_data
        self.face_encoder: list[dict[str, Any]] = trained.encoders['face']
        self.width = len(trained.normalise.mean_D)
        self.model = _hash(trained)
        self.validated_sampling = Sampling(**trained.settings['sample'])
        self.sampling = sampling or self.validated_sampling
        mesh = meshes.make_mesh()
        # One text a batch: its noise, and so its features, do not depend on its neighbours.
        self._of_one_text = FeatureExtractor(trained.model, self.sampling, mesh, batch_size=1)
        self._of_many = FeatureExtractor(trained.model, self.sampling, mesh)
        name = trained.encoders['text']['name']
        encoder = bert.load_text_encoder(None if name == bert.MODEL else name)
        self._encoders = EncoderBundle.load(encoder, train_data)
        run_state.require_same_settings(
            'The model',
            trained.encoders,
            self._encoders.description,
            instead='Install the encoders that it was trained with, or train again.',
        )

    def is_token(self, word: str) -> bool:
        """Whether the text encoder has a word whole in its vocabulary."""
        return self._encoders.text.encoder.is_token(word)

    def split(self, sentence: str) -> tuple[str, str]:
        """A sentence as far as the text encoder reads it, and the rest."""
        return self._encoders.text.encoder.split(sentence)

    def embed(self, chips: Sequence[np.ndarray]) -> np.ndarray:
        """Raw embeddings of face crops (as `faces_of` cuts them); embedding_NxD, float32."""
        if not len(chips):
            return np.zeros((0, self.width), np.float32)
        return self._encoders.face.embed(np.stack(chips))

    def of_photos(self, embedding_NxD: np.ndarray) -> np.ndarray:
        """Features of faces, from their raw embeddings; f_NxF, float32, of length 1."""
        x0_NxD = self._trained.normalise(embedding_NxD)
        return self._of_many.of_photos(self._trained.params, x0_NxD)

    def of_texts(self, sentences: Sequence[str]) -> np.ndarray:
        """Features of sentences; f_TxF, float32, of length 1. Each is computed on its own."""
        # Cut here, since the encoder would warn of each of a description's variants.
        c_TxC = self._encoders.text.encode([self.split(sentence)[0] for sentence in sentences])
        key = jax.random.key(_KEY)
        of_one = functools.partial(self._of_one_text.of_texts, self._trained.params, key=key)
        return np.concatenate([of_one(c_TxC[i : i + 1]) for i in range(len(c_TxC))])

    def validation(self) -> ValidationScores:
        """Features of the validation split, with the thresholds of the sampling in use.

        Raises:
          FileNotFoundError: the workdir no longer has the prepared data set.
        """
        data = prepared.load_prepared(self._train_data)
        pairs = ValidationPairs(data, self._trained.settings['captions']['coverage'])
        features = self._of_many.features(
            self._trained.params,
            data.splits['validation'],
            pairs.texts,
            self._trained.normalise,
            jax.random.key(_KEY),
        )
        is_validated = self.sampling == self.validated_sampling
        thresholds = self._trained.thresholds if is_validated else pairs.judge(features).thresholds
        return ValidationScores(data, features, pairs.texts, thresholds)


def _hash(trained: LoadedModel) -> str:
    digest = hashlib.sha256(trained.normalise.mean_D.tobytes())
    for leaf in jax.tree.leaves(trained.params):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()

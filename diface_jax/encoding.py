"""From photographs and sentences to features: the one place where a gallery meets E and the model.

Nothing else of the gallery knows how many encoders there are, or what a condition looks like.
"""

import functools
import hashlib
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from diface_jax import parallel, stages
from diface_jax.data import prepared
from diface_jax.data.fitted import Encoders
from diface_jax.encoders.face import align
from diface_jax.encoders.text import bert
from diface_jax.models.diface import Sampling
from diface_jax.recognition.baselines import Features
from diface_jax.recognition.extraction import Extractor
from diface_jax.training.trained import Trained

_KEY = 0  # of the sampler's noise: a sentence always gets the same features

# From a photo's bytes to the boxes and chips of its faces, the largest first. It raises ValueError
# where there are none. Worker processes import its module, which imports little.
faces_of = align.every_face


class Encoding:
    """A trained model with its frozen encoders, ready for photographs and sentences.

    Args:
      trained: the checkpoint.
      home: folder of the prepared data set it was trained on, which keeps its encoders.

    Attributes:
      face_encoder: which E its embeddings are of.
      model: which D, R and centring its features are of; a hash of their parameters.
      width: of an embedding.

    Raises:
      FileNotFoundError: `home` is not there any more, or an encoder is not installed.
      SettingsDifferError: the encoders that are installed are not those it was trained with.
    """

    faces_of = staticmethod(faces_of)

    def __init__(self, trained: Trained, home: pathlib.Path) -> None:
        self._trained, self._home = trained, home
        self.face_encoder: list[dict[str, Any]] = trained.encoders['face']
        self.width = len(trained.normalise.mean_D)
        self.model = _hash(trained)
        sampling, mesh = Sampling(**trained.config.sample), parallel.make_mesh()
        # One text a batch: its noise, and so its features, do not depend on its neighbours.
        self._of_one_text = Extractor(trained.model, sampling, mesh, batch_size=1)
        self._of_many = Extractor(trained.model, sampling, mesh)
        name = trained.encoders['text']['name']
        encoder = bert.load(None if name == bert.MODEL else name)
        self._encoders = Encoders.load(encoder, home)
        stages.require_same(
            'The model',
            trained.encoders,
            self._encoders.about,
            instead='Install the encoders that it was trained with, or train again.',
        )

    def embed(self, chips: Sequence[np.ndarray]) -> np.ndarray:
        """Raw embeddings of faces' chips (as `faces_of` cuts them); embedding_NxD, float32."""
        if not len(chips):
            return np.zeros((0, self.width), np.float32)
        return self._encoders.face.embed(np.stack(chips))

    def of_photos(self, embedding_NxD: np.ndarray) -> np.ndarray:
        """What faces are matched by, from their raw embeddings; f_NxF, float32."""
        x0_NxD = self._trained.normalise(embedding_NxD)
        return self._of_many.of_photos(self._trained.params, x0_NxD)

    def of_texts(self, sentences: Sequence[str]) -> np.ndarray:
        """What sentences are matched by; f_TxF, float32. Each is as if it were alone."""
        c_TxC = self._encoders.text.encode(sentences)
        key = jax.random.key(_KEY)
        of_one = functools.partial(self._of_one_text.of_texts, self._trained.params, key=key)
        return np.concatenate([of_one(c_TxC[i : i + 1]) for i in range(len(c_TxC))])

    def validation(self) -> tuple[prepared.Prepared, Features, np.ndarray]:
        """The validation split it was chosen by, its features, and the rows of its texts.

        Raises:
          FileNotFoundError: the prepared data set is not in the workdir any more.
        """
        data = prepared.load(self._home)
        split = data.splits['validation']
        tracks = split.tracks(self._trained.config.captions.said)
        texts = np.sort(np.concatenate(list(tracks.values())))
        features = self._of_many.features(
            self._trained.params, split, texts, self._trained.normalise, jax.random.key(_KEY)
        )
        return data, features, texts


def _hash(trained: Trained) -> str:
    digest = hashlib.sha256(trained.normalise.mean_D.tobytes())
    for leaf in jax.tree.leaves(trained.params):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()

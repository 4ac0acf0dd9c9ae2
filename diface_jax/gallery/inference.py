"""Inference: photographs and sentences to features f.

The gallery uses the frozen encoders and the trained model only through this module.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from diface_jax.data.encoder_bundle import EncoderBundle
from diface_jax.encoders.face import align, probe_face
from diface_jax.encoders.face.quality import photo_quality
from diface_jax.models.diface import DiFace, Params, Sampling
from diface_jax.models.features import FeatureExtractor, padded_batches
from diface_jax.models.observation import Observation
from diface_jax.runtime import mesh as meshes
from diface_jax.runtime import run_state
from diface_jax.training.loaded_model import LoadedModel

KEY = 0  # of the sampler's noise: a sentence always gets the same features
_RECENT = 1024  # texts whose features are kept: descriptions that are refined share phrases
_PROBES = 4  # computed at a time; always as many, so that one program serves all searches

# From a photo's pixels to the boxes and crops of its faces, the largest first; raises ValueError
# where it shows none. Worker processes import its module, which imports little.
faces_of = align.align_every_face


class InferenceModel:
    """A trained model with its frozen encoders, ready for photographs and sentences.

    Args:
      trained: the model.
      encoders: its frozen encoders, as installed here.
      sampling: how texts become embeddings; None: as in the validation of the model. Features
        of photos do not depend on it.

    Attributes:
      face_encoder: name, hash and width of each face encoder E.
      model: hash of the model.
      name: of the model.
      terms: what the model may be used for; '' where nothing is said.
      width: D, the width of an embedding.
      sampling: the sampling in use.

    Raises:
      SettingsDifferError: the installed encoders are not those it was trained with.
    """

    faces_of = staticmethod(faces_of)
    probe_face_of = staticmethod(probe_face.find_probe_face)

    def __init__(
        self, trained: LoadedModel, encoders: EncoderBundle, sampling: Sampling | None = None
    ) -> None:
        self._trained, self._encoders = trained, encoders
        # Of a pack they are numpy's, which every call would copy.
        self._params = jax.device_put(trained.params)
        self.face_encoder: list[dict[str, Any]] = trained.encoders['face']
        self.width = len(trained.normalise.mean_D)
        self.model, self.name, self.terms = trained.sha256, trained.name, trained.terms
        self.sampling = sampling or Sampling(**trained.settings['sample'])
        self._of_many = FeatureExtractor(trained.model, self.sampling, meshes.make_mesh())
        self._features = _probe_features(trained.model, self.sampling)
        self._recent: dict[str, np.ndarray] = {}
        run_state.require_same_settings(
            'The model',
            trained.encoders,
            encoders.description,
            instead='Install the encoders that it was trained with, or train again.',
        )

    @property
    def mean_D(self) -> np.ndarray:
        """The mean raw embedding of the training photos."""
        return self._trained.normalise.mean_D

    @property
    def parts(self) -> tuple[LoadedModel, EncoderBundle]:
        """The trained model and its frozen encoders."""
        return self._trained, self._encoders

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
        return self._of_many.of_photos(self._params, x0_NxD)

    @property
    def takes_photos(self) -> bool:
        """Whether the model was trained to search with a poor photo, alone or beside a text."""
        return self._trained.model.quality_dim > 0

    def observe(self, chips: Sequence[np.ndarray], face_px: Sequence[float]) -> Observation:
        """Observations of faces, from their crops.

        Args:
          chips: as `faces_of` or `probe_face_of` cuts them; at least one.
          face_px: widths of the faces in their photos, in pixels (see `align.face_width`).
        """
        pairs = zip(chips, face_px, strict=True)
        quality_BxQ = np.stack([photo_quality(crop, width) for crop, width in pairs])
        return Observation(self._trained.normalise(self.embed(chips)), quality_BxQ)

    def of_texts(self, sentences: Sequence[str]) -> np.ndarray:
        """Features of sentences; f_TxF, float32, of length 1. None depends on the others.

        Those of the last texts are kept in memory, and not computed again.
        """
        recent = self._recent
        f_of = {text: recent[text] for text in sentences if text in recent}
        if new := [text for text in dict.fromkeys(sentences) if text not in f_of]:
            f_of.update(zip(new, self.of_probes(self.conditions(new), None), strict=True))
        # Replaced and never changed, as threads of the server share it.
        older = [pair for pair in recent.items() if pair[0] not in f_of]
        self._recent = dict([*older, *f_of.items()][-_RECENT:])
        return np.stack([f_of[text] for text in sentences])

    def conditions(self, sentences: Sequence[str]) -> np.ndarray:
        """Conditions c_TxC of sentences, as far as the text encoder reads them."""
        # Cut here, since the encoder would warn of each of a description's variants.
        return self._encoders.text.encode([self.split(sentence)[0] for sentence in sentences])

    def of_probes(self, c_BxC: np.ndarray | None, observation: Observation | None) -> np.ndarray:
        """Features of probes: texts, poor photos, or a text and a photo of each.

        Args:
          c_BxC: from `conditions`; None: the probes have no text.
          observation: from `observe`; None: the probes have no photo.

        Returns:
          f_BxF, float32, of length 1. None depends on the others.

        Raises:
          ValueError: neither is given, or the model was trained without photos as probes.
        """
        if c_BxC is None and observation is None:
            raise ValueError('a probe has a text, a photo, or both')
        known = c_BxC, observation
        f_NxBxF = [
            np.asarray(self._features(self._params, batch))
            for batch in padded_batches(known, _PROBES)
        ]
        return np.concatenate(f_NxBxF)[: len(jax.tree.leaves(known)[0])]


def _probe_features(
    model: DiFace, sampling: Sampling
) -> Callable[[Params, tuple[Any, Any]], jax.Array]:
    """A function from parameters and what is known of _PROBES probes to features; [_PROBES, F].

    Each probe gets the same noise, so its features do not depend on its neighbours.
    """

    def of_one(params: Params, known: tuple[Any, Any]) -> jax.Array:
        c_1xC, observation = jax.tree.map(lambda row: row[None], known)
        key = jax.random.key(KEY)
        return model.probe_features(params, c_1xC, key, sampling, observation)[0]

    return jax.jit(jax.vmap(of_one, in_axes=(None, 0)))

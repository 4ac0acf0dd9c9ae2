"""Methods that search with a poor photo, alone or beside a text, tuned on validation people.

Every method gives features, so that a score is a dot product: a fusion of scores weighs each part
of a probe by a number that depends on the quality of its photo alone.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from diface_jax.data.prepared import Split
from diface_jax.diffusion.schedule import alpha_sigma
from diface_jax.evaluation import two_tower
from diface_jax.evaluation.identification import draw_identification
from diface_jax.models.diface import Sampling
from diface_jax.models.features import FeatureExtractor, Features, unit_rows
from diface_jax.models.observation import Observation
from diface_jax.models.observation_rows import observations_at
from diface_jax.runtime import mesh as meshes
from diface_jax.training.input_pipeline import BatchRows
from diface_jax.training.loaded_model import LoadedModel

# Samplings that are tried on validation beside the model's own: more steps, more samples.
SAMPLINGS = (Sampling(5, 16), Sampling(25, 4))
_IMPOSTORS = 20  # of each genuine pair that a fusion is fitted on
_DRAWS = 4


class PhotoProbes(NamedTuple):
    """PhotoProbes of a split: P texts, and the photos that they describe, degraded to one width.

    Attributes:
      split: the photos and texts.
      text_P: rows of the texts, sorted.
      observation: of their photos.
    """

    split: Split
    text_P: np.ndarray
    observation: Observation


# From probes to features of the probes [P, F] and of all photos of the split [N, F].
ProbeMethod = Callable[[PhotoProbes], Features]


def make_probes(split: Split, texts: np.ndarray, level: int, trained: LoadedModel) -> PhotoProbes:
    """PhotoProbes of these texts, their photos at a level of `degrade.EVALUATION_WIDTHS`."""
    texts = np.sort(texts)
    photo_P = split.photo_T[texts]
    observation = observations_at(split.observations, photo_P, level, trained.normalise)
    return PhotoProbes(split, texts, observation)


@dataclasses.dataclass(frozen=True)
class SingleMethods:
    """The methods that fuse no scores.

    Attributes:
      trained: DiFace, trained with observations.
      sampling: how it samples.
      seed: of its samples.
    """

    trained: LoadedModel
    sampling: Sampling
    seed: int

    def words(self, probes: PhotoProbes) -> Features:
        """DiFace from the text alone."""
        return self._diface(probes, with_text=True, with_photo=False)

    def photo(self, probes: PhotoProbes) -> Features:
        """DiFace from the photo alone."""
        return self._diface(probes, with_text=False, with_photo=True)

    def both(self, probes: PhotoProbes) -> Features:
        """DiFace from the text and the photo: D conditioned on [c, observation]."""
        return self._diface(probes, with_text=True, with_photo=True)

    def cosine(self, probes: PhotoProbes) -> Features:
        """The photo alone, by cosine in X0."""
        return Features(unit_rows(probes.observation.y_BxD), unit_rows(self._x0(probes)))

    def refined(self, probes: PhotoProbes) -> Features:
        """The photo alone, by R."""
        extractor, params = self._extractor, self.trained.params
        f_PxF = extractor.of_photos(params, probes.observation.y_BxD)
        return Features(f_PxF, extractor.of_photos(params, self._x0(probes)))

    def started(self, probes: PhotoProbes, scale: float, log_snr: float) -> Features:
        """DiFace that starts at the noise level of the observation, guided by the text.

        The observation is taken as y = scale x0 + noise, so that a multiple of it is the x_t of
        that SNR, and D's estimate from it is the posterior mean.

        Args:
          probes: to be scored.
          scale: of x0 in the observations.
          log_snr: their log SNR.
        """
        model, params = self.trained.model, self.trained.params
        alpha, _ = alpha_sigma(jnp.float32(log_snr))
        x_t_PxD = alpha * probes.observation.y_BxD / scale
        denoise = model.denoiser(params, probes.split.c_TxC[probes.text_P])
        x0_PxD = denoise(jnp.asarray(x_t_PxD), jnp.full((1, 1), log_snr))
        extractor = self._extractor
        f_PxF = extractor.refined(params, np.asarray(x0_PxD))
        return Features(f_PxF, extractor.of_photos(params, self._x0(probes)))

    def _diface(self, probes: PhotoProbes, with_text: bool, with_photo: bool) -> Features:
        extractor, params = self._extractor, self.trained.params
        f_PxF = extractor.of_probes(
            params,
            probes.split.c_TxC[probes.text_P] if with_text else None,
            jax.random.key(self.seed),
            probes.observation if with_photo else None,
        )
        return Features(f_PxF, extractor.of_photos(params, self._x0(probes)))

    @functools.cached_property
    def _extractor(self) -> FeatureExtractor:
        return FeatureExtractor(self.trained.model, self.sampling, meshes.make_mesh())

    def _x0(self, probes: PhotoProbes) -> np.ndarray:
        return self.trained.normalise(probes.split.embedding_NxD)


class NoiseOfObservations(NamedTuple):
    """Observations taken as y = scale x0 + Gaussian noise of this log SNR."""

    scale: float
    log_snr: float

    @classmethod
    def fit(cls, y_PxD: np.ndarray, x0_PxD: np.ndarray) -> 'NoiseOfObservations':
        """The least-squares fit to observations and the embeddings of the same photos."""
        scale = float(np.sum(y_PxD * x0_PxD) / np.sum(x0_PxD**2))
        # Of the undegraded photo itself the noise is zero: the schedule ends before that.
        variance = max(float(np.mean((y_PxD - scale * x0_PxD) ** 2)), 1e-3)
        return cls(scale, float(np.log(scale**2 / variance)))


@dataclasses.dataclass(frozen=True)
class Fusion:
    """Logistic regression of whether a pair is genuine, on S scores and on their quality.

    The weight of a score is linear in the quality of the probe's photo.

    Attributes:
      weight_SxW: of each score, for a constant and the qualities that are used.
      uses_quality: whether weights depend on the quality; otherwise W is 1.
    """

    weight_SxW: np.ndarray
    uses_quality: bool

    @classmethod
    def fit(
        cls,
        score_SxM: np.ndarray,
        quality_MxQ: np.ndarray,
        genuine_M: np.ndarray,
        uses_quality: bool,
    ) -> 'Fusion':
        """The fusion of M pairs, of which genuine and impostor ones have the same weight in sum."""
        from sklearn.linear_model import LogisticRegression  # slow to import
        from sklearn.preprocessing import StandardScaler

        terms_MxW = _terms(quality_MxQ, uses_quality)
        # The quality itself moves all scores of a probe, which a rank does not see, but AUC does.
        weighted_MxSxW = score_SxM.T[:, :, None] * terms_MxW[:, None]
        columns_MxK = np.concatenate(
            [weighted_MxSxW.reshape(len(genuine_M), -1), terms_MxW[:, 1:]], axis=1
        )
        scaler = StandardScaler().fit(columns_MxK)
        fitted = LogisticRegression(class_weight='balanced', max_iter=1000).fit(
            scaler.transform(columns_MxK), genuine_M
        )
        weight_K = fitted.coef_[0] / scaler.scale_
        width = terms_MxW.shape[1]
        of_scores = weight_K[: len(score_SxM) * width].reshape(-1, width)
        of_quality = np.concatenate([[0.0], weight_K[len(score_SxM) * width :]])
        return cls(np.concatenate([of_scores, of_quality[None]]), uses_quality)

    def __call__(self, parts: Sequence[Features], quality_PxQ: np.ndarray) -> Features:
        """Features whose dot product is the fused score of the parts, up to a constant."""
        weight_SxP = self.weight_SxW @ _terms(quality_PxQ, self.uses_quality).T
        ones_Nx1 = np.ones((len(parts[0].photo_NxF), 1), np.float32)
        probe = [
            weight_P[:, None] * part.text_TxF
            for weight_P, part in zip(weight_SxP[:-1], parts, strict=True)
        ]
        photo = [part.photo_NxF for part in parts]
        return Features(
            np.concatenate([*probe, weight_SxP[-1][:, None]], axis=1).astype(np.float32),
            np.concatenate([*photo, ones_Nx1], axis=1),
        )


def _terms(quality_MxQ: np.ndarray, uses_quality: bool) -> np.ndarray:
    """A constant, and the qualities if they are used; [M, W]."""
    ones_Mx1 = np.ones((len(quality_MxQ), 1))
    return np.concatenate([ones_Mx1, quality_MxQ], axis=1) if uses_quality else ones_Mx1


class FittingPairs(NamedTuple):
    """M pairs of validation people: places of probes, rows of photos, and which are genuine."""

    probe_M: np.ndarray
    photo_M: np.ndarray
    genuine_M: np.ndarray


def draw_fitting_pairs(probes: PhotoProbes, seed: int) -> FittingPairs:
    """Genuine pairs of the protocol cross, each with `_IMPOSTORS` impostor pairs of its probe."""
    rng, parts = np.random.default_rng(seed), []
    for _ in range(_DRAWS):
        draw = draw_identification(rng, probes.split, probes.text_P, 'cross')
        probe_P = np.searchsorted(probes.text_P, draw.text_P)
        offset = rng.integers(1, len(draw.photo_I), (len(probe_P), _IMPOSTORS))
        other_PxI = (draw.person_P[:, None] + offset) % len(draw.photo_I)
        person_PxJ = np.concatenate([draw.person_P[:, None], other_PxI], axis=1)
        genuine_PxJ = np.arange(person_PxJ.shape[1]) == np.zeros((len(probe_P), 1))
        parts.append(
            FittingPairs(
                np.repeat(probe_P, person_PxJ.shape[1]),
                draw.photo_I[person_PxJ].ravel(),
                genuine_PxJ.ravel(),
            )
        )
    return FittingPairs(*map(np.concatenate, zip(*parts, strict=True)))


def fit_fusion(
    parts_of_level: Mapping[int, Sequence[Features]],
    probes_of_level: Mapping[int, PhotoProbes],
    uses_quality: bool,
    seed: int,
) -> Fusion:
    """A fusion of the scores of several methods, fitted on the probes of one or more levels.

    Args:
      parts_of_level: features of each method, by level.
      probes_of_level: the validation probes, by level.
      uses_quality: whether weights depend on the quality of a photo.
      seed: of the drawn pairs.
    """
    scores, qualities, genuine = [], [], []
    for level, probes in probes_of_level.items():
        pairs = draw_fitting_pairs(probes, seed)
        scores.append(
            np.stack([part.scores(pairs.probe_M, pairs.photo_M) for part in parts_of_level[level]])
        )
        qualities.append(probes.observation.quality_BxQ[pairs.probe_M])
        genuine.append(pairs.genuine_M)
    return Fusion.fit(
        np.concatenate(scores, axis=1),
        np.concatenate(qualities),
        np.concatenate(genuine),
        uses_quality,
    )


def probe_input(shares: tuple[float, float, float]) -> two_tower.ProbeInput:
    """Inputs of a regression network that is conditioned on a text, a photo, or both.

    Args:
      shares: of rows with a text alone, a photo alone, and both, as in the training of DiFace.
    """

    def inputs(rows: BatchRows, key: jax.Array) -> jax.Array:
        place_Bx1 = jax.random.uniform(key, (len(rows.c_BxC), 1))
        has_photo_Bx1 = place_Bx1 >= shares[0]
        has_text_Bx1 = ~has_photo_Bx1 | (place_Bx1 >= shares[0] + shares[1])
        return both_inputs(rows.c_BxC, rows.observation, has_text_Bx1, has_photo_Bx1)

    return inputs


def both_inputs(
    c_BxC: jax.Array,
    observation: Observation,
    has_text_Bx1: jax.Array | bool = True,
    has_photo_Bx1: jax.Array | bool = True,
) -> jax.Array:
    """Conditions and observations side by side, zeros where dropped, and what there is."""
    ones_Bx1 = jnp.ones((len(c_BxC), 1))
    return jnp.concatenate(
        [
            jnp.where(has_text_Bx1, c_BxC, 0.0),
            jnp.where(has_photo_Bx1, jnp.concatenate(observation, axis=1), 0.0),
            ones_Bx1 * has_text_Bx1,
            ones_Bx1 * has_photo_Bx1,
        ],
        axis=1,
    )


def tower_features(
    towers: two_tower.TwoTower, trained: LoadedModel, probes: PhotoProbes
) -> Features:
    """Features of probes with text and photo, by towers fitted with `probe_input`."""
    inputs = both_inputs(probes.split.c_TxC[probes.text_P], probes.observation)
    x0_NxD = jnp.asarray(trained.normalise(probes.split.embedding_NxD))
    return Features(*map(np.asarray, two_tower.two_tower_features(towers, inputs, x0_NxD)))


def best_sampling(auc_of: Callable[[Sampling], float], candidates: Sequence[Sampling]) -> Sampling:
    """The sampling with the best AUC on validation."""
    aucs = [auc_of(sampling) for sampling in candidates]
    for sampling, auc in zip(candidates, aucs, strict=True):
        logging.info('poor photos: %s, validation AUC %.4f', sampling, auc)
    return candidates[int(np.argmax(aucs))]

"""DiFace as pure functions of its parameters: denoise, recover, refine.

The modules of D and R are split into a static part, which DiFace keeps, and a plain pytree of
parameters {'score': ..., 'refine': ...}, which every call takes.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from flax import nnx

from diface_jax.diffusion import schedule
from diface_jax.diffusion.ddim import Denoiser, SamplingPath, ddim, ddim_path, guided_denoiser
from diface_jax.models.observation import Observation, part_weights
from diface_jax.models.refine import RefinementNetwork, l2_normalise
from diface_jax.models.score import ScoreNetwork
from diface_jax.runtime.settings import ModelSettings

Params = dict[str, Any]

COMPUTE_DTYPES = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How embeddings are sampled from texts.

    Attributes:
      num_steps: T~, the number of DDIM steps.
      num_samples: K, samples a text, averaged before refinement; 1 is the literal method.
      guidance: scale of classifier-free guidance; 1 turns it off.
      eta: noise added at each step; 0 is the probability-flow ODE.
    """

    num_steps: int
    num_samples: int = 1
    guidance: float = 1.0
    eta: float = 0.0


@dataclasses.dataclass(frozen=True)
class DiFace:
    """D and R without their parameters, and the noise schedule.

    Attributes:
      score: graph definition of D.
      refinement: graph definition of R.
      log_snr: the noise schedule, t -> log SNR.
      embedding_dim: D, the width of x0.
      refine_photos: whether R is applied to photos too, and not to texts alone.
      quality_dim: Q, the width of a photo's quality; 0 where D takes no observation.
    """

    score: nnx.GraphDef
    refinement: nnx.GraphDef
    log_snr: schedule.LogSnr
    embedding_dim: int
    refine_photos: bool
    quality_dim: int = 0

    def denoiser(
        self,
        params: Params,
        c_BxC: jax.Array | None,
        keep_c_Bx1: jax.Array | None = None,
        dropout_key: jax.Array | None = None,
        observation: Observation | None = None,
        keep_y_Bx1: jax.Array | None = None,
    ) -> Denoiser:
        """D given the texts c and the observations, as (x_t_BxD, log_snr_Bx1) -> x0_BxD.

        They are embedded once, here: a sampler may call the denoiser many times.

        Args:
          params: of D.
          c_BxC: conditions of the texts; None: there is none.
          keep_c_Bx1: False where the text is dropped (classifier-free guidance); None keeps all.
          dropout_key: random key of dropout in training, or one for each of the P passes of
            x_t_BxPxD (then c, keep_c and the observation are [B, 1 or P, ...]); None turns it off.
          observation: of the same faces; None: there is none.
          keep_y_Bx1: False where the observation is dropped; None keeps all.
        """
        network = nnx.merge(self.score, params['score'])
        probe = network.embed_probe(c_BxC, keep_c_Bx1, observation, keep_y_Bx1)
        return lambda x_t, log_snr: network(x_t, log_snr, probe, dropout_key)

    def refine(
        self, params: Params, x0_BxD: jax.Array, dropout_key: jax.Array | None = None
    ) -> jax.Array:
        """R: maps embeddings recovered from texts to unit vectors f_BxF."""
        return nnx.merge(self.refinement, params['refine'])(x0_BxD, dropout_key)

    def refine_photo(
        self, params: Params, x0_BxD: jax.Array, dropout_key: jax.Array | None = None
    ) -> jax.Array:
        """Unit vectors f_BxF of photos: R of x0, or x0 normalised if R is for texts alone."""
        return (
            self.refine(params, x0_BxD, dropout_key) if self.refine_photos else l2_normalise(x0_BxD)
        )

    def recover(
        self,
        params: Params,
        c_BxC: jax.Array | None,
        key: jax.Array,
        sampling: Sampling,
        observation: Observation | None = None,
    ) -> jax.Array:
        """Recovers embeddings: the mean of K samples of p(x0 | c, observation) by DDIM; x0_BxD.

        Args:
          params: of D.
          c_BxC: conditions of the texts; None: there is none.
          key: random key of the noise.
          sampling: T~, K, guidance and eta.
          observation: of the same faces; None: there is none, and there must be texts.
        """
        denoise, x_T, noise_key = self._start(params, c_BxC, observation, key, sampling)
        x0 = ddim(denoise, x_T, self.log_snr, sampling.num_steps, sampling.eta, noise_key)
        return x0.mean(axis=1)

    def probe_features(
        self,
        params: Params,
        c_BxC: jax.Array | None,
        key: jax.Array,
        sampling: Sampling,
        observation: Observation | None = None,
    ) -> jax.Array:
        """Unit vectors f_BxF of probes: R of what is recovered from each.

        A probe with a text and an observation also gets the features of each alone, with weights
        that depend on the width of the face (`part_weights`).

        Args:
          params: of D and R.
          c_BxC: conditions of the texts; None: there is none.
          key: random key of the noise.
          sampling: T~, K, guidance and eta.
          observation: of the same faces; None: there is none, and there must be texts.
        """

        def refined(c_BxC: jax.Array | None, observation: Observation | None) -> jax.Array:
            x0_BxD = self.recover(params, c_BxC, key, sampling, observation=observation)
            return self.refine(params, x0_BxD)

        f_BxF = refined(c_BxC, observation)
        if c_BxC is None or observation is None:
            return f_BxF
        text_Bx1, photo_Bx1 = part_weights(observation)
        text_BxF, photo_BxF = refined(c_BxC, None), refined(None, observation)
        return l2_normalise(f_BxF + text_Bx1 * text_BxF + photo_Bx1 * photo_BxF)

    def path(
        self,
        params: Params,
        c_BxC: jax.Array | None,
        key: jax.Array,
        sampling: Sampling,
        observation: Observation | None = None,
    ) -> SamplingPath:
        """The DDIM path of every sample that `recover` averages, K consecutive rows a text."""
        denoise, x_T, noise_key = self._start(params, c_BxC, observation, key, sampling)
        path = ddim_path(denoise, x_T, self.log_snr, sampling.num_steps, sampling.eta, noise_key)
        rows = -1, x_T.shape[0] * x_T.shape[1], self.embedding_dim
        x_SxBxD, x0_SxBxD = path.x_SxBxD.reshape(rows), path.x0_SxBxD.reshape(rows)
        return path._replace(x_SxBxD=x_SxBxD, x0_SxBxD=x0_SxBxD)

    def _start(
        self,
        params: Params,
        c_BxC: jax.Array | None,
        observation: Observation | None,
        key: jax.Array,
        sampling: Sampling,
    ) -> tuple[Denoiser, jax.Array, jax.Array]:
        """The guided denoiser of x_BxKxD, x_T_BxKxD, and a key for the noise of the steps."""
        start_key, noise_key = jax.random.split(key)
        # A text is embedded once for its K samples.
        c, observation = jax.tree.map(lambda rows: rows[:, None], (c_BxC, observation))
        count = len(jax.tree.leaves((c, observation))[0])
        denoise = guided_denoiser(
            self.denoiser(params, c, observation=observation),
            self.denoiser(params, None),
            sampling.guidance,
        )
        shape = count, sampling.num_samples, self.embedding_dim
        return denoise, jax.random.normal(start_key, shape), noise_key


def build_model(
    settings: ModelSettings,
    schedule_name: str,
    embedding_dim: int,
    condition_dim: int,
    quality_dim: int = 0,
    compute_dtype: str = 'float32',
) -> DiFace:
    """The static part of D and R; computes no parameters.

    Args:
      settings: sizes of the networks.
      schedule_name: noise schedule, `diffusion.schedule`.
      embedding_dim: D.
      condition_dim: C.
      quality_dim: Q; 0: D takes no observation.
      compute_dtype: type of the networks' matrix products: 'float32' or 'bfloat16'. Parameters and
        outputs are float32 either way.

    Raises:
      ValueError: R is applied to texts alone, and does not keep the width of x0; or the networks
        cannot compute in that type.
    """
    if compute_dtype not in COMPUTE_DTYPES:
        raise ValueError(
            f'train.compute_dtype={compute_dtype!r}: choose one of {", ".join(COMPUTE_DTYPES)}'
        )
    if not settings.refine_photos and settings.refine.feature_dim != embedding_dim:
        raise ValueError(
            f'model.refine_photos=False matches features with x0: set model.refine.feature_dim to '
            f'{embedding_dim}'
        )

    widths = embedding_dim, condition_dim, quality_dim
    (score, _), (refinement, _) = _shapes(_hashable(settings), widths, compute_dtype)
    return DiFace(
        score=score,
        refinement=refinement,
        log_snr=schedule.by_name(schedule_name),
        embedding_dim=embedding_dim,
        refine_photos=settings.refine_photos,
        quality_dim=quality_dim,
    )


def init_networks(
    settings: ModelSettings,
    embedding_dim: int,
    condition_dim: int,
    key: jax.Array,
    quality_dim: int = 0,
) -> Params:
    """Initial parameters of D and R: {'score': ..., 'refine': ...}."""
    widths = embedding_dim, condition_dim, quality_dim
    score, refinement = _networks(settings, widths, key, jnp.dtype('float32'))
    return {'score': nnx.state(score, nnx.Param), 'refine': nnx.state(refinement, nnx.Param)}


def param_shapes(
    settings: ModelSettings, embedding_dim: int, condition_dim: int, quality_dim: int = 0
) -> Params:
    """What `init_networks` returns, with a `jax.ShapeDtypeStruct` for each array."""
    widths = embedding_dim, condition_dim, quality_dim
    (_, score), (_, refinement) = _shapes(_hashable(settings), widths, 'float32')
    return {'score': score, 'refine': refinement}


def _hashable(settings: ModelSettings) -> ModelSettings:
    is_config = isinstance(settings, ml_collections.ConfigDict)
    return ml_collections.FrozenConfigDict(settings) if is_config else settings


@functools.lru_cache(maxsize=4)  # to trace both networks takes 0.2 s
def _shapes(
    settings: ModelSettings, widths: tuple[int, int, int], dtype: str
) -> tuple[tuple[nnx.GraphDef, nnx.State], ...]:
    """Graph definition and shapes of the parameters of D, and those of R."""
    networks = nnx.eval_shape(
        lambda: _networks(settings, widths, jax.random.key(0), jnp.dtype(dtype))
    )
    return tuple((nnx.graphdef(network), nnx.state(network, nnx.Param)) for network in networks)


def _networks(
    settings: ModelSettings, widths: tuple[int, int, int], key: jax.Array, dtype: jnp.dtype
) -> tuple[ScoreNetwork, RefinementNetwork]:
    """D and R for widths D, C and Q."""
    embedding_dim, condition_dim, quality_dim = widths
    score_key, refine_key = jax.random.split(key)
    score = ScoreNetwork(
        embedding_dim,
        condition_dim,
        width=settings.score.width,
        depth=settings.score.depth,
        dropout=settings.score.dropout,
        prediction=settings.score.prediction,
        quality_dim=quality_dim,
        dtype=dtype,
        rngs=nnx.Rngs(score_key),
    )
    refinement = RefinementNetwork(
        embedding_dim,
        settings.refine.feature_dim,
        width=settings.refine.width,
        dropout=settings.refine.dropout,
        dtype=dtype,
        rngs=nnx.Rngs(refine_key),
    )
    return score, refinement

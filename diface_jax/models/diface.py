"""DiFace as pure functions of its parameters: denoise, recover, refine.

The modules of D and R are split once into a static part, kept here, and a plain pytree of
parameters {'score': ..., 'refine': ...}, passed in.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from flax import nnx

from diface_jax.diffusion import schedule
from diface_jax.diffusion.ddim import Denoiser, SamplingPath, ddim, ddim_path, guided_denoiser
from diface_jax.models.refine import RefinementNetwork, l2_normalise
from diface_jax.models.score import ScoreNetwork

Params = dict[str, Any]

COMPUTE_DTYPES = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How a text becomes an embedding.

    Attributes:
      num_steps: T~, DDIM steps.
      num_samples: K, samples a text, averaged before refinement; 1 is the literal method.
      guidance: classifier-free guidance scale; 1 is none.
      eta: noise added at each step; 0 is the probability-flow ODE.
    """

    num_steps: int
    num_samples: int = 1
    guidance: float = 1.0
    eta: float = 0.0


@dataclasses.dataclass(frozen=True)
class DiFace:
    """D and R without their parameters, and the noise schedule they share."""

    score: nnx.GraphDef
    refinement: nnx.GraphDef
    log_snr: schedule.LogSnr
    embedding_dim: int
    refine_photos: bool

    def denoiser(
        self,
        params: Params,
        c_BxC: jax.Array,
        keep_c_Bx1: jax.Array | None = None,
        dropout_key: jax.Array | None = None,
    ) -> Denoiser:
        """D given the texts c, as a function (x_t_BxD, log_snr_Bx1) -> x0_BxD."""
        network = nnx.merge(self.score, params['score'])
        return lambda x_t, log_snr: network(x_t, log_snr, c_BxC, keep_c_Bx1, dropout_key)

    def refine(
        self, params: Params, x0_BxD: jax.Array, dropout_key: jax.Array | None = None
    ) -> jax.Array:
        """R: embeddings recovered from texts to unit vectors f_BxF."""
        return nnx.merge(self.refinement, params['refine'])(x0_BxD, dropout_key)

    def refine_photo(
        self, params: Params, x0_BxD: jax.Array, dropout_key: jax.Array | None = None
    ) -> jax.Array:
        """What photos are matched by: R of their embeddings, or with R on one side x0 itself."""
        return (
            self.refine(params, x0_BxD, dropout_key) if self.refine_photos else l2_normalise(x0_BxD)
        )

    def recover(
        self,
        params: Params,
        c_BxC: jax.Array,
        key: jax.Array,
        sampling: Sampling,
        dropout_key: jax.Array | None = None,
    ) -> jax.Array:
        """Embeddings of texts: the mean of K samples of p(x0 | c) by DDIM; x0_BxD.

        With a `dropout_key`, each sample keeps one dropout mask for all of its steps (and for both
        sides of guidance): one thinned network denoises it, as if that had been drawn once.
        """
        denoise, x_T, noise_key = self._start(params, c_BxC, key, sampling, dropout_key)
        x0 = ddim(denoise, x_T, self.log_snr, sampling.num_steps, sampling.eta, noise_key)
        return x0.reshape(-1, sampling.num_samples, self.embedding_dim).mean(axis=1)

    def path(
        self, params: Params, c_BxC: jax.Array, key: jax.Array, sampling: Sampling
    ) -> SamplingPath:
        """The DDIM path of every sample that `recover` averages: K rows a text, one by another."""
        denoise, x_T, noise_key = self._start(params, c_BxC, key, sampling)
        return ddim_path(denoise, x_T, self.log_snr, sampling.num_steps, sampling.eta, noise_key)

    def _start(
        self,
        params: Params,
        c_BxC: jax.Array,
        key: jax.Array,
        sampling: Sampling,
        dropout_key: jax.Array | None = None,
    ) -> tuple[Denoiser, jax.Array, jax.Array]:
        """The guided denoiser of K rows a text, their x_T, and a key for the steps' noise."""
        start_key, noise_key = jax.random.split(key)
        c = jnp.repeat(c_BxC, sampling.num_samples, axis=0)
        nothing = jnp.zeros((len(c), 1), bool)
        denoise = guided_denoiser(
            self.denoiser(params, c, dropout_key=dropout_key),
            self.denoiser(params, c, nothing, dropout_key),
            sampling.guidance,
        )
        return denoise, jax.random.normal(start_key, (len(c), self.embedding_dim)), noise_key


def build_model(
    config: ml_collections.ConfigDict,
    embedding_dim: int,
    condition_dim: int,
    key: jax.Array,
    compute_dtype: str = 'float32',
) -> tuple[DiFace, Params]:
    """D and R as `config.model` and `config.diffusion` say, freshly initialised.

    Args:
      config: the whole config.
      embedding_dim: D.
      condition_dim: C.
      key: random key of the initial parameters.
      compute_dtype: of the networks' matrix products: 'float32' or 'bfloat16'. Parameters and what
        the networks return are float32 either way.

    Returns:
      The model and its parameters; call it under `jax.jit` to have them born sharded.

    Raises:
      ValueError: R is on one side alone, and does not keep the width of x0; or the networks cannot
        compute in that type.
    """
    if compute_dtype not in COMPUTE_DTYPES:
        raise ValueError(
            f'train.compute_dtype={compute_dtype!r}: choose one of {", ".join(COMPUTE_DTYPES)}'
        )
    if not config.model.refine_photos and config.model.refine.feature_dim != embedding_dim:
        raise ValueError(
            f'model.refine_photos=False matches features with x0: set model.refine.feature_dim to '
            f'{embedding_dim}'
        )
    score_key, refine_key = jax.random.split(key)
    dtype = jnp.dtype(compute_dtype)
    score = ScoreNetwork(
        embedding_dim, condition_dim, dtype=dtype, rngs=nnx.Rngs(score_key), **config.model.score
    )
    refine = RefinementNetwork(
        embedding_dim, dtype=dtype, rngs=nnx.Rngs(refine_key), **config.model.refine
    )
    score_def, score_params = nnx.split(score, nnx.Param)
    refine_def, refine_params = nnx.split(refine, nnx.Param)
    model = DiFace(
        score=score_def,
        refinement=refine_def,
        log_snr=schedule.by_name(config.diffusion.schedule),
        embedding_dim=embedding_dim,
        refine_photos=config.model.refine_photos,
    )
    return model, {'score': score_params, 'refine': refine_params}

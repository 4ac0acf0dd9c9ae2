"""A model as two functions of arrays alone: tokens to f, and embeddings to f.

They are what an export holds (`write_export`): pure functions with the weights inside, whose batch
may have any size. They equal `gallery.inference` up to float32.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from diface_jax.data.encoder_bundle import EncoderBundle
from diface_jax.diffusion.ddim import ddim, guided_denoiser
from diface_jax.encoders.text.condition import sentence_vectors
from diface_jax.gallery.inference import KEY
from diface_jax.models.diface import DiFace, Params, Sampling
from diface_jax.models.normalise import Normalisation
from diface_jax.training.loaded_model import LoadedModel

TextToF = Callable[[jax.Array, jax.Array], jax.Array]
EmbeddingToF = Callable[[jax.Array], jax.Array]


def text_function(trained: LoadedModel, encoders: EncoderBundle, sampling: Sampling) -> TextToF:
    """The function (tokens_BxL, mask_BxL) -> f_BxF.

    Args:
      trained: D and R.
      encoders: of which the text encoder and the standardisation of its vectors are used.
      sampling: how texts become embeddings.

    Raises:
      ValueError: the sampler adds noise at every step, which an export cannot hold.
    """
    if sampling.eta:
        raise ValueError(f'a sampler with eta={sampling.eta:g} is not exported: it needs eta=0')
    text, params = encoders.text, jax.tree.map(np.asarray, trained.params)
    mean_C, scale_C = text.standard
    of_condition = _condition_function(trained.model, params, sampling)

    def text_to_f(tokens_BxL: jax.Array, mask_BxL: jax.Array) -> jax.Array:
        with jax.disable_jit():  # layers one after the other: converters lack a scan over weights
            vector_BxP = text.encoder.of_tokens(tokens_BxL, mask_BxL)
        if len(mean_C) != vector_BxP.shape[1]:
            vector_BxP = sentence_vectors(vector_BxP)
        c_BxC = (vector_BxP - mean_C) / scale_C
        return jax.vmap(of_condition)(c_BxC)

    return text_to_f


def _condition_function(
    model: DiFace, params: Params, sampling: Sampling
) -> Callable[[jax.Array], jax.Array]:
    """The function c_C -> f_F of a text: as in a search, with its noise as a constant."""
    num_samples = sampling.num_samples
    start_key, _ = jax.random.split(jax.random.key(KEY))
    noise_KxD = np.asarray(jax.random.normal(start_key, (num_samples, model.embedding_dim)))

    def of_condition(c_C: jax.Array) -> jax.Array:
        c_KxC = jnp.broadcast_to(c_C, (num_samples, len(c_C)))
        denoise = guided_denoiser(
            model.denoiser(params, c_KxC),
            model.denoiser(params, c_KxC, jnp.zeros((num_samples, 1), bool)),
            sampling.guidance,
        )
        x0_KxD = ddim(denoise, jnp.asarray(noise_KxD), model.log_snr, sampling.num_steps)
        return model.refine(params, x0_KxD.mean(axis=0, keepdims=True))[0]

    return of_condition


def embedding_function(trained: LoadedModel) -> EmbeddingToF:
    """The function embedding_BxD -> f_BxF of raw embeddings of E."""
    params = jax.tree.map(np.asarray, trained.params)

    def embedding_to_f(embedding_BxD: jax.Array) -> jax.Array:
        return trained.model.refine_photo(params, _normalised(trained.normalise, embedding_BxD))

    return embedding_to_f


def _normalised(normalise: Normalisation, embedding_BxD: jax.Array) -> jax.Array:
    """`Normalisation` of arrays that JAX traces: without its checks, which need values."""
    ends = np.cumsum(normalise.widths)[:-1]
    parts = jnp.split(embedding_BxD - normalise.mean_D, ends, axis=1)
    units = [
        np.float32(np.sqrt(part.shape[1]))
        * part
        / jnp.sqrt(jnp.sum(part**2, axis=1, keepdims=True))
        for part in parts
    ]
    return jnp.concatenate(units, axis=1)

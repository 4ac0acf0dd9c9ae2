"""Scoring pairs by log p(x0 | c) - log p(x0): how much more likely the text makes the photo.

It uses D only, neither the sampler nor R.
"""

import functools

import jax
import numpy as np
from jax.sharding import Mesh

from diface_jax.diffusion.likelihood import Evaluator, NoiseLevels, variational_bound
from diface_jax.models.diface import DiFace, Params
from diface_jax.runtime import hosts
from diface_jax.runtime import mesh as meshes

_NO_TEXT = -1  # in place of a text's row: the score without a text


class LikelihoodRatioScorer:
    """Scores pairs of a text and a photo by log-likelihood ratio, in batches over the mesh.

    Args:
      model: the model, of which only D is used.
      params: parameters of D and R.
      c_TxC: conditions of the texts.
      x0_NxD: embeddings of the photos.
      levels: noise levels to integrate over.
      key: random key of the noise.
      mesh: the devices.
      batch_size: pairs in a batch, rounded up to a multiple of the number of devices.
      evaluator: estimates log p(x0): `variational_bound`, or `log_likelihood` by the ODE.
    """

    def __init__(
        self,
        model: DiFace,
        params: Params,
        c_TxC: np.ndarray,
        x0_NxD: np.ndarray,
        levels: NoiseLevels,
        key: jax.Array,
        mesh: Mesh,
        batch_size: int = 1024,
        evaluator: Evaluator = variational_bound,
    ):
        self._c_TxC, self._x0_NxD = c_TxC, x0_NxD
        self._batch_size = -(-batch_size // mesh.size) * mesh.size
        replicated, by_row = meshes.replicated(mesh), meshes.sharded_by_row(mesh)

        def log_p(
            params: Params,
            key: jax.Array,
            c_BxC: jax.Array,
            keep_c_Bx1: jax.Array,
            x0_BxD: jax.Array,
            photo_B: jax.Array,
        ) -> jax.Array:
            key_B = jax.vmap(jax.random.fold_in, (None, 0))(key, photo_B)
            denoise = model.denoiser(params, c_BxC, keep_c_Bx1)
            return evaluator(denoise, x0_BxD, levels, key_B)

        shardings = (replicated, replicated, by_row, by_row, by_row, by_row)
        jitted = jax.jit(log_p, in_shardings=shardings, out_shardings=by_row)
        self._log_p, self._by_row = functools.partial(jitted, params, key), by_row

    def scores(self, text_P: np.ndarray, photo_P: np.ndarray) -> np.ndarray:
        """Log-likelihood ratios of pairs; a pair given twice is computed once.

        Args:
          text_P: each pair's text, a row of `c_TxC`.
          photo_P: each pair's photo, a row of `x0_NxD`. A photo gets the same noise with every text
            and without a text, so that texts are compared on equal terms.

        Returns:
          ratio_P in nats, positive where the text makes the photo more likely.
        """
        without_text = np.stack([np.full_like(photo_P, _NO_TEXT), photo_P])
        all_pairs = np.concatenate([without_text, np.stack([text_P, photo_P])], axis=1)
        (text_U, photo_U), index = np.unique(all_pairs, axis=1, return_inverse=True)
        batches = zip(self._batches(text_U), self._batches(photo_U), strict=True)
        total = -(-len(text_U) // self._batch_size)
        log_p = []
        for text, photo in hosts.progress(batches, desc='likelihoods', total=total, unit='batch'):
            keep_Bx1 = text[:, None] != _NO_TEXT  # where False, the model ignores c
            c_BxC, x0_BxD = self._c_TxC[text], self._x0_NxD[photo]
            inputs = meshes.put_on_mesh((c_BxC, keep_Bx1, x0_BxD, photo), self._by_row)
            log_p.append(meshes.fetch_from_mesh(self._log_p(*inputs)))
        without_P, with_P = np.concatenate(log_p)[index].reshape(2, -1)
        return with_P - without_P

    def _batches(self, rows_U: np.ndarray) -> np.ndarray:
        """Rows in batches, the last one padded with row 0; [batches, batch_size]."""
        padded = np.pad(rows_U, (0, -len(rows_U) % self._batch_size))
        return padded.reshape(-1, self._batch_size)

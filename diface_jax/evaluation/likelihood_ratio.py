"""Scoring pairs by log p(x0 | c) - log p(x0): how much likelier the text makes the photo.

It asks D alone; neither the sampler nor R takes part.
"""

import functools

import jax
import numpy as np
from jax.sharding import Mesh

from diface_jax.diffusion.likelihood import Evaluator, NoiseLevels, variational_bound
from diface_jax.models.diface import DiFace, Params
from diface_jax.runtime import hosts
from diface_jax.runtime import mesh as meshes

_NO_TEXT = -1  # in place of a text's row


class RatioScorer:
    """Pairs of a text and a photo to log-likelihood ratios, in batches sharded over the mesh.

    Args:
      model: D is asked; R is not.
      params: of D and R.
      c_TxC: conditions of texts.
      x0_NxD: embeddings of photos.
      levels: noise levels to integrate over.
      key: random key of the noise.
      mesh: the devices.
      batch_size: pairs a batch, rounded up to a multiple of the devices.
      evaluator: how log p(x0) is told: `variational_bound`, or `log_likelihood` by the ODE.
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
        everywhere, rows = meshes.replicated(mesh), meshes.sharded_by_row(mesh)

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

        shardings = (everywhere, everywhere, *[rows] * 4)
        jitted = jax.jit(log_p, in_shardings=shardings, out_shardings=rows)
        self._log_p, self._rows = functools.partial(jitted, params, key), rows

    def scores(self, text_P: np.ndarray, photo_P: np.ndarray) -> np.ndarray:
        """Log-likelihood ratios of pairs; a pair given twice is computed once.

        Args:
          text_P: each pair's text, a row of `c_TxC`.
          photo_P: each pair's photo, a row of `x0_NxD`. Its noise is its own, the same for every
            text and for none, so that texts are compared on equal terms.

        Returns:
          ratio_P in nats, above 0 where the text makes the photo likelier.
        """
        alone = np.stack([np.full_like(photo_P, _NO_TEXT), photo_P])
        every = np.concatenate([alone, np.stack([text_P, photo_P])], axis=1)
        (text_U, photo_U), place = np.unique(every, axis=1, return_inverse=True)
        batches = zip(self._batches(text_U), self._batches(photo_U), strict=True)
        total = -(-len(text_U) // self._batch_size)
        found = []
        for text, photo in hosts.progress(batches, desc='likelihoods', total=total, unit='batch'):
            keep_Bx1 = text[:, None] != _NO_TEXT  # where not, c's last row stands in
            c_BxC, x0_BxD = self._c_TxC[text], self._x0_NxD[photo]
            asked = meshes.put_on_mesh((c_BxC, keep_Bx1, x0_BxD, photo), self._rows)
            found.append(meshes.fetch_from_mesh(self._log_p(*asked)))
        alone_P, given_P = np.concatenate(found)[place].reshape(2, -1)
        return given_P - alone_P

    def _batches(self, rows_U: np.ndarray) -> np.ndarray:
        """[batches, batch_size], filled up with row 0."""
        filled = np.pad(rows_U, (0, -len(rows_U) % self._batch_size))
        return filled.reshape(-1, self._batch_size)

"""DiFace's features: sampled and refined from texts, refined from photos."""

import dataclasses
import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from diface_jax.data.prepared import Split
from diface_jax.diffusion.ddim import SamplingPath
from diface_jax.models.diface import DiFace, Params, Sampling
from diface_jax.models.normalise import Normalisation
from diface_jax.models.observation import Observation
from diface_jax.runtime import mesh as meshes


class Features(NamedTuple):
    """A method's features of texts, [T, F], and photos, [N, F]; their dot product is the score."""

    text_TxF: np.ndarray
    photo_NxF: np.ndarray

    def scores(self, text_P: np.ndarray, photo_P: np.ndarray) -> np.ndarray:
        """The score of each pair of a text and a photo, by row; [P]."""
        return np.einsum('pf,pf->p', self.text_TxF[text_P], self.photo_NxF[photo_P])


def unit_rows(x_NxF: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; a zero row stays zero."""
    return x_NxF / np.maximum(np.linalg.norm(x_NxF, axis=1, keepdims=True), 1e-12)


class FeatureExtractor:
    """Computes features of texts and photos, in batches of one shape, sharded over the mesh.

    Args:
      model: D and R.
      sampling: how texts become embeddings.
      mesh: the devices.
      batch_size: rows a batch. Devices may not divide it: each batch is filled up with zeros to
        a multiple of them, which changes no result.
    """

    def __init__(self, model: DiFace, sampling: Sampling, mesh: Mesh, batch_size: int = 512):
        self._batch_size = batch_size
        self._missing = -batch_size % mesh.size
        everywhere, rows = meshes.replicated(mesh), meshes.sharded_by_row(mesh)
        self._rows = rows
        recover = functools.partial(model.recover, sampling=sampling)
        self._recover = jax.jit(
            self._without_missing(recover),
            in_shardings=(everywhere, rows, everywhere),
            out_shardings=rows,
        )

        def of_probes(
            params: Params, probes: tuple[jax.Array | None, Observation], key: jax.Array
        ) -> jax.Array:
            c_BxC, observation = probes
            return model.probe_features(params, c_BxC, key, sampling, observation)

        self._of_probes = jax.jit(
            self._without_missing(of_probes),
            in_shardings=(everywhere, rows, everywhere),
            out_shardings=rows,
        )
        shardings = {'in_shardings': (everywhere, rows), 'out_shardings': rows}
        self._refine = jax.jit(model.refine, **shardings)
        self._refine_photo = jax.jit(model.refine_photo, **shardings)
        one_sample = dataclasses.replace(sampling, num_samples=1)
        stacked = meshes.sharded_by_row(mesh, axis=1)
        self._path = jax.jit(
            self._without_missing(functools.partial(model.path, sampling=one_sample)),
            in_shardings=(everywhere, rows, everywhere),
            out_shardings=SamplingPath(everywhere, everywhere, stacked, stacked),
        )

    def _without_missing(self, sample: Callable[..., Any]) -> Callable[..., Any]:
        """A sampler without the padded rows, as its noise depends on the number of rows."""

        def fill(rows: jax.Array, axis: int) -> jax.Array:
            widths = [(0, self._missing if i == axis else 0) for i in range(rows.ndim)]
            return jnp.pad(rows, widths)

        def sample_rows(params: Params, known: Any, key: jax.Array) -> Any:
            known = jax.tree.map(lambda rows: rows[: self._batch_size], known)
            sampled = sample(params, known, key)
            if not isinstance(sampled, SamplingPath):
                return fill(sampled, 0)
            x_SxBxD, x0_SxBxD = fill(sampled.x_SxBxD, 1), fill(sampled.x0_SxBxD, 1)
            return sampled._replace(x_SxBxD=x_SxBxD, x0_SxBxD=x0_SxBxD)

        return sample_rows

    def features(
        self,
        params: Params,
        split: Split,
        texts: np.ndarray,
        normalise: Normalisation,
        key: jax.Array,
    ) -> Features:
        """Features in F of a split: R of recovered texts, and R of photos.

        Args:
          params: of D and R.
          split: photos and texts.
          texts: rows of the texts to recover; the others' features stay zero.
          normalise: from raw embeddings to x0.
          key: random key of the samples.
        """
        f_text = self.of_texts(params, split.c_TxC[texts], key)
        f_photo = self.of_photos(params, normalise(split.embedding_NxD))
        return Features(scatter_rows(f_text, texts, len(split.c_TxC)), f_photo)

    def of_texts(self, params: Params, c_TxC: np.ndarray, key: jax.Array) -> np.ndarray:
        """Features f_TxF of conditions: recovered by the sampler, refined by R."""
        return self._batched(self._refine, params, self.recovered(params, c_TxC, key))

    def of_probes(
        self,
        params: Params,
        c_PxC: np.ndarray | None,
        key: jax.Array,
        observation: Observation | None = None,
    ) -> np.ndarray:
        """Features f_PxF of probes: texts, observations of photos, or both of each probe.

        Args:
          params: of D and R.
          c_PxC: conditions of the texts; None: there is none.
          key: random key of the samples.
          observation: of the photos; None: there is none.
        """
        if observation is None:
            return self.of_texts(params, c_PxC, key)
        parts = [
            self._of_probes(params, batch, jax.random.fold_in(key, i))
            for i, batch in enumerate(self._padded((c_PxC, observation)))
        ]
        return self._joined(parts)[: len(observation.y_BxD)]

    def of_photos(self, params: Params, x0_NxD: np.ndarray) -> np.ndarray:
        """Features f_NxF of photos, from their embeddings."""
        return self._batched(self._refine_photo, params, x0_NxD)

    def literal(
        self,
        params: Params,
        split: Split,
        texts: np.ndarray,
        normalise: Normalisation,
        key: jax.Array,
    ) -> Features:
        """Features in X0, without R; arguments as in `features`."""
        x0_TxD = unit_rows(self.recovered(params, split.c_TxC[texts], key))
        return Features(
            scatter_rows(x0_TxD, texts, len(split.c_TxC)), unit_rows(normalise(split.embedding_NxD))
        )

    def recovered(self, params: Params, c_TxC: np.ndarray, key: jax.Array) -> np.ndarray:
        """x0_TxD recovered from conditions; each batch draws its noise from its own key."""
        parts = [
            self._recover(params, batch, jax.random.fold_in(key, i))
            for i, batch in enumerate(self._padded(c_TxC))
        ]
        return self._joined(parts)[: len(c_TxC)]

    def refined(self, params: Params, x0_TxD: np.ndarray) -> np.ndarray:
        """R of embeddings recovered from texts; f_TxF."""
        return self._batched(self._refine, params, x0_TxD)

    def path(self, params: Params, c_TxC: np.ndarray, key: jax.Array, count: int) -> SamplingPath:
        """The DDIM path of one sample a text, whatever K is.

        Args:
          params: of D and R.
          c_TxC: conditions.
          key: random key of the noise, by batch as in `recovered`.
          count: times to see it at, spread over the steps' from t = 1 to t = 0; all of them, when
            the sampler has fewer.

        Returns:
          The path in host memory, S <= count times.
        """
        parts = [
            _seen(self._path(params, batch, jax.random.fold_in(key, i)), count)
            for i, batch in enumerate(self._padded(c_TxC))
        ]
        in_batch = np.s_[:, : self._batch_size]
        x_SxTxD = np.concatenate([part.x_SxBxD[in_batch] for part in parts], axis=1)
        x0_SxTxD = np.concatenate([part.x0_SxBxD[in_batch] for part in parts], axis=1)
        of_texts = np.s_[:, : len(c_TxC)]
        return parts[0]._replace(x_SxBxD=x_SxTxD[of_texts], x0_SxBxD=x0_SxTxD[of_texts])

    def _batched(
        self, refine: Callable[..., jax.Array], params: Params, x0_NxD: np.ndarray
    ) -> np.ndarray:
        parts = [refine(params, batch) for batch in self._padded(x0_NxD)]
        return self._joined(parts)[: len(x0_NxD)]

    def _joined(self, parts: Sequence[jax.Array]) -> np.ndarray:
        return np.concatenate([part[: self._batch_size] for part in meshes.fetch_from_mesh(parts)])

    def _padded(self, rows: Any) -> Iterator[Any]:
        """Batches on the devices, filled up with zeros to the batch size and to their multiple.

        Args:
          rows: an array [N, W], or a tree of such arrays.
        """
        for batch in padded_batches(rows, self._batch_size):
            filled = jax.tree.map(lambda part: np.pad(part, ((0, self._missing), (0, 0))), batch)
            yield meshes.put_on_mesh(filled, self._rows)


def padded_batches(rows: Any, size: int) -> Iterator[Any]:
    """Batches of `size` rows each, the last filled up with zeros.

    Args:
      rows: an array [N, W], or a tree of such arrays.
      size: rows a batch.
    """
    count = len(jax.tree.leaves(rows)[0])
    missing = -count % size
    filled = jax.tree.map(lambda part: np.pad(part, ((0, missing), (0, 0))), rows)
    for start in range(0, count, size):
        yield jax.tree.map(operator.itemgetter(slice(start, start + size)), filled)


def scatter_rows(f_PxF: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Writes `f_PxF` into the given rows of an array of `count` rows; other rows are zero."""
    f_TxF = np.zeros((count, f_PxF.shape[1]), np.float32)
    f_TxF[rows] = f_PxF
    return f_TxF


def _seen(path: SamplingPath, count: int) -> SamplingPath:
    """At most `count` times of a path, evenly spread from the first to the last, on the host."""
    seen = np.unique(np.linspace(0, len(path.t_S) - 1, count).round().astype(int))
    return SamplingPath(*(values[seen] for values in meshes.fetch_from_mesh(path)))

"""Exact search: the k gallery entries whose features have the largest dot product with a probe.

The gallery is sharded over the mesh axis 'data' and scored in blocks; blocks that fit in device
memory stay there, the others are sent for every search. Devices score in float32, whose rounding
depends on the blocks. So they only nominate candidates, which are scored again in float64. There
are enough candidates when the worst of them is below the k-th best by more than the rounding error
of float32. The result equals a float64 product with the whole gallery and a stable sort, on any
number of devices.

Numpy nominates in a gallery of a single block, and for few probes where the only
device is the processor: it has nothing to compile, to dispatch or to send.
"""

import functools
import threading
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from diface_jax.runtime import mesh as meshes

BLOCK = 1 << 15  # rows that a processor scores at a time: 4 MB of scores for 32 probes
_ACCELERATOR_BLOCK = 1 << 20  # that a GPU or TPU does: each time costs 0.3 ms to start
_UNKNOWN_BYTES = 8 << 30  # memory of a device that does not state it
PROBES = 64  # scored at a time
_SPARE = 16  # candidates in addition to the k
_NUMPY_PROBES = 4  # up to which numpy is faster than the processor as a device
_ROUNDING = float(np.finfo(np.float32).eps)
_GROUP = 64  # rows that are compared by their best


class TopK(NamedTuple):
    """The best k entries of each probe, best first; equal scores in the order of the gallery.

    Attributes:
      row_PxK: rows of the gallery; -1 where fewer than k are allowed.
      score_PxK: float64; -inf there.
    """

    row_PxK: np.ndarray
    score_PxK: np.ndarray


class ExactIndex:
    """A gallery to search.

    Args:
      f_GxF: features, float32.
      mesh: the devices.
      block: rows a device scores at a time; None: as many as suit the device.
      device_bytes: of the gallery that are kept on each device; the rest is streamed. None: half of
        the device's memory.

    Raises:
      ValueError: a feature is not finite.
    """

    def __init__(
        self,
        f_GxF: np.ndarray,
        mesh: Mesh,
        block: int | None = None,
        device_bytes: int | None = None,
    ) -> None:
        norm_G = np.sqrt(np.vecdot(f_GxF, f_GxF))
        if not np.isfinite(norm_G).all():
            raise ValueError(f'{np.sum(~np.isfinite(norm_G))} features are not finite numbers')
        self._f_GxF, self._mesh, self._product = f_GxF, mesh, threading.Lock()
        self._longest = float(norm_G.max(initial=0.0))
        is_processor = mesh.devices.flat[0].platform == 'cpu'
        block = block or (BLOCK if is_processor else _ACCELERATOR_BLOCK)
        few = _NUMPY_PROBES if is_processor and mesh.size == 1 else 0
        device_bytes = _half_of_memory() if device_bytes is None else device_bytes
        # A small gallery is one small block; powers of two keep the compilations few.
        share = max(1, -(-len(f_GxF) // mesh.size))
        self._rows = min(block, 1 << (share - 1).bit_length()) * mesh.size
        is_small = len(f_GxF) <= min(block, BLOCK)
        self._numpy_probes = PROBES if is_small else few
        self._fitting = device_bytes // max(1, self._rows // mesh.size * f_GxF.shape[1] * 4)
        self._resident: dict[int, jax.Array] = {}  # by start; put there when first needed

    def search(self, f_PxF: np.ndarray, k: int, allowed_G: np.ndarray | None = None) -> TopK:
        """The k best entries of each probe.

        Args:
          f_PxF: features of the probes.
          k: number of entries, at least 1. The result has k columns also in smaller galleries.
          allowed_G: mask of the entries that may be returned; None: all.

        Raises:
          ValueError: k is below 1, or a feature is not finite.
        """
        if k < 1:
            raise ValueError(f'k must be 1 or more, not {k}')
        norm_P = np.sqrt(np.vecdot(f_PxF, f_PxF))
        if not np.isfinite(norm_P).all():
            raise ValueError("a probe's features are not finite numbers")
        if not len(self._f_GxF) or not len(f_PxF):
            return _nothing(len(f_PxF), k)
        # A dot product of F terms errs by at most F roundings of its longest terms; doubled,
        # since two scores are compared.
        error_P = norm_P * (2 * (f_PxF.shape[1] + 1) * _ROUNDING * self._longest)
        if len(f_PxF) <= PROBES:
            return self._search(f_PxF, error_P, k, allowed_G)
        parts = [
            self._search(f_PxF[part], error_P[part], k, allowed_G)
            for part in (slice(at, at + PROBES) for at in range(0, len(f_PxF), PROBES))
        ]
        return TopK(*map(np.concatenate, zip(*parts, strict=True)))

    def _search(
        self, f_PxF: np.ndarray, error_P: np.ndarray, k: int, allowed_G: np.ndarray | None
    ) -> TopK:
        """`search` of at most PROBES probes, whose float32 scores err by `error_P` at most."""
        most = len(self._f_GxF) if allowed_G is None else np.count_nonzero(allowed_G)
        nominees = k + _SPARE
        nominate = self._nominate_by_numpy if len(f_PxF) <= self._numpy_probes else self._nominate
        while True:
            row_PxN, last_P = nominate(f_PxF, nominees, allowed_G)
            best = self._rescore(f_PxF, row_PxN, k)
            if nominees >= most or (last_P + error_P < best.score_PxK[:, -1]).all():
                return best
            nominees *= 4

    def _rescore(self, f_PxF: np.ndarray, row_PxN: np.ndarray, k: int) -> TopK:
        """The best k of the candidates, scored in float64."""
        row_PxN = np.sort(row_PxN, axis=1)
        f_PxNxF = self._f_GxF.take(row_PxN, axis=0).astype(np.float64)
        # Not a matrix product, which may round the scores of equal rows differently.
        score_PxN = np.vecdot(f_PxNxF, f_PxF.astype(np.float64)[:, None])
        score_PxN[row_PxN < 0] = -np.inf
        best_PxK = (-score_PxN).argsort(axis=1, kind='stable')[:, :k]
        best = TopK(_taken(row_PxN, best_PxK), _taken(score_PxN, best_PxK))
        if best_PxK.shape[1] == k:
            return best
        missing = _nothing(len(f_PxF), k - best_PxK.shape[1])
        return TopK(*(np.hstack(parts) for parts in zip(best, missing, strict=True)))

    def _nominate(
        self, f_PxF: np.ndarray, count: int, allowed_G: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best rows by float32 scores, at least `count` where there are, and the last score."""
        probes = 1 << (len(f_PxF) - 1).bit_length()
        count = min(1 << (count - 1).bit_length(), len(self._starts()) * self._rows)
        everywhere = meshes.replicated(self._mesh)
        padded_PxF = np.pad(f_PxF, [(0, probes - len(f_PxF)), (0, 0)])
        f_PxF_there, best = meshes.put_on_mesh(padded_PxF, everywhere), None
        for start, f_BxF in self._blocks():
            allowed_B = None if allowed_G is None else self._put(self._block(allowed_G, start))
            end = len(self._f_GxF)
            place = np.array([start, end], np.int32)
            best = _better(best, f_PxF_there, f_BxF, allowed_B, place, count, self._mesh)
        score_PxN, row_PxN = (part[: len(f_PxF)] for part in meshes.fetch_from_mesh(best))
        return np.where(np.isneginf(score_PxN), -1, row_PxN), score_PxN[:, -1]

    def _nominate_by_numpy(
        self, f_PxF: np.ndarray, count: int, allowed_G: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """`_nominate`, without the devices."""
        # The threads of a BLAS wait for each other actively: 32 searches at once took ten times as
        # long as one after the other.
        with self._product:
            score_PxG = f_PxF @ self._f_GxF.T
        if allowed_G is not None:
            score_PxG[:, ~allowed_G] = -np.inf
        row_PxN = _largest(score_PxG, min(count, score_PxG.shape[1]))
        score_PxN = _taken(score_PxG, row_PxN)
        if allowed_G is not None:
            row_PxN = np.where(np.isneginf(score_PxN), -1, row_PxN)
        return row_PxN, score_PxN[:, 0]

    def _starts(self) -> range:
        return range(0, max(1, len(self._f_GxF)), self._rows)

    def _blocks(self) -> Iterator[tuple[int, jax.Array]]:
        for number, start in enumerate(self._starts()):
            f_BxF = self._resident.get(start)
            if f_BxF is None:
                f_BxF = self._put(self._block(self._f_GxF, start))
            if number < self._fitting:
                self._resident[start] = f_BxF
            yield start, f_BxF

    def _put(self, rows: np.ndarray) -> jax.Array:
        return meshes.put_on_mesh(rows, meshes.sharded_by_row(self._mesh))

    def _block(self, rows_GxX: np.ndarray, start: int) -> np.ndarray:
        """The rows from `start` on, padded with zeros to a whole block."""
        rows = rows_GxX[start : start + self._rows]
        missing = self._rows - len(rows)
        return np.pad(rows, [(0, missing)] + [(0, 0)] * (rows.ndim - 1)) if missing else rows


def _largest(score_PxG: np.ndarray, count: int) -> np.ndarray:
    """The places of the `count` largest scores of each row; the smallest of them is the first."""
    groups = score_PxG.shape[1] // _GROUP
    if groups <= count:
        return score_PxG.argpartition(-count, axis=1)[:, -count:]
    # The largest are in the groups with the largest maxima, or among the rows left over. A group
    # has every groups-th row, so that maxima are taken over whole arrays.
    grouped = groups * _GROUP
    maximum_PxJ = score_PxG[:, :grouped].reshape(-1, _GROUP, groups).max(axis=1)
    group_PxN = _largest(maximum_PxJ, count)
    member_PxM = group_PxN[:, :, None] + np.arange(0, grouped, groups)
    rest_PxR = np.broadcast_to(
        np.arange(grouped, score_PxG.shape[1]), (len(score_PxG), score_PxG.shape[1] - grouped)
    )
    place_PxM = np.hstack([member_PxM.reshape(len(score_PxG), -1), rest_PxR])
    chosen_PxN = np.argpartition(_taken(score_PxG, place_PxM), -count, axis=1)[:, -count:]
    return _taken(place_PxM, chosen_PxN)


def _taken(value_PxG: np.ndarray, place_PxN: np.ndarray) -> np.ndarray:
    """The values at places of each row; for one row without `np.arange`, in half the time."""
    if len(value_PxG) == 1:
        return value_PxG[:, place_PxN[0]]
    return value_PxG[np.arange(len(value_PxG))[:, None], place_PxN]


def _half_of_memory() -> int:
    """Half of the bytes that a device has for arrays."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get('bytes_limit', _UNKNOWN_BYTES) // 2


def _nothing(probes: int, k: int) -> TopK:
    return TopK(np.full((probes, k), -1), np.full((probes, k), -np.inf))


@functools.partial(jax.jit, static_argnames=('count', 'mesh'))
def _better(
    best: tuple[jax.Array, jax.Array] | None,
    f_PxF: jax.Array,
    f_BxF: jax.Array,
    allowed_B: jax.Array | None,
    place_2: jax.Array,
    count: int,
    mesh: Mesh,
) -> tuple[jax.Array, jax.Array]:
    """The best `count` of those so far and one more block; each device first selects its own.

    `place_2` is the block's first row in the gallery, and the gallery's number of rows.
    """
    start, end = place_2
    if best is None:
        shape = len(f_PxF), count
        best = jnp.full(shape, -jnp.inf), jnp.full(shape, -1)
    score_PxN, row_PxN = best

    # shard_map, since jit would gather all scores and not only the best N of each device.
    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(P(), P('data'), P('data'), P()),
        out_specs=(P(None, 'data'), P(None, 'data')),
    )
    def own_best(
        f_PxF: jax.Array, f_bxF: jax.Array, allowed_b: jax.Array | None, rows: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        score_Pxb = jnp.matmul(f_PxF, f_bxF.T, precision='highest')
        first = jax.lax.axis_index('data') * len(f_bxF)
        is_row_b = first + jnp.arange(len(f_bxF)) < rows
        is_allowed_b = is_row_b if allowed_b is None else is_row_b & allowed_b
        score_Pxb = jnp.where(is_allowed_b, score_Pxb, -jnp.inf)
        score_PxM, place_PxM = _top_k(score_Pxb, min(count, len(f_bxF)))
        return score_PxM, place_PxM + first

    new_PxM, place_PxM = own_best(f_PxF, f_BxF, allowed_B, end - start)
    # Of equal scores top_k takes the first: earlier blocks first, then devices in order.
    score_PxN, chosen_PxN = jax.lax.top_k(jnp.concatenate([score_PxN, new_PxM], 1), count)
    rows = jnp.concatenate([row_PxN, place_PxM.astype(jnp.int32) + start], 1)
    return score_PxN, jnp.take_along_axis(rows, chosen_PxN, 1)


def _top_k(score_Pxb: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """`lax.top_k` by way of groups, as `_largest`: for a count over 16 a GPU sorts all scores."""
    groups = score_Pxb.shape[1] // _GROUP
    if score_Pxb.shape[1] % _GROUP or groups <= count:
        return jax.lax.top_k(score_Pxb, count)
    maximum_PxJ = score_Pxb.reshape(-1, _GROUP, groups).max(axis=1)
    _, group_PxN = _top_k(maximum_PxJ, count)
    member_PxNx = group_PxN[:, :, None] + jnp.arange(0, score_Pxb.shape[1], groups)
    place_PxM = member_PxNx.reshape(len(score_Pxb), -1)
    score_PxN, chosen_PxN = jax.lax.top_k(jnp.take_along_axis(score_Pxb, place_PxM, 1), count)
    return score_PxN, jnp.take_along_axis(place_PxM, chosen_PxN, 1)

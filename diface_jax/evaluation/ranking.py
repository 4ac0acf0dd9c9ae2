"""Ranks of each probe's mates in a gallery: the slow part of identification, on all devices.

Probes are cut over the mesh's axis 'data' and streamed in blocks, the gallery is on every device.
A block makes SCORES scores a device at most, so memory is bounded however many probes there are.
Columns are laid out so that the best of a person's photos is a maximum over a dense axis: people
with about as many photos stand together, each filled up to a power of two with their own photos.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from diface_jax.runtime import mesh as meshes

# A few megabytes, which a core's cache still helps with; rows at most, so that little is filled up.
SCORES, _ROWS = 1 << 20, 128
# Equal features may differ in the last bits of a float32 product. The longest feature has length 1.
TIE = 1e-6


class Probes(NamedTuple):
    """Probe texts.

    Attributes:
      f_PxF: their features.
      person_P: who they ask for, a number below I.
      mate_P: the gallery's photo to be found at image level; -1: whichever of the person's is best.
      hidden_P: the gallery's photo that is not there for this probe; -1: all are.
    """

    f_PxF: np.ndarray
    person_P: np.ndarray
    mate_P: np.ndarray
    hidden_P: np.ndarray


class GalleryCuts(NamedTuple):
    """Photos, and S ways to cut the I people in them into galleries that share nobody.

    Attributes:
      f_GxF: features of the photos.
      person_G: who is in them; everybody from 0 to I - 1 has a photo.
      number_SxI: the gallery each person is in; -1 for who is in none. A probe competes with its
        own person's gallery alone.
      enrolled_I: who is there in the open-set galleries.
    """

    f_GxF: np.ndarray
    person_G: np.ndarray
    number_SxI: np.ndarray
    enrolled_I: np.ndarray


class MateRanks(NamedTuple):
    """Score and rank of the correct match of each probe.

    Ranks are from 1; competitors with the score of the mate count half.

    Scores are dot products of features scaled so that the longest has length 1. What is said of a
    probe whose person is in no gallery, or not enrolled, means nothing.

    Attributes:
      score_P: the person's best photo's.
      person_SxP: rank of the person among people, each by their best photo.
      photo_SxP: rank of the mate among the photos of other people.
      enrolled_SxP: rank of the person among people who are enrolled.
      rival_SxP: best score of another person who is enrolled; -inf where there is none.
    """

    score_P: np.ndarray
    person_SxP: np.ndarray
    photo_SxP: np.ndarray
    enrolled_SxP: np.ndarray
    rival_SxP: np.ndarray


def rank_mates(probes: Probes, gallery: GalleryCuts, mesh: Mesh, scores: int = SCORES) -> MateRanks:
    """Scores all probes against all photos, and returns the ranks of the mates.

    Args:
      probes: P texts.
      gallery: G photos of I people.
      mesh: the devices.
      scores: bound on the scores a device holds at a time (one row of the gallery at least).

    Returns:
      The same, up to float32, on any number of devices and with any bound.

    Raises:
      ValueError: a feature is not a number.
    """
    f_PxF, f_GxF = _scaled(probes.f_PxF), _scaled(gallery.f_GxF)
    columns, groups = _lay_out(gallery.person_G)
    everywhere, rows = meshes.replicated(mesh), meshes.sharded_by_row(mesh)
    there = meshes.put_on_mesh(
        (f_GxF[columns.photo_C], columns, gallery.number_SxI, gallery.enrolled_I), everywhere
    )
    size = mesh.size * int(np.clip(scores // len(columns.photo_C), 1, _ROWS))
    asked = [_filled_up(part, size) for part in probes._replace(f_PxF=f_PxF)]
    found = []
    for start in range(0, len(asked[0]), size):
        block = meshes.put_on_mesh([part[start : start + size] for part in asked], rows)
        found.append(_stand(*block, *there, groups=groups))
    parts = [
        np.concatenate(part, axis=-1) for part in zip(*meshes.fetch_from_mesh(found), strict=True)
    ]
    return MateRanks(*[part[..., : len(f_PxF)] for part in parts])


def _scaled(f_NxF: np.ndarray) -> np.ndarray:
    if not np.isfinite(f_NxF).all():
        raise ValueError('some features are not finite')
    longest = np.linalg.norm(f_NxF, axis=1).max(initial=0.0)
    return (f_NxF / (longest or 1.0)).astype(np.float32)


def _filled_up(rows: np.ndarray, multiple: int) -> np.ndarray:
    """Rows filled up with zeros, so that every block has the same shape."""
    return np.pad(rows, [(0, -len(rows) % multiple)] + [(0, 0)] * (rows.ndim - 1))


class _Columns(NamedTuple):
    """The columns of scores: photos, some of them twice (`real_C` is False the second time)."""

    photo_C: np.ndarray
    person_C: np.ndarray
    real_C: np.ndarray
    person_I: np.ndarray  # who each column of the best by person stands for


def _lay_out(person_G: np.ndarray) -> tuple[_Columns, tuple[tuple[int, int], ...]]:
    """Columns by group of (photos a person, people), the first photos of all its people first."""
    count_I = np.bincount(person_G)
    order = np.argsort(person_G, kind='stable')
    first_I = np.cumsum(count_I) - count_I
    width_I = 2 ** np.ceil(np.log2(count_I)).astype(int)
    photo, person, real, people, groups = [], [], [], [], []
    for width in np.unique(width_I):
        who = np.flatnonzero(width_I == width)
        turn = np.arange(width)[:, None]
        photo.append(order[first_I[who] + turn % count_I[who]].ravel())
        real.append((turn < count_I[who]).ravel())
        person.append(np.tile(who, width))
        people.append(who)
        groups.append((int(width), len(who)))
    return _Columns(*map(np.concatenate, (photo, person, real, people))), tuple(groups)


@functools.partial(jax.jit, static_argnames='groups')
def _stand(
    f_PxF: jax.Array,
    person_P: jax.Array,
    mate_P: jax.Array,
    hidden_P: jax.Array,
    f_CxF: jax.Array,
    columns: _Columns,
    number_SxI: jax.Array,
    enrolled_I: jax.Array,
    groups: tuple[tuple[int, int], ...],
) -> MateRanks:
    """`rank_mates` of one block."""
    score_PxC = jnp.matmul(f_PxF, f_CxF.T, precision='highest')
    score_PxC = jnp.where(columns.photo_C == hidden_P[:, None], -jnp.inf, score_PxC)
    score_PxI = _best_by_person(score_PxC, groups)
    own_PxI = columns.person_I == person_P[:, None]
    own_P = jnp.max(score_PxI, axis=1, where=own_PxI, initial=-jnp.inf)
    is_mate_PxC = columns.photo_C == mate_P[:, None]
    mate_P = jnp.where(
        mate_P < 0, own_P, jnp.max(score_PxC, axis=1, where=is_mate_PxC, initial=-jnp.inf)
    )
    other_PxC = columns.real_C & (columns.person_C != person_P[:, None])
    number_SxPx1 = number_SxI[:, person_P, None]
    level_SxPxI = (number_SxI[:, None, columns.person_I] == number_SxPx1) & ~own_PxI
    level_SxPxC = (number_SxI[:, None, columns.person_C] == number_SxPx1) & other_PxC
    open_SxPxI = level_SxPxI & enrolled_I[columns.person_I]
    return MateRanks(
        score_P=own_P,
        person_SxP=_rank(score_PxI, own_P, level_SxPxI),
        photo_SxP=_rank(score_PxC, mate_P, level_SxPxC),
        enrolled_SxP=_rank(score_PxI, own_P, open_SxPxI),
        rival_SxP=jnp.max(jnp.where(open_SxPxI, score_PxI, -jnp.inf), axis=-1),
    )


def _best_by_person(score_PxC: jax.Array, groups: tuple[tuple[int, int], ...]) -> jax.Array:
    best, start = [], 0
    for width, people in groups:
        some = score_PxC[:, start : start + width * people]
        best.append(some.reshape(-1, width, people).max(axis=1))
        start += width * people
    return jnp.concatenate(best, axis=1)


def _rank(score_PxK: jax.Array, mate_P: jax.Array, competes_SxPxK: jax.Array) -> jax.Array:
    ahead_PxK = score_PxK - mate_P[:, None]
    halves_PxK = (ahead_PxK > TIE).astype(jnp.int32) + (ahead_PxK >= -TIE)
    return 1.0 + 0.5 * jnp.sum(jnp.where(competes_SxPxK, halves_PxK, 0), axis=-1)

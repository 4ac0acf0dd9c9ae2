"""Ranks of each probe's mate in a gallery: the slow part of identification, on all devices.

Probes are sharded over the mesh's axis 'data' and streamed in blocks; every device holds the whole
gallery. A block holds at most SCORES scores a device, which bounds the memory for any number of
probes. Columns are laid out so that a person's best score is a maximum over a dense axis: people
with similar numbers of photos are grouped, and their photos are repeated up to a power of two.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from diface_jax.runtime import mesh as meshes

# Scores a device and block, counted for each partition: a few megabytes, which fit a processor's
# cache. Rows a device and block are limited too, so that padding costs little.
SCORES, _ROWS = 1 << 21, 256
# Scores of equal features may differ in the last bits of a float32 product. Scores closer than this
# tie, where the longest feature has length 1.
TIE = 1e-6


class Probes(NamedTuple):
    """Probe texts.

    Attributes:
      f_PxF: their features; their scores of the G photos, where these have no features.
      person_P: the person each one describes, a number below I.
      mate_P: row of the mate at image level; -1: the best photo of the person.
      hidden_P: row of a gallery photo that is removed for this probe; -1: none is.
    """

    f_PxF: np.ndarray
    person_P: np.ndarray
    mate_P: np.ndarray
    hidden_P: np.ndarray


class GalleryPartitions(NamedTuple):
    """Photos of I people, and S partitions of these people into disjoint galleries.

    Attributes:
      f_GxF: features of the photos; None where the probes hold scores.
      person_G: the person in each photo; each of 0 to I - 1 has at least one photo.
      gallery_SxI: number of the gallery each person is in; -1: in none. A probe is searched for
        only in the gallery of its own person.
      enrolled_I: whether each person is enrolled in the open-set galleries.
    """

    f_GxF: np.ndarray | None
    person_G: np.ndarray
    gallery_SxI: np.ndarray
    enrolled_I: np.ndarray


class MateRanks(NamedTuple):
    """Score and rank of the correct match of each probe.

    Ranks start at 1; competitors with the same score as the mate count half. Scores are dot
    products of features scaled so that the longest has length 1, or as they were given. Values of
    a probe whose person is in no gallery, or (in the open set) not enrolled, are meaningless.

    Attributes:
      score_P: score of the person's best photo.
      person_SxP: rank of the person among all people, each by their best photo.
      photo_SxP: rank of the mate among the photos of other people.
      enrolled_SxP: rank of the person among enrolled people.
      rival_SxP: best score of another enrolled person; -inf if there is none.
    """

    score_P: np.ndarray
    person_SxP: np.ndarray
    photo_SxP: np.ndarray
    enrolled_SxP: np.ndarray
    rival_SxP: np.ndarray


def rank_mates(
    probes: Probes, gallery: GalleryPartitions, mesh: Mesh, scores: int = SCORES
) -> MateRanks:
    """Scores all probes against all photos, and returns the ranks of the mates.

    Args:
      probes: P texts.
      gallery: G photos of I people.
      mesh: the devices.
      scores: scores that a device may hold at a time, for each partition (at least a row of them).

    Returns:
      Ranks and scores, equal up to float32 for any number of devices and any `scores`.

    Raises:
      ValueError: a feature is not finite.
    """
    num_probes = len(probes.person_P)
    columns, groups = _lay_out(gallery.person_G)
    f_PxF, f_CxF = _rows_to_score(probes, gallery, columns)
    replicated, by_row = meshes.replicated(mesh), meshes.sharded_by_row(mesh)
    members = _members(gallery, columns)
    arrays = (f_CxF, columns, members, gallery.gallery_SxI)
    gallery_arrays = meshes.put_on_mesh(arrays, replicated)
    size = mesh.size * int(np.clip(scores // members.gallery_SxC.size, 1, _ROWS))
    padded = [_pad_rows(field, size) for field in probes._replace(f_PxF=f_PxF)]
    blocks = []
    for start in range(0, len(padded[0]), size):
        block = meshes.put_on_mesh([field[start : start + size] for field in padded], by_row)
        blocks.append(_rank_block(Probes(*block), *gallery_arrays, groups=groups))
    fields = zip(*meshes.fetch_from_mesh(blocks), strict=True)
    return MateRanks(*[np.concatenate(field, axis=-1)[..., :num_probes] for field in fields])


def _rows_to_score(
    probes: Probes, gallery: GalleryPartitions, columns: '_Columns'
) -> tuple[np.ndarray, np.ndarray | None]:
    """Features of the probes and by column, scaled; or scores by column, as they are, and None."""
    if gallery.f_GxF is None:
        return probes.f_PxF[:, columns.photo_C].astype(np.float32), None
    return _scaled(probes.f_PxF), _scaled(gallery.f_GxF)[columns.photo_C]


def _scaled(f_NxF: np.ndarray) -> np.ndarray:
    """Features scaled so that the longest has length 1."""
    longest = np.sqrt(np.einsum('nf,nf->n', f_NxF, f_NxF).max(initial=0.0))
    if not np.isfinite(longest):
        raise ValueError('some features are not finite')
    return np.asarray(f_NxF / (longest or 1.0), np.float32)


def _pad_rows(rows: np.ndarray, multiple: int) -> np.ndarray:
    """Pads rows with zeros, so that every block has the same shape."""
    return np.pad(rows, [(0, -len(rows) % multiple)] + [(0, 0)] * (rows.ndim - 1))


class _Columns(NamedTuple):
    """Columns of the scores: the photos, of which some are repeated (then `real_C` is False)."""

    photo_C: np.ndarray
    person_C: np.ndarray
    real_C: np.ndarray
    person_I: np.ndarray  # the person of each column of the best scores by person


def _lay_out(person_G: np.ndarray) -> tuple[_Columns, tuple[tuple[int, int], ...]]:
    """Columns by group of (photos a person, people); in a group, all first photos come first."""
    count_I = np.bincount(person_G)
    order = np.argsort(person_G, kind='stable')
    first_I = np.cumsum(count_I) - count_I
    width_I = 2 ** np.ceil(np.log2(count_I)).astype(int)
    photo, person, real, people, groups = [], [], [], [], []
    for width in np.unique(width_I):
        members = np.flatnonzero(width_I == width)
        nth_photo = np.arange(width)[:, None]
        photo.append(order[first_I[members] + nth_photo % count_I[members]].ravel())
        real.append((nth_photo < count_I[members]).ravel())
        person.append(np.tile(members, width))
        people.append(members)
        groups.append((int(width), len(members)))
    return _Columns(*map(np.concatenate, (photo, person, real, people))), tuple(groups)


class _Members(NamedTuple):
    """Galleries and enrolment by column: looked up once, as the processor is slow at it."""

    gallery_SxC: np.ndarray
    gallery_SxI: np.ndarray  # in the order of the columns of the best scores by person
    enrolled_I: np.ndarray
    place_I: np.ndarray  # the column of each person


def _members(gallery: GalleryPartitions, columns: _Columns) -> _Members:
    return _Members(
        gallery.gallery_SxI[:, columns.person_C],
        gallery.gallery_SxI[:, columns.person_I],
        gallery.enrolled_I[columns.person_I],
        np.argsort(columns.person_I),
    )


@functools.partial(jax.jit, static_argnames='groups')
def _rank_block(
    probes: Probes,
    f_CxF: jax.Array | None,
    columns: _Columns,
    members: _Members,
    gallery_SxI: jax.Array,
    groups: tuple[tuple[int, int], ...],
) -> MateRanks:
    """`rank_mates` of a block of probes."""
    f_PxF, person_P, _, hidden_P = probes
    is_scored = f_CxF is None
    score_PxC = f_PxF if is_scored else jnp.matmul(f_PxF, f_CxF.T, precision='highest')
    score_PxC = jnp.where(columns.photo_C == hidden_P[:, None], -jnp.inf, score_PxC)
    score_PxI = _best_by_person(score_PxC, groups)
    own_PxI = columns.person_I == person_P[:, None]
    own_P = jnp.take_along_axis(score_PxI, members.place_I[person_P][:, None], axis=1)[:, 0]
    gallery_SxPx1 = gallery_SxI[:, person_P, None]
    competes_SxPxI = (members.gallery_SxI[:, None] == gallery_SxPx1) & ~own_PxI
    open_SxPxI = competes_SxPxI & members.enrolled_I
    person_SxP, enrolled_SxP = _ranks(
        score_PxI,
        own_P,
        competes_SxPxI,
        jnp.stack([jnp.ones_like(members.enrolled_I), members.enrolled_I]),
    )
    has_one_photo_each = [width for width, _ in groups] == [1]
    return MateRanks(
        score_P=own_P,
        person_SxP=person_SxP,
        photo_SxP=person_SxP
        if has_one_photo_each
        else _photo_ranks(score_PxC, own_P, probes, columns, members, gallery_SxPx1),
        enrolled_SxP=enrolled_SxP,
        rival_SxP=jnp.max(jnp.where(open_SxPxI, score_PxI, -jnp.inf), axis=-1),
    )


def _photo_ranks(
    score_PxC: jax.Array,
    own_P: jax.Array,
    probes: Probes,
    columns: _Columns,
    members: _Members,
    gallery_SxPx1: jax.Array,
) -> jax.Array:
    """Rank of the mate among the photos of other people."""
    _, person_P, mate_P, _ = probes
    is_mate_PxC = columns.photo_C == mate_P[:, None]
    mate_score_P = jnp.where(
        mate_P < 0, own_P, jnp.max(score_PxC, axis=1, where=is_mate_PxC, initial=-jnp.inf)
    )
    others_PxC = columns.real_C & (columns.person_C != person_P[:, None])
    competes_SxPxC = (members.gallery_SxC[:, None] == gallery_SxPx1) & others_PxC
    everybody_1xC = jnp.ones_like(others_PxC[:1])
    return _ranks(score_PxC, mate_score_P, competes_SxPxC, everybody_1xC)[0]


def _best_by_person(score_PxC: jax.Array, groups: tuple[tuple[int, int], ...]) -> jax.Array:
    best, start = [], 0
    for width, people in groups:
        group_PxC = score_PxC[:, start : start + width * people]
        best.append(group_PxC.reshape(-1, width, people).max(axis=1))
        start += width * people
    return jnp.concatenate(best, axis=1)


def _ranks(
    score_PxK: jax.Array,
    mate_score_P: jax.Array,
    competes_SxPxK: jax.Array,
    among_WxK: jax.Array,
) -> jax.Array:
    """Ranks of the mates among W sets of competitors; [W, S, P]."""
    ahead_PxK = score_PxK - mate_score_P[:, None]
    # 1 where a competitor is ahead, a half where it ties.
    counted_PxK = 0.5 * (ahead_PxK > TIE) + 0.5 * (ahead_PxK >= -TIE)
    counted_SxPxK = jnp.where(competes_SxPxK, counted_PxK, 0.0)
    # As a product with ones: processors take twice as long for sums. Exact in any precision.
    ahead_SxPxW = counted_SxPxK @ among_WxK.T.astype(jnp.float32)
    return 1.0 + jnp.moveaxis(ahead_SxPxW, -1, 0)

"""Concept test: does a short query such as 'red hair' rank the right photos first?

The truth comes from the free-hand sentences themselves, so words that no label has can be tested.
Positives are the photos whose sentence says the concept, negatives those whose sentence says
otherwise (see `data/concepts.py`). Photos of validation and test people are used, since each split
alone has few of them. Nothing is fitted or chosen here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from diface_jax.data.concepts import Concept, Statement
from diface_jax.data.prepared import Split
from diface_jax.evaluation import bootstrap
from diface_jax.evaluation.protocols import Repetitions, ResultRow

# With fewer positives (or negatives) in a split the AUC of a concept says nothing.
MIN_PHOTOS = 5
COMMONEST = 10
POOLED = 'both'

# From Q short texts to their features; [Q, F].
OfTexts = Callable[[Sequence[str]], np.ndarray]


class DescribedPhotos(NamedTuple):
    """Free-hand sentences and the photos that they describe, row by row.

    Attributes:
      text_T: the sentences.
      f_TxF: features of the photos.
      person_T: numbers of the people.
    """

    text_T: np.ndarray
    f_TxF: np.ndarray
    person_T: np.ndarray

    @classmethod
    def of_split(cls, split: Split, f_NxF: np.ndarray) -> 'DescribedPhotos':
        """The free-hand sentences of a split, in all voices, and the features of their photos."""
        texts = np.sort(np.concatenate([split.texts('human'), split.texts('style')]))
        photos = split.photo_T[texts]
        return cls(split.text_T[texts], f_NxF[photos], split.identity_N[photos])


class _Case(NamedTuple):
    """A concept in a split: the score of its query with each photo that counts."""

    concept: Concept
    score_P: np.ndarray
    person_P: np.ndarray
    positive_P: np.ndarray


def concept_aucs(
    concepts: Sequence[Concept],
    photos: Mapping[str, DescribedPhotos],
    of_texts: OfTexts,
    effort: Repetitions,
) -> dict[str, Any] | None:
    """The AUC of each concept, their mean, and the concepts that are said most often.

    Args:
      concepts: from `read_concepts`.
      photos: by name of the split. With several splits there are also rows of all of them pooled.
      of_texts: called once, with the query of each concept.
      effort: its resamples and seed give the intervals, from a bootstrap over people.

    Returns:
      `rows`: one for each split and concept with at least MIN_PHOTOS positives and negatives.
      `means`: one for each split: the mean AUC of its rows, the names of the COMMONEST concepts
      (by positives) and the lowest AUC among these. None if there is no row.
    """
    read = {name: _Read.of(each, concepts) for name, each in photos.items() if len(each.text_T)}
    if not read:
        return None
    if len(read) > 1:
        read[POOLED] = _Read.pooled(list(read.values()))
    query_CxF = of_texts([concept.query for concept in concepts])
    rows, means = [], []
    for split, each in read.items():
        cases = list(each.cases(concepts, query_CxF))
        if cases:
            split_rows, mean = _measure(split, cases, effort)
            rows += split_rows
            means.append(mean)
    return {'rows': rows, 'means': means} if rows else None


class _Read(NamedTuple):
    """Photos, and whether their sentences say each concept, or say otherwise."""

    photos: DescribedPhotos
    says_CxT: np.ndarray
    otherwise_CxT: np.ndarray

    @classmethod
    def of(cls, photos: DescribedPhotos, concepts: Sequence[Concept]) -> '_Read':
        statement_CxT = [
            [concept.statement(text) for text in photos.text_T] for concept in concepts
        ]
        says, otherwise = (
            np.array([[each is kind for each in row_T] for row_T in statement_CxT])
            for kind in (Statement.SAYS, Statement.OTHERWISE)
        )
        return cls(photos, says, otherwise)

    @classmethod
    def pooled(cls, parts: Sequence['_Read']) -> '_Read':
        photos, says, otherwise = zip(*parts, strict=True)
        columns = (np.concatenate(column) for column in zip(*photos, strict=True))
        return cls(DescribedPhotos(*columns), np.hstack(says), np.hstack(otherwise))

    def cases(self, concepts: Sequence[Concept], query_CxF: np.ndarray) -> Iterator[_Case]:
        """The concepts with enough positives and negatives."""
        f_TxF, person_T = self.photos.f_TxF, self.photos.person_T
        for row, concept in enumerate(concepts):
            says_T, otherwise_T = self.says_CxT[row], self.otherwise_CxT[row]
            if min(says_T.sum(), otherwise_T.sum()) >= MIN_PHOTOS:
                used = says_T | otherwise_T
                yield _Case(concept, f_TxF[used] @ query_CxF[row], person_T[used], says_T[used])


def _measure(
    split: str, cases: Sequence[_Case], effort: Repetitions
) -> tuple[list[ResultRow], ResultRow]:
    """The rows of a split, and their mean. All concepts share the resampled people."""
    people = np.unique(np.concatenate([case.person_P for case in cases]))
    counts_RxI = bootstrap.resample_counts(len(people), effort.resamples, effort.seed)
    rows, auc_RxC = [], []
    for case in cases:
        weight_RxP = counts_RxI[:, np.searchsorted(people, case.person_P)]
        auc_R = _aucs(case, weight_RxP)
        auc_RxC.append(auc_R)
        rows.append(
            {
                'split': split,
                'concept': case.concept.name,
                'query': case.concept.query,
                'positives': int(case.positive_P.sum()),
                'negatives': int((~case.positive_P).sum()),
                'auc': float(_aucs(case, np.ones((1, len(case.score_P))))[0]),
                'ci95': bootstrap.percentile_interval(auc_R).tolist(),
            }
        )
    commonest = sorted(rows, key=lambda row: -row['positives'])[:COMMONEST]
    mean = {
        'split': split,
        'concepts': len(rows),
        'mean_auc': float(np.mean([row['auc'] for row in rows])),
        'ci95': bootstrap.percentile_interval(np.nanmean(auc_RxC, axis=0)).tolist(),
        'commonest': [row['concept'] for row in commonest],
        'lowest_of_commonest': min(row['auc'] for row in commonest),
    }
    return rows, mean


def _aucs(case: _Case, weight_RxP: np.ndarray) -> np.ndarray:
    """How often a positive outscores a negative, in each resample; ties count half.

    nan in a resample without positives or negatives.
    """
    ahead_PxN = np.sign(case.score_P[case.positive_P][:, None] - case.score_P[~case.positive_P])
    positive_RxP, negative_RxN = weight_RxP[:, case.positive_P], weight_RxP[:, ~case.positive_P]
    won_R = np.einsum('rn,rn->r', positive_RxP @ (0.5 + 0.5 * ahead_PxN), negative_RxN)
    pairs_R = positive_RxP.sum(axis=1) * negative_RxN.sum(axis=1)
    return np.divide(won_R, pairs_R, out=np.full(len(won_R), np.nan), where=pairs_R > 0)

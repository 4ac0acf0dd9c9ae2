"""How well sentences find faces through frozen encoders, by CCA: cheap, and the same for all."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import ml_collections
import numpy as np

from diface_jax.data.prepared import Prepared, Split
from diface_jax.evaluation import baselines, protocols, verification
from diface_jax.evaluation.benchmark import Benchmark
from diface_jax.evaluation.methods import DIMS, STRENGTHS
from diface_jax.models.normalise import Normalisation
from diface_jax.training.model_selection import ValidationPairs

TEXTS = 20_000  # training sentences, at most


def with_columns(data: Prepared, columns: Sequence[int], widths: Sequence[int]) -> Prepared:
    """A data set with a part of its embeddings: those of face encoders of these widths."""
    splits = {
        name: dataclasses.replace(split, embedding_NxD=split.embedding_NxD[:, columns])
        for name, split in data.splits.items()
    }
    encoders = {**data.card['encoders'], 'face': [{'width': width} for width in widths]}
    return dataclasses.replace(data, splits=splits, card={**data.card, 'encoders': encoders})


def with_texts(split: Split, texts: np.ndarray, c_TxC: np.ndarray) -> Split:
    """A split with some of its texts, by row, and their conditions from another encoder."""
    columns = {name: getattr(split, name)[texts] for name in ('photo_T', 'track_T', 'coverage_T')}
    return dataclasses.replace(split, text_T=split.text_T[texts], c_TxC=c_TxC, **columns)


def text_to_face_auc(data: Prepared, config: ml_collections.ConfigDict) -> dict[str, float]:
    """AUC in % on test people against random impostors, by 'track/protocol'.

    CCA is fitted on training people; its strength and directions are chosen on validation people.

    Args:
      data: prepared.
      config: all settings; read are `captions.coverage` and `evaluate`.
    """
    coverage = config.captions.coverage
    normalise = Normalisation.fit(data.splits['train'].embedding_NxD, data.widths)
    x0 = {name: normalise(split.embedding_NxD) for name, split in data.splits.items()}
    pairs = ValidationPairs(data, coverage)

    def validation_auc(fit: baselines.LinearProjection) -> float:
        features = fit.features(data.splits['validation'].c_TxC, x0['validation'])
        return pairs.judge(features).metrics['validation/auc']

    best = max(_candidates(data.splits['train'], x0['train']), key=validation_auc)
    features = best.features(data.splits['test'].c_TxC, x0['test'])
    draws = Benchmark(config.evaluate, coverage, data, data).test_pairs()
    return _mean_aucs(features, draws)


def _candidates(train: Split, x0_NxD: np.ndarray) -> list[baselines.LinearProjection]:
    """CCA of each strength and number of directions."""
    count = len(train.photo_T)
    texts = np.sort(np.random.default_rng(0).permutation(count)[:TEXTS])
    moments = baselines.CrossMoments.from_pairs(train.c_TxC[texts], x0_NxD[train.photo_T[texts]])
    fits = baselines.fit_cca(moments, STRENGTHS)
    return [fit.first_directions(dim) for fit, dim in itertools.product(fits, DIMS)]


def _mean_aucs(
    scorer: protocols.Scorer,
    draws: Mapping[protocols.Condition, Sequence[verification.VerificationPairs]],
) -> dict[str, float]:
    aucs = {}
    for condition, sets in draws.items():
        if condition.impostors == 'random':
            scores = [(protocols.pair_scores(scorer, pairs), pairs.genuine_P) for pairs in sets]
            curves = [verification.roc_curve(*scored) for scored in scores]
            mean = np.mean([verification.auc(curve) for curve in curves])
            aucs[f'{condition.track}/{condition.protocol}'] = round(100 * float(mean), 1)
    return aucs

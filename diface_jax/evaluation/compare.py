"""Measures methods on the same pairs and galleries: results, differences, curves, retrieval."""

from collections.abc import Mapping, Sequence
from typing import Any

from diface_jax.evaluation import identification, protocols, retrieval
from diface_jax.evaluation.benchmark import Benchmark
from diface_jax.evaluation.paired_bootstrap import paired_differences
from diface_jax.evaluation.protocols import Condition
from diface_jax.evaluation.score_matrix import ScoreMatrix
from diface_jax.evaluation.verification import VerificationPairs
from diface_jax.models.features import Features
from diface_jax.runtime import hosts
from diface_jax.runtime import mesh as meshes


def compare(
    benchmark: Benchmark,
    methods: Mapping[str, Features | ScoreMatrix],
    thresholds: Mapping[str, Mapping[str, float]],
    draws: Mapping[Condition, Sequence[VerificationPairs]],
) -> dict[str, Any]:
    """Verification, identification and retrieval of all methods on the test split.

    Args:
      benchmark: what is measured.
      methods: features or scores of the test split, by method.
      thresholds: by method, then by the name of the condition, from validation.
      draws: pairs of the test split, by condition, from `Benchmark.test_pairs`.

    Returns:
      The sections 'results', 'differences', 'curves' and 'retrieval' of `evaluation.json`.
    """
    split, effort = benchmark.split('test'), benchmark.repetitions
    tracks, mesh = benchmark.tracks('test'), meshes.make_mesh()
    with hosts.working('verification'):
        estimates = list(
            protocols.verification_estimates(methods, thresholds, split, draws, effort)
        )
        curves = list(protocols.roc_curves(methods, split, draws, effort))
    for track, texts in tracks.items():
        identified = identification.identification_results(
            methods, split, track, texts, benchmark.settings.galleries, effort, mesh
        )
        estimates += identified.estimates
        curves += identified.curves
    return {
        'results': [estimate.row for estimate in estimates],
        'differences': list(paired_differences(estimates)),
        'curves': curves,
        'retrieval': list(retrieval.retrieval_rows(methods, split, tracks, effort, mesh)),
    }

"""Error analysis of DiFace: attributes, groups of people, failures, clusters, example searches."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from diface_jax.data.prepared import Prepared, Split
from diface_jax.evaluation import bootstrap, protocols
from diface_jax.evaluation.analysis import (
    attribute_sensitivity,
    clusters,
    examples,
    failure_cases,
    fairness,
)
from diface_jax.evaluation.protocols import Condition, Repetitions
from diface_jax.evaluation.verification import PROTOCOLS, VerificationPairs
from diface_jax.models.diface import Sampling
from diface_jax.models.features import FeatureExtractor, Features
from diface_jax.runtime import mesh as meshes
from diface_jax.training.loaded_model import LoadedModel

# Times at which the DDIM path is measured.
_TIMES = 11


@dataclasses.dataclass(frozen=True)
class ErrorAnalysis:
    """The model, data and pairs that the error analysis uses.

    Attributes:
      config: for its `evaluate` and `sample`.
      trained: the checkpoint.
      data: measured on its test split.
      features: DiFace's, of that split.
      thresholds: its threshold s by condition.
      encode: the text encoder, from sentences to conditions.
      texts: rows of the probe texts, by track.
      draws: the pairs to score, by condition.
      effort: numbers of draws and bootstrap resamples, and their seed.
    """

    config: ml_collections.ConfigDict
    trained: LoadedModel
    data: Prepared
    features: Features
    thresholds: Mapping[str, float]
    encode: Callable[[Sequence[str]], np.ndarray]
    texts: Mapping[str, np.ndarray]
    draws: Mapping[Condition, Sequence[VerificationPairs]]
    effort: Repetitions

    def sections(self) -> dict[str, Any]:
        """The sections of `evaluation.json`."""
        of_groups = list(self._groups())
        return {
            'attributes': self._attributes(),
            'mistakes': list(self._mistakes()),
            'groups': {'rows': of_groups, 'largest_gap': fairness.largest_gap(of_groups)},
            **self._clusters(),
            'panels': list(self._panels()),
        }

    def _randomly(self) -> Iterator[tuple[Condition, Sequence[VerificationPairs], float]]:
        """Pairs and threshold of every condition with random impostors."""
        for condition, draws in self.draws.items():
            if condition.impostors == 'random':
                yield condition, draws, self.thresholds[condition.name]

    def _groups(self) -> Iterator[protocols.ResultRow]:
        names = self.data.attributes
        for condition, draws, s in self._randomly():
            yield from fairness.group_error_rates(
                self.features, self._split, names, draws, condition, s, self.effort
            )

    def _mistakes(self) -> Iterator[protocols.ResultRow]:
        count = self.config.evaluate.num_failure_cases
        for condition, draws, s in self._randomly():
            if condition.track in self._main_tracks:
                yield from failure_cases.most_confident_errors(
                    self.features, self._split, self.data.attributes, draws, condition, s, count
                )

    def _panels(self) -> Iterator[protocols.ResultRow]:
        count = self.config.evaluate.num_examples
        for track, protocol in itertools.product(self._main_tracks, PROTOCOLS):
            texts = self.texts[track]
            yield from examples.draw_examples(
                self.features, self._split, track, protocol, texts, count, self.effort.seed
            )

    def _attributes(self) -> list[protocols.ResultRow]:
        """Drops of the score when an attribute is left out or wrong; empty without labels."""
        draws = self.draws.get(Condition(self._main_tracks[0], 'same', 'random'))
        if draws is None or not self.data.attributes:
            return []
        pairs = bootstrap.concatenate_draws(draws)
        impostor_P = protocols.pair_scores(self.features, pairs)[~pairs.genuine_P]
        most = self.config.evaluate.photos_per_attribute
        extractor = self._extractor(Sampling(**self.config.sample))

        def score(sentences: Sequence[str], photo_P: np.ndarray) -> np.ndarray:
            f_text = extractor.of_texts(self.trained.params, self.encode(sentences), self._key)
            return np.einsum('pf,pf->p', f_text, self.features.photo_NxF[photo_P])

        return attribute_sensitivity.score_drops(
            self._split, self.data.attributes, score, impostor_P.std(), most, self.effort
        )

    def _clusters(self) -> dict[str, list[protocols.ResultRow]]:
        """Cluster statistics of texts and photos in X0 and F, and of texts along the DDIM path."""
        texts, split = self.texts[self._main_tracks[0]], self._split
        params, c_TxC = self.trained.params, split.c_TxC[texts]
        identity_T = split.identity_N[split.photo_T[texts]]
        extractor = self._extractor(Sampling(**self.config.sample))
        x0_NxD = self.trained.normalise(split.embedding_NxD)
        x0 = Features(extractor.recovered(params, c_TxC, self._key), x0_NxD)
        f = Features(self.features.text_TxF[texts], self.features.photo_NxF)
        steps = self._extractor(Sampling(self.config.evaluate.path_num_steps))
        path = steps.path(params, c_TxC, self._key, _TIMES)
        refine = functools.partial(steps.refined, params)
        return {
            'clusters': clusters.clusters_by_space(x0, f, identity_T, split.identity_N),
            'path': clusters.clusters_along_path(path, refine, identity_T),
        }

    def _extractor(self, sampling: Sampling) -> FeatureExtractor:
        return FeatureExtractor(self.trained.model, sampling, meshes.make_mesh())

    @property
    def _key(self) -> jax.Array:
        return jax.random.key(self.effort.seed)

    @property
    def _split(self) -> Split:
        return self.data.splits['test']

    @property
    def _main_tracks(self) -> list[str]:
        """Tracks with examples in the report: the first one, and the free-hand sentences."""
        return list(dict.fromkeys([next(iter(self.texts)), *({'human'} & set(self.texts))]))

"""Error analysis of DiFace: attributes, words, groups of people, failures, clusters, searches."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from diface_jax.data.concepts import read_concepts
from diface_jax.data.prepared import Prepared, Split
from diface_jax.evaluation import bootstrap, protocols
from diface_jax.evaluation.analysis import (
    attribute_sensitivity,
    clusters,
    concept_test,
    examples,
    failure_cases,
    fairness,
    negation_test,
    short_queries,
)
from diface_jax.evaluation.analysis.scored_condition import ScoredCondition
from diface_jax.evaluation.protocols import Condition, Repetitions, ResultRow
from diface_jax.evaluation.verification import PROTOCOLS, VerificationPairs
from diface_jax.models.diface import Sampling
from diface_jax.models.features import FeatureExtractor, Features
from diface_jax.runtime import mesh as meshes
from diface_jax.runtime.settings import EvaluateSettings, SampleSettings
from diface_jax.training.loaded_model import LoadedModel

# The DDIM path is measured at this many times.
_PATH_TIMES = 11


@dataclasses.dataclass(frozen=True)
class ErrorAnalysis:
    """The model, data and pairs that the error analysis uses.

    Attributes:
      settings: numbers of examples, and the sampler steps of the path.
      sample: how texts become embeddings.
      trained: the checkpoint.
      data: its test split is measured.
      features: DiFace's features of that split.
      thresholds: DiFace's threshold s by the name of the condition.
      encode: the text encoder, from sentences to conditions.
      texts: rows of the probe texts, by track.
      draws: the pairs to score, by condition.
      effort: numbers of draws and bootstrap resamples, and their seed.
    """

    settings: EvaluateSettings
    sample: SampleSettings
    trained: LoadedModel
    data: Prepared
    features: Features
    thresholds: Mapping[str, float]
    encode: Callable[[Sequence[str]], np.ndarray]
    texts: Mapping[str, np.ndarray]
    draws: Mapping[Condition, Sequence[VerificationPairs]]
    effort: Repetitions

    def sections(self) -> dict[str, Any]:
        """The sections of `evaluation.json` by name, as JSON can hold them."""
        scored = list(self._scored_conditions())
        group_rows = list(
            itertools.chain(*(fairness.group_error_rates(pairs, self.effort) for pairs in scored))
        )
        return {
            'attributes': self._attributes(),
            'concepts': self._concepts(),
            'negation': self._negation(),
            'short_queries': self._short_queries(),
            'mistakes': list(self._failure_cases(scored)),
            'groups': {'rows': group_rows, 'largest_gap': fairness.largest_gap(group_rows)},
            **self._clusters(),
            'panels': list(self._examples()),
        }

    def _scored_conditions(self) -> Iterator[ScoredCondition]:
        """The scored pairs of every condition with random impostors."""
        for condition, draws in self.draws.items():
            if condition.impostors == 'random':
                yield ScoredCondition(
                    self.features,
                    self._split,
                    self.data.attributes,
                    draws,
                    condition,
                    self.thresholds[condition.name],
                )

    def _failure_cases(self, scored: Sequence[ScoredCondition]) -> Iterator[ResultRow]:
        for pairs in scored:
            if pairs.condition.track in self._main_tracks:
                yield from failure_cases.most_confident_errors(
                    pairs, self.settings.num_failure_cases
                )

    def _examples(self) -> Iterator[ResultRow]:
        count = self.settings.num_examples
        for track, protocol in itertools.product(self._main_tracks, PROTOCOLS):
            texts = self.texts[track]
            yield from examples.draw_examples(
                self.features, self._split, track, protocol, texts, count, self.effort.seed
            )

    def _attributes(self) -> list[ResultRow]:
        """Drops of the score when an attribute is left out or wrong; empty without labels."""
        draws = self.draws.get(Condition(self._main_tracks[0], 'same', 'random'))
        if draws is None or not self.data.attributes:
            return []
        pairs = bootstrap.concatenate_draws(draws)
        impostor_P = protocols.pair_scores(self.features, pairs)[~pairs.genuine_P]
        most_photos = self.settings.photos_per_attribute

        def score(sentences: Sequence[str], photo_P: np.ndarray) -> np.ndarray:
            f_PxF = self._of_texts(sentences)
            return np.einsum('pf,pf->p', f_PxF, self.features.photo_NxF[photo_P])

        return attribute_sensitivity.score_drops(
            self._split, self.data.attributes, score, impostor_P.std(), most_photos, self.effort
        )

    def _concepts(self) -> dict[str, Any] | None:
        """AUC of short queries on validation and test photos; None without free-hand sentences."""
        photos = {}
        for name in ('validation', 'test'):
            split = self.data.splits.get(name)
            if split is not None and {'human', 'style'} & set(split.tracks(())):
                photos[name] = concept_test.DescribedPhotos.of_split(split, self._of_photos(name))
        return concept_test.concept_aucs(read_concepts(), photos, self._of_texts, self.effort)

    def _negation(self) -> dict[str, Any] | None:
        """Pairs of sentences with and without a negation; None without labels."""
        return negation_test.negation_shares(
            negation_test.read_pairs(),
            self._split,
            self.data.attributes,
            self.features.photo_NxF,
            self._of_texts,
            self.effort,
        )

    def _short_queries(self) -> dict[str, Any] | None:
        """AUC of queries as people type them; None without labels."""
        return short_queries.short_query_aucs(
            short_queries.read_short_queries(),
            self._split,
            self.data.attributes,
            self.features.photo_NxF,
            self._of_texts,
            self.effort,
        )

    def _clusters(self) -> dict[str, list[ResultRow]]:
        """Cluster statistics of texts and photos in X0 and F, and of texts along the DDIM path."""
        texts, split = self.texts[self._main_tracks[0]], self._split
        params, c_TxC = self.trained.params, split.c_TxC[texts]
        identity_T = split.identity_N[split.photo_T[texts]]
        extractor = self._extractor(self._sampling)
        x0_NxD = self.trained.normalise(split.embedding_NxD)
        x0 = Features(extractor.recovered(params, c_TxC, self._key), x0_NxD)
        f = Features(self.features.text_TxF[texts], self.features.photo_NxF)
        path_extractor = self._extractor(Sampling(self.settings.path_num_steps))
        path = path_extractor.path(params, c_TxC, self._key, _PATH_TIMES)
        refine = functools.partial(path_extractor.refined, params)
        return {
            'clusters': clusters.clusters_by_space(x0, f, identity_T, split.identity_N),
            'path': clusters.clusters_along_path(path, refine, identity_T),
        }

    def _of_texts(self, sentences: Sequence[str]) -> np.ndarray:
        """Features of new sentences."""
        extractor = self._extractor(self._sampling)
        return extractor.of_texts(self.trained.params, self.encode(sentences), self._key)

    def _of_photos(self, name: str) -> np.ndarray:
        """Features of the photos of a split."""
        if name == 'test':
            return self.features.photo_NxF
        x0_NxD = self.trained.normalise(self.data.splits[name].embedding_NxD)
        return self._extractor(self._sampling).of_photos(self.trained.params, x0_NxD)

    def _extractor(self, sampling: Sampling) -> FeatureExtractor:
        return FeatureExtractor(self.trained.model, sampling, meshes.make_mesh())

    @property
    def _sampling(self) -> Sampling:
        sample = self.sample
        return Sampling(sample.num_steps, sample.num_samples, sample.guidance, sample.eta)

    @property
    def _key(self) -> jax.Array:
        return jax.random.key(self.effort.seed)

    @property
    def _split(self) -> Split:
        return self.data.splits['test']

    @property
    def _main_tracks(self) -> list[str]:
        """Tracks with examples in the report: the first one, and free-hand sentences if any."""
        first = next(iter(self.texts))
        return [track for track in self.texts if track in (first, 'human')]

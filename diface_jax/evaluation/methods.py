"""Every method of the results table, fitted on the same rows and tuned on validation."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import logging

from diface_jax.data.prepared import Prepared, Split
from diface_jax.evaluation import baselines, two_tower
from diface_jax.models.diface import Sampling
from diface_jax.models.features import FeatureExtractor, Features
from diface_jax.runtime import mesh as meshes
from diface_jax.training.checkpoint import METRIC
from diface_jax.training.loaded_model import LoadedModel
from diface_jax.training.loop import training_batches, training_table
from diface_jax.training.model_selection import ValidationPairs

# From a data set and the name of one of its splits to a method's features of it.
Method = Callable[[Prepared, str], Features]

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
DIMS = (16, 32, 64, 128)


@dataclasses.dataclass(frozen=True)
class MethodSuite:
    """What all methods share.

    Attributes:
      config: of this evaluation.
      trained: DiFace.
      home: the data set it was trained on.
      pairs: its validation pairs, by which every method is tuned.
    """

    config: ml_collections.ConfigDict
    trained: LoadedModel
    home: Prepared
    pairs: ValidationPairs

    def methods(self, attributes: Iterable[str]) -> dict[str, Method]:
        """All methods by name.

        Args:
          attributes: those labelled in the data to measure on; gender and the oracle need labels
            on both sides, and are left out without them.

        Returns:
          Methods, DiFace first.
        """
        methods = {
            'diface': self._diface(Sampling(**self.config.sample), refined=True),
            'literal': self._diface(
                Sampling(self.config.evaluate.literal_num_steps), refined=False
            ),
            'towers': self._towers(),
            'cca': self._cca(),
            'ridge': self._ridge(),
        }
        shared = sorted(set(attributes) & set(self.home.attributes))
        if shared:
            methods['oracle'] = self._oracle(shared)
        if 'Male' in shared:
            methods['gender'] = _gender
        return methods

    def _judge(self, method: Method) -> float:
        return self.pairs.judge(method(self.home, 'validation')).metrics[METRIC]

    def _best(self, name: str, candidates: Iterable[tuple[str, Method]]) -> Method:
        """The candidate that does best on validation."""
        judged = [(self._judge(method), label, method) for label, method in candidates]
        value, label, method = max(judged, key=lambda candidate: candidate[0])
        logging.info('%s: chose %s on validation, %s %.4f', name, label, METRIC, value)
        return method

    def _x0(self, split: Split) -> np.ndarray:
        return self.trained.normalise(split.embedding_NxD)

    def _diface(self, sampling: Sampling, refined: bool) -> Method:
        extractor = FeatureExtractor(self.trained.model, sampling, meshes.make_mesh())
        extract = extractor.features if refined else extractor.literal

        def method(data: Prepared, name: str) -> Features:
            split = data.splits[name]
            texts = np.concatenate(list(split.tracks(self.config.captions.coverage).values()))
            key = jax.random.key(self.config.evaluate.seed)
            return extract(self.trained.params, split, np.sort(texts), self.trained.normalise, key)

        return method

    @functools.cached_property
    def _moments(self) -> baselines.CrossMoments:
        split = self.home.splits['train']
        use_human = self.trained.config.train.human_share > 0
        texts = np.arange(len(split.photo_T)) if use_human else split.texts('grammar')
        return baselines.CrossMoments.from_pairs(
            split.c_TxC[texts], self._x0(split)[split.photo_T[texts]]
        )

    def _linear(self, linear: baselines.LinearProjection) -> Method:
        def method(data: Prepared, name: str) -> Features:
            return linear.features(data.splits[name].c_TxC, self._x0(data.splits[name]))

        return method

    def _ridge(self) -> Method:
        fits = {f'strength {s:g}': baselines.fit_ridge(self._moments, s) for s in STRENGTHS}
        return self._best('ridge', ((label, self._linear(fit)) for label, fit in fits.items()))

    def _cca(self) -> Method:
        whole = dict(zip(STRENGTHS, baselines.fit_cca(self._moments, STRENGTHS), strict=True))
        fits = {
            f'strength {s:g}, {dim} directions': whole[s].first_directions(dim)
            for s, dim in itertools.product(STRENGTHS, DIMS)
        }
        return self._best('cca', ((label, self._linear(fit)) for label, fit in fits.items()))

    def _towers(self) -> Method:
        split = self.home.splits['train']
        table = jax.device_put(training_table(split, self.trained.normalise))

        def as_method(fitted: two_tower.TwoTower) -> Method:
            def method(data: Prepared, name: str) -> Features:
                measured = data.splits[name]
                features = two_tower.two_tower_features(
                    fitted, jnp.asarray(measured.c_TxC), jnp.asarray(self._x0(measured))
                )
                return Features(*map(np.asarray, features))

            return method

        fitted = two_tower.fit_towers(
            self.config.evaluate.two_tower,
            table,
            training_batches(split, self.trained.config),
            lambda candidate: self._judge(as_method(candidate)),
            self.config.evaluate.seed,
        )
        return as_method(fitted)

    def _oracle(self, attributes: list[str]) -> Method:
        labels = self.home.labels('train', attributes)
        oracle = baselines.AttributeOracle.fit(labels, self.home.splits['train'].identity_N)
        return lambda data, name: oracle.features(
            data.labels(name, attributes), data.splits[name].photo_T
        )


def _gender(data: Prepared, name: str) -> Features:
    return baselines.gender_features(data.gender(name), data.splits[name].photo_T)

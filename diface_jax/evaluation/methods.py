"""Every method of the results table, fitted on the same rows and tuned on validation."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from diface_jax.data.prepared import Prepared, Split
from diface_jax.evaluation import baselines, two_tower
from diface_jax.evaluation.clip_baseline import ClipBaseline
from diface_jax.models.diface import Sampling
from diface_jax.models.features import FeatureExtractor, Features
from diface_jax.runtime import mesh as meshes
from diface_jax.runtime.settings import EvaluateSettings
from diface_jax.training.checkpoint import METRIC
from diface_jax.training.loaded_model import LoadedModel
from diface_jax.training.loop import training_batches, training_table
from diface_jax.training.model_selection import ValidationPairs

# From a data set and the name of a split to a method's features of that split.
Method = Callable[[Prepared, str], Features]

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
DIMS = (16, 32, 64, 128)


@dataclasses.dataclass(frozen=True)
class MethodSuite:
    """What all methods share.

    Attributes:
      settings: of the evaluation.
      sampling: how DiFace samples.
      coverage: shares of the attributes that the grammar's sentences name, a track each.
      trained: DiFace's checkpoint.
      train_data: the data set it was trained on.
      pairs: the validation pairs of `train_data`, on which every method is tuned.
      clip: the CLIP to compare with, or None.
    """

    settings: EvaluateSettings
    sampling: Sampling
    coverage: Sequence[float]
    trained: LoadedModel
    train_data: Prepared
    pairs: ValidationPairs
    clip: ClipBaseline | None = None

    def methods(self, attributes: Iterable[str]) -> dict[str, Method]:
        """All methods by name.

        Args:
          attributes: the attributes labelled in the data to measure on. Gender and the oracle need
            labels there and in the training data, and are left out without them.

        Returns:
          The methods, DiFace first.
        """
        methods = {
            'diface': self._diface(self.sampling, refined=True),
            'literal': self._diface(Sampling(self.settings.literal_num_steps), refined=False),
            'towers': self._two_tower(),
            'cca': self._cca(),
            'ridge': self._ridge(),
        }
        if self.clip:
            methods |= {'clip': self.clip.zero_shot, 'clip_linear': self._clip_linear(self.clip)}
        shared = sorted(set(attributes) & set(self.train_data.attributes))
        if shared:
            methods['oracle'] = self._oracle(shared)
        if 'Male' in shared:
            methods['gender'] = _gender
        return methods

    def _validation_auc(self, method: Method) -> float:
        return self.pairs.judge(method(self.train_data, 'validation')).metrics[METRIC]

    def _best(self, name: str, candidates: Iterable[tuple[str, Method]]) -> Method:
        """The candidate with the best AUC on validation."""
        scored = [(self._validation_auc(method), label, method) for label, method in candidates]
        value, label, method = max(scored, key=lambda candidate: candidate[0])
        logging.info('%s: chose %s on validation, %s %.4f', name, label, METRIC, value)
        return method

    def _x0(self, split: Split) -> np.ndarray:
        return self.trained.normalise(split.embedding_NxD)

    def _diface(self, sampling: Sampling, refined: bool) -> Method:
        extractor = FeatureExtractor(self.trained.model, sampling, meshes.make_mesh())
        extract = extractor.features if refined else extractor.literal

        def method(data: Prepared, name: str) -> Features:
            split = data.splits[name]
            texts = np.concatenate(list(split.tracks(self.coverage).values()))
            key = jax.random.key(self.settings.seed)
            return extract(self.trained.params, split, np.sort(texts), self.trained.normalise, key)

        return method

    def _train_texts(self) -> np.ndarray:
        """Rows of the training texts that DiFace is trained on."""
        split = self.train_data.splits['train']
        use_human = self.trained.config.train.human_share > 0
        return np.arange(len(split.photo_T)) if use_human else split.texts('grammar')

    @functools.cached_property
    def _moments(self) -> baselines.CrossMoments:
        split, texts = self.train_data.splits['train'], self._train_texts()
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
        projections = dict(zip(STRENGTHS, baselines.fit_cca(self._moments, STRENGTHS), strict=True))
        fits = {
            f'strength {s:g}, {dim} directions': projections[s].first_directions(dim)
            for s, dim in itertools.product(STRENGTHS, DIMS)
        }
        return self._best('cca', ((label, self._linear(fit)) for label, fit in fits.items()))

    def _clip_linear(self, clip: ClipBaseline) -> Method:
        heads = clip.linear_heads(self.train_data, self._train_texts(), STRENGTHS, DIMS)
        return self._best('clip_linear', heads.items())

    def _two_tower(self) -> Method:
        train_split = self.train_data.splits['train']
        table = jax.device_put(training_table(train_split, self.trained.normalise))

        def as_method(fitted: two_tower.TwoTower) -> Method:
            def method(data: Prepared, name: str) -> Features:
                split = data.splits[name]
                features = two_tower.two_tower_features(
                    fitted, jnp.asarray(split.c_TxC), jnp.asarray(self._x0(split))
                )
                return Features(*map(np.asarray, features))

            return method

        fitted = two_tower.fit_towers(
            self.settings.two_tower,
            table,
            training_batches(train_split, self.trained.config),
            lambda candidate: self._validation_auc(as_method(candidate)),
            self.settings.seed,
        )
        return as_method(fitted)

    def _oracle(self, attributes: list[str]) -> Method:
        labels = self.train_data.labels('train', attributes)
        oracle = baselines.AttributeOracle.fit(labels, self.train_data.splits['train'].identity_N)
        return lambda data, name: oracle.features(
            data.labels(name, attributes), data.splits[name].photo_T
        )


def _gender(data: Prepared, name: str) -> Features:
    return baselines.gender_features(data.gender(name), data.splits[name].photo_T)

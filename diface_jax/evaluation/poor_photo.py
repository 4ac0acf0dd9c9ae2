"""Searches with a poor photo: alone, beside a text, and what the text alone would give.

The probe is a photo that is degraded to a width of the face, and a sentence about that photo. The
gallery holds one other photo of each test person. Every method sees the same draws, and intervals
come from the same resamples of people.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from diface_jax.data.prepared import Prepared, Split
from diface_jax.encoders.face.degrade import EVALUATION_WIDTHS
from diface_jax.evaluation import bootstrap, poor_photo_methods, protocols, two_tower
from diface_jax.evaluation.identification import IdentificationDraw, draw_identification
from diface_jax.evaluation.poor_photo_methods import (
    Fusion,
    NoiseOfObservations,
    PhotoProbes,
    ProbeMethod,
    SingleMethods,
)
from diface_jax.evaluation.protocols import Estimate, Repetitions, ResultRow
from diface_jax.models.diface import Sampling
from diface_jax.models.features import Features
from diface_jax.runtime import hosts
from diface_jax.training.loaded_model import LoadedModel
from diface_jax.training.loop import training_batches, training_table

TEXT, PHOTO, BOTH = 'text', 'photo', 'text+photo'
# Methods of a probe with text and photo, and the one that DiFace is compared with.
DIFACE, MIX = 'diface', 'logistic mix'
_RANK = 10
_TUNED_WIDTH = 12.0  # pixels of the face for which the sampling is chosen


def poor_photo_results(
    config: ml_collections.ConfigDict, trained: LoadedModel, train_data: Prepared, data: Prepared
) -> dict[str, Any] | None:
    """Results of searches with poor photos; None where model or data have no observations.

    Args:
      config: all settings, of which `evaluate`, `sample` and `captions` are used.
      trained: DiFace.
      train_data: the data set it was trained on, for the baselines and all choices.
      data: the data set to measure on.

    Returns:
      'results': rows with the columns track, probe, face_px, method, metric, value, sd and ci95;
      'differences': DiFace's number minus that of the logistic mix, with the same columns;
      'sampling': the sampling of DiFace that was chosen on validation.
    """
    sets = train_data.splits['train'], train_data.splits['validation'], data.splits['test']
    if not trained.model.quality_dim or not all(split.observations for split in sets):
        return None
    effort = Repetitions(config.evaluate.draws, config.evaluate.resamples, config.evaluate.seed)
    single = SingleMethods(trained, Sampling(**config.sample), effort.seed)
    towers = _fit_towers(config, trained, train_data)
    results: list[ResultRow] = []
    differences: list[ResultRow] = []
    samplings = {}
    for track in _tracks(config, data.splits['test'], train_data.splits['validation']):
        tuned = _Tuned.fit(single, towers, _probes(train_data, 'validation', config, track, single))
        samplings[track] = dataclasses.asdict(tuned.diface.sampling)
        measured = list(_measure(tuned, _probes(data, 'test', config, track, single), effort))
        results += [{'track': track, **e.row} for e in measured]
        differences += [{'track': track, **row} for row in _differences(measured)]
    return {'results': results, 'differences': differences, 'sampling': samplings}


def _tracks(config: ml_collections.ConfigDict, *splits: Split) -> list[str]:
    """The first track of the grammar and the free-hand sentences, where all splits have them."""
    coverage = config.captions.coverage
    wanted = f'grammar-{100 * coverage[0]:g}', 'human'
    return [name for name in wanted if all(name in split.tracks(coverage) for split in splits)]


def _probes(
    data: Prepared, name: str, config: ml_collections.ConfigDict, track: str, single: SingleMethods
) -> dict[int, PhotoProbes]:
    """The probes of a track by level of `EVALUATION_WIDTHS`."""
    split = data.splits[name]
    texts = split.tracks(config.captions.coverage)[track]
    return {
        level: poor_photo_methods.make_probes(split, texts, level, single.trained)
        for level in range(len(EVALUATION_WIDTHS))
    }


def _fit_towers(
    config: ml_collections.ConfigDict, trained: LoadedModel, train_data: Prepared
) -> two_tower.TwoTower:
    """The regression network that sees text and photo, on the batches of DiFace."""
    train_split = train_data.splits['train']
    single = SingleMethods(trained, Sampling(**config.sample), 0)
    track = _tracks(config, train_data.splits['validation'])[-1]
    probes = _probes(train_data, 'validation', config, track, single)
    level = EVALUATION_WIDTHS.index(_TUNED_WIDTH)

    def judge(towers: two_tower.TwoTower) -> float:
        return _auc(
            poor_photo_methods.tower_features(towers, trained, probes[level]), probes[level]
        )

    return two_tower.fit_towers(
        config.evaluate.two_tower,
        jax.device_put(training_table(train_split, trained.normalise)),
        training_batches(train_split, trained.config),
        judge,
        config.evaluate.seed,
        poor_photo_methods.probe_input(tuple(trained.config.train.probe_shares)),
    )


class _Tuned(NamedTuple):
    """The methods with what was fitted on validation; dictionaries are by level.

    `single` samples as the model does, `diface` as was best with text and photo.
    """

    single: SingleMethods
    diface: SingleMethods
    towers: two_tower.TwoTower
    noise: Mapping[int, NoiseOfObservations]
    sums: Mapping[int, Fusion]
    mix: Fusion

    @classmethod
    def fit(
        cls, single: SingleMethods, towers: two_tower.TwoTower, probes: Mapping[int, PhotoProbes]
    ) -> '_Tuned':
        """Chooses the sampling, and fits the noise and the fusions, on validation probes."""
        tuned_probes = probes[EVALUATION_WIDTHS.index(_TUNED_WIDTH)]

        def auc_of(sampling: Sampling) -> float:
            candidate = dataclasses.replace(single, sampling=sampling)
            return _auc(candidate.both(tuned_probes), tuned_probes)

        candidates = [single.sampling, *poor_photo_methods.SAMPLINGS]
        sampling = poor_photo_methods.best_sampling(auc_of, candidates)
        parts = {
            level: [method(of_level) for method in (single.words, single.cosine, single.refined)]
            for level, of_level in probes.items()
        }
        return cls(
            single,
            dataclasses.replace(single, sampling=sampling),
            towers,
            {level: _noise_of(single, of_level) for level, of_level in probes.items()},
            {
                level: poor_photo_methods.fit_fusion(
                    {level: parts[level][:2]}, {level: of_level}, False, single.seed
                )
                for level, of_level in probes.items()
            },
            poor_photo_methods.fit_fusion(parts, probes, True, single.seed),
        )

    def methods(self, level: int) -> dict[tuple[str, str], ProbeMethod]:
        """The methods at a level, by kind of probe and name."""
        single, noise = self.single, self.noise[level]
        start = functools.partial(single.started, scale=noise.scale, log_snr=noise.log_snr)
        towers = functools.partial(
            poor_photo_methods.tower_features, self.towers, self.single.trained
        )
        return {
            (PHOTO, 'cosine in X0'): single.cosine,
            (PHOTO, 'R'): single.refined,
            (PHOTO, DIFACE): self.diface.photo,
            (BOTH, DIFACE): self.diface.both,
            (BOTH, 'diface from the noise level'): start,
            (BOTH, 'sum of log-likelihood ratios'): functools.partial(
                _fused, self.sums[level], (single.words, single.cosine)
            ),
            (BOTH, MIX): functools.partial(
                _fused, self.mix, (single.words, single.cosine, single.refined)
            ),
            (BOTH, 'two towers'): towers,
        }


def _noise_of(single: SingleMethods, probes: PhotoProbes) -> NoiseOfObservations:
    photo_P = probes.split.photo_T[probes.text_P]
    x0_PxD = single.trained.normalise(probes.split.embedding_NxD[photo_P])
    return NoiseOfObservations.fit(probes.observation.y_BxD, x0_PxD)


def _fused(fusion: Fusion, methods: Sequence[ProbeMethod], probes: PhotoProbes) -> Features:
    return fusion([method(probes) for method in methods], probes.observation.quality_BxQ)


def _measure(
    tuned: _Tuned, probes: Mapping[int, PhotoProbes], effort: Repetitions
) -> Iterator[Estimate]:
    """AUC and R@10 of each method at each width, and of the words alone."""
    first = next(iter(probes.values()))
    draws = _draws(first, effort)
    yield from _estimates(tuned.single.words(first), first, draws, effort, (TEXT, DIFACE, None))
    for level, of_level in hosts.progress(probes.items(), 'poor photos', unit='width'):
        for (kind, name), method in tuned.methods(level).items():
            labels = kind, name, EVALUATION_WIDTHS[level]
            yield from _estimates(method(of_level), of_level, draws, effort, labels)


def _draws(probes: PhotoProbes, effort: Repetitions) -> list[IdentificationDraw]:
    rng = np.random.default_rng(effort.seed)
    return [
        draw_identification(rng, probes.split, probes.text_P, 'cross') for _ in range(effort.draws)
    ]


def _auc(features: Features, probes: PhotoProbes) -> float:
    """The AUC of one draw of probes and gallery, to choose by."""
    (draw,) = _draws(probes, Repetitions(1, 0, 0))
    return float(placements(features, probes, draw).auc_P.mean())


class Placements(NamedTuple):
    """For each probe of a draw: the share of impostor scores below its mate's, and its rank."""

    auc_P: np.ndarray
    rank_P: np.ndarray


def placements(features: Features, probes: PhotoProbes, draw: IdentificationDraw) -> Placements:
    """Where the mate of each probe stands; a tie counts half.

    The mean of `auc_P` is the AUC over all pairs of a probe and a gallery photo. The best rank
    is 1.
    """
    places_P = np.searchsorted(probes.text_P, draw.text_P)
    score_PxI = features.text_TxF[places_P] @ features.photo_NxF[draw.photo_I].T
    rows = np.arange(len(places_P))
    mate_P = score_PxI[rows, draw.person_P]
    is_impostor_PxI = np.ones(score_PxI.shape, bool)
    is_impostor_PxI[rows, draw.person_P] = False
    impostors = np.sort(score_PxI[is_impostor_PxI])
    below_P = np.searchsorted(impostors, mate_P, 'left') + np.searchsorted(
        impostors, mate_P, 'right'
    )
    above_P = (score_PxI > mate_P[:, None]).sum(axis=1)
    level_P = (score_PxI == mate_P[:, None]).sum(axis=1) - 1
    return Placements(below_P / (2 * len(impostors)), 1 + above_P + level_P / 2)


def _estimates(
    features: Features,
    probes: PhotoProbes,
    draws: Sequence[IdentificationDraw],
    effort: Repetitions,
    labels: tuple[str, str, float | None],
) -> Iterator[Estimate]:
    """AUC and R@10. Resampled are the people of the probes, and with them the mates."""
    row = dict(zip(('probe', 'method', 'face_px'), labels, strict=True))
    by_draw = [placements(features, probes, draw) for draw in draws]
    person_P = np.concatenate([draw.person_P for draw in draws])
    counts = bootstrap.resample_counts(len(draws[0].photo_I), effort.resamples, effort.seed)
    values = {
        'auc': [placed.auc_P for placed in by_draw],
        f'rank@{_RANK}': [(placed.rank_P <= _RANK).astype(float) for placed in by_draw],
    }
    for metric, of_draws in values.items():
        value_Px1 = np.concatenate(of_draws)[:, None]
        spread_R = bootstrap.resampled_means(value_Px1, person_P, counts)[:, 0]
        yield protocols.make_estimate(row, metric, [v.mean() for v in of_draws], spread_R)


def _differences(estimates: Sequence[Estimate]) -> Iterator[ResultRow]:
    """DiFace with text and photo minus the logistic mix, on the same draws and resamples."""
    of_method = {
        name: {
            (e.row['face_px'], e.row['metric']): e
            for e in estimates
            if (e.row['probe'], e.row['method']) == (BOTH, name)
        }
        for name in (DIFACE, MIX)
    }
    for (face_px, metric), diface in of_method[DIFACE].items():
        mix = of_method[MIX][face_px, metric]
        labels = {'probe': BOTH, 'method': MIX, 'face_px': face_px}
        draws_S, spread_R = diface.draws_S - mix.draws_S, diface.spread_R - mix.spread_R
        yield protocols.make_estimate(labels, metric, draws_S, spread_R).row

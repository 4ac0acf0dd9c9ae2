"""Ablation table: accuracy with one part of DiFace removed or changed, a row each.

A row that changes the training is a run of its own in WORKDIR/ablation/, with the same data, seed
and `ablate.num_steps` steps; the other rows score the first row's model in another way.
"""

import dataclasses
import functools
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from absl import logging

from diface_jax.data.prepared import Prepared, Split
from diface_jax.data.vae_latents import vae_latents
from diface_jax.diffusion.likelihood import NoiseLevels
from diface_jax.encoders.text.condition import sentence_vectors
from diface_jax.evaluation import identification, protocols
from diface_jax.evaluation.likelihood_ratio import LikelihoodRatioScorer
from diface_jax.evaluation.protocols import Condition
from diface_jax.evaluation.verification import VerificationPairs
from diface_jax.models.diface import Sampling
from diface_jax.models.features import FeatureExtractor
from diface_jax.runtime import mesh as meshes
from diface_jax.runtime import run_state
from diface_jax.training import loaded_model
from diface_jax.training.loaded_model import LoadedModel
from diface_jax.training.loop import train, training_settings

# Chosen on validation: above, the text no longer helps D; below, it weighs nothing.
LEVELS = NoiseLevels(-6.0, 0.0, 8)


class AblationRow(NamedTuple):
    """A row of the table.

    Attributes:
      name: of the row.
      what: in a line, for the reader.
      training: settings of the training that differ from the config's.
      sampling: fields of Sampling that differ from `config.sample`.
      space: what is compared: 'F' by cosine, or 'likelihood' by log p(x0 | c) - log p(x0).
      embedding: 'E', 'first' for its first encoder alone, or 'VAE' for a variational autoencoder's
        latents in its place.
      words: whether c tells words at every depth of the text encoder, or its sentence vector alone.
    """

    name: str
    what: str
    training: Mapping[str, Any] = {}
    sampling: Mapping[str, Any] = {}
    space: str = 'F'
    embedding: str = 'E'
    words: bool = True


# With one noise level, at t = 1, the input is noise alone: D regresses x0 on c.
_REGRESSION = {'diffusion.num_levels': 1, 'diffusion.snr_clip': (1.0, 1.0)}
_NO_R = {'loss_weight.refine': 0.0}
_LITERAL = {'num_steps': 25, 'num_samples': 1}

VARIANTS = (
    AblationRow('diface', 'as configured'),
    AblationRow('K = 1', 'one sample a text', sampling={'num_samples': 1}),
    AblationRow('guidance 1.5', 'classifier-free guidance', sampling={'guidance': 1.5}),
    AblationRow('guidance 3', 'more of it', sampling={'guidance': 3.0}),
    AblationRow('T~ = 25', 'more DDIM steps', sampling={'num_steps': 25}),
    AblationRow(
        'likelihood ratio', 'log p(x0|c) - log p(x0), not the cosine in F', space='likelihood'
    ),
    AblationRow('no diffusion', 'the same network regresses x0 on c', _REGRESSION),
    AblationRow('no R', 'D denoises, R stays the identity: cosine in X0', _NO_R),
    AblationRow(
        'no R, literal',
        'the same, one sample of T~ = 25 steps',
        _NO_R,
        _LITERAL,
    ),
    AblationRow('R on one side', 'R(text) against x0 itself', {'model.refine_photos': False}),
    AblationRow('eps prediction', 'D predicts the noise', {'model.score.prediction': 'eps'}),
    AblationRow('v prediction', 'D predicts the velocity', {'model.score.prediction': 'v'}),
    AblationRow('linear schedule', 'noise by a linear beta', {'diffusion.schedule': 'linear'}),
    AblationRow(
        'min-SNR weight',
        'noise levels near t = 1 weigh nothing',
        {'diffusion.snr_clip': (0.0, 5.0)},
    ),
    AblationRow('one encoder', "E is dlib's alone", embedding='first'),
    AblationRow('sentence vector', 'c from the end of the text encoder alone', words=False),
    AblationRow(
        'as in the paper',
        'both of these, and one sample of T~ = 25 steps',
        sampling=_LITERAL,
        embedding='first',
        words=False,
    ),
    AblationRow('VAE latents', 'a VAE of the same photos in place of E', embedding='VAE'),
)


def ablate(
    config: ml_collections.ConfigDict,
    home: Prepared,
    runs: pathlib.Path,
    out: pathlib.Path,
    overwrite: bool = False,
) -> None:
    """Trains and measures every row on the test split, thresholds from validation.

    An unfinished table is resumed: its rows are kept, and a training run continues from its
    checkpoint. A row whose training fails says so in the table.

    Args:
      config: the whole config.
      home: the data set.
      runs: folder of the training runs.
      out: the file to write, after every row.
      overwrite: a file of other settings is replaced, once all rows are measured.

    Raises:
      SettingsDifferError: `out` is of other settings.
      ValueError: `home` is of simulated people, or of two data sets: one row trains on the
        photographs of one.
    """
    if 'simulated' in home.card['settings']:
        raise ValueError(
            'the ablation table trains an autoencoder on photographs, and there are none of '
            'simulated people: give a data set of photographs (README.md, Data)'
        )
    if 'second_data' in home.card['settings']:
        raise ValueError(
            'the ablation table trains an autoencoder on the photographs of one data set: leave '
            'config.second_data out'
        )
    settings = run_state.to_plain_json(
        {
            'training': training_settings(config, home),
            'ablate': config.ablate.to_dict(),
            'evaluate': config.evaluate.to_dict(),
            'sample': config.sample.to_dict(),
            'variants': VARIANTS,
        }
    )
    ignore = ('evaluate.data.root', 'training.sample')
    progress, made = run_state.partial_output(out, settings, ignore, overwrite)
    rows = made.get('rows', [])
    new_runs = runs if progress == out else runs.with_name(f'{runs.name}.new')
    table = _Table(config, home, new_runs)
    header = {'settings': settings, 'split': 'test', 'num_steps': config.ablate.num_steps}
    for i, variant in enumerate(VARIANTS[len(rows) :], len(rows) + 1):
        logging.info('ablate: row %d of %d: %s', i, len(VARIANTS), variant.name)
        rows.append(table.row(variant))
        complete = len(rows) == len(VARIANTS)
        run_state.write_json(progress, {**header, 'complete': complete, 'rows': rows})
    run_state.move_into_place(progress, out)
    run_state.move_into_place(new_runs, runs)
    logging.info('ablate: %s holds all %d rows', out, len(VARIANTS))


def training_config(
    config: ml_collections.ConfigDict, variant: AblationRow
) -> ml_collections.ConfigDict:
    """The config of a variant's training; KeyError if it changes what is not there."""
    changed = config.copy_and_resolve_references()
    changed.train.num_steps = config.ablate.num_steps
    changed.update_from_flattened_dict(dict(variant.training))
    return changed


def first_encoder(data: Prepared) -> Prepared:
    """The same photos as the first face encoder alone sees them."""
    splits = {
        name: dataclasses.replace(split, embedding_NxD=split.embedding_NxD[:, : data.widths[0]])
        for name, split in data.splits.items()
    }
    face = {'face': data.card['encoders']['face'][:1]}
    return _narrowed(data, splits, face)


def sentence_vector(data: Prepared) -> Prepared:
    """The same texts by their sentence vectors alone; as they are where c holds nothing else."""
    text = data.card['encoders']['text']
    if text.get('pools', 1) == 1:
        return data
    splits = {
        name: dataclasses.replace(split, c_TxC=sentence_vectors(split.c_TxC))
        for name, split in data.splits.items()
    }
    return _narrowed(data, splits, {'text': text | {'pools': 1}})


def _narrowed(data: Prepared, splits: dict[str, Split], encoders: dict[str, Any]) -> Prepared:
    """With some encoders changed, and the settings too, so that models are told apart."""
    encoders = data.card['encoders'] | encoders
    settings = data.card['settings'] | {'narrowed to': encoders}
    return Prepared(
        splits, data.attributes, data.card | {'encoders': encoders, 'settings': settings}
    )


class _Table:
    """Measures rows; keeps what they share: training runs, the VAE's latents, the pairs."""

    def __init__(
        self, config: ml_collections.ConfigDict, home: Prepared, runs: pathlib.Path
    ) -> None:
        self._config, self._home, self._runs = config, home, runs
        settings = config.evaluate
        self._effort = protocols.Repetitions(settings.draws, settings.resamples, settings.seed)

    def row(self, variant: AblationRow) -> dict[str, Any]:
        """Measures the row of a variant; `failed` says why its training failed, if it did."""
        sampling = {f'sample.{name}': value for name, value in variant.sampling.items()}
        row = {
            'name': variant.name,
            'what': variant.what,
            'changes': {**variant.training, **sampling},
            'failed': None,
            'results': [],
        }
        try:
            row['results'] = list(self._results(variant))
        except FloatingPointError as error:
            logging.warning('ablate: %s: %s', variant.name, error)
            row['failed'] = str(error)
        return row

    def _data(self, variant: AblationRow) -> Prepared:
        if variant.embedding == 'VAE':
            return self._latents
        data = first_encoder(self._home) if variant.embedding == 'first' else self._home
        return data if variant.words else sentence_vector(data)

    @functools.cached_property
    def _latents(self) -> Prepared:
        return vae_latents(self._home, self._config.ablate.vae, self._runs / 'vae')

    def _trained(self, variant: AblationRow) -> LoadedModel:
        """The model of a variant; variants of the same training share a model."""
        same = (variant.training, variant.embedding, variant.words)
        first = next(v for v in VARIANTS if (v.training, v.embedding, v.words) == same)
        folder = self._runs / re.sub(r'\W+', '_', first.name)
        train(training_config(self._config, variant), self._data(variant), folder)
        return loaded_model.load_best_checkpoint(folder)

    def _results(self, variant: AblationRow) -> Iterator[protocols.ResultRow]:
        """Verification of the first track, and identification where there are features."""
        model, data = self._trained(variant), self._data(variant)
        scorers, draws = {}, {}
        for name in ('validation', 'test'):
            split = data.splits[name]
            track, texts = next(iter(split.tracks(self._config.captions.coverage).items()))
            draws[name] = self._draws(split, track, texts)
            scorers[name] = self._scorer(variant, model, split, texts)
        thresholds = {
            condition.name: protocols.choose_threshold(scorers['validation'], pairs)
            for condition, pairs in draws['validation'].items()
        }
        method, effort = {variant.name: scorers['test']}, self._effort
        yield from protocols.verification_rows(
            method, {variant.name: thresholds}, split, draws['test'], effort
        )
        if variant.space == 'F':
            mesh = meshes.make_mesh()
            yield from identification.identification_results(
                method, split, track, texts, (0,), effort, mesh
            ).rows

    def _scorer(
        self, variant: AblationRow, model: LoadedModel, split: Split, texts: np.ndarray
    ) -> protocols.Scorer:
        key, mesh = jax.random.key(self._effort.seed), meshes.make_mesh()
        if variant.space == 'likelihood':
            x0_NxD = model.normalise(split.embedding_NxD)
            return LikelihoodRatioScorer(
                model.model, model.params, split.c_TxC, x0_NxD, LEVELS, key, mesh
            )
        sampling = dataclasses.replace(Sampling(**self._config.sample), **variant.sampling)
        extractor = FeatureExtractor(model.model, sampling, mesh)
        return extractor.features(model.params, split, texts, model.normalise, key)

    def _draws(
        self, split: Split, track: str, texts: np.ndarray
    ) -> dict[Condition, list[VerificationPairs]]:
        return {
            condition: protocols.draw_pair_sets(split, texts, condition, None, self._effort)
            for condition in protocols.conditions([track], has_gender=False)
        }

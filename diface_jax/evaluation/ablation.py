"""Ablation table: accuracy with one part of DiFace removed or changed, a row each.

A row that changes the training has its own training run in WORKDIR/ablation/, with the same data,
seed and `ablate.num_steps` steps; the other rows score the first row's model in another way.
"""

import dataclasses
import functools
import pathlib
import re
import shutil
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
from diface_jax.runtime import hosts, run_state
from diface_jax.runtime import mesh as meshes
from diface_jax.training import loaded_model
from diface_jax.training.loaded_model import LoadedModel
from diface_jax.training.loop import train, training_settings

# Chosen on validation: at higher SNR the text no longer helps D, at lower SNR the weight is 0.
_LIKELIHOOD_LEVELS = NoiseLevels(-6.0, 0.0, 8)


class AblationRow(NamedTuple):
    """A row of the table.

    Attributes:
      name: of the row.
      description: a line for the reader.
      training: settings of the training that differ from the config's.
      sampling: fields of Sampling that differ from `config.sample`.
      space: what is compared: 'F' by cosine, or 'likelihood' by log p(x0 | c) - log p(x0).
      embedding: 'E'; 'first' for its first encoder only; 'VAE' for a variational autoencoder's
        latents instead.
      all_text_layers: whether c has all layers of the text encoder that were prepared, or the
        sentence vector only.
    """

    name: str
    description: str
    training: Mapping[str, Any] = {}
    sampling: Mapping[str, Any] = {}
    space: str = 'F'
    embedding: str = 'E'
    all_text_layers: bool = True


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
    AblationRow(
        'sentence vector', 'c from the end of the text encoder alone', all_text_layers=False
    ),
    AblationRow(
        'as in the paper',
        'both of these, and one sample of T~ = 25 steps',
        sampling=_LITERAL,
        embedding='first',
        all_text_layers=False,
    ),
    AblationRow('VAE latents', 'a VAE of the same photos in place of E', embedding='VAE'),
)


def ablate(
    config: ml_collections.ConfigDict,
    train_data: Prepared,
    runs: pathlib.Path,
    out: pathlib.Path,
    overwrite: bool = False,
) -> None:
    """Trains and measures every row on the test split, with thresholds from validation.

    An unfinished table is resumed: its rows are kept, and a training run continues from its
    checkpoint. A row whose training fails says so in the table.

    Args:
      config: all settings.
      train_data: the data set.
      runs: folder of the training runs.
      out: the file to write, at the start and after every row.
      overwrite: whether to replace a file with other settings, once all rows are measured.

    Raises:
      SettingsDifferError: `out` has other settings, or `runs` exists without `out`.
      ValueError: `train_data` is of simulated people, or of two data sets.
    """
    _check_photographs(train_data.card['settings'])
    if config.train.init_from:
        raise ValueError('the ablation table trains every row anew: leave out train.init_from')
    settings = _settings(config, train_data)
    ignore = ('evaluate.data.root', 'training.sample')
    progress, table_so_far = run_state.partial_output(out, settings, ignore, overwrite)
    new_runs = runs if progress == out else runs.with_name(f'{runs.name}.new')
    header = {'settings': settings, 'split': 'test', 'num_steps': config.ablate.num_steps}
    if not table_so_far:
        # A file from the start, so that runs killed before their first row have settings too.
        _remove_unknown_runs(new_runs, progress, overwrite=overwrite)
        run_state.write_json(progress, {**header, 'complete': False, 'rows': []})
    rows = table_so_far.get('rows', [])
    table = _Table(config, train_data, new_runs)
    for i, variant in enumerate(VARIANTS[len(rows) :], len(rows) + 1):
        logging.info('ablate: row %d of %d: %s', i, len(VARIANTS), variant.name)
        rows.append(table.row(variant))
        complete = len(rows) == len(VARIANTS)
        run_state.write_json(progress, {**header, 'complete': complete, 'rows': rows})
    run_state.move_into_place(progress, out)
    run_state.move_into_place(new_runs, runs)
    logging.info('ablate: %s holds all %d rows', out, len(VARIANTS))


def _check_photographs(settings: Mapping[str, Any]) -> None:
    """ValueError unless a data set is of the photographs of a single data set."""
    if 'simulated' in settings:
        raise ValueError(
            'the ablation table trains an autoencoder on photographs, and simulated people have '
            'none: give a data set of photographs (docs/data.md)'
        )
    if 'second_data' in settings:
        raise ValueError(
            'the ablation table trains an autoencoder on the photographs of one data set: leave '
            'config.second_data out'
        )


def _settings(config: ml_collections.ConfigDict, train_data: Prepared) -> dict[str, Any]:
    """Everything that the table depends on."""
    evaluation = config.evaluate.to_dict()
    del evaluation['clip']  # it is in no row
    return run_state.to_plain_json(
        {
            'training': training_settings(config, train_data),
            'ablate': config.ablate.to_dict(),
            'evaluate': evaluation,
            'sample': config.sample.to_dict(),
            'variants': VARIANTS,
        }
    )


def _remove_unknown_runs(runs: pathlib.Path, table: pathlib.Path, overwrite: bool) -> None:
    """Removes training runs of unknown settings, which training might continue with others.

    Raises:
      SettingsDifferError: there are such runs, and they must not be overwritten.
    """
    if runs.is_dir() and not overwrite:
        raise run_state.SettingsDifferError(
            f'{runs} holds training runs of unknown settings, since {table} does not exist: give '
            '--overwrite to train them anew, or another --workdir',
            overwrite_helps=True,
        )
    hosts.barrier('ablate: all hosts have looked for earlier runs')
    if hosts.is_first() and runs.is_dir():
        logging.warning('ablate: removes %s, of unknown or other settings (--overwrite)', runs)
        shutil.rmtree(runs)
    hosts.barrier('ablate: earlier runs are removed')


def training_config(
    config: ml_collections.ConfigDict, variant: AblationRow
) -> ml_collections.ConfigDict:
    """The config of a variant's training.

    Raises:
      KeyError: the variant changes a setting that does not exist.
    """
    changed = config.copy_and_resolve_references()
    changed.train.num_steps = config.ablate.num_steps
    changed.update_from_flattened_dict(dict(variant.training))
    return changed


def with_first_face_encoder(data: Prepared) -> Prepared:
    """The same photos, embedded by the first face encoder only."""
    splits = {
        name: dataclasses.replace(
            split, embedding_NxD=split.embedding_NxD[:, : data.widths[0]], observations=None
        )
        for name, split in data.splits.items()
    }
    return _narrowed(data, splits, {'face': data.card['encoders']['face'][:1]})


def with_sentence_vectors(data: Prepared) -> Prepared:
    """The same texts as sentence vectors only; unchanged if c already is a sentence vector."""
    text = data.card['encoders']['text']
    if text.get('pools', 1) == 1:
        return data
    splits = {
        name: dataclasses.replace(split, c_TxC=sentence_vectors(split.c_TxC))
        for name, split in data.splits.items()
    }
    return _narrowed(data, splits, {'text': {**text, 'pools': 1}})


def _narrowed(data: Prepared, splits: dict[str, Split], changed: dict[str, Any]) -> Prepared:
    """Data with some encoders changed, also in its settings, so that its models are told apart."""
    encoders = {**data.card['encoders'], **changed}
    settings = {**data.card['settings'], 'narrowed to': encoders}
    card = {**data.card, 'encoders': encoders, 'settings': settings}
    return Prepared(splits, data.attributes, card)


class _Table:
    """Measures rows, which share training runs and the latents of the autoencoder."""

    def __init__(
        self, config: ml_collections.ConfigDict, train_data: Prepared, runs: pathlib.Path
    ) -> None:
        self._config, self._train_data, self._runs = config, train_data, runs
        settings = config.evaluate
        self._repetitions = protocols.Repetitions(settings.draws, settings.resamples, settings.seed)

    def row(self, variant: AblationRow) -> dict[str, Any]:
        """Measures the row of a variant; `failed` is why its training failed, or None."""
        sampling = {f'sample.{name}': value for name, value in variant.sampling.items()}
        row = {
            'name': variant.name,
            'what': variant.description,
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
        data = (
            with_first_face_encoder(self._train_data)
            if variant.embedding == 'first'
            else self._train_data
        )
        return data if variant.all_text_layers else with_sentence_vectors(data)

    @functools.cached_property
    def _latents(self) -> Prepared:
        return vae_latents(self._train_data, self._config.ablate.vae, self._runs / 'vae')

    def _trained_model(self, variant: AblationRow) -> LoadedModel:
        """The model of a variant; variants of the same training share a model."""
        first = next(v for v in VARIANTS if _trained_alike(v, variant))
        folder = self._runs / re.sub(r'\W+', '_', first.name)
        train(training_config(self._config, variant), self._data(variant), folder)
        return loaded_model.load_best_checkpoint(folder)

    def _results(self, variant: AblationRow) -> Iterator[protocols.ResultRow]:
        """Verification of the first track, and identification if the method has features."""
        model, data = self._trained_model(variant), self._data(variant)
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
        method, repetitions = {variant.name: scorers['test']}, self._repetitions
        yield from protocols.verification_rows(
            method, {variant.name: thresholds}, split, draws['test'], repetitions
        )
        if variant.space == 'F':
            mesh = meshes.make_mesh()
            yield from identification.identification_results(
                method, split, track, texts, (0,), repetitions, mesh
            ).rows

    def _scorer(
        self, variant: AblationRow, model: LoadedModel, split: Split, texts: np.ndarray
    ) -> protocols.Scorer:
        key, mesh = jax.random.key(self._repetitions.seed), meshes.make_mesh()
        if variant.space == 'likelihood':
            x0_NxD = model.normalise(split.embedding_NxD)
            return LikelihoodRatioScorer(
                model.model, model.params, split.c_TxC, x0_NxD, _LIKELIHOOD_LEVELS, key, mesh
            )
        sampling = dataclasses.replace(Sampling(**self._config.sample), **variant.sampling)
        extractor = FeatureExtractor(model.model, sampling, mesh)
        return extractor.features(model.params, split, texts, model.normalise, key)

    def _draws(
        self, split: Split, track: str, texts: np.ndarray
    ) -> dict[Condition, list[VerificationPairs]]:
        return {
            condition: protocols.draw_pair_sets(split, texts, condition, None, self._repetitions)
            for condition in protocols.conditions([track], has_gender=False)
        }


def _trained_alike(a: AblationRow, b: AblationRow) -> bool:
    return (a.training, a.embedding, a.all_text_layers) == (
        b.training,
        b.embedding,
        b.all_text_layers,
    )

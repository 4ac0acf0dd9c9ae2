"""Evaluates DiFace and its baselines on a test split; writes `evaluation.json`, prints a table."""

import json
import pathlib
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ml_collections
import numpy as np
from absl import logging

from diface_jax.data.prepared import Prepared, shared_photos
from diface_jax.evaluation import identification, protocols
from diface_jax.evaluation.analysis.error_analysis import ErrorAnalysis
from diface_jax.evaluation.methods import Method, MethodSuite
from diface_jax.evaluation.paired_bootstrap import paired_differences
from diface_jax.report.text_table import text_table
from diface_jax.runtime import hosts, run_state
from diface_jax.runtime import mesh as meshes
from diface_jax.training.loaded_model import LoadedModel
from diface_jax.training.model_selection import ValidationPairs

# Results of other modes that the report takes from the same file.
EXTRAS = ('sweep', 'ablation')

Encode = Callable[[Sequence[str]], np.ndarray]


def evaluate(
    config: ml_collections.ConfigDict,
    trained: LoadedModel,
    home: Prepared,
    data: Prepared,
    encode: Encode,
    out: pathlib.Path,
    overwrite: bool = False,
) -> None:
    """Evaluates every method on the test split of a data set; does nothing if that is done.

    Args:
      config: for its `evaluate`, `sample` and `captions`.
      trained: the checkpoint.
      home: the data set it was trained on: baselines are fitted on its training split and tuned
        on its validation split.
      data: the data set to measure on; `home` itself, or another. Thresholds are from its own
        validation split if it has one, else from that of `home`.
      encode: the text encoder, for sentences with an attribute left out or changed.
      out: the file to write.
      overwrite: a file of other settings is replaced.

    Raises:
      SettingsDifferError: `out` is of other settings, or `data` of other encoders than the model.
      ValueError: `data` has no test split, or no text in it, or photos in it were trained on.
    """
    settings = run_state.to_plain_json(
        {
            'evaluate': config.evaluate.to_dict(),
            'sample': config.sample.to_dict(),
            'training': trained.settings,
            'step': trained.step,
            'data': data.card['settings'],
        }
    )
    # Where the photos lie changes no result, nor does the sampling that validation used.
    ignore = ('evaluate.data.root', 'training.sample')
    if made := run_state.existing_output(out, settings, ignore, overwrite):
        logging.info('evaluate: %s is there already, with the same settings', out)
        _show(made['results'])
        return
    run_state.require_same_settings(
        'The model',
        trained.encoders,
        data.card['encoders'],
        instead='Give a data set that is prepared with the encoders of the model, or train again '
        'on this one in another --workdir.',
    )
    _check_unseen(trained, home, data)
    if 'test' not in data.splits:
        raise ValueError('no photo to test on: give data.shares a share for test')
    if not data.splits['test'].tracks(config.captions.coverage):
        raise ValueError(
            'no sentence about a test photo: give it labels, or descriptions (see README.md, Data)'
        )
    logging.info('evaluate: step %d on %s; writes %s', trained.step, data.card['name'], out)
    measured = _measure(config, trained, home, data, encode)
    content = {
        **measured,
        **dict.fromkeys(EXTRAS),
        'data_card': data.card,
        'config': config.to_dict(),
        'commit': _commit(),
        'settings': settings,
    }
    run_state.write_json(out, content)
    _show(measured['results'])


def _check_unseen(trained: LoadedModel, home: Prepared, data: Prepared) -> None:
    """Raises ValueError if photos to test on were trained or validated on, under whatever path.

    A data set that is split as it was for training passes: its test split was left out of it.
    """
    of_training = trained.settings['data']
    if data.card['settings'] in (_without_second(of_training), of_training.get('second_data')):
        return
    tested = data.splits.get('test')
    seen = [split.sha256_N for name, split in home.splits.items() if name != 'test']
    if tested is None:
        return
    if tested.sha256_N is None or any(sha256_N is None for sha256_N in seen):
        logging.warning(
            'a data set was prepared by an earlier version, so it is not checked whether photos to '
            'test on were trained on: prepare it again with --mode=prepare --overwrite'
        )
        return
    overlap_N = shared_photos(tested.sha256_N, seen)
    if not overlap_N.any():
        return
    raise ValueError(
        f'{overlap_N.sum()} of {len(overlap_N)} photos to test on, of '
        f'{len(np.unique(tested.identity_N[overlap_N]))} people, were trained or validated on '
        f'(such as {", ".join(tested.file_N[overlap_N][:3])}), so the results would be too good. '
        'If this is the data set of the training, give its path and split as in training; else '
        'take these people out of it'
    )


def _without_second(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != 'second_data'}


def _show(results: Sequence[protocols.ResultRow]) -> None:
    if hosts.is_first():
        print(text_table(results))


def attach_extras(out: pathlib.Path, extras: Mapping[str, pathlib.Path]) -> None:
    """Copies the sweep and the ablation table of the same model into the evaluation's file.

    Args:
      out: the file of `evaluate`.
      extras: files by section (one of EXTRAS). One that does not exist is left out; one that is
        not complete, or of another model, is left out with a warning.
    """
    content = json.loads(out.read_text())
    model = content['settings']['training']
    sections = {name: _extra(path, model) for name, path in extras.items() if path.is_file()}
    if sections != {name: content[name] for name in sections}:
        run_state.write_json(out, content | sections)


def _extra(path: pathlib.Path, model: dict[str, Any]) -> dict[str, Any] | None:
    """A section for the report; None if it is not complete, or of another model."""
    section = json.loads(path.read_text())
    if not section['complete']:
        logging.warning('%s is not complete yet: left out', path)
        return None
    if lines := run_state.settings_differences(
        section['settings']['training'], model, ignore=('sample',)
    ):
        logging.warning('%s is of another model (%s): left out', path, '; '.join(lines[:3]))
        return None
    return {name: value for name, value in section.items() if name not in ('settings', 'complete')}


def _measure(
    config: ml_collections.ConfigDict,
    trained: LoadedModel,
    home: Prepared,
    data: Prepared,
    encode: Encode,
) -> dict[str, Any]:
    """Metrics and curves of every method under every condition, and DiFace's error analysis."""
    settings, said = config.evaluate, config.captions.coverage
    pairs = ValidationPairs(home, said)
    methods = MethodSuite(config, trained, home, pairs).methods(data.attributes)
    judge = data if 'validation' in data.splits else home
    thresholds = _thresholds(methods, judge, ValidationPairs(judge, said))
    if judge is home and config.sample.to_dict() == trained.settings.get('sample'):
        thresholds['diface'] = trained.thresholds  # as its checkpoint carries them
    features = {name: method(data, 'test') for name, method in methods.items()}
    split, gender_N = data.splits['test'], data.gender('test')
    texts = split.tracks(said)
    effort = protocols.Repetitions(settings.draws, settings.resamples, settings.seed)
    draws = {
        condition: protocols.draw_pair_sets(
            split, texts[condition.track], condition, gender_N, effort
        )
        for condition in protocols.conditions(tuple(texts), gender_N is not None)
        if condition.name in thresholds['diface']
    }
    estimates = list(protocols.verification_estimates(features, thresholds, split, draws, effort))
    curves = list(protocols.roc_curves(features, split, draws, effort))
    for track, text_rows in texts.items():
        measured = identification.identification_results(
            features, split, track, text_rows, settings.galleries, effort, meshes.make_mesh()
        )
        estimates += measured.estimates
        curves += measured.curves
    explanation = ErrorAnalysis(
        settings,
        config.sample,
        trained,
        data,
        features['diface'],
        thresholds['diface'],
        encode,
        texts,
        draws,
        effort,
    )
    return {
        'thresholds': {'from': judge.card['name'], **thresholds},
        'results': [estimate.row for estimate in estimates],
        'differences': list(paired_differences(estimates)),
        'curves': curves,
        **explanation.sections(),
    }


def _thresholds(
    methods: Mapping[str, Method], judge: Prepared, pairs: ValidationPairs
) -> dict[str, dict[str, float]]:
    """Threshold s of each method by condition, on the validation split of `judge`."""
    return {
        name: pairs.judge(method(judge, 'validation')).thresholds
        for name, method in methods.items()
    }


def _commit() -> str | None:
    """The commit of the code, when it runs from a checkout."""
    here = pathlib.Path(__file__).parent
    try:
        described = subprocess.run(
            ['git', 'describe', '--always', '--dirty', '--abbrev=40'],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()

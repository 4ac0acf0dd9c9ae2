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
from diface_jax.evaluation.analysis.error_analysis import ErrorAnalysis
from diface_jax.evaluation.benchmark import Benchmark
from diface_jax.evaluation.clip_baseline import ClipBaseline
from diface_jax.evaluation.compare import compare
from diface_jax.evaluation.methods import Method, MethodSuite
from diface_jax.evaluation.poor_photo import poor_photo_results
from diface_jax.models.diface import Sampling
from diface_jax.report.text_table import text_table
from diface_jax.report.word_tables import words_text
from diface_jax.runtime import hosts, run_state
from diface_jax.training.loaded_model import LoadedModel
from diface_jax.training.model_selection import ValidationPairs

# Results of other modes, which the report reads from the same file.
EXTRAS = ('sweep', 'ablation')

Encode = Callable[[Sequence[str]], np.ndarray]


def evaluate(
    config: ml_collections.ConfigDict,
    trained: LoadedModel,
    train_data: Prepared,
    data: Prepared,
    encode: Encode,
    out: pathlib.Path,
    overwrite: bool = False,
    clip: ClipBaseline | None = None,
) -> None:
    """Evaluates every method on the test split of a data set; does nothing if that is done.

    Args:
      config: all settings, of which `evaluate`, `sample` and `captions` are used.
      trained: the checkpoint.
      train_data: the data set it was trained on. Baselines are fitted on its training split and
        tuned on its validation split.
      data: the data set to measure on: `train_data` itself or another one. Thresholds come from its
        own validation split if it has one, else from that of `train_data`.
      encode: the text encoder, for sentences with an attribute left out or changed.
      out: the file to write.
      overwrite: whether to replace a file with other settings.
      clip: a CLIP to compare with.

    Raises:
      SettingsDifferError: `out` has other settings, or `data` other encoders than the model.
      ValueError: `data` has no test split, no sentence about a test photo, or test photos that the
        model was trained on.
    """
    settings = _settings(config, trained, data, clip)
    # The path of the photos changes no result, nor does the sampling used in validation.
    ignore = ('evaluate.data.root', 'training.sample')
    if existing := run_state.existing_output(out, settings, ignore, overwrite):
        logging.info('evaluate: %s exists already, with the same settings', out)
        _print_tables(existing)
        return
    _check_data(trained, train_data, data, config.captions.coverage)
    logging.info('evaluate: step %d on %s; writes %s', trained.step, data.card['name'], out)
    measured = _measure(config, trained, train_data, data, encode, clip)
    content = {
        **measured,
        **dict.fromkeys(EXTRAS),
        'data_card': data.card,
        'config': config.to_dict(),
        'commit': _commit(),
        'settings': settings,
    }
    run_state.write_json(out, content)
    _print_tables(measured)


def _settings(
    config: ml_collections.ConfigDict,
    trained: LoadedModel,
    data: Prepared,
    clip: ClipBaseline | None,
) -> dict[str, Any]:
    """Everything that the results depend on."""
    evaluate_settings = config.evaluate.to_dict()
    del evaluate_settings['clip']  # its folder changes no result
    if clip:
        evaluate_settings['clip_sha256'] = clip.clip.sha256
    return run_state.to_plain_json(
        {
            'evaluate': evaluate_settings,
            'sample': config.sample.to_dict(),
            'training': trained.settings,
            'step': trained.step,
            'data': data.card['settings'],
        }
    )


def _check_data(
    trained: LoadedModel, train_data: Prepared, data: Prepared, coverage: Sequence[float]
) -> None:
    """Checks that the model can be tested on a data set; errors as in `evaluate`."""
    run_state.require_same_settings(
        'The model',
        trained.encoders,
        data.card['encoders'],
        instead='Give a data set that is prepared with the encoders of the model, or train again '
        'on this one in another --workdir.',
    )
    _check_unseen(trained, train_data, data)
    if 'test' not in data.splits:
        raise ValueError('no photo to test on: give data.shares a share for test')
    if not data.splits['test'].tracks(coverage):
        raise ValueError(
            'no sentence about a test photo: give it labels or descriptions (see docs/data.md)'
        )


def _check_unseen(trained: LoadedModel, train_data: Prepared, data: Prepared) -> None:
    """Raises ValueError if test photos were trained or validated on, under whatever path.

    A data set that is split as it was for training passes: its test split was left out of training.
    """
    training = trained.settings['data']
    as_trained = (_without_second(training), training.get('second_data'))
    if _without_second(data.card['settings']) in as_trained:
        return
    test = data.splits.get('test')
    if test is None:
        return
    seen = [split.sha256_N for name, split in train_data.splits.items() if name != 'test']
    if test.sha256_N is None or any(sha256_N is None for sha256_N in seen):
        logging.warning(
            'a data set was prepared by an earlier version, so it is not checked whether the model '
            'was trained on test photos: prepare it again with --mode=prepare --overwrite'
        )
        return
    overlap_N = shared_photos(test.sha256_N, seen)
    if not overlap_N.any():
        return
    raise ValueError(
        f'{overlap_N.sum()} of {len(overlap_N)} photos to test on, of '
        f'{len(np.unique(test.identity_N[overlap_N]))} people, were trained or validated on '
        f'(such as {", ".join(test.file_N[overlap_N][:3])}), so the results would be too good. '
        'If this is the data set of the training, give its path and split as in training; else '
        'remove these people from it'
    )


def _without_second(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != 'second_data'}


def _print_tables(content: Mapping[str, Any]) -> None:
    if hosts.is_first():
        print(text_table(content['results']))
        if words := words_text(content):
            print(words)


def attach_extras(out: pathlib.Path, extras: Mapping[str, pathlib.Path]) -> None:
    """Copies the sweep and the ablation table of the same model into the evaluation's file.

    Args:
      out: the file of `evaluate`.
      extras: files by section (one of EXTRAS). A missing file is left out; an incomplete one, or
        one of another model, is left out with a warning.
    """
    content = json.loads(out.read_text())
    model = content['settings']['training']
    sections = {name: _extra(path, model) for name, path in extras.items() if path.is_file()}
    if sections != {name: content[name] for name in sections}:
        run_state.write_json(out, content | sections)


def _extra(path: pathlib.Path, model: dict[str, Any]) -> dict[str, Any] | None:
    """A section for the report; None if it is incomplete or of another model."""
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
    train_data: Prepared,
    data: Prepared,
    encode: Encode,
    clip: ClipBaseline | None,
) -> dict[str, Any]:
    """Metrics and curves of every method under every condition, and DiFace's error analysis."""
    settings, coverage = config.evaluate, config.captions.coverage
    benchmark = Benchmark(settings, coverage, train_data, data)
    sampling, pairs = Sampling(**config.sample), ValidationPairs(train_data, coverage)
    suite = MethodSuite(settings, sampling, coverage, trained, train_data, pairs, clip)
    methods = suite.methods(data.attributes)
    thresholds = _thresholds(methods, benchmark)
    uses_train_data = benchmark.threshold_data is train_data
    if uses_train_data and config.sample.to_dict() == trained.settings.get('sample'):
        thresholds['diface'] = trained.thresholds  # as stored in the checkpoint
    features = {
        name: method(data, 'test')
        for name, method in hosts.progress(methods.items(), 'features', unit='method')
    }
    texts, effort, draws = benchmark.tracks('test'), benchmark.repetitions, benchmark.test_pairs()
    compared = compare(benchmark, features, thresholds, draws)
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
    with hosts.working('error analysis'):
        explained = explanation.sections()
    return {
        'thresholds': {'from': benchmark.threshold_data.card['name'], **thresholds},
        **compared,
        'poor_photos': poor_photo_results(config, trained, train_data, data),
        **explained,
    }


def _thresholds(methods: Mapping[str, Method], benchmark: Benchmark) -> dict[str, dict[str, float]]:
    """Threshold s of each method by condition, on the validation split."""
    return {
        name: benchmark.validation_pairs.judge(
            method(benchmark.threshold_data, 'validation')
        ).thresholds
        for name, method in hosts.progress(methods.items(), 'thresholds', unit='method')
    }


def _commit() -> str | None:
    """The commit of the code, if it runs from a checkout."""
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

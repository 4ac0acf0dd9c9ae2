"""Evaluate: DiFace and its baselines on a test split, into `evaluation.json` and a table."""

import json
import pathlib
import subprocess

import ml_collections
from absl import logging

from diface_jax import stages
from diface_jax.comparison import Comparison
from diface_jax.data.prepared import Prepared
from diface_jax.recognition import protocols
from diface_jax.recognition.report import table
from diface_jax.training.trained import Trained
from diface_jax.training.validation import ValidationPairs


def evaluate(
    config: ml_collections.ConfigDict,
    trained: Trained,
    home: Prepared,
    data: Prepared,
    out: pathlib.Path,
) -> None:
    """Measures every method on the test split of a data set and writes the rows, or does nothing.

    Args:
      config: for its `evaluate` and `captions`.
      trained: the checkpoint.
      home: the data set it was trained on: baselines are fitted on its training split, and every
        threshold is from its validation split.
      data: the data set to measure on; `home` itself, or another.
      out: the file to write.

    Raises:
      SettingsDifferError: `out` is of other settings, or `data` of other encoders than the model.
      ValueError: `data` has no test split.
    """
    settings = stages.plain(
        {
            'evaluate': config.evaluate.to_dict(),
            'training': trained.settings,
            'step': trained.step,
            'data': data.card['settings'],
        }
    )
    if out.is_file():
        made = json.loads(out.read_text())
        stages.require_same(str(out), made['settings'], settings)
        logging.info('evaluate: %s is there already, with the same settings', out)
        print(table(made['results']))
        return
    stages.require_same('The model', trained.encoders, data.card['encoders'])
    if 'test' not in data.splits:
        raise ValueError('no photo to test on: give data.shares a share for test')
    logging.info('evaluate: step %d on %s; writes %s', trained.step, data.card['name'], out)
    results = _measure(config, trained, home, data)
    content = {
        'results': results,
        'data_card': data.card,
        'config': config.to_dict(),
        'commit': _commit(),
        'settings': settings,
    }
    stages.write_json(out, content)
    print(table(results))


def _measure(
    config: ml_collections.ConfigDict, trained: Trained, home: Prepared, data: Prepared
) -> list[protocols.Row]:
    """The rows of every method under every condition."""
    settings = config.evaluate
    pairs = ValidationPairs(home, config.captions.said)
    methods = Comparison(config, trained, home, pairs).methods(data.attributes)
    thresholds = {
        name: pairs.judge(method(home, 'validation')).thresholds for name, method in methods.items()
    }
    # DiFace is judged by what its checkpoint carries.
    thresholds['diface'] = trained.thresholds
    features = {name: method(data, 'test') for name, method in methods.items()}
    split, gender_N = data.splits['test'], data.gender('test')
    texts = split.tracks(config.captions.said)
    effort = protocols.Effort(settings.draws, settings.resamples, settings.seed)
    draws = {
        condition: protocols.draws_of(split, texts[condition.track], condition, gender_N, effort)
        for condition in protocols.conditions(tuple(texts), gender_N is not None)
        if condition.name in trained.thresholds
    }
    rows = list(protocols.verification_rows(features, thresholds, split, draws, effort))
    for track, some in texts.items():
        sizes = settings.galleries
        rows += protocols.identification_rows(features, split, track, some, sizes, effort)
    return rows


def _commit() -> str | None:
    """The commit of the code, when it runs from a checkout."""
    here = pathlib.Path(__file__).parent
    try:
        found = subprocess.run(
            ['git', 'describe', '--always', '--dirty', '--abbrev=40'],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()

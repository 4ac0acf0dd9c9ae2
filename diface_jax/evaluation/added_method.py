"""Measures a system by a file of its scores, and adds it to the results of an evaluation."""

import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
from absl import logging

from diface_jax.data.prepared import Prepared
from diface_jax.evaluation.benchmark import VERSION, Benchmark
from diface_jax.evaluation.compare import compare
from diface_jax.evaluation.paired_bootstrap import DIFACE
from diface_jax.evaluation.scores_file import ScoresFile, read_scores
from diface_jax.models.diface import Sampling
from diface_jax.models.features import FeatureExtractor, Features
from diface_jax.report.text_table import text_table
from diface_jax.runtime import hosts, run_state
from diface_jax.runtime import mesh as meshes
from diface_jax.training.loaded_model import LoadedModel

_NAME = re.compile(r'[A-Za-z0-9][\w.+-]*')
SECTION = 'added'  # of `evaluation.json`: what was added, and from which file


class AddedMethod(NamedTuple):
    """A system to add: its file of scores, and the name that its rows get."""

    path: pathlib.Path
    name: str


def name_method(path: str, name: str | None) -> AddedMethod:
    """The system of a scores file.

    Args:
      path: of the file.
      name: of the system; None: the name of the file.

    Raises:
      ValueError: the name cannot be used.
    """
    method = AddedMethod(pathlib.Path(path), name or pathlib.Path(path).stem)
    if not _NAME.fullmatch(method.name):
        raise ValueError(
            f'{method.name!r} is no name for a method: give --scores_name, of letters, digits and '
            '. _ + -'
        )
    return method


def add_method(
    config: ml_collections.ConfigDict,
    trained: LoadedModel,
    train_data: Prepared,
    data: Prepared,
    out: pathlib.Path,
    method: AddedMethod,
    overwrite: bool,
) -> None:
    """Measures a system and adds its rows to `evaluation.json`; does nothing if they are there.

    Args:
      config: all settings, of which `evaluate`, `sample` and `captions` are used.
      trained: DiFace's checkpoint, for the paired differences.
      train_data: the data set it was trained on.
      data: the data set that was measured.
      out: `evaluation.json`, as `evaluate` wrote it.
      method: the system.
      overwrite: whether to replace rows of that name that another file gave.

    Raises:
      OSError, ValueError: the file cannot be used (see `read_scores`), the name is that of a method
        that was measured here, or was added from another file.
    """
    content = json.loads(out.read_text())
    benchmark = Benchmark(config.evaluate, config.captions.coverage, train_data, data)
    scores = read_scores(method.path, benchmark)
    if not _is_there(content, method.name, scores, overwrite):
        logging.info('evaluate: adds %s, from %s', method.name, method.path)
        thresholds = {
            DIFACE: content['thresholds'][DIFACE],
            method.name: benchmark.validation_pairs.judge(scores.methods['validation']).thresholds,
        }
        features = {
            DIFACE: _diface_features(config, trained, benchmark),
            method.name: scores.methods['test'],
        }
        compared = compare(benchmark, features, thresholds, benchmark.test_pairs())
        added = {'file': method.path.name, 'kind': scores.kind, 'sha256': scores.sha256}
        content['thresholds'][method.name] = thresholds[method.name]
        content = _with_rows(content, compared, method.name)
        content[SECTION] = content.get(SECTION, {}) | {
            method.name: {**added, 'protocol_version': VERSION}
        }
        run_state.write_json(out, content)
    if hosts.is_first():
        print(text_table(content['results']))


def _is_there(content: Mapping[str, Any], name: str, scores: ScoresFile, overwrite: bool) -> bool:
    """Whether the same file was added under this name; raises ValueError if the name is taken."""
    added = content.get(SECTION, {})
    if name in added:
        if added[name]['sha256'] == scores.sha256:
            logging.info('evaluate: %s was added already, from the same file', name)
            return True
        if not overwrite:
            raise ValueError(
                f'{name} was added from another file: give --overwrite to replace it, or another '
                '--scores_name'
            )
    elif name in content['thresholds']:
        raise ValueError(f'{name} is a method that is measured here: give another --scores_name')
    return False


def _diface_features(
    config: ml_collections.ConfigDict, trained: LoadedModel, benchmark: Benchmark
) -> Features:
    """DiFace's features of the test split, as in `evaluate`."""
    extractor = FeatureExtractor(trained.model, Sampling(**config.sample), meshes.make_mesh())
    key = jax.random.key(config.evaluate.seed)
    split, texts = benchmark.split('test'), benchmark.texts('test')
    return extractor.features(trained.params, split, texts, trained.normalise, key)


def _with_rows(
    content: Mapping[str, Any], compared: Mapping[str, Sequence[Mapping[str, Any]]], name: str
) -> dict[str, Any]:
    """The content with the rows of a method in the place of earlier ones of its name."""
    sections = {}
    for section, rows in compared.items():
        others = [row for row in content.get(section, []) if row['method'] != name]
        sections[section] = others + [row for row in rows if row['method'] == name]
    return {**content, **sections}

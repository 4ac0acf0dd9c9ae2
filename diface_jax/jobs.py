"""The jobs of the main program, and where in a workdir each leaves what it makes.

WORKDIR/prepared/NAME/          a prepared data set: rows, data card, cache of slow parts
WORKDIR/checkpoints/            the latest and the best
WORKDIR/metrics.jsonl           a line an evaluation on validation
WORKDIR/training.json           written when training is done
WORKDIR/evaluation.json         the results; evaluation_NAME.json on another data set
"""

import pathlib
import shutil
from collections.abc import Sequence

import ml_collections
from absl import logging

from diface_jax import evaluation, stages
from diface_jax.data import prepared
from diface_jax.data.prepare import prepare
from diface_jax.training import trained
from diface_jax.training.loop import train

ORDER = ('prepare', 'train', 'evaluate')


def run(
    mode: str, config: ml_collections.ConfigDict, workdir: pathlib.Path, overwrite: bool
) -> None:
    """Runs one job.

    Args:
      mode: one of ORDER.
      config: the whole config.
      workdir: where outputs go.
      overwrite: what was made with other settings is deleted and made again.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    jobs = {'prepare': _prepare, 'train': _train, 'evaluate': _evaluate}
    jobs[mode](config, workdir, overwrite)


def folder_of(workdir: pathlib.Path, data: ml_collections.ConfigDict) -> pathlib.Path:
    """Where the prepared form of a data set is."""
    if not data.root:
        raise ValueError('no data set: give --config.data.root=FOLDER')
    return workdir / 'prepared' / pathlib.Path(data.root).resolve().name


def _prepare(config: ml_collections.ConfigDict, workdir: pathlib.Path, overwrite: bool) -> None:
    _prepare_one(config, config.data, workdir, overwrite)


def _prepare_one(
    config: ml_collections.ConfigDict,
    data: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    overwrite: bool,
) -> None:
    folder = folder_of(workdir, data)
    try:
        prepare(config, data, folder)
    except stages.SettingsDifferError as error:
        # The cache stays: its shards are named after what they were made from.
        _remove_if(overwrite, error, [folder / prepared.CARD])
        prepare(config, data, folder)


def _train(config: ml_collections.ConfigDict, workdir: pathlib.Path, overwrite: bool) -> None:
    data = prepared.load(folder_of(workdir, config.data))
    try:
        train(config, data, workdir)
    except stages.SettingsDifferError as error:
        made = ('training.json', 'checkpoints', 'metrics.jsonl')
        _remove_if(overwrite, error, [workdir / name for name in made])
        train(config, data, workdir)


def _evaluate(config: ml_collections.ConfigDict, workdir: pathlib.Path, overwrite: bool) -> None:
    model = trained.load(workdir)
    home = data = prepared.load(folder_of(workdir, config.data))
    out = workdir / 'evaluation.json'
    if config.evaluate.root:
        other = ml_collections.ConfigDict({name: config.evaluate[name] for name in config.data})
        _prepare_one(config, other, workdir, overwrite)
        folder = folder_of(workdir, other)
        data, out = prepared.load(folder), workdir / f'evaluation_{folder.name}.json'
    try:
        evaluation.evaluate(config, model, home, data, out)
    except stages.SettingsDifferError as error:
        _remove_if(overwrite, error, [out])
        evaluation.evaluate(config, model, home, data, out)


def _remove_if(
    overwrite: bool, error: stages.SettingsDifferError, paths: Sequence[pathlib.Path]
) -> None:
    """Makes room for new outputs if that was asked for; otherwise passes the error on."""
    if not overwrite:
        raise error
    logging.warning('%s', error)
    for path in paths:
        logging.warning('removes %s (--overwrite)', path)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

"""The jobs of the main program, and which files each writes in a workdir.

The files of a run::

    WORKDIR/prepared/NAME-XXXXXXXX/ a prepared data set: rows, data card, fitted encoders
    WORKDIR/prepared/cache/         embeddings of photos and sentences, by their content
    WORKDIR/checkpoints/            the latest and the best
    WORKDIR/metrics.jsonl           a line an evaluation on validation
    WORKDIR/training.json           written when training is done
    WORKDIR/evaluation.json         the results; evaluation_NAME-XXXXXXXX.json on another data set
    WORKDIR/report.html             the results to read; report/ holds figures and their data
    WORKDIR/sweep.json              samplings measured on validation
    WORKDIR/calibration.json        what scores are worth, for searches in galleries
    WORKDIR/population/             moments of a data set, to draw simulated people from
    WORKDIR/ablation.json           the ablation table; ablation/ holds its training runs
"""

import functools
import json
import pathlib
import shutil
from collections.abc import Sequence

import ml_collections
from absl import logging

from diface_jax.data import check, prepared
from diface_jax.data.encoder_bundle import EncoderBundle
from diface_jax.data.prepare import find_prepared, prepare
from diface_jax.data.prepared import Prepared
from diface_jax.data.simulation.population import Population
from diface_jax.encoders.text import bert
from diface_jax.evaluation import ablation, evaluate, sweep
from diface_jax.report.page import write_report
from diface_jax.runtime import hosts, run_state
from diface_jax.runtime.settings import DataSettings, Settings
from diface_jax.training import loaded_model
from diface_jax.training.loop import train

ORDER = ('prepare', 'train', 'evaluate', 'report')
MODES = ('all', *ORDER, 'sweep', 'ablate', 'fit_population')
# What training leaves in a workdir.
_TRAINING = ('checkpoints', 'metrics.jsonl', 'training.json')


def run_pipeline(
    mode: str,
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    overwrite: bool,
    resume_from: int | None = None,
) -> None:
    """Runs one job, or with mode 'all' those of ORDER, on all hosts.

    Args:
      mode: one of MODES.
      config: all settings; checked here, once.
      workdir: where outputs go.
      overwrite: an output of other settings is replaced, once the new one is complete.
      resume_from: the checkpoint that training goes on from; None: the newest.

    Raises:
      ValueError: a setting cannot be used, names its key; or hosts do not share the workdir.
    """
    settings = Settings.from_config(config)
    hosts.check_shared(workdir)
    jobs = {
        'prepare': _prepare,
        'train': functools.partial(_train, resume_from=resume_from),
        'evaluate': _evaluate,
        'report': _report,
        'sweep': _sweep,
        'ablate': functools.partial(_ablate, config),  # each row changes a copy of the config
        'fit_population': _fit_population,
    }
    for name in ORDER if mode == 'all' else (mode,):
        jobs[name](settings, workdir, overwrite)
        hosts.barrier(name)


def _prepare(settings: Settings, workdir: pathlib.Path, overwrite: bool) -> None:
    if settings.second_data.root and _same_place(settings.second_data.root, settings.data.root):
        raise ValueError('second_data.root is the data set itself: give another one, or none')
    check.require_trainable(settings)
    store = _store(workdir)
    home = prepare(settings, settings.data, store, overwrite=overwrite)
    if settings.second_data.root:
        second = prepare(
            settings, settings.second_data, store, home, overwrite=overwrite, protected=[home]
        )
        if second == home:
            raise ValueError(
                f'second_data.root={settings.second_data.root} holds the same photos as '
                f'data.root={settings.data.root}: give another data set, or none'
            )


def _train(
    settings: Settings,
    workdir: pathlib.Path,
    overwrite: bool,
    resume_from: int | None,
) -> None:
    data = _home(settings, workdir)
    try:
        train(settings, data, workdir, resume_from)
    except run_state.SettingsDifferError as error:
        if not (overwrite and error.overwrite_helps):
            raise
        logging.warning('%s', error)
        _train_anew(settings, data, workdir)


def _train_anew(settings: Settings, data: prepared.Prepared, workdir: pathlib.Path) -> None:
    """Trains a new model beside the old one, which it replaces when it is done."""
    beside = workdir / 'new_training'
    try:
        train(settings, data, beside)
    except run_state.SettingsDifferError as error:  # an earlier --overwrite was not finished
        logging.warning('%s', error)
        _replace([beside], [])
        train(settings, data, beside)
    old = [workdir / name for name in _TRAINING]
    _replace(old, [beside / name for name in _TRAINING])
    _replace([beside], [])


def _replace(old: Sequence[pathlib.Path], new: Sequence[pathlib.Path]) -> None:
    """Removes old outputs and puts new ones, by name, in their places, on the first host."""
    hosts.barrier('all hosts have read what is replaced')
    if hosts.is_first():
        for path in old:
            if path.is_dir() or path.is_file():
                logging.warning('removes %s (--overwrite)', path)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in new:
            path.rename(path.parents[1] / path.name)
    hosts.barrier('replaced')


def _evaluate(settings: Settings, workdir: pathlib.Path, overwrite: bool) -> None:
    model = loaded_model.load_best_checkpoint(workdir)
    folder = find_prepared(settings, settings.data, _store(workdir))
    home = data = _home(settings, workdir)
    if settings.evaluate.data.root:
        data = prepared.load_prepared(_prepare_other(settings, workdir, folder, overwrite))
    out = _results_file(settings, workdir)
    text_encoder = bert.load_text_encoder(settings.encoders.text or None)
    encode = EncoderBundle.load(text_encoder, folder).text.encode
    evaluate.evaluate(settings, model, home, data, encode, out, overwrite)


def _prepare_other(
    settings: Settings, workdir: pathlib.Path, home: pathlib.Path, overwrite: bool
) -> pathlib.Path:
    """Prepares another data set to test on; those that were trained on are never replaced."""
    other = _other(settings)
    check.require_evaluable(settings, other)
    store = _store(workdir)
    protected = [home]
    if settings.second_data.root:
        protected.append(find_prepared(settings, settings.second_data, store))
    return prepare(settings, other, store, home, overwrite=overwrite, protected=protected)


def _report(settings: Settings, workdir: pathlib.Path, overwrite: bool) -> None:
    if not hosts.is_first():
        return
    results = _results_file(settings, workdir)
    if not results.is_file():
        raise FileNotFoundError(f'no results in {results}: run --mode=evaluate first')
    if not settings.evaluate.data.root:
        evaluate.attach_extras(
            results, {name: workdir / f'{name}.json' for name in evaluate.EXTRAS}
        )
    page = workdir / f'{results.stem.replace("evaluation", "report")}.html'
    content = json.loads(results.read_text())
    content['data_card']['root'] = _root_now(settings, workdir)
    write_report(content, page)


def _root_now(settings: Settings, workdir: pathlib.Path) -> str:
    """Where the photos of the results lie now."""
    data = _other(settings) if settings.evaluate.data.root else settings.data
    return str(pathlib.Path(data.root).resolve())


def _sweep(settings: Settings, workdir: pathlib.Path, overwrite: bool) -> None:
    home, model = _home(settings, workdir), loaded_model.load_best_checkpoint(workdir)
    sweep.sweep(settings, model, home, workdir / 'sweep.json', overwrite)


def _ablate(
    config: ml_collections.ConfigDict, settings: Settings, workdir: pathlib.Path, overwrite: bool
) -> None:
    home = _home(settings, workdir)
    ablation.ablate(config, home, workdir / 'ablation', workdir / 'ablation.json', overwrite)


def _fit_population(settings: Settings, workdir: pathlib.Path, _: bool) -> None:
    if not hosts.is_first():
        return
    population = Population.fit(
        prepared.load_prepared(find_prepared(settings, settings.data, _store(workdir)))
    )
    population.save(workdir / 'population')
    logging.info(
        'fit_population: averages of %d photos of %d people; draw from them with '
        '--config=configs/quickstart.py --config.data.root=%s',
        *(population.photos, population.people, workdir / 'population'),
    )


def _store(workdir: pathlib.Path) -> pathlib.Path:
    """The folder of all prepared data sets."""
    return workdir / 'prepared'


def _home(settings: Settings, workdir: pathlib.Path) -> Prepared:
    """The data set that is trained on, with the training photos of the second one if there is."""
    store = _store(workdir)
    home = prepared.load_prepared(find_prepared(settings, settings.data, store))
    if 'train' not in home.splits:
        raise ValueError(
            f'no photo of {settings.data.root} is to train on: give data.shares a share for train, '
            'or more people'
        )
    if not settings.second_data.root:
        return home
    return prepared.join(
        home, prepared.load_prepared(find_prepared(settings, settings.second_data, store))
    )


def _other(settings: Settings) -> DataSettings:
    """Another data set to test on, described as `settings.data` is.

    Those that are trained on are split as they were for training.
    """
    for trained_on in (settings.data, settings.second_data):
        if trained_on.root and _same_place(trained_on.root, settings.evaluate.data.root):
            return trained_on
    return settings.evaluate.data


def _same_place(one: str, other: str) -> bool:
    return pathlib.Path(one).resolve() == pathlib.Path(other).resolve()


def _results_file(settings: Settings, workdir: pathlib.Path) -> pathlib.Path:
    if not settings.evaluate.data.root:
        return workdir / 'evaluation.json'
    folder = find_prepared(settings, _other(settings), _store(workdir))
    return workdir / f'evaluation_{folder.name}.json'

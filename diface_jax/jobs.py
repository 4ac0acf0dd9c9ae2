"""The jobs of the main program, and where in a workdir each leaves what it makes.

The files of a run::

    WORKDIR/prepared/NAME/          a prepared data set: rows, data card, cache of slow parts
    WORKDIR/checkpoints/            the latest and the best
    WORKDIR/metrics.jsonl           a line an evaluation on validation
    WORKDIR/training.json           written when training is done
    WORKDIR/evaluation.json         the results; evaluation_NAME.json on another data set
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
from collections.abc import Callable, Sequence

import ml_collections
from absl import logging

from diface_jax import ablation, evaluation, hosts, stages, sweep
from diface_jax.data import check, prepared
from diface_jax.data.fitted import Encoders
from diface_jax.data.population import Population
from diface_jax.data.prepare import prepare
from diface_jax.data.prepared import Prepared
from diface_jax.encoders.text import bert
from diface_jax.report.page import write_report
from diface_jax.runtime.settings import Settings
from diface_jax.training import trained
from diface_jax.training.loop import train

ORDER = ('prepare', 'train', 'evaluate', 'report')
MODES = ('all', *ORDER, 'sweep', 'ablate', 'fit_population')


def run(
    mode: str,
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    overwrite: bool,
    resume_from: int | None = None,
) -> None:
    """Runs one job, or with mode 'all' those of ORDER, on all hosts.

    Args:
      mode: one of MODES.
      config: the whole config.
      workdir: where outputs go.
      overwrite: what was made with other settings is deleted and made again.
      resume_from: the checkpoint that training goes on from; None: the newest.

    Raises:
      ValueError: a setting cannot be used, names its key; or hosts do not share the workdir.
    """
    Settings.from_config(config)
    hosts.check_shared(workdir)
    jobs = {
        'prepare': _prepare,
        'train': functools.partial(_train, resume_from=resume_from),
        'evaluate': _evaluate,
        'report': _report,
        'sweep': _sweep,
        'ablate': _ablate,
        'fit_population': _fit_population,
    }
    for name in ORDER if mode == 'all' else (mode,):
        jobs[name](config, workdir, overwrite)
        hosts.barrier(name)


def folder_of(workdir: pathlib.Path, data: ml_collections.ConfigDict) -> pathlib.Path:
    """Where the prepared form of a data set is."""
    if not data.root:
        raise ValueError('no data set: give --config.data.root=FOLDER')
    return workdir / 'prepared' / pathlib.Path(data.root).resolve().name


def _prepare(config: ml_collections.ConfigDict, workdir: pathlib.Path, overwrite: bool) -> None:
    if config.also.root and _same_place(config.also.root, config.data.root):
        raise ValueError('also.root is the data set itself: give another one, or none')
    check.require_trainable(config)
    _prepare_one(config, config.data, workdir, overwrite)
    if config.also.root:
        _prepare_one(config, config.also, workdir, overwrite)


def _prepare_one(
    config: ml_collections.ConfigDict,
    data: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    overwrite: bool,
) -> None:
    folder = folder_of(workdir, data)
    # The cache stays: its shards are named after what they were made from.
    home = folder_of(workdir, config.data)
    _make(lambda: prepare(config, data, folder, home), overwrite, [folder / prepared.CARD])


def _train(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    overwrite: bool,
    resume_from: int | None,
) -> None:
    data = _home(config, workdir)
    made = [workdir / name for name in ('training.json', 'checkpoints', 'metrics.jsonl')]
    _make(lambda: train(config, data, workdir, resume_from), overwrite, made)


def _evaluate(config: ml_collections.ConfigDict, workdir: pathlib.Path, overwrite: bool) -> None:
    model = trained.load(workdir)
    home = data = _home(config, workdir)
    out = _results_file(config, workdir)
    if config.evaluate.root:
        other = _other(config)
        check.require_evaluable(config, other)
        _prepare_one(config, other, workdir, overwrite)
        data = prepared.load(folder_of(workdir, other))
    text_encoder = bert.load(config.encoders.text or None)
    encode = Encoders.load(text_encoder, folder_of(workdir, config.data)).text.encode
    _make(lambda: evaluation.evaluate(config, model, home, data, encode, out), overwrite, [out])


def _report(config: ml_collections.ConfigDict, workdir: pathlib.Path, overwrite: bool) -> None:
    if not hosts.is_first():
        return
    results = _results_file(config, workdir)
    if not results.is_file():
        raise FileNotFoundError(f'no results in {results}: run --mode=evaluate first')
    if not config.evaluate.root:
        evaluation.attach(results, {name: workdir / f'{name}.json' for name in evaluation.EXTRAS})
    page = workdir / f'{results.stem.replace("evaluation", "report")}.html'
    write_report(json.loads(results.read_text()), page)


def _sweep(config: ml_collections.ConfigDict, workdir: pathlib.Path, overwrite: bool) -> None:
    home, out = _home(config, workdir), workdir / 'sweep.json'
    model = trained.load(workdir)
    _make(lambda: sweep.sweep(config, model, home, out), overwrite, [out])


def _ablate(config: ml_collections.ConfigDict, workdir: pathlib.Path, overwrite: bool) -> None:
    home, out = _home(config, workdir), workdir / 'ablation.json'
    runs = workdir / 'ablation'
    _make(lambda: ablation.ablate(config, home, runs, out), overwrite, [out, runs])


def _fit_population(config: ml_collections.ConfigDict, workdir: pathlib.Path, _: bool) -> None:
    if not hosts.is_first():
        return
    population = Population.fit(prepared.load(folder_of(workdir, config.data)))
    population.save(workdir / 'population')
    logging.info(
        'fit_population: averages of %d photos of %d people; draw from them with '
        '--config=configs/quickstart.py --config.data.root=%s',
        *(population.photos, population.people, workdir / 'population'),
    )


def _home(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> Prepared:
    """The data set that is trained on, with the training photos of the second one if there is."""
    home = prepared.load(folder_of(workdir, config.data))
    if 'train' not in home.splits:
        raise ValueError(
            f'no photo of {config.data.root} is to train on: give data.shares a share for train, '
            'or more people'
        )
    if not config.also.root:
        return home
    return prepared.joined(home, prepared.load(folder_of(workdir, config.also)))


def _other(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Another data set to test on, told as `config.data` is.

    The second one trained on is split as it was for training.
    """
    if config.also.root and _same_place(config.also.root, config.evaluate.root):
        return config.also
    return ml_collections.ConfigDict({name: config.evaluate[name] for name in config.data})


def _same_place(one: str, other: str) -> bool:
    return pathlib.Path(one).resolve() == pathlib.Path(other).resolve()


def _results_file(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> pathlib.Path:
    if not config.evaluate.root:
        return workdir / 'evaluation.json'
    return workdir / f'evaluation_{folder_of(workdir, _other(config)).name}.json'


def _make(make: Callable[[], None], overwrite: bool, paths: Sequence[pathlib.Path]) -> None:
    """Makes an output; if one of other settings is there, in its place where that was asked for."""
    try:
        make()
    except stages.SettingsDifferError as error:
        if not overwrite:
            raise
        logging.warning('%s', error)
        hosts.barrier('all have seen what is to be replaced')
        if hosts.is_first():
            _remove(paths)
        hosts.barrier('removed')
        make()


def _remove(paths: Sequence[pathlib.Path]) -> None:
    for path in paths:
        logging.warning('removes %s (--overwrite)', path)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

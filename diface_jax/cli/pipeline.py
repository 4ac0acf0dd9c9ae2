"""The stages of a run, and the files that each writes in the workdir.

The files of a run::

    WORKDIR/prepared/NAME-XXXXXXXX/ a prepared data set: rows, data card, fitted encoders
    WORKDIR/prepared/cache/         embeddings of photos and sentences, by their content
    WORKDIR/checkpoints/            the latest and the best checkpoint
    WORKDIR/metrics.jsonl           a line per evaluation on validation
    WORKDIR/training.json           written when training is done
    WORKDIR/evaluation.json         the results; evaluation_NAME-XXXXXXXX.json on another data set
    WORKDIR/report.html             the results to read; report/ holds figures and their data
    WORKDIR/text_adapters.safetensors  adapters of the text encoder, trained on faces
    WORKDIR/tune_text.json          their validation, and that of the frozen encoder
    WORKDIR/sweep.json              samplings measured on validation
    WORKDIR/calibration.json        calibration of scores, for searches in galleries
    WORKDIR/population/             moments of a data set, to draw simulated people from
    WORKDIR/ablation.json           the ablation table; ablation/ holds its training runs

A stage imports what it runs: all stages together take seconds to import.
"""

import functools
import json
import pathlib
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

import ml_collections
from absl import logging

from diface_jax.cli.modes import ORDER
from diface_jax.data import check, prepared, prepared_folders
from diface_jax.data.encoder_bundle import EncoderBundle
from diface_jax.data.prepare import find_prepared, prepare
from diface_jax.data.prepared import Prepared
from diface_jax.encoders.face.encoder import folders_of_encoders
from diface_jax.encoders.text import encoder as text_encoders
from diface_jax.runtime import hosts, run_state
from diface_jax.runtime.settings import DataSettings, Settings

if TYPE_CHECKING:
    from diface_jax.evaluation.added_method import AddedMethod

# What training writes to a workdir.
_TRAINING = ('checkpoints', 'metrics.jsonl', 'training.json')


def run_pipeline(
    mode: str,
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    overwrite: bool,
    resume_from: int | None = None,
    added: 'AddedMethod | None' = None,
) -> None:
    """Runs one stage, or with mode 'all' those of ORDER, on all hosts.

    Args:
      mode: one of `modes.PIPELINE`.
      config: all settings; checked here, once.
      workdir: where outputs go.
      overwrite: replaces an output of other settings, once the new one is complete.
      resume_from: step of the checkpoint to continue training from; None: the newest.
      added: a system that 'evaluate' measures too, by a file of its scores.

    Raises:
      ValueError: a setting cannot be used (names its key), or hosts do not share the workdir.
    """
    settings = Settings.from_config(config)
    hosts.check_shared(workdir)
    stages = {
        'prepare': _prepare,
        'train': functools.partial(_train, resume_from=resume_from),
        'evaluate': functools.partial(_evaluate, added=added),
        'report': _report,
        'tune_text': _tune_text,
        'sweep': _sweep,
        'ablate': functools.partial(_ablate, config),  # each row changes a copy of the config
        'fit_population': _fit_population,
    }
    for name in ORDER if mode == 'all' else (mode,):
        stages[name](settings, workdir, overwrite)
        hosts.barrier(name)


def pack_model(workdir: str | None, out: str | None, overwrite: bool) -> int:
    """Writes the model of a workdir as a pack and prints its size and parity; returns 0.

    Raises:
      ValueError: a folder is not given, or several hosts would write the pack.
      OSError: the workdir has no trained model, or something is at `out` already.
    """
    if not workdir or not out:
        raise ValueError('give --workdir, of a training, and --out, the folder of the pack')
    if hosts.is_multihost():
        raise ValueError('a pack is written by one host: leave out --distributed')
    from diface_jax.pretrained.write_pack import write_pack

    print(write_pack(pathlib.Path(workdir), pathlib.Path(out), overwrite))
    return 0


def write_protocol_of(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, out: str | None, overwrite: bool
) -> int:
    """Writes the benchmark of the prepared data of a workdir into the folder `out`; returns 0.

    Raises:
      ValueError: `out` is not given, a setting cannot be used, or several hosts would write it.
      OSError: there is no prepared data, or something is at `out` already.
    """
    if not out:
        raise ValueError('give --out, the folder of the protocol')
    if hosts.is_multihost():
        raise ValueError('a protocol is written by one host: leave out --distributed')
    from diface_jax.evaluation.benchmark import Benchmark
    from diface_jax.evaluation.protocol_files import write_protocol

    settings = Settings.from_config(config)
    train_data, data = _load_measured_data(settings, workdir, overwrite)
    if 'test' not in data.splits:
        raise ValueError('no photo to test on: give data.shares a share for test')
    benchmark = Benchmark(settings.evaluate, settings.captions.coverage, train_data, data)
    print(write_protocol(benchmark, pathlib.Path(out), overwrite))
    return 0


def _prepare(settings: Settings, workdir: pathlib.Path, overwrite: bool) -> None:
    if settings.second_data.root and _same_place(settings.second_data.root, settings.data.root):
        raise ValueError('second_data.root is the data set itself: give another one, or none')
    check.require_trainable(settings)
    store = _store(workdir)
    encoders = _encoders_to_start_from(settings)
    train_data = prepare(settings, settings.data, store, overwrite=overwrite, encoders=encoders)
    if settings.second_data.root:
        second = prepare(
            settings,
            settings.second_data,
            store,
            train_data,
            overwrite=overwrite,
            protected=[train_data],
            encoders=encoders,
        )
        if second == train_data:
            raise ValueError(
                f'second_data.root={settings.second_data.root} holds the same photos as '
                f'data.root={settings.data.root}: give another data set, or none'
            )


def _encoders_to_start_from(settings: Settings) -> EncoderBundle | None:
    """The encoders of the pack that training starts from; None where it starts anew."""
    if not settings.train.init_from:
        return None
    from diface_jax.pretrained import packed_model
    from diface_jax.pretrained.find_model import find_model
    from diface_jax.training import init_from

    pack = init_from.read_start(settings.train.init_from)
    text_encoder = text_encoders.load_text_encoder(settings.encoders.text or None)
    folders = [find_model(settings.train.init_from), *folders_of_encoders(settings.encoders)]
    return packed_model.pack_encoders(pack, text_encoder, folders)


def _train(
    settings: Settings,
    workdir: pathlib.Path,
    overwrite: bool,
    resume_from: int | None,
) -> None:
    from diface_jax.training import loop

    data = _load_train_data(settings, workdir)
    try:
        loop.train(settings, data, workdir, resume_from)
    except run_state.SettingsDifferError as error:
        if not (overwrite and error.overwrite_helps):
            raise
        logging.warning('%s', error)
        _train_anew(settings, data, workdir)


def _train_anew(settings: Settings, data: prepared.Prepared, workdir: pathlib.Path) -> None:
    """Trains a new model in a folder of its own, then replaces the old one."""
    from diface_jax.training import loop

    beside = workdir / 'new_training'
    try:
        loop.train(settings, data, beside)
    except run_state.SettingsDifferError as error:  # an earlier --overwrite was not finished
        logging.warning('%s', error)
        _replace([beside], [])
        loop.train(settings, data, beside)
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


def _evaluate(
    settings: Settings, workdir: pathlib.Path, overwrite: bool, added: 'AddedMethod | None'
) -> None:
    from diface_jax.evaluation import evaluate
    from diface_jax.evaluation.added_method import add_method
    from diface_jax.evaluation.clip_baseline import ClipBaseline
    from diface_jax.training import loaded_model

    model = loaded_model.load_best_checkpoint(workdir)
    folder = find_prepared(settings, settings.data, _store(workdir))
    train_data, data = _load_measured_data(settings, workdir, overwrite)
    out = _results_file(settings, workdir)
    text_encoder = text_encoders.load_text_encoder(settings.encoders.text or None)
    encode = EncoderBundle.load(text_encoder, folder).text.encode
    clip = None
    if settings.evaluate.clip:
        cache = _store(workdir) / prepared_folders.CACHE
        clip = ClipBaseline.load(settings.evaluate.clip, cache, (train_data, data))
    evaluate.evaluate(settings, model, train_data, data, encode, out, overwrite, clip)
    if added:
        add_method(settings, model, train_data, data, out, added, overwrite)


def _load_measured_data(
    settings: Settings, workdir: pathlib.Path, overwrite: bool
) -> tuple[Prepared, Prepared]:
    """The data set trained on, and the one to measure on: the same, or another one."""
    train_data = _load_train_data(settings, workdir)
    if not settings.evaluate.data.root:
        return train_data, train_data
    folder = find_prepared(settings, settings.data, _store(workdir))
    test_data = _prepare_test_data(settings, workdir, folder, overwrite)
    return train_data, prepared.load_prepared(test_data)


def _prepare_test_data(
    settings: Settings, workdir: pathlib.Path, train_data: pathlib.Path, overwrite: bool
) -> pathlib.Path:
    """Prepares another data set to test on; never replaces the data sets trained on."""
    test_data = _test_data(settings)
    check.require_evaluable(settings, test_data)
    store = _store(workdir)
    protected = [train_data]
    if settings.second_data.root:
        protected.append(find_prepared(settings, settings.second_data, store))
    return prepare(
        settings,
        test_data,
        store,
        train_data,
        overwrite=overwrite,
        protected=protected,
        encoders=_encoders_to_start_from(settings),
    )


def _report(settings: Settings, workdir: pathlib.Path, overwrite: bool) -> None:
    if not hosts.is_first():
        return
    from diface_jax.evaluation import evaluate
    from diface_jax.report.page import write_report

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
    """The folder with the photos of the results, now."""
    data = _test_data(settings) if settings.evaluate.data.root else settings.data
    return str(pathlib.Path(data.root).resolve())


def _tune_text(settings: Settings, workdir: pathlib.Path, overwrite: bool) -> None:
    """Trains adapters of the text encoder, for `encoders.text_adapters` of another workdir."""
    if hosts.is_multihost():
        raise ValueError('the text encoder is tuned by one host: leave out --distributed')
    from diface_jax.encoders.text.adapters import save_adapters
    from diface_jax.training import text_tuning

    out = workdir / 'text_adapters.safetensors'
    if out.exists() and not overwrite:
        logging.info('tune_text: %s is there already; --overwrite trains it anew', out)
        return
    folder = find_prepared(settings, settings.data, _store(workdir))
    text_encoder = text_encoders.load_text_encoder(settings.encoders.text or None)
    conditions = EncoderBundle.load(text_encoder, folder).text
    checkpoints = workdir / 'tune_text'
    if overwrite:
        shutil.rmtree(checkpoints, ignore_errors=True)
    data = _load_train_data(settings, workdir)
    result = text_tuning.tune_text(settings, data, conditions, checkpoints)
    save_adapters(out, result.adapters, text_encoder.frozen)
    summary = {'frozen': result.frozen, 'adapted': result.adapted, 'settings': settings.to_dict()}
    run_state.write_json(workdir / 'tune_text.json', run_state.to_plain_json(summary))
    shutil.rmtree(checkpoints, ignore_errors=True)
    logging.info(
        'tune_text: wrote %s; use it in a new workdir with --config.encoders.text_adapters=%s',
        out,
        out,
    )


def _sweep(settings: Settings, workdir: pathlib.Path, overwrite: bool) -> None:
    from diface_jax.evaluation import sweep
    from diface_jax.training import loaded_model

    train_data = _load_train_data(settings, workdir)
    model = loaded_model.load_best_checkpoint(workdir)
    sweep.sweep(settings, model, train_data, workdir / 'sweep.json', overwrite)


def _ablate(
    config: ml_collections.ConfigDict, settings: Settings, workdir: pathlib.Path, overwrite: bool
) -> None:
    from diface_jax.evaluation import ablation

    train_data = _load_train_data(settings, workdir)
    ablation.ablate(config, train_data, workdir / 'ablation', workdir / 'ablation.json', overwrite)


def _fit_population(settings: Settings, workdir: pathlib.Path, _: bool) -> None:
    if not hosts.is_first():
        return
    from diface_jax.data.simulation.population import Population

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


def _load_train_data(settings: Settings, workdir: pathlib.Path) -> Prepared:
    """The data set trained on, with the training photos of the second one, if there is one."""
    store = _store(workdir)
    train_data = prepared.load_prepared(find_prepared(settings, settings.data, store))
    if 'train' not in train_data.splits:
        raise ValueError(
            f'{settings.data.root} has no training photos: give data.shares a share for train, '
            'or more people'
        )
    if not settings.second_data.root:
        return train_data
    return prepared.join(
        train_data, prepared.load_prepared(find_prepared(settings, settings.second_data, store))
    )


def _test_data(settings: Settings) -> DataSettings:
    """Another data set to test on, described as `settings.data` is.

    A data set that was trained on keeps its split of training.
    """
    for trained_on in (settings.data, settings.second_data):
        if trained_on.root and _same_place(trained_on.root, settings.evaluate.data.root):
            return trained_on
    return settings.evaluate.data


def _same_place(first: str, second: str) -> bool:
    return pathlib.Path(first).resolve() == pathlib.Path(second).resolve()


def _results_file(settings: Settings, workdir: pathlib.Path) -> pathlib.Path:
    if not settings.evaluate.data.root:
        return workdir / 'evaluation.json'
    folder = find_prepared(settings, _test_data(settings), _store(workdir))
    return workdir / f'evaluation_{folder.name}.json'

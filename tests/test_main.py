"""The main job, as a user runs it."""

import csv
import dataclasses
import importlib.util
import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from absl import flags, logging
from absl.testing import flagsaver
from PIL import Image
from sklearn import metrics

import diface_jax
from diface_jax import main
from diface_jax.cli import pipeline
from diface_jax.data import prepared
from diface_jax.data.grammar.captions import CELEBA_40
from diface_jax.evaluation import added_method, evaluate, identification, protocols
from diface_jax.evaluation.methods import MethodSuite
from diface_jax.gallery import calibrate
from diface_jax.models.diface import Sampling
from diface_jax.models.features import FeatureExtractor
from diface_jax.runtime import mesh as meshes
from diface_jax.runtime import preemption, run_state
from diface_jax.training import loaded_model
from diface_jax.training.model_selection import ValidationPairs
from tests import celeba_tree, drawn_face, onnx_graphs, tiny
from tests.gallery import world

HERE = pathlib.Path(__file__).resolve().parents[1]
# With Male; few, for sentences are encoded with each of them changed.
ATTRIBUTES = CELEBA_40[12:24]


# They take seconds to import, and a command imports those that it needs.
SLOW = {'jax', 'flax', 'optax', 'orbax', 'scipy', 'sklearn', 'matplotlib', 'pyarrow', 'PIL', 'dlib'}


def run_python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=HERE, capture_output=True, text=True, check=False
    )


def test_the_program_starts_without_the_slow_libraries():
    imported = run_python('-c', 'import sys, diface_jax.main; print(*sys.modules)')
    assert imported.returncode == 0, imported.stderr
    assert not SLOW & set(imported.stdout.split())


@pytest.mark.parametrize('flag', ['--help', '--helpfull'])
def test_help_is_no_error(flag):
    helped = run_python('-m', 'diface_jax.main', flag)
    assert helped.returncode == 0, helped.stderr
    assert '--mode' in helped.stdout


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    celeba_tree.make(folder / 'drawn', photos=2, attributes=ATTRIBUTES)
    celeba_tree.make(folder / 'others', people=(8, 4, 12), photos=2, seed=5, attributes=ATTRIBUTES)
    config = tiny.config()
    config.data.root, config.second_data.root = str(folder / 'drawn'), str(folder / 'others')
    config.train.update(num_steps=200, eval_every=100, steps_per_dispatch=20)
    if importlib.util.find_spec('onnxruntime'):  # as wide together as without
        recogniser = onnx_graphs.write(folder / 'tiny.onnx', width=2)
        config.encoders.face = ('dlib', 'appearance', f'onnx:{recogniser}')
        config.encoders.update(appearance_dim=2, accept_licence='our own')
    return config


@pytest.fixture(scope='module')
def workdir(config, few_questions, tmp_path_factory):
    """A whole run."""
    workdir = tmp_path_factory.mktemp('work')
    for mode in pipeline.ORDER:
        pipeline.run_pipeline(mode, config, workdir, overwrite=False)
    return workdir


def test_results_are_complete(workdir):
    evaluation = json.loads((workdir / 'evaluation.json').read_text())
    about = {'method', 'track', 'protocol', 'impostors', 'gallery', 'photos', 'level', 'metric'}
    assert all(set(row) == about | {'value', 'sd', 'ci95'} for row in evaluation['results'])
    methods = {'diface', 'literal', 'towers', 'cca', 'ridge', 'oracle', 'gender'}
    for track in ('grammar-100', 'human'):
        for protocol in ('cross', 'same'):
            found = {
                row['method']
                for row in evaluation['results']
                if (row['track'], row['protocol']) == (track, protocol)
            }
            assert found == methods
    # The labels are random, so no two photos share them: the oracle knows the described one.
    oracle = [
        row['value']
        for row in evaluation['results']
        if (row['method'], row['protocol'], row['metric']) == ('oracle', 'same', 'auc')
    ]
    assert oracle == pytest.approx([1.0] * 4, abs=1e-12)
    lead = evaluation['differences']
    assert all(set(row) == about | {'value', 'sd', 'ci95'} for row in lead)
    assert {row['method'] for row in lead} == methods - {'diface'}
    # Tracks, protocols, impostors with accuracy and AUC each; tracks and protocols with rank 10.
    assert len(lead) == 6 * (2 * 2 * 2 * 2 + 2 * 2)
    assert evaluation['data_card']['name'] == 'celeba'
    assert sum(part['width'] for part in evaluation['data_card']['encoders']['face']) == 132
    assert evaluation['config']['train']['num_steps'] == 200
    assert all(
        evaluation[section] for section in ('curves', 'groups', 'clusters', 'path', 'panels')
    )


def test_an_independent_path_finds_the_same_numbers(config, workdir):
    """Three kinds of numbers, from raw scores by scikit-learn."""
    model = loaded_model.load_best_checkpoint(workdir)
    data = prepared.load_prepared(pipeline.find_prepared(config, config.data, workdir / 'prepared'))
    split, texts = data.splits['test'], data.splits['test'].tracks((1.0,))
    every = np.sort(np.concatenate(list(texts.values())))
    extractor = FeatureExtractor(model.model, Sampling(**config.sample), meshes.make_mesh())
    found = extractor.features(model.params, split, every, model.normalise, jax.random.key(0))
    score_TxN = found.text_TxF @ found.photo_NxF.T
    effort = protocols.Repetitions(config.evaluate.draws, 0, 0)
    condition = protocols.Condition('human', 'same', 'random')
    aucs, tars, firsts = [], [], []
    for pairs in protocols.draw_pair_sets(split, texts['human'], condition, None, effort):
        score_P = score_TxN[pairs.text_P, pairs.photo_P]
        aucs.append(metrics.roc_auc_score(pairs.genuine_P, score_P))
        far, tar, _ = metrics.roc_curve(pairs.genuine_P, score_P, drop_intermediate=False)
        tars.append(tar[far <= 0.1].max())
    rng = np.random.default_rng(0)
    for _ in range(effort.draws):
        search = identification.draw_identification(rng, split, texts['human'], 'same')
        score_PxI = score_TxN[np.ix_(search.text_P, search.photo_I)]
        people = np.arange(len(search.photo_I))
        firsts.append(metrics.top_k_accuracy_score(search.person_P, score_PxI, k=1, labels=people))
    rows = json.loads((workdir / 'evaluation.json').read_text())['results']
    about = {'method': 'diface', **condition._asdict()}
    for metric, gallery, draws in (
        ('auc', None, aucs),
        ('tar@far=0.1', None, tars),
        ('rank@1', len(people), firsts),
    ):
        about |= {'metric': metric, 'gallery': gallery}
        values = [row['value'] for row in rows if row.items() >= about.items()]
        assert values[0] == pytest.approx(np.mean(draws), abs=1e-9)


def test_photographs_are_enrolled_and_searched_with_its_encoders(workdir, tmp_path, monkeypatch):
    # Drawn people have random labels, of which no calibration can be learned.
    monkeypatch.setattr(calibrate, 'load_or_calibrate', lambda *_: world.decision_rule())
    for name, side in (('ann', 200), ('bob', 240)):
        (tmp_path / 'photos' / name).mkdir(parents=True)
        Image.fromarray(drawn_face.draw(side)).save(tmp_path / 'photos' / name / 'photo.png')
    model, gallery = diface_jax.load(workdir), tmp_path / 'gallery'
    report = model.enroll(gallery, tmp_path / 'photos', people=True)
    assert (report.faces, report.problems) == (2, {})
    answer = model.search(gallery, 'a man with a beard', k=2)
    assert {result.entry.person for result in answer.results} == {'ann', 'bob'}


def test_the_report_is_there(workdir):
    page = (workdir / 'report.html').read_text()
    assert page.count('data:image/jpeg') > 0
    assert {path.suffix for path in (workdir / 'report').iterdir()} == {'.png', '.csv'}


def test_running_again_does_nothing(config, workdir, capsys):
    files = [path for path in workdir.rglob('*') if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in files}
    for mode in ('prepare', 'train', 'evaluate'):
        pipeline.run_pipeline(mode, config, workdir, overwrite=False)
    after = {path: path.stat().st_mtime_ns for path in workdir.rglob('*') if path.is_file()}
    assert after == before
    assert 'diface' in capsys.readouterr().out


def test_trains_on_a_second_data_set_too(config, workdir):
    evaluation = json.loads((workdir / 'evaluation.json').read_text())
    assert (
        evaluation['thresholds']['diface'] == loaded_model.load_best_checkpoint(workdir).thresholds
    )
    counts = evaluation['data_card']['splits']
    assert [counts[name]['photos'] for name in counts] == [2 * (14 + 8), 2 * 8, 2 * 8]
    others = prepared.load_prepared(
        pipeline.find_prepared(config, config.second_data, workdir / 'prepared')
    )
    assert (
        loaded_model.load_best_checkpoint(workdir).settings['data']['second_data']
        == others.card['settings']
    )


def test_evaluates_on_the_second_data_set_as_it_was_split(config, workdir):
    config = config.copy_and_resolve_references()
    config.evaluate.data.root = config.second_data.root
    pipeline.run_pipeline('evaluate', config, workdir, overwrite=False)
    folder = pipeline.find_prepared(config, config.second_data, workdir / 'prepared')
    evaluation = json.loads((workdir / f'evaluation_{folder.name}.json').read_text())
    assert evaluation['data_card']['splits']['test']['identities'] == 12
    assert evaluation['data_card']['root'] == config.second_data.root
    assert {row['change'] for row in evaluation['attributes']} == {'unsaid', 'wrong'}
    # Thresholds are from its own people.
    model, pairs = (
        loaded_model.load_best_checkpoint(workdir),
        ValidationPairs(_others(config, workdir), (1.0,)),
    )
    extractor = FeatureExtractor(model.model, Sampling(**config.sample), meshes.make_mesh())
    about = pairs.split, pairs.texts, model.normalise, jax.random.key(0)
    found = pairs.judge(extractor.features(model.params, *about)).thresholds
    assert evaluation['thresholds']['diface'] == pytest.approx(found, abs=1e-6)


def test_photos_trained_on_are_not_tested_on_under_another_path(config, workdir):
    model, train_data, others = (
        loaded_model.load_best_checkpoint(workdir),
        pipeline._load_train_data(config, workdir),
        _others(config, workdir),
    )
    others.card['settings']['data']['split_seed'] = 1
    train, test = others.splits['train'], others.splits['test']
    rows = [*range(4), 5]  # of three people
    others.splits['test'] = dataclasses.replace(
        test,
        sha256_N=np.concatenate([test.sha256_N, train.sha256_N[rows]]),
        identity_N=np.concatenate([test.identity_N, train.identity_N[rows]]),
        file_N=np.concatenate([test.file_N, train.file_N[rows]]),
    )
    with pytest.raises(ValueError, match=r'5 of 29 photos to test on, of 3 people') as error:
        evaluate.evaluate(config, model, train_data, others, list, workdir / 'none.json')
    assert '--overwrite' not in str(error.value)
    others.splits['test'] = test
    evaluate._check_unseen(model, train_data, others)


def test_a_photo_in_two_splits_of_the_data_set_itself_does_not_stop_the_evaluation(config, workdir):
    # CelebA has a few: one photo under two identities.
    model = loaded_model.load_best_checkpoint(workdir)
    train_data = pipeline._load_train_data(config, workdir)
    test = train_data.splits['test']
    test.sha256_N[0] = train_data.splits['train'].sha256_N[0]
    assert 'second_data' in train_data.card['settings']
    evaluate._check_unseen(model, train_data, train_data)


def test_encoders_that_differ_cost_no_results(config, workdir):
    model, train_data, others = (
        loaded_model.load_best_checkpoint(workdir),
        pipeline._load_train_data(config, workdir),
        _others(config, workdir),
    )
    others.card['encoders']['text']['sha256'] = 'another'
    out = workdir / 'evaluation.json'
    before = out.read_bytes()
    with pytest.raises(run_state.SettingsDifferError, match='sha256') as error:
        evaluate.evaluate(
            config, model, train_data, others, list, workdir / 'x.json', overwrite=True
        )
    assert '--overwrite' not in str(error.value)
    assert not error.value.overwrite_helps
    assert out.read_bytes() == before


def _others(config, workdir):
    return prepared.load_prepared(
        pipeline.find_prepared(config, config.second_data, workdir / 'prepared')
    )


def test_a_data_set_cannot_be_its_own_second(config, tmp_path):
    config = config.copy_and_resolve_references()
    config.second_data.root = f'{config.data.root}/'
    with pytest.raises(ValueError, match='is the data set itself'):
        pipeline.run_pipeline('prepare', config, tmp_path, overwrite=False)


def test_a_scores_file_of_ccas_own_features_reproduces_its_row(config, workdir, tmp_path):
    folder, file = tmp_path / 'protocol', tmp_path / 'mine.npz'
    pipeline.write_protocol_of(config, workdir, str(folder), overwrite=False)
    protocol = json.loads((folder / 'protocol.json').read_text())
    model, data = (
        loaded_model.load_best_checkpoint(workdir),
        pipeline._load_train_data(config, workdir),
    )
    settings, sampling, pairs = (
        config.evaluate,
        Sampling(**config.sample),
        ValidationPairs(data, (1.0,)),
    )
    cca = MethodSuite(settings, sampling, (1.0,), model, data, pairs)._cca()
    arrays = {'protocol': protocol['sha256']}
    for name in ('validation', 'test'):
        with (folder / 'texts.csv').open() as texts, (folder / 'photos.csv').open() as photos:
            text_id = [row['text'] for row in csv.DictReader(texts) if row['split'] == name]
            photo_id = [row['photo'] for row in csv.DictReader(photos) if row['split'] == name]
        text, photo = cca(data, name)
        arrays |= {f'{name}/text_id': text_id, f'{name}/photo_id': photo_id}
        arrays |= {f'{name}/text_embedding': text, f'{name}/photo_embedding': photo}
    np.savez(file, **arrays)
    added = added_method.name_method(str(file), None)
    pipeline.run_pipeline('evaluate', config, workdir, overwrite=False, added=added)
    evaluation = json.loads((workdir / 'evaluation.json').read_text())
    assert evaluation['thresholds']['mine'] == evaluation['thresholds']['cca']
    for section in ('results', 'differences', 'curves', 'retrieval'):
        mine, of_cca = (
            [{**row, 'method': ''} for row in evaluation[section] if row['method'] == method]
            for method in ('mine', 'cca')
        )
        if section == 'differences':  # DiFace's own features are computed anew
            mine, of_cca = ([row['value'] for row in rows] for rows in (mine, of_cca))
        assert mine == of_cca
        assert mine
    assert evaluation['added']['mine']['kind'] == 'embeddings'


def test_sampling_is_a_setting_of_the_evaluation_alone(config, workdir):
    config = config.copy_and_resolve_references()
    config.sample.num_steps = 2
    out = workdir / 'evaluation.json'
    before = {path: path.read_bytes() for path in (out, workdir / 'training.json')}
    with pytest.raises(run_state.SettingsDifferError, match=r'sample\.num_steps: 1 -> 2'):
        pipeline.run_pipeline('evaluate', config, workdir, overwrite=False)
    pipeline.run_pipeline('train', config, workdir, overwrite=False)
    assert {path: path.read_bytes() for path in before} == before
    pipeline.run_pipeline('evaluate', config, workdir, overwrite=True)
    evaluation = json.loads(out.read_text())
    assert evaluation['settings']['sample']['num_steps'] == 2
    # Thresholds are of the same sampling, and not those of the checkpoint.
    model = loaded_model.load_best_checkpoint(workdir)
    pairs = ValidationPairs(pipeline._load_train_data(config, workdir), (1.0,))
    extractor = FeatureExtractor(model.model, Sampling(**config.sample), meshes.make_mesh())
    about = pairs.split, pairs.texts, model.normalise, jax.random.key(0)
    found = pairs.judge(extractor.features(model.params, *about)).thresholds
    assert evaluation['thresholds']['diface'] == pytest.approx(found, abs=1e-6)
    assert evaluation['thresholds']['diface'] != pytest.approx(model.thresholds, abs=1e-6)


def test_a_data_set_without_training_photos_says_what_to_change(config, workdir, monkeypatch):
    load = prepared.load_prepared

    def without_training_photos(folder):
        data = load(folder)
        return dataclasses.replace(data, splits={'test': data.splits['test']})

    monkeypatch.setattr(prepared, 'load_prepared', without_training_photos)
    with pytest.raises(
        ValueError, match=r'has no training photos: give data\.shares a share for train'
    ):
        pipeline.run_pipeline('train', config, workdir, overwrite=False)


# Each command line in a process of its own, forked from one that has imported everything.
EACH = """
import json, os, sys, traceback
import jax
from diface_jax import main
from diface_jax.cli import pipeline

def run(number, platform, arguments):
    log = os.open(f'{sys.argv[1]}/{number}', os.O_CREAT | os.O_WRONLY)
    os.dup2(log, 1), os.dup2(log, 2)
    jax.config.update('jax_platforms', platform)
    sys.argv = ['diface', *arguments]
    try:
        main.cli()
    except SystemExit as stop:  # as the interpreter does, without its slow end
        print(stop.code if isinstance(stop.code, str) else '')
        return 1 if isinstance(stop.code, str) else stop.code or 0
    except BaseException:
        traceback.print_exc()
        return 1

codes = []
for number, line in enumerate(json.loads(sys.argv[2])):
    child = os.fork()
    if not child:
        code = run(number, *line)
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(codes))
"""
WRONG = {
    'a missing folder': (['--config.data.root=nowhere'], 'no folder nowhere'),
    'a wrong section': (['--config.trian.x=1'], 'config.trian is no setting: did you mean train?'),
    'a wrong key': (['--config.train.bach_size=7'], 'no setting: did you mean batch_size?'),
    'an index': (['--config.data.shares[0]=1'], '--config.data.shares="(0.8, 0.1, 0.1)"'),
    'no batch': (
        ['--config.train.batch_size=0'],
        'all: config.train.batch_size must be at least 1',
    ),
    'eta above 1': (['--config.sample.eta=1.5'], 'all: config.sample.eta must be between 0 and 1'),
    'not a number': (['--config.train.num_steps=many'], '--config.train.num_steps=many'),
    'a verb': (['search'], "unexpected argument 'search': did you mean --mode=search?"),
    'a wrong mode': (['--mode=serch'], '--mode=serch: no such mode: did you mean search?'),
    'a wrong flag': (['--wrokdir=x'], "Unknown command line flag 'wrokdir'. Did you mean: workdir"),
    'no workdir': (['--workdir='], 'give --config and --workdir'),
    'no config': (['--config=celebb'], 'no config file celebb, and no config of that name: celeba'),
}


@pytest.fixture(scope='module')
def outcomes(tmp_path_factory):
    """Exit code and output of each wrong command line, and of two others."""
    logs = tmp_path_factory.mktemp('logs')
    start = ['--config=celeba', f'--workdir={logs / "work"}']
    lines = {name: ('cpu', [*start, *arguments]) for name, (arguments, _) in WRONG.items()}
    lines |= {'no GPU': ('cuda', start), 'version': ('cpu', ['--version'])}
    run = [sys.executable, '-c', EACH, str(logs), json.dumps(list(lines.values()))]
    done = subprocess.run(run, cwd=HERE, capture_output=True, text=True, check=True)
    codes = json.loads(done.stdout)
    return {
        name: (code, (logs / str(i)).read_text())
        for i, (name, code) in enumerate(zip(lines, codes, strict=True))
    }


@pytest.mark.parametrize('name', WRONG)
def test_a_wrong_command_line_is_one_clear_sentence(name, outcomes):
    code, output = outcomes[name]
    assert code == 1
    assert WRONG[name][1] in output
    assert 'Traceback' not in output
    assert len(output.strip().splitlines()) <= 2


def test_a_gpu_that_is_not_there_is_one_clear_sentence(outcomes):
    code, output = outcomes['no GPU']
    assert code == 1
    assert 'JAX has no usable device (JAX_PLATFORMS: cuda)' in output
    assert 'set JAX_PLATFORMS=cpu' in output
    assert 'Traceback' not in output


@pytest.mark.parametrize(
    ('error', 'sentence'),
    [
        (MemoryError('Unable to allocate 9 TiB'), 'all: out of memory: Unable to allocate 9 TiB'),
        (
            jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: 9 bytes\nstack'),
            'all: out of device memory: choose a smaller config.train.batch_size, config.model or '
            'config.sample.num_samples (RESOURCE_EXHAUSTED: 9 bytes)',
        ),
    ],
    ids=['host', 'device'],
)
def test_settings_too_large_for_memory_are_one_clear_sentence(error, sentence, monkeypatch):
    assert exit_code_after(error, monkeypatch) == sentence


def test_ctrl_c_has_its_own_exit_code_and_says_how_to_go_on(monkeypatch, capsys):
    assert exit_code_after(KeyboardInterrupt(), monkeypatch) == 130
    expected = 'interrupted; the same command continues from what was saved last\n'
    assert capsys.readouterr().err == expected


def exit_code_after(error, monkeypatch):
    """What the program exits with if its pipeline raises an error."""

    def run(*_):
        raise error

    monkeypatch.setattr(pipeline, 'run_pipeline', run)
    monkeypatch.setattr(
        preemption, 'install_handlers', lambda: None
    )  # this process is not only ours
    monkeypatch.setattr(logging.get_absl_logger(), 'filters', [])
    with flagsaver.flagsaver():
        flags.FLAGS(['diface', '--config=celeba', '--workdir=any', '--mode=all'])
        with pytest.raises(SystemExit) as stopped:
            main.main(['diface'])
    return stopped.value.code


def test_the_version_names_what_a_bug_report_needs(outcomes):
    code, output = outcomes['version']
    assert code == 0
    assert f'jax {jax.__version__}, Python 3.' in output
    quick = [sys.executable, '-m', 'diface_jax', '--version']
    done = subprocess.run(quick, cwd=HERE, capture_output=True, text=True, check=True, timeout=10)
    assert done.stdout.strip() == output.strip()

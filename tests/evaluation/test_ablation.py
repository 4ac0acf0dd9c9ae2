"""The ablation table: every row is measured, rows share training runs, a failure is a row."""

import dataclasses
import json

import numpy as np
import pytest

from configs import celeba
from diface_jax.evaluation import ablation
from diface_jax.models.features import unit_rows
from diface_jax.runtime import run_state
from diface_jax.training import loaded_model
from tests import population, tiny

NAMES = ('diface', 'K = 1', 'likelihood ratio', 'no R')


@pytest.fixture(scope='module')
def data():
    return population.prepared()


@pytest.fixture(scope='module')
def table_folder(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp('ablation')
    with pytest.MonkeyPatch.context() as patch:
        chosen = tuple(v for v in ablation.VARIANTS if v.name in NAMES)
        patch.setattr(ablation, 'VARIANTS', chosen)
        ablation.ablate(tiny.config(), data, folder / 'runs', folder / 'ablation.json')
        yield folder


def rows_of(folder):
    return json.loads((folder / 'ablation.json').read_text())['rows']


def test_every_variant_changes_existing_settings():
    names = [variant.name for variant in ablation.VARIANTS]
    assert len(names) == len(set(names))
    for variant in ablation.VARIANTS:
        changed = ablation.training_config(celeba.get_config(), variant).to_dict()
        base = ablation.training_config(celeba.get_config(), ablation.VARIANTS[0]).to_dict()
        assert len(run_state.settings_differences(base, changed)) == len(variant.training)


def test_a_row_has_its_numbers(table_folder):
    for row in rows_of(table_folder):
        assert row['failed'] is None
        metrics = {r['metric'] for r in row['results']}
        assert {'accuracy', 'auc'} <= metrics
        assert ('rank@10' in metrics) == (row['name'] != 'likelihood ratio')
        assert {r['method'] for r in row['results']} == {row['name']}


def test_rows_that_differ_in_sampling_share_a_training(table_folder):
    assert {path.name for path in (table_folder / 'runs').iterdir()} == {'diface', 'no_R'}


def test_without_its_loss_R_stays_the_identity(table_folder, data):
    model = loaded_model.load_best_checkpoint(table_folder / 'runs' / 'no_R')
    x0 = model.normalise(data.splits['test'].embedding_NxD)
    f = np.asarray(model.model.refine(model.params, x0))
    np.testing.assert_allclose(f, unit_rows(x0), atol=1e-5)


def test_it_is_resumed_and_a_failed_training_is_a_row(table_folder, data, monkeypatch, tmp_path):
    content = json.loads((table_folder / 'ablation.json').read_text())
    content['rows'] = content['rows'][:1]
    run_state.write_json(tmp_path / 'ablation.json', content)

    def breaks_down(*_):
        raise FloatingPointError('the loss is nan')

    monkeypatch.setattr(ablation, 'train', breaks_down)
    ablation.ablate(tiny.config(), data, tmp_path / 'runs', tmp_path / 'ablation.json')
    first, *rest = rows_of(tmp_path)
    assert first == rows_of(table_folder)[0]
    assert [row['failed'] for row in rest] == ['the loss is nan'] * 3
    assert [row['results'] for row in rest] == [[]] * 3


def test_narrowed_data_has_other_settings(data):
    widths = [{'name': 'a', 'width': 10}, {'name': 'b', 'width': 6}]
    encoders = {'face': widths, 'text': {'name': 'made up', 'width': 24, 'pools': 6}}
    full = dataclasses.replace(data, card=data.card | {'encoders': encoders})
    narrow = ablation.with_sentence_vectors(ablation.with_first_face_encoder(full))
    split, before = narrow.splits['test'], full.splits['test']
    np.testing.assert_array_equal(split.embedding_NxD, before.embedding_NxD[:, :10])
    np.testing.assert_array_equal(split.c_TxC, before.c_TxC[:, 8:12])
    assert narrow.widths == (10,)
    assert narrow.card['settings'] != full.card['settings']
    assert ablation.with_sentence_vectors(narrow) is narrow


def test_two_data_sets_and_a_pack_are_refused_before_anything_is_trained(data, tmp_path):
    card = data.card | {'settings': data.card['settings'] | {'second_data': {}}}
    both = dataclasses.replace(data, card=card)
    with pytest.raises(ValueError, match=r'leave config\.second_data out'):
        ablation.ablate(tiny.config(), both, tmp_path / 'runs', tmp_path / 'ablation.json')
    config = tiny.config()
    config.train.init_from = 'pack'
    with pytest.raises(ValueError, match=r'leave out train\.init_from'):
        ablation.ablate(config, data, tmp_path / 'runs', tmp_path / 'ablation.json')
    assert not list(tmp_path.iterdir())


class Killed(BaseException):
    """The end of a process."""


@pytest.fixture
def killed_before_its_first_row(data, monkeypatch, tmp_path):
    """A workdir whose first training left a checkpoint of `ablate.num_steps` = 4."""

    def killed(config, _, folder):
        folder.mkdir(parents=True)
        (folder / 'steps').write_text(str(config.train.num_steps))
        raise Killed

    monkeypatch.setattr(ablation, 'train', killed)
    with pytest.raises(Killed):
        ablation.ablate(tiny.config(), data, tmp_path / 'runs', tmp_path / 'ablation.json')
    return tmp_path


def longer():
    config = tiny.config()
    config.ablate.num_steps = 6
    return config


def test_more_steps_do_not_train_a_killed_first_row_on(data, killed_before_its_first_row):
    folder = killed_before_its_first_row
    with pytest.raises(run_state.SettingsDifferError, match=r'ablate\.num_steps: 4 -> 6') as error:
        ablation.ablate(longer(), data, folder / 'runs', folder / 'ablation.json')
    assert error.value.overwrite_helps
    assert (folder / 'runs' / 'diface' / 'steps').read_text() == '4'
    with pytest.raises(Killed):
        ablation.ablate(longer(), data, folder / 'runs', folder / 'ablation.json', overwrite=True)
    # The new runs start in a folder of their own.
    assert (folder / 'runs' / 'diface' / 'steps').read_text() == '4'
    assert (folder / 'runs.new' / 'diface' / 'steps').read_text() == '6'


def test_runs_without_a_table_are_never_trained_on(data, killed_before_its_first_row):
    folder = killed_before_its_first_row
    (folder / 'ablation.json').unlink()
    with pytest.raises(run_state.SettingsDifferError, match='unknown settings'):
        ablation.ablate(longer(), data, folder / 'runs', folder / 'ablation.json')
    assert (folder / 'runs' / 'diface' / 'steps').read_text() == '4'
    with pytest.raises(Killed):
        ablation.ablate(longer(), data, folder / 'runs', folder / 'ablation.json', overwrite=True)
    assert (folder / 'runs' / 'diface' / 'steps').read_text() == '6'

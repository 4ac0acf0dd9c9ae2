"""The ablation table: every row can be made, rows share what they may, a failure is a row."""

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
def made(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp('ablation')
    with pytest.MonkeyPatch.context() as patch:
        chosen = tuple(v for v in ablation.VARIANTS if v.name in NAMES)
        patch.setattr(ablation, 'VARIANTS', chosen)
        ablation.ablate(tiny.config(), data, folder / 'runs', folder / 'ablation.json')
        yield folder


def rows_of(folder):
    return json.loads((folder / 'ablation.json').read_text())['rows']


def test_every_variant_changes_settings_that_there_are():
    names = [variant.name for variant in ablation.VARIANTS]
    assert len(names) == len(set(names))
    for variant in ablation.VARIANTS:
        changed = ablation.training_config(celeba.get_config(), variant).to_dict()
        base = ablation.training_config(celeba.get_config(), ablation.VARIANTS[0]).to_dict()
        assert len(run_state.settings_differences(base, changed)) == len(variant.training)


def test_a_row_has_its_numbers(made):
    for row in rows_of(made):
        assert row['failed'] is None
        metrics = {r['metric'] for r in row['results']}
        assert {'accuracy', 'auc'} <= metrics
        assert ('rank@10' in metrics) == (row['name'] != 'likelihood ratio')
        assert {r['method'] for r in row['results']} == {row['name']}


def test_rows_that_differ_in_sampling_share_a_training(made):
    assert {path.name for path in (made / 'runs').iterdir()} == {'diface', 'no_R'}


def test_without_its_loss_R_stays_the_identity(made, data):
    model = loaded_model.load_best_checkpoint(made / 'runs' / 'no_R')
    x0 = model.normalise(data.splits['test'].embedding_NxD)
    f = np.asarray(model.model.refine(model.params, x0))
    np.testing.assert_allclose(f, unit_rows(x0), atol=1e-5)


def test_it_goes_on_and_a_failed_training_is_a_row(made, data, monkeypatch, tmp_path):
    content = json.loads((made / 'ablation.json').read_text())
    content['rows'] = content['rows'][:1]
    run_state.write_json(tmp_path / 'ablation.json', content)

    def breaks_down(*_):
        raise FloatingPointError('the loss is nan')

    monkeypatch.setattr(ablation, 'train', breaks_down)
    ablation.ablate(tiny.config(), data, tmp_path / 'runs', tmp_path / 'ablation.json')
    first, *rest = rows_of(tmp_path)
    assert first == rows_of(made)[0]
    assert [row['failed'] for row in rest] == ['the loss is nan'] * 3
    assert [row['results'] for row in rest] == [[]] * 3


def test_what_is_narrowed_says_so(data):
    widths = [{'name': 'a', 'width': 10}, {'name': 'b', 'width': 6}]
    encoders = {'face': widths, 'text': {'name': 'made up', 'width': 24, 'pools': 6}}
    whole = dataclasses.replace(data, card=data.card | {'encoders': encoders})
    narrow = ablation.sentence_vector(ablation.first_encoder(whole))
    split, before = narrow.splits['test'], whole.splits['test']
    np.testing.assert_array_equal(split.embedding_NxD, before.embedding_NxD[:, :10])
    np.testing.assert_array_equal(split.c_TxC, before.c_TxC[:, 8:12])
    assert narrow.widths == (10,)
    assert narrow.card['settings'] != whole.card['settings']
    assert ablation.sentence_vector(narrow) is narrow


def test_two_data_sets_are_refused_before_anything_is_trained(data, tmp_path):
    card = data.card | {'settings': data.card['settings'] | {'second_data': {}}}
    both = dataclasses.replace(data, card=card)
    with pytest.raises(ValueError, match=r'leave config\.second_data out'):
        ablation.ablate(tiny.config(), both, tmp_path / 'runs', tmp_path / 'ablation.json')
    assert not list(tmp_path.iterdir())

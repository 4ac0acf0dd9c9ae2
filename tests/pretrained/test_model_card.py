"""The card says what was measured, for whom, and nothing of other models."""

import json

import pytest

from diface_jax.pretrained import model_card
from diface_jax.runtime import run_state

DESCRIPTION = {
    'name': 'own people',
    'step': 1200,
    'settings': {'train': {'init_from': {'name': 'celeba_lfw'}}},
    'trained_on': [
        {
            'name': 'celeba',
            'splits': {
                'train': {
                    'photos': 11414,
                    'identities': 4402,
                    'grammar sentences': 57070,
                    'human sentences': 2927,
                },
                'test': {
                    'photos': 0,
                    'identities': 0,
                    'grammar sentences': 0,
                    'human sentences': 0,
                },
            },
        }
    ],
    'terms': 'as the terms of its own training photographs allow',
    'weights_sha256': 'ab' * 32,
    'parity': 'scores differ by nothing',
    'encoders': {
        'face': [{'name': 'onnx:recogniser.onnx', 'sha256': 'cd' * 32}],
        'text': {'name': 'MiniLM', 'sha256': 'ef' * 32},
    },
    'licences': {'onnx:recogniser.onnx': 'CC-BY-NC-4.0, accepted by the user'},
}


def row(metric, value, **where):
    condition = {'track': 'human', 'protocol': 'same', 'impostors': 'random', 'method': 'diface'}
    place = {'gallery': None, 'photos': None, 'level': None}
    ci95 = [value - 0.01, value + 0.01]
    return {**condition, **place, 'metric': metric, 'value': value, 'ci95': ci95, **where}


def evaluation(test_people='lfw', seed=0, step=1200):
    people = {'gallery': 520, 'photos': 'one', 'level': 'identity'}
    group = {'group': 'not Young', 'texts': 77}
    return {
        'settings': {'training': {'seed': seed, 'sample': {}}, 'step': step},
        'data_card': {
            'name': test_people,
            'splits': {'test': {'photos': 1511, 'identities': 520}},
        },
        'thresholds': {'from': 'celeba'},
        'results': [
            row('accuracy', 0.912),
            row('auc', 0.971),
            row('accuracy', 0.5, method='towers'),
            row('rank@10', 0.612, **people),
            row('rank@10', 0.99, **(people | {'gallery': 100})),
            row('rank@10', 0.98, **(people | {'photos': 'all'})),
        ],
        'groups': {
            'rows': [row(name, 0.2, **group) for name in ('accuracy', 'far', 'frr')],
            'largest_gap': {'sentence': 'The false reject rate is 9 points higher for not Young'},
        },
    }


def test_it_has_data_results_groups_and_terms():
    card = model_card.render_card(DESCRIPTION, 14_200_000, [evaluation(), evaluation('celeba')])
    assert '| celeba | train | 11,414 | 4,402 | 57,070 | 2,927 |' in card
    assert '| celeba | test |' not in card
    assert 'Training started from the pack celeba_lfw' in card
    assert '### Test people of lfw' in card
    assert '### Test people of celeba' in card
    assert 'R@1 of 520 | R@10 of 520' in card
    assert (
        '| free-hand sentences | same | 91.2 (90.2–92.2) | 97.1 (96.1–98.1) | – | – '
        '| 61.2 (60.2–62.2) |'
    ) in card
    assert '| free-hand sentences | same | not Young | 77 | 20.0 (19.0–21.0) |' in card
    assert 'The largest gap: The false reject rate is 9 points higher for not Young.' in card
    assert 'own people may be used as the terms of its own training photographs allow.' in card
    assert '14.2 MB' in card
    assert f'| onnx:recogniser.onnx | CC-BY-NC-4.0, accepted by the user | `{"cd" * 32}` |' in card
    assert f'| MiniLM | – | `{"ef" * 32}` |' in card
    assert '50.0' not in card


def test_adapters_of_the_text_encoder_are_named_beside_its_weights():
    text = {**DESCRIPTION['encoders']['text'], 'frozen_sha256': '12' * 32}
    encoders = {**DESCRIPTION['encoders'], 'text': text}
    card = model_card.render_card({**DESCRIPTION, 'encoders': encoders}, 1, [])
    assert f'The hash of MiniLM is that of its weights (`{"12" * 32}`) and of\nadapters' in card
    assert 'adapters' not in model_card.render_card(DESCRIPTION, 1, [])


def test_a_model_without_an_evaluation_says_so():
    card = model_card.render_card(DESCRIPTION, 1, [])
    assert 'It has not been evaluated: run `--mode=evaluate`' in card


@pytest.mark.parametrize('other', [{'seed': 1}, {'step': 1000}])
def test_results_of_another_model_are_left_out(tmp_path, caplog, other):
    run_state.write_json(tmp_path / 'evaluation.json', evaluation())
    run_state.write_json(tmp_path / 'evaluation_lfw-01234567.json', evaluation(**other))
    training = {'seed': 0, 'sample': {'num_steps': 1}}
    (kept,) = model_card.read_evaluations(tmp_path, training, 1200)
    assert kept == json.loads((tmp_path / 'evaluation.json').read_text())
    assert 'evaluation_lfw-01234567.json is of another model' in caplog.text

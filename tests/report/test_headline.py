"""The headline says who won, and by the interval of the difference how surely."""

import pytest

from diface_jax.report.headline import headline
from tests.report.made_up import card


def row(method, value, metric='auc', half=0.01, **more):
    return {
        'method': method,
        'track': 'grammar-100',
        'protocol': 'cross',
        'impostors': 'random',
        'metric': metric,
        'gallery': None,
        'photos': None,
        'level': None,
        'value': value,
        'ci95': [value - half, value + half],
        **more,
    }


def said(*rows, half=0.02):
    results = [row('diface', 0.81, 'accuracy'), row('diface', 0.88), *rows]
    differences = [
        row(other['method'], 0.88 - other['value'], half=half)
        for other in rows
        if other['metric'] == 'auc'
    ]
    return headline({'results': results, 'differences': differences, 'data_card': card()})


@pytest.mark.parametrize(
    ('baseline', 'where', 'sure'),
    [
        (0.80, 'ahead, by +8.0 (+6.0 to +10.0)', 'more than chance explains'),
        (0.87, 'ahead, by +1.0 (-1.0 to +3.0)', 'which may be chance'),
        (0.89, 'behind, by -1.0 (-3.0 to +1.0)', 'which may be chance'),
        (0.95, 'behind, by -7.0 (-9.0 to -5.0)', 'more than chance explains'),
    ],
)
def test_won_or_lost(baseline, where, sure):
    found = said(row('cca', baseline), row('ridge', 0.6))
    ((about, finding),) = found.findings
    assert about == 'Sentences of the grammar, 100% said, cross (another photo of the person)'
    assert 'decides 81.0% (80.0–82.0) of the pairs correctly' in finding
    assert f'baseline is CCA, AUC {100 * baseline:.1f}%' in finding
    assert f'DiFace is {where} points, {sure}.' in finding
    assert ('in 1 of 1' if 'ahead' in where else 'in none of 1') in found.verdict
    assert ('0 in 1 of 1' if 'more' in sure else '0 in none of 1') in found.verdict


def test_the_oracle_is_a_bound_and_no_baseline():
    finding = said(row('cca', 0.8), row('oracle', 0.99)).findings[0][1]
    assert 'best baseline is CCA' in finding
    assert 'oracle, which knows the true labels of both photos: 99.0%' in finding


def test_nothing_is_claimed_without_a_baseline():
    found = said(row('oracle', 0.99))
    assert found.verdict == 'No baseline was measured.'
    assert 'baseline' not in found.findings[0][1]


def test_what_was_measured_is_counted():
    assert said(row('cca', 0.8)).data.startswith('Measured on 1,635 photographs of 550 people')


def test_ranks_are_those_of_the_largest_gallery():
    where = {'metric': 'rank@10', 'photos': 'one', 'level': 'identity'}
    ranks = [row('diface', 0.5, **where, gallery=100), row('diface', 0.2, **where, gallery=550)]
    about, finding = said(row('cca', 0.8), *ranks).findings[-1]
    assert 'among 550 people' in about
    assert '20.0% (19.0–21.0)' in finding

"""The headline says who won, and by the intervals how surely."""

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


def said(*rows):
    results = [row('diface', 0.81, 'accuracy'), row('diface', 0.88), *rows]
    return headline({'results': results, 'data_card': card()})


@pytest.mark.parametrize(
    ('baseline', 'where', 'sure'),
    [
        (0.80, 'ahead', 'and the intervals are apart'),
        (0.87, 'ahead', 'but the intervals overlap'),
        (0.89, 'behind', 'but the intervals overlap'),
        (0.95, 'behind', 'and the intervals are apart'),
    ],
)
def test_won_or_lost(baseline, where, sure):
    found = said(row('cca', baseline), row('ridge', 0.6))
    ((about, finding),) = found.findings
    assert about == 'Sentences of the grammar, 100% said, cross (another photo of the person)'
    assert 'right about 81.0% (80.0–82.0)' in finding
    assert f'baseline is CCA, AUC {100 * baseline:.1f}%' in finding
    assert f'DiFace is {where}, {sure}.' in finding
    assert ('in 1 of 1' if where == 'ahead' else 'in none of 1') in found.verdict
    assert ('apart in 1 of 1' if 'and' in sure else 'apart in none of 1') in found.verdict


def test_the_oracle_is_a_bound_and_no_baseline():
    finding = said(row('cca', 0.8), row('oracle', 0.99)).findings[0][1]
    assert 'best baseline is CCA' in finding
    assert '(oracle): 99.0%' in finding


def test_nothing_is_claimed_without_a_baseline():
    found = said(row('oracle', 0.99))
    assert found.verdict == 'No baseline was measured beside it.'
    assert 'baseline' not in found.findings[0][1]


def test_what_was_measured_is_counted():
    assert said(row('cca', 0.8)).data.startswith('Measured on 1,635 photographs of 550 people')


def test_ranks_are_those_of_the_largest_gallery():
    where = {'metric': 'rank@10', 'photos': 'one', 'level': 'identity'}
    ranks = [row('diface', 0.5, **where, gallery=100), row('diface', 0.2, **where, gallery=550)]
    about, finding = said(row('cca', 0.8), *ranks).findings[-1]
    assert 'among 550 people' in about
    assert '20.0% (19.0–21.0)' in finding

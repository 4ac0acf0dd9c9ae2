"""The headline states whether DiFace beats the best baseline, and whether the lead is clear."""

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


def headline_of(*rows, half=0.02):
    results = [row('diface', 0.81, 'accuracy'), row('diface', 0.88), *rows]
    differences = [
        row(baseline['method'], 0.88 - baseline['value'], half=half)
        for baseline in rows
        if baseline['metric'] == 'auc'
    ]
    return headline({'results': results, 'differences': differences, 'data_card': card()})


@pytest.mark.parametrize(
    ('baseline', 'lead', 'certainty'),
    [
        (0.80, 'ahead (+8.0 points, 95% interval +6.0 to +10.0)', 'more than chance explains'),
        (0.87, 'ahead (+1.0 points, 95% interval -1.0 to +3.0)', 'which may be chance'),
        (0.89, 'behind (-1.0 points, 95% interval -3.0 to +1.0)', 'which may be chance'),
        (0.95, 'behind (-7.0 points, 95% interval -9.0 to -5.0)', 'more than chance explains'),
    ],
)
def test_the_best_baseline_is_compared(baseline, lead, certainty):
    summary = headline_of(row('cca', baseline), row('ridge', 0.6))
    ((subject, finding),) = summary.findings
    assert subject == 'Sentences of the grammar, 100% coverage, cross (another photo of the person)'
    assert 'decides 81.0% (80.0–82.0) of the pairs correctly' in finding
    assert f'best baseline, CCA, has an AUC of {100 * baseline:.1f}%' in finding
    assert f'DiFace is {lead}, {certainty}.' in finding
    assert f'best baseline in {"1" if "ahead" in lead else "none"} of 1' in summary.verdict
    assert f'excludes 0 in {"1" if "more" in certainty else "none"} of 1' in summary.verdict


def test_the_oracle_is_a_bound_and_no_baseline():
    finding = headline_of(row('cca', 0.8), row('oracle', 0.99)).findings[0][1]
    assert 'best baseline, CCA,' in finding
    assert 'oracle, which knows the true labels of both photos, has an AUC of 99.0%' in finding


def test_nothing_is_claimed_without_a_baseline():
    summary = headline_of(row('oracle', 0.99))
    assert summary.verdict == 'No baseline was measured.'
    assert 'baseline' not in summary.findings[0][1]


def test_the_photographs_and_people_are_counted():
    assert headline_of(row('cca', 0.8)).data.startswith(
        'Measured on 1,635 photographs of 550 people'
    )


def test_ranks_are_those_of_the_largest_gallery():
    kind = {'metric': 'rank@10', 'photos': 'one', 'level': 'identity'}
    ranks = [row('diface', 0.5, **kind, gallery=100), row('diface', 0.2, **kind, gallery=550)]
    subject, finding = headline_of(row('cca', 0.8), *ranks).findings[-1]
    assert 'among 550 people' in subject
    assert '20.0% (19.0–21.0)' in finding

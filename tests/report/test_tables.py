"""Tables state what failed, what differs and what was left out."""

import math

import numpy as np
import pytest

from diface_jax.report import data_card_tables, labels, tables
from tests.report import made_up


def test_an_ablation_row_that_failed_says_why():
    table = tables.ablation_table(made_up.ablation(np.random.default_rng(0), ['full']))
    (_, full), (name, failed) = table.groups[0].lines
    assert name == 'likelihood'
    assert ('failed', 'a loss that is not finite') in [cell[:2] for cell in failed]
    assert not any(cell.kind == 'share' for cell in failed)
    assert sum(cell.kind == 'share' for cell in full) == 4


def test_only_labels_that_differ_are_listed():
    table = tables.differing_labels(
        {'labels': {'Male': [1, 1], 'Big_Nose': [1, 0], 'Bald': [0, -1]}}
    )
    lines = [(name, *(cell.text for cell in cells)) for name, cells in table.groups[0].lines]
    assert lines == [('Big Nose', 'yes', 'no'), ('Bald', 'no', 'unknown')]


def test_the_largest_gallery_is_first():
    rows = made_up.rows(np.random.default_rng(0), ['diface'], ['human'], galleries=(100, 1000, 550))
    table = tables.identification_tables(rows, 'human')[0]
    assert [group.heading.split(' ')[0] for group in table.groups[::3]] == ['1,000', '550', '100']
    assert (table.first.groups, table.rest.groups) == (table.groups[:1], table.groups[1:])


def lead(method, value, protocol='cross', metric='auc', **more):
    return {
        'method': method,
        'track': 'human',
        'protocol': protocol,
        'impostors': 'random',
        'metric': metric,
        'value': value,
        'ci95': [value - 0.01, value + 0.01],
        **more,
    }


def test_differences_are_to_baselines_that_are_strongest_somewhere():
    rows = [
        lead('towers', 0.003),
        lead('cca', 0.02),
        lead('ridge', 0.1),
        lead('oracle', -0.2),
        lead('towers', -0.0151, 'same'),
        lead('cca', 0.0, 'same'),
        lead('ridge', 0.5, 'same', 'accuracy'),
        lead('cca', -0.02, impostors='same_gender'),
        lead('towers', 0.0, track='grammar-100'),
    ]
    table = tables.difference_table(rows)
    assert table.columns == ['cross: AUC', 'same: AUC', 'cross: AUC, same gender']
    human, grammar = table.groups
    assert human.heading == 'free-hand sentences'
    cells = {name: [cell.text for cell in line] for name, line in human.lines}
    assert cells == {
        'two towers, no diffusion': ['+0.3', '-1.5', '–'],
        'CCA': ['+2.0', '+0.0', '-2.0'],
    }
    assert human.lines[0][1][1].below == '-2.5 to -0.5'
    assert len(grammar.lines) == 1


def test_a_system_that_was_added_is_compared_however_poor_it_is():
    rows = [lead('towers', 0.003), lead('ridge', 0.1), lead('mine', 0.3)]
    (group,) = tables.difference_table(rows, {'mine': {}}).groups
    assert [name for name, _ in group.lines] == ['two towers, no diffusion', 'mine']


def test_with_nothing_but_a_bound_beside_it_there_is_no_difference():
    assert tables.difference_table([lead('oracle', 0.1)]).groups == []


def test_photos_left_out_are_counted_by_reason():
    left_out, problems, notes = data_card_tables.problem_counts(made_up.card()).groups
    assert [(why, cell.text) for why, (cell,) in left_out.lines] == [('no face', '1')]
    assert [why for why, _ in problems.lines] == ['none']
    assert [(why, cell.text) for why, (cell,) in notes.lines] == [('a faint face', '2')]


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('auc', 'AUC'),
        ('tar@far=0.001', 'TAR at FAR 0.1%'),
        ('rank@10', 'rank 10'),
        ('recall@5', 'R@5'),
        ('penetration@0.9', 'penetration for 90%'),
        ('dir@fpir=0.01,rank=10', 'DIR at FPIR 1%, rank 10'),
    ],
)
def test_metrics_have_names_to_read(name, text):
    assert labels.metric_name(name) == text


def test_what_is_no_number_is_a_dash():
    assert labels.points_text(math.nan) == '–'
    assert labels.points_text(-0.0001) == '+0.0'
    assert labels.percent(math.nan) == labels.number_text(None) == '–'

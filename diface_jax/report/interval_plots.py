"""Interval plots: attributes, groups of people, the ablation table."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from diface_jax.report import labels
from diface_jax.report.figures import Plot, with_interval
from diface_jax.report.style import line_styles, percent_tick
from diface_jax.report.tables import ablation_results

Row = Mapping[str, Any]
Content = Mapping[str, Any]


def attribute_plots(content: Content) -> list[Plot]:
    """Drop of the score when an attribute is left out, or wrong."""
    rows = sorted(content['attributes'] or (), key=lambda row: -row['drop_in_sd'])
    if not rows:
        return []
    kinds = {'unsaid': 'left unsaid', 'wrong': 'said wrongly'}
    return [
        Plot(
            'attributes',
            'Fall of the score by attribute',
            'In standard deviations of impostor scores, with 95% intervals: how far the score of '
            'the right person falls when the sentence leaves an attribute unsaid or says its '
            'opposite. The attributes that count most are on top.',
            [
                {
                    **with_interval(row, ['attribute', 'change', 'drop_in_sd']),
                    'attribute': row['attribute'].replace('_', ' '),
                    'change': kinds[row['change']],
                }
                for row in rows
            ],
            functools.partial(
                _draw,
                name='attribute',
                series='change',
                value='drop_in_sd',
                label='fall of the score, in standard deviations',
            ),
            height=_height(rows, 'attribute'),
        )
    ]


def group_plots(content: Content) -> list[Plot]:
    """Rates of both errors by group of people, a figure a track and protocol."""
    rows = [row for row in (content['groups'] or {}).get('rows', ()) if row['metric'] in _ERRORS]
    plots = []
    for track, protocol in dict.fromkeys((row['track'], row['protocol']) for row in rows):
        some = [row for row in rows if (row['track'], row['protocol']) == (track, protocol)]
        plots.append(
            Plot(
                f'groups_{track}_{protocol}',
                f'Errors by group: {labels.track_name(track)}, {protocol}',
                'Rates of both errors at the one threshold from validation, 95% intervals; lower '
                'is better, and they should be the same for all groups.',
                [
                    {
                        'group': row['group'].replace('_', ' '),
                        'error': labels.metric_name(row['metric']),
                        **with_interval(row, ['value']),
                    }
                    for row in some
                ],
                functools.partial(
                    _draw,
                    name='group',
                    series='error',
                    value='value',
                    label='error rate',
                    is_share=True,
                ),
                height=_height(some, 'group'),
                is_main=track == rows[0]['track'],
            )
        )
    return plots


_ERRORS = ('far', 'frr')


def ablation_plot(content: Content) -> list[Plot]:
    """AUC and accuracy of each row of the ablation."""
    rows = (content['ablation'] or {}).get('rows', ())
    return [
        Plot(
            f'ablation_{metric}',
            f'Ablation: {labels.metric_name(metric)}',
            'One change a row, 95% intervals, random impostors. A row that failed has no dot.',
            [dot for row in rows for dot in _ablation_dots(row, metric)],
            functools.partial(
                _draw,
                name='row',
                series='protocol',
                value='value',
                label=labels.metric_name(metric),
                is_share=True,
            ),
            height=_height(rows, 'name'),
        )
        for metric in ('auc', 'accuracy')
        if not all(row['failed'] for row in rows)
    ]


def _ablation_dots(row: Row, metric: str) -> list[Row]:
    if row['failed']:
        nothing = dict.fromkeys(('protocol', 'value', 'low', 'high'))
        return [{'row': f'{row["name"]} (failed)', **nothing}]
    return [
        {'row': row['name'], **with_interval(found, ['protocol', 'value'])}
        for found in ablation_results(row)
        if found['metric'] == metric
    ]


def _height(rows: Sequence[Row], name: str) -> float:
    """Inches for a line a name, and for title, axis and legend."""
    return 1.3 + 0.25 * len({row[name] for row in rows})


def _draw(
    ax: Axes,
    rows: Sequence[Row],
    name: str,
    series: str,
    value: str,
    label: str,
    is_share: bool = False,
) -> None:
    """A line a name, the first on top, and on it a dot a series."""
    lines = list(dict.fromkeys(row[name] for row in rows))
    kinds = line_styles(dict.fromkeys(row[series] for row in rows if row[series] is not None))
    for i, (kind, look) in enumerate(kinds.items()):
        some = [row for row in rows if row[series] == kind]
        at, low, high = (np.array([row[key] for row in some]) for key in (value, 'low', 'high'))
        ax.errorbar(
            at,
            [lines.index(row[name]) + 0.24 * (i - (len(kinds) - 1) / 2) for row in some],
            xerr=np.stack([at - low, high - at]).clip(0),
            color=look.colour,
            marker=look.marker,
            markersize=4.5,
            linestyle='none',
            label=kind,
        )
    ax.set_yticks(range(len(lines)), map(_fitting, lines))
    ax.set(ylim=(len(lines) - 0.4, -0.6), xlabel=label)
    if is_share:
        ax.xaxis.set_major_formatter(percent_tick)
    ax.figure.legend(loc='outside lower center', ncols=4)


def _fitting(name: str) -> str:
    """A name no longer than leaves room for the dots."""
    return name if len(name) <= 30 else f'{name[:29]}…'

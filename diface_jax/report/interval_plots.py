"""Interval plots: attributes, groups of people, the ablation table."""

import functools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from diface_jax.report import labels
from diface_jax.report.content import Content, Row
from diface_jax.report.figures import Plot, with_interval
from diface_jax.report.style import line_styles, percent_tick
from diface_jax.report.tables import ablation_results

_ERROR_RATES = ('far', 'frr')


def attribute_plots(content: Content) -> list[Plot]:
    """The drop of the score when an attribute is left out or wrong; at most one figure."""
    rows = sorted(content['attributes'] or (), key=lambda row: -row['drop_in_sd'])
    if not rows:
        return []
    return [
        Plot(
            'attributes',
            'Drop of the score by attribute',
            'How far the score of the correct photo drops when the sentence leaves an attribute '
            'out or states its opposite. In standard deviations of impostor scores, with 95% '
            'intervals; the largest drops come first.',
            [
                {
                    **with_interval(row, ['attribute', 'change', 'drop_in_sd']),
                    'attribute': row['attribute'].replace('_', ' '),
                    'change': labels.change_name(row['change']),
                }
                for row in rows
            ],
            functools.partial(
                _draw_intervals,
                name='attribute',
                series='change',
                value='drop_in_sd',
                label='drop of the score, in standard deviations',
            ),
            height=_height(rows, 'attribute'),
        )
    ]


def group_plots(content: Content) -> list[Plot]:
    """Both error rates by group of people; a figure for each track and protocol."""
    rows = [
        row for row in (content['groups'] or {}).get('rows', ()) if row['metric'] in _ERROR_RATES
    ]
    plots = []
    for track, protocol in dict.fromkeys((row['track'], row['protocol']) for row in rows):
        chosen = [row for row in rows if (row['track'], row['protocol']) == (track, protocol)]
        plots.append(
            Plot(
                f'groups_{track}_{protocol}',
                f'Error rates by group: {labels.track_name(track)}, {protocol}',
                'Both error rates at the common threshold from validation, with 95% intervals. '
                'Lower is better; in a fair system all groups have the same rates.',
                [
                    {
                        'group': row['group'].replace('_', ' '),
                        'error': labels.metric_name(row['metric']),
                        **with_interval(row, ['value']),
                    }
                    for row in chosen
                ],
                functools.partial(
                    _draw_intervals,
                    name='group',
                    series='error',
                    value='value',
                    label='error rate',
                    is_share=True,
                ),
                height=_height(chosen, 'group'),
                is_main=track == rows[0]['track'],
            )
        )
    return plots


def ablation_plots(content: Content) -> list[Plot]:
    """AUC and accuracy of each variant of the ablation; a figure for each metric."""
    rows = (content['ablation'] or {}).get('rows', ())
    return [
        Plot(
            f'ablation_{metric}',
            f'Ablation: {labels.metric_name(metric)}',
            'Each row changes one thing. Random impostors, 95% intervals; a failed row has no dot.',
            [dot for row in rows for dot in _ablation_dots(row, metric)],
            functools.partial(
                _draw_intervals,
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
        no_numbers = dict.fromkeys(('protocol', 'value', 'low', 'high'))
        return [{'row': f'{row["name"]} (failed)', **no_numbers}]
    return [
        {'row': row['name'], **with_interval(result, ['protocol', 'value'])}
        for result in ablation_results(row)
        if result['metric'] == metric
    ]


def _height(rows: Sequence[Row], name: str) -> float:
    """Inches for a line for each name, plus title, axis and legend."""
    return 1.3 + 0.25 * len({row[name] for row in rows})


def _draw_intervals(
    ax: Axes,
    rows: Sequence[Row],
    name: str,
    series: str,
    value: str,
    label: str,
    is_share: bool = False,
) -> None:
    """A line for each name, the first on top, with a dot and its interval for each series."""
    names = list(dict.fromkeys(row[name] for row in rows))
    styles = line_styles(dict.fromkeys(row[series] for row in rows if row[series] is not None))
    for i, (kind, style) in enumerate(styles.items()):
        dots = [row for row in rows if row[series] == kind]
        centre, low, high = (np.array([row[key] for row in dots]) for key in (value, 'low', 'high'))
        ax.errorbar(
            centre,
            [names.index(row[name]) + 0.24 * (i - (len(styles) - 1) / 2) for row in dots],
            xerr=np.stack([centre - low, high - centre]).clip(0),
            color=style.colour,
            marker=style.marker,
            markersize=4.5,
            linestyle='none',
            label=kind,
        )
    ax.set_yticks(range(len(names)), map(_shortened, names))
    ax.set(ylim=(len(names) - 0.4, -0.6), xlabel=label)
    if is_share:
        ax.xaxis.set_major_formatter(percent_tick)
    ax.figure.legend(loc='outside lower center', ncols=4)


def _shortened(name: str) -> str:
    """A name of at most 30 characters, to leave room for the dots."""
    return name if len(name) <= 30 else f'{name[:29]}…'

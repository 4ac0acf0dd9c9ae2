"""Line plots: results by the share of attributes said, by sampling, and along the DDIM path."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from diface_jax.report import labels
from diface_jax.report.figures import INK, Plot, with_interval
from diface_jax.report.style import LineStyle, draw_lines, line_styles, method_styles, percent_tick

Row = Mapping[str, Any]
Content = Mapping[str, Any]


def coverage_plots(content: Content) -> list[Plot]:
    """Accuracy and AUC against the share of attributes said, and on free-hand sentences."""
    tracks = sorted(
        dict.fromkeys(row['track'] for row in content['results']),
        key=lambda track: (track == 'human', float(track.partition('-')[2] or 0)),
    )
    if len(tracks) < 2:
        return []
    return [
        Plot(
            f'said_{metric}_{protocol}',
            f'By what is said: {labels.metric_name(metric)}, {protocol}',
            f'{labels.protocol_name(protocol).capitalize()}, random impostors, 95% intervals. '
            f'Lines join '
            "the grammar's sentences at shares of the attributes that may be said.",
            rows,
            functools.partial(_draw_said, looks=method_styles(content), tracks=tracks),
        )
        for metric in ('accuracy', 'auc')
        for protocol in ('cross', 'same')
        if (rows := _said_rows(content['results'], metric, protocol))
    ]


def _said_rows(results: Sequence[Row], metric: str, protocol: str) -> list[Row]:
    return [
        with_interval(row, ['method', 'track', 'value'])
        for row in results
        if (row['metric'], row['protocol'], row['impostors']) == (metric, protocol, 'random')
    ]


def _draw_said(
    ax: Axes, rows: Sequence[Row], looks: Mapping[str, LineStyle], tracks: Sequence[str]
) -> None:
    for i, (name, look) in enumerate(looks.items()):
        # Side by side, so that intervals can be told apart.
        shift = 0.09 * (i - (len(looks) - 1) / 2)
        some = [row for row in rows if row['method'] == name]
        at = np.array([tracks.index(row['track']) + shift for row in some])
        value, low, high = (np.array([row[k] for row in some]) for k in ('value', 'low', 'high'))
        spread = np.stack([value - low, high - value]).clip(0)
        ax.errorbar(
            at,
            value,
            spread,
            color=look.colour,
            marker=look.marker,
            markersize=4.5,
            linestyle='none',
            label=labels.short_method_name(name),
        )
        of_grammar = [k for k, row in enumerate(some) if row['track'] != 'human']
        joined = sorted(of_grammar, key=at.__getitem__)
        ax.plot(at[joined], value[joined], color=look.colour, linestyle=look.dash, linewidth=1.2)
    ax.set_xticks(range(len(tracks)), [_share_said(track) for track in tracks])
    ax.yaxis.set_major_formatter(percent_tick)
    ax.figure.legend(loc='outside lower center', ncols=4, handlelength=1.4, columnspacing=1.2)


def _share_said(track: str) -> str:
    return 'free-hand' if track == 'human' else track.partition('-')[2] + '% said'


def trade_off_plots(content: Content) -> list[Plot]:
    """AUC against the time a sentence takes, for the settings of the sampler."""
    if not content['sweep']:
        return []
    found = content['sweep']
    names = ('num_steps', 'num_samples', 'guidance', 'eta', 'ms_per_text', 'auc')
    return [
        Plot(
            'sweep',
            f'AUC against time, on {found["split"]}',
            'Each point is a setting of the sampler; the number at it is T~, the ring is the one '
            'chosen. Lines join settings with the chosen guidance and eta; others are faint.',
            [with_interval(row, names) for row in found['rows']],
            functools.partial(_draw_trade_off, chosen=found['chosen']),
            height=4.4,
        )
    ]


def _draw_trade_off(ax: Axes, rows: Sequence[Row], chosen: Row) -> None:
    alike = [row for row in rows if all(row[k] == chosen[k] for k in ('guidance', 'eta'))]
    counts = sorted({row['num_samples'] for row in rows})
    for samples, look in line_styles(counts).items():
        line = sorted(
            (row for row in alike if row['num_samples'] == samples), key=lambda r: r['num_steps']
        )
        x, y = ([row[name] for row in line] for name in ('ms_per_text', 'auc'))
        ax.plot(x, y, **look.line, markersize=4.5, linewidth=1.4, label=f'K = {samples}')
        for row in line:
            ax.annotate(
                f'{row["num_steps"]}',
                (row['ms_per_text'], row['auc']),
                (3, 3),
                textcoords='offset points',
                fontsize=8,
            )
        faint = [row for row in rows if row['num_samples'] == samples and row not in alike]
        ax.plot(
            [row['ms_per_text'] for row in faint],
            [row['auc'] for row in faint],
            color=look.colour,
            marker=look.marker,
            markersize=3,
            linestyle='none',
            alpha=0.4,
        )
    _ring(ax, next(row for row in rows if all(row[name] == chosen[name] for name in chosen)))
    ax.set(xscale='log', xlabel='ms a sentence', ylabel='AUC')
    ax.xaxis.set_major_formatter('{x:g}')
    ax.yaxis.set_major_formatter(percent_tick)
    ax.figure.legend(loc='outside lower center', ncols=4)


def _ring(ax: Axes, row: Row) -> None:
    ax.plot(
        row['ms_per_text'],
        row['auc'],
        color=INK,
        marker='o',
        markersize=13,
        markerfacecolor='none',
        markeredgewidth=1.6,
        linestyle='none',
        label='chosen',
    )


def path_plots(content: Content) -> list[Plot]:
    """Cluster statistics along the DDIM path."""
    rows = content['path'] or ()
    spaces = line_styles(dict.fromkeys(row['space'] for row in rows))
    titles = {
        'fisher': 'Fisher ratio',
        'silhouette': 'Silhouette',
        'cos_within': 'Mean cosine within identities',
        'cos_between': 'Mean cosine between identities',
    }
    return [
        Plot(
            f'path_{metric}',
            f'{title} along the DDIM path',
            'From noise (t = 1) to the end of the path (t = 0).',
            [{name: row[name] for name in ('space', 't', 'log_snr', metric)} for row in rows],
            functools.partial(_draw_path, metric=metric, looks=spaces),
        )
        for metric, title in titles.items()
        if rows
    ]


def _draw_path(ax: Axes, rows: Sequence[Row], metric: str, looks: Mapping[str, LineStyle]) -> None:
    draw_lines(ax, rows, 'space', 't', metric, looks)
    ax.set(xlim=(1.02, -0.02), xlabel='t')

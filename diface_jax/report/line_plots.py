"""Line plots: results by coverage, by settings of the sampler, and along the DDIM path."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from diface_jax.report import labels
from diface_jax.report.content import Content, Row
from diface_jax.report.figures import INK, Plot, with_interval
from diface_jax.report.style import LineStyle, draw_lines, line_styles, method_styles, percent_tick

_FREE_HAND_TICKS = {'human': 'free-hand', 'style': 'held-out\nvoices'}


def coverage_plots(content: Content) -> list[Plot]:
    """Accuracy and AUC by the coverage of the grammar, and on free-hand sentences."""
    tracks = sorted(
        dict.fromkeys(row['track'] for row in content['results']),
        key=lambda track: (track in _FREE_HAND_TICKS, float(track.partition('-')[2] or 0)),
    )
    if len(tracks) < 2:
        return []
    return [
        Plot(
            f'said_{metric}_{protocol}',
            f'By coverage: {labels.metric_name(metric)}, {protocol}',
            f'{labels.protocol_name(protocol).capitalize()}, random impostors, 95% intervals. '
            'Lines join the sentences of the grammar. Coverage is the chance of each label to be '
            'mentioned in a sentence.',
            rows,
            functools.partial(_draw_coverage, styles=method_styles(content), tracks=tracks),
        )
        for metric in ('accuracy', 'auc')
        for protocol in ('cross', 'same')
        if (rows := _coverage_rows(content['results'], metric, protocol))
    ]


def _coverage_rows(results: Sequence[Row], metric: str, protocol: str) -> list[Row]:
    return [
        with_interval(row, ['method', 'track', 'value'])
        for row in results
        if (row['metric'], row['protocol'], row['impostors']) == (metric, protocol, 'random')
    ]


def _draw_coverage(
    ax: Axes, rows: Sequence[Row], styles: Mapping[str, LineStyle], tracks: Sequence[str]
) -> None:
    for i, (name, style) in enumerate(styles.items()):
        # Side by side, so that intervals do not cover each other.
        shift = 0.09 * (i - (len(styles) - 1) / 2)
        points = [row for row in rows if row['method'] == name]
        x = np.array([tracks.index(row['track']) + shift for row in points])
        value, low, high = (np.array([row[k] for row in points]) for k in ('value', 'low', 'high'))
        spread = np.stack([value - low, high - value]).clip(0)
        ax.errorbar(
            x,
            value,
            spread,
            color=style.colour,
            marker=style.marker,
            markersize=4.5,
            linestyle='none',
            label=labels.short_method_name(name),
        )
        grammar = [k for k, row in enumerate(points) if row['track'] not in _FREE_HAND_TICKS]
        joined = sorted(grammar, key=x.__getitem__)
        ax.plot(x[joined], value[joined], color=style.colour, linestyle=style.dash, linewidth=1.2)
    ax.set_xticks(range(len(tracks)), [_coverage_tick(track) for track in tracks])
    ax.yaxis.set_major_formatter(percent_tick)
    ax.figure.legend(loc='outside lower center', ncols=4, handlelength=1.4, columnspacing=1.2)


def _coverage_tick(track: str) -> str:
    return _FREE_HAND_TICKS.get(track) or track.partition('-')[2] + '%'


def trade_off_plots(content: Content) -> list[Plot]:
    """AUC against the time for each sentence, by settings of the sampler; at most one figure."""
    if not content['sweep']:
        return []
    sweep = content['sweep']
    names = ('num_steps', 'num_samples', 'guidance', 'eta', 'ms_per_text', 'auc')
    return [
        Plot(
            'sweep',
            f'AUC against time, on {sweep["split"]}',
            'Each point is a setting of the sampler, labelled with T~; the ring marks the chosen '
            'setting. Lines join settings with the chosen guidance and eta; others are faint.',
            [with_interval(row, names) for row in sweep['rows']],
            functools.partial(_draw_trade_off, chosen=sweep['chosen']),
            height=4.4,
        )
    ]


def _draw_trade_off(ax: Axes, rows: Sequence[Row], chosen: Row) -> None:
    on_lines = [row for row in rows if all(row[k] == chosen[k] for k in ('guidance', 'eta'))]
    counts = sorted({row['num_samples'] for row in rows})
    for samples, style in line_styles(counts).items():
        line = sorted(
            (row for row in on_lines if row['num_samples'] == samples), key=lambda r: r['num_steps']
        )
        x, y = ([row[name] for row in line] for name in ('ms_per_text', 'auc'))
        ax.plot(x, y, **style.line, markersize=4.5, linewidth=1.4, label=f'K = {samples}')
        for row in line:
            ax.annotate(
                f'{row["num_steps"]}',
                (row['ms_per_text'], row['auc']),
                (3, 3),
                textcoords='offset points',
                fontsize=8,
            )
        faint = [row for row in rows if row['num_samples'] == samples and row not in on_lines]
        ax.plot(
            [row['ms_per_text'] for row in faint],
            [row['auc'] for row in faint],
            color=style.colour,
            marker=style.marker,
            markersize=3,
            linestyle='none',
            alpha=0.4,
        )
    _draw_ring(ax, next(row for row in rows if all(row[name] == chosen[name] for name in chosen)))
    ax.set(xscale='log', xlabel='ms per sentence', ylabel='AUC')
    ax.xaxis.set_major_formatter('{x:g}')
    ax.yaxis.set_major_formatter(percent_tick)
    ax.figure.legend(loc='outside lower center', ncols=4)


def _draw_ring(ax: Axes, row: Row) -> None:
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
    """Cluster statistics along the DDIM path; a figure for each statistic."""
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
            functools.partial(_draw_path, metric=metric, styles=spaces),
        )
        for metric, title in titles.items()
        if rows
    ]


def _draw_path(ax: Axes, rows: Sequence[Row], metric: str, styles: Mapping[str, LineStyle]) -> None:
    draw_lines(ax, rows, 'space', 't', metric, styles)
    ax.set(xlim=(1.02, -0.02), xlabel='t')

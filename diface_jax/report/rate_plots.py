"""Curves of error rates and ranks: ROC, DET and CMC."""

import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator
from scipy.special import ndtr, ndtri

from diface_jax.report import labels
from diface_jax.report.content import Content, Row
from diface_jax.report.figures import INK, Plot
from diface_jax.report.style import LineStyle, draw_lines, method_styles, percent_tick

_TICKS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
_BAND = "The band is DiFace's 95% interval; the data (CSV) has those of all methods."


def roc_plots(content: Content) -> list[Plot]:
    """ROC curves of all methods; a figure for each condition."""
    return [
        Plot(
            f'roc_{"_".join(condition)}',
            f'ROC: {_condition_text(condition)}',
            f'True accept rate against false accept rate (log scale); higher is better. {_BAND}',
            rows,
            functools.partial(_draw_roc, styles=method_styles(content)),
            is_main=is_main,
        )
        for condition, rows, is_main in _conditions(content)
    ]


def det_plots(content: Content) -> list[Plot]:
    """DET curves of all methods; a figure for each condition."""
    return [
        Plot(
            f'det_{"_".join(condition)}',
            f'DET: {_condition_text(condition)}',
            'False reject rate against false accept rate, on normal-deviate axes (normal scores '
            f'give a straight line); lower is better. {_BAND}',
            [
                {
                    'method': row['method'],
                    'far': row['far'],
                    'frr': 1 - row['tar'],
                    'low': 1 - row['high'],
                    'high': 1 - row['low'],
                }
                for row in rows
            ],
            functools.partial(_draw_det, styles=method_styles(content)),
            is_main=is_main,
        )
        for condition, rows, is_main in _conditions(content)
    ]


def _condition_text(condition: Sequence[str]) -> str:
    track, protocol, impostors = condition
    return f'{labels.track_name(track)}, {protocol}, {labels.impostor_name(impostors)}'


def _conditions(content: Content) -> Iterator[tuple[tuple[str, ...], list[Row], bool]]:
    """Points of the ROC curves by condition, and whether it is a main one.

    Main conditions have the first track and random impostors.
    """
    curves = [curve for curve in content['curves'] or () if curve['kind'] == 'roc']
    keys = ('track', 'protocol', 'impostors')
    for condition in dict.fromkeys(tuple(curve[key] for key in keys) for curve in curves):
        rows = [
            {'method': curve['method'], 'far': far, 'tar': tar, 'low': low, 'high': high}
            for curve in curves
            if tuple(curve[key] for key in keys) == condition
            for far, tar, (low, high) in zip(curve['far'], curve['tar'], curve['ci95'], strict=True)
        ]
        yield condition, rows, (condition[0], condition[2]) == (curves[0]['track'], 'random')


def cmc_plots(content: Content) -> list[Plot]:
    """CMC curves of all methods; a figure for each track and protocol.

    The gallery is the largest one, with one photo of each person.
    """
    curves = [
        curve
        for curve in content['curves'] or ()
        if (curve['kind'], curve.get('photos'), curve.get('level')) == ('cmc', 'one', 'identity')
    ]
    size = max((curve['gallery'] for curve in curves), default=0)
    curves = [curve for curve in curves if curve['gallery'] == size]
    return [
        Plot(
            f'cmc_{track}_{protocol}',
            f'CMC: {labels.track_name(track)}, {protocol}, {size:,} people',
            'Share of sentences with the person described among the first k results; higher is '
            'better. The bands are 95% intervals; the thin line is chance.',
            [
                {'method': curve['method'], 'k': k, 'rate': rate, 'low': low, 'high': high}
                for curve in curves
                if (curve['track'], curve['protocol']) == (track, protocol)
                for k, rate, (low, high) in zip(
                    curve['k'], curve['rate'], curve['ci95'], strict=True
                )
            ],
            functools.partial(_draw_cmc, styles=method_styles(content), size=size),
            is_main=track == curves[0]['track'],
        )
        for track, protocol in dict.fromkeys((c['track'], c['protocol']) for c in curves)
    ]


def _draw_bands(
    ax: Axes, rows: Sequence[Row], x: str, styles: Mapping[str, LineStyle], opacity: float
) -> None:
    for name, style in styles.items():
        points = [row for row in rows if row['method'] == name]
        low, high = ([row[end] for row in points] for end in ('low', 'high'))
        ax.fill_between(
            [row[x] for row in points], low, high, color=style.colour, alpha=opacity, linewidth=0
        )


def _first(styles: Mapping[str, LineStyle]) -> dict[str, LineStyle]:
    name = next(iter(styles))
    return {name: styles[name]}


def _draw_roc(ax: Axes, rows: Sequence[Row], styles: Mapping[str, LineStyle]) -> None:
    draw_lines(ax, rows, 'method', 'far', 'tar', styles)
    _draw_bands(ax, rows, 'far', _first(styles), 0.2)
    ax.set(xscale='log', xlim=(0.001, 1), ylim=(0, 1))
    ax.set(xlabel='false accept rate', ylabel='true accept rate')
    ax.xaxis.set_major_formatter(percent_tick)
    ax.yaxis.set_major_formatter(percent_tick)


def _deviate(rate: np.ndarray) -> np.ndarray:
    """The normal deviate of a rate; rates of 0 and 1 are moved far outside the axes."""
    return ndtri(np.clip(rate, 1e-6, 1 - 1e-6))


def _draw_det(ax: Axes, rows: Sequence[Row], styles: Mapping[str, LineStyle]) -> None:
    draw_lines(ax, rows, 'method', 'far', 'frr', styles)
    _draw_bands(ax, rows, 'far', _first(styles), 0.2)
    for axis, set_scale in ((ax.xaxis, ax.set_xscale), (ax.yaxis, ax.set_yscale)):
        set_scale('function', functions=(_deviate, ndtr))
        axis.set_major_locator(FixedLocator(_TICKS))
        axis.set_major_formatter(percent_tick)
    ax.set(xlim=(0.001, 0.95), ylim=(0.001, 0.99))
    ax.set(xlabel='false accept rate', ylabel='false reject rate')


def _draw_cmc(ax: Axes, rows: Sequence[Row], styles: Mapping[str, LineStyle], size: int) -> None:
    draw_lines(ax, rows, 'method', 'k', 'rate', styles)
    _draw_bands(ax, rows, 'k', styles, 0.1)
    k = np.unique([row['k'] for row in rows])
    ax.plot(k, np.minimum(1, k / size), color=INK, linewidth=0.7)
    ax.set(xscale='log', xlim=(1, k[-1]), ylim=(0, 1))
    ax.set(xlabel='k', ylabel='rate of rank k or better')
    ax.xaxis.set_major_locator(FixedLocator([1, 2, 5, 10, 20, 50, 100]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter('{x:g}')
    ax.yaxis.set_major_formatter(percent_tick)

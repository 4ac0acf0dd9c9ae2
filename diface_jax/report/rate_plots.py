"""Figures of error rates and ranks: ROC, DET and CMC curves."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator
from scipy.stats import norm

from diface_jax.report import labels
from diface_jax.report.figures import INK, Plot
from diface_jax.report.style import LineStyle, draw_lines, method_styles, percent_tick

Row = Mapping[str, Any]
Content = Mapping[str, Any]
_RATES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
_BAND = "The band is DiFace's 95% interval; those of the others are in the data."


def roc_plots(content: Content) -> list[Plot]:
    """A ROC curve of all methods for each condition."""
    return [
        Plot(
            f'roc_{"_".join(condition)}',
            f'ROC: {_condition(condition)}',
            f'True accept rate at each false accept rate (logarithmic); higher is better. {_BAND}',
            rows,
            functools.partial(_draw_roc, looks=method_styles(content)),
            is_main=main,
        )
        for condition, rows, main in _conditions(content)
    ]


def det_plots(content: Content) -> list[Plot]:
    """A DET curve of all methods for each condition."""
    return [
        Plot(
            f'det_{"_".join(condition)}',
            f'DET: {_condition(condition)}',
            'Rate of each error against the other, on normal-deviate axes (normal scores give a '
            f'straight line); lower is better. {_BAND}',
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
            functools.partial(_draw_det, looks=method_styles(content)),
            is_main=main,
        )
        for condition, rows, main in _conditions(content)
    ]


def _condition(condition: Sequence[str]) -> str:
    track, protocol, impostors = condition
    return f'{labels.track_name(track)}, {protocol}, {labels.impostor_name(impostors)}'


def _conditions(content: Content) -> Iterator[tuple[tuple[str, ...], list[Row], bool]]:
    """Points of the ROC curves by condition; main ones are of the first track, random impostors."""
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
    """A CMC curve of all methods a track and protocol: the largest gallery, one photo a person."""
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
            'How often the person described is among the first k; higher is better. The bands are '
            '95% intervals; the thin line is chance.',
            [
                {'method': curve['method'], 'k': k, 'rate': rate, 'low': low, 'high': high}
                for curve in curves
                if (curve['track'], curve['protocol']) == (track, protocol)
                for k, rate, (low, high) in zip(
                    curve['k'], curve['rate'], curve['ci95'], strict=True
                )
            ],
            functools.partial(_draw_cmc, looks=method_styles(content), size=size),
            is_main=track == curves[0]['track'],
        )
        for track, protocol in dict.fromkeys((c['track'], c['protocol']) for c in curves)
    ]


def _draw_bands(
    ax: Axes, rows: Sequence[Row], x: str, looks: Mapping[str, LineStyle], opacity: float
) -> None:
    for name, look in looks.items():
        some = [row for row in rows if row['method'] == name]
        low, high = ([row[end] for row in some] for end in ('low', 'high'))
        ax.fill_between(
            [row[x] for row in some], low, high, color=look.colour, alpha=opacity, linewidth=0
        )


def _first(looks: Mapping[str, LineStyle]) -> dict[str, LineStyle]:
    name = next(iter(looks))
    return {name: looks[name]}


def _draw_roc(ax: Axes, rows: Sequence[Row], looks: Mapping[str, LineStyle]) -> None:
    draw_lines(ax, rows, 'method', 'far', 'tar', looks)
    _draw_bands(ax, rows, 'far', _first(looks), 0.2)
    ax.set(xscale='log', xlim=(0.001, 1), ylim=(0, 1))
    ax.set(xlabel='false accept rate', ylabel='true accept rate')
    ax.xaxis.set_major_formatter(percent_tick)
    ax.yaxis.set_major_formatter(percent_tick)


def _deviate(rate: np.ndarray) -> np.ndarray:
    """The normal deviate of a rate; 0 and 1, which have none, go far out of the picture."""
    return norm.ppf(np.clip(rate, 1e-6, 1 - 1e-6))


def _draw_det(ax: Axes, rows: Sequence[Row], looks: Mapping[str, LineStyle]) -> None:
    draw_lines(ax, rows, 'method', 'far', 'frr', looks)
    _draw_bands(ax, rows, 'far', _first(looks), 0.2)
    for axis, set_scale in ((ax.xaxis, ax.set_xscale), (ax.yaxis, ax.set_yscale)):
        set_scale('function', functions=(_deviate, norm.cdf))
        axis.set_major_locator(FixedLocator(_RATES))
        axis.set_major_formatter(percent_tick)
    ax.set(xlim=(0.001, 0.95), ylim=(0.001, 0.99))
    ax.set(xlabel='false accept rate', ylabel='false reject rate')


def _draw_cmc(ax: Axes, rows: Sequence[Row], looks: Mapping[str, LineStyle], size: int) -> None:
    draw_lines(ax, rows, 'method', 'k', 'rate', looks)
    _draw_bands(ax, rows, 'k', looks, 0.1)
    k = np.unique([row['k'] for row in rows])
    ax.plot(k, np.minimum(1, k / size), color=INK, linewidth=0.7)
    ax.set(xscale='log', xlim=(1, k[-1]), ylim=(0, 1))
    ax.set(xlabel='k', ylabel='rate of rank k or better')
    ax.xaxis.set_major_locator(FixedLocator([1, 2, 5, 10, 20, 50, 100]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter('{x:g}')
    ax.yaxis.set_major_formatter(percent_tick)

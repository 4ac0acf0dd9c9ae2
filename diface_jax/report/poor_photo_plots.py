"""Line plots of searches with a poor photo, against the width of the face in it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from diface_jax.report import labels
from diface_jax.report.content import Content, Row
from diface_jax.report.figures import Plot, with_interval
from diface_jax.report.style import line_styles, percent_tick

_KINDS = {'text': 'sentence alone', 'photo': 'photo alone', 'text+photo': 'both'}


def poor_photo_plots(content: Content) -> list[Plot]:
    """R@10 of DiFace against the width of the face; a figure for each track."""
    if not content['poor_photos']:
        return []
    results = content['poor_photos']['results']
    return [
        Plot(
            f'poor_photo_{track}',
            f'With a poor photo, {labels.track_name(track)}: R@10',
            'The share of searches whose person is among the first 10, against the width of the '
            'face in the photo, with 95% intervals. The gallery holds another photo of each test '
            'person. The widest face is that of the photo as it is.',
            [
                with_interval(row, ('probe', 'face_px', 'value'))
                for row in _of_diface(results, track)
            ],
            _draw,
        )
        for track in dict.fromkeys(row['track'] for row in results)
    ]


def _of_diface(results: Sequence[Row], track: str) -> list[Row]:
    """Rows of DiFace; those of the text alone, which has no photo, once for each width."""
    rows = [
        row
        for row in results
        if (row['track'], row['method'], row['metric']) == (track, 'diface', 'rank@10')
    ]
    widths = sorted({row['face_px'] for row in rows if row['face_px'] is not None})
    at_widths = [
        {**row, 'face_px': width} for row in rows if row['face_px'] is None for width in widths
    ]
    return at_widths + [row for row in rows if row['face_px'] is not None]


def _draw(ax: Axes, rows: Sequence[Row]) -> None:
    widths = sorted({row['face_px'] for row in rows})
    for kind, style in line_styles(list(_KINDS)).items():
        points = sorted((row for row in rows if row['probe'] == kind), key=lambda r: r['face_px'])
        x = np.array([row['face_px'] for row in points])
        value, low, high = (np.array([row[k] for row in points]) for k in ('value', 'low', 'high'))
        ax.plot(x, value, **style.line, markersize=4.5, linewidth=1.4, label=_KINDS[kind])
        ax.fill_between(x, low, high, color=style.colour, alpha=0.12, linewidth=0)
    ax.set(xscale='log', xlabel='width of the face in pixels', ylabel='R@10')
    ax.set_xticks(widths, [f'{width:g}' for width in widths])
    ax.minorticks_off()
    ax.yaxis.set_major_formatter(percent_tick)
    ax.figure.legend(loc='outside lower center', ncols=3)

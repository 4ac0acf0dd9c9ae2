"""The tables of searches with a poor photo."""

from collections.abc import Iterable, Sequence

from diface_jax.report import labels
from diface_jax.report.content import Content, Row
from diface_jax.report.tables import ReportTable, TableCell, TableGroup

_METRICS = ('auc', 'rank@10')


def poor_photo_tables(poor_photos: Content) -> list[ReportTable]:
    """A table for each track and metric: a line for each method, a column for each width.

    The last line is DiFace minus the logistic mix, with the interval of the paired difference.
    """
    tracks = dict.fromkeys(row['track'] for row in poor_photos['results'])
    return [_table(poor_photos, track, metric) for track in tracks for metric in _METRICS]


def _table(poor_photos: Content, track: str, metric: str) -> ReportTable:
    results, differences = (
        [row for row in poor_photos[name] if (row['track'], row['metric']) == (track, metric)]
        for name in ('results', 'differences')
    )
    widths = sorted({row['face_px'] for row in differences}, reverse=True)
    lines = [
        (f'{labels.method_name(method)}, {kind}', _cells(results, kind, method, widths))
        for kind, method in dict.fromkeys((row['probe'], row['method']) for row in results)
    ]
    led = [_cell(row) for row in sorted(differences, key=lambda r: -r['face_px'])]
    caption = f'{labels.metric_name(metric)}, {labels.track_name(track)}'
    return ReportTable(
        caption,
        'method, probe',
        [f'{width:g} px' for width in widths],
        [TableGroup('', lines), TableGroup('difference', [('DiFace minus logistic mix', led)])],
    )


def _cells(
    results: Iterable[Row], kind: str, method: str, widths: Sequence[float]
) -> list[TableCell]:
    """A cell for each width; those of the text alone, which has no photo, are all the same."""
    row_of = {
        row['face_px']: row for row in results if (row['probe'], row['method']) == (kind, method)
    }
    return [_cell(row_of.get(width, row_of.get(None))) for width in widths]


def _cell(row: Row) -> TableCell:
    return TableCell(
        labels.percent(row['value']), labels.percent_interval(row['ci95']), kind='share'
    )

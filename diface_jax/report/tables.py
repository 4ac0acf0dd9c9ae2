"""The tables of the report, with all cells as text."""

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from diface_jax.report import labels
from diface_jax.report.content import Content, Row
from diface_jax.report.headline import UPPER_BOUND

_GALLERY_KINDS = {
    ('one', 'identity'): 'one photo per person',
    ('all', 'identity'): 'all photos, rank of the person',
    ('all', 'image'): 'all photos, rank of the photo',
}


class TableCell(NamedTuple):
    """A cell of a table.

    Attributes:
      text: the content.
      below: small text below it, such as an interval.
      kind: 'share' for a number in %, 'words' for prose, or ''.
    """

    text: str
    below: str = ''
    kind: str = ''


class TableGroup(NamedTuple):
    """Lines under one heading; each line is a name and its cells."""

    heading: str
    lines: Sequence[tuple[str, Sequence[TableCell]]]


class ReportTable(NamedTuple):
    """A table; `corner` is the heading of the column with the names of the lines."""

    caption: str
    corner: str
    columns: Sequence[str]
    groups: Sequence[TableGroup]

    @property
    def first(self) -> 'ReportTable':
        """The table with its first group only."""
        return self._replace(groups=self.groups[:1])

    @property
    def rest(self) -> 'ReportTable':
        """The table without its first group."""
        return self._replace(groups=self.groups[1:])


def verification_tables(results: Sequence[Row], track: str) -> list[ReportTable]:
    """Verification on a track: a table for each protocol, a group for each kind of impostor."""
    rows = [row for row in results if row['track'] == track and row['gallery'] is None]
    return _by_protocol('Verification', rows, ['impostors'])


def identification_tables(results: Sequence[Row], track: str) -> list[ReportTable]:
    """Identification on a track: a table for each protocol, a group for each gallery.

    The largest gallery comes first.
    """
    rows = [row for row in _gallery_rows(results, track) if not _is_open_set(row)]
    return _by_protocol('Identification', rows, _GALLERY)


def open_set_tables(results: Sequence[Row], track: str) -> list[ReportTable]:
    """Open-set identification on a track, in tables like those of `identification_tables`."""
    rows = [row for row in _gallery_rows(results, track) if _is_open_set(row)]
    return _by_protocol('Open set', rows, _GALLERY)


_GALLERY = ['gallery', 'photos', 'level']


def _is_open_set(row: Row) -> bool:
    return row['metric'].startswith('dir@')


def _gallery_rows(results: Sequence[Row], track: str) -> list[Row]:
    rows = [row for row in results if row['track'] == track and row['gallery'] is not None]
    return sorted(rows, key=lambda row: -row['gallery'])


def _by_protocol(title: str, rows: Sequence[Row], group_by: Sequence[str]) -> list[ReportTable]:
    return [
        _by_method(
            f'{title}, {labels.protocol_name(protocol)}',
            [row for row in rows if row['protocol'] == protocol],
            group_by,
        )
        for protocol in dict.fromkeys(row['protocol'] for row in rows)
    ]


def _by_method(caption: str, rows: Sequence[Row], group_by: Sequence[str]) -> ReportTable:
    """A line for each method and a column for each metric, in groups."""
    metrics, methods, groups = (
        dict.fromkeys(tuple(row[key] for key in keys) for row in rows)
        for keys in (['metric'], ['method'], group_by)
    )
    row_of = {(*(row[key] for key in group_by), row['method'], row['metric']): row for row in rows}
    return ReportTable(
        caption,
        'method',
        [labels.metric_name(metric) for (metric,) in metrics],
        [
            TableGroup(
                _group_name(dict(zip(group_by, group, strict=True))),
                [
                    (
                        labels.method_name(name),
                        [_share_cell(row_of.get((*group, name, m))) for (m,) in metrics],
                    )
                    for (name,) in methods
                ],
            )
            for group in groups
        ],
    )


def _group_name(group: Row) -> str:
    if 'impostors' in group:
        return labels.impostor_name(group['impostors'])
    if 'captions' in group:
        track = labels.track_name(group['track'])
        return f'{track}: {group["captions"]:,} captions, {group["photos"]:,} photos'
    return f'{group["gallery"]:,} people, {_GALLERY_KINDS[group["photos"], group["level"]]}'


def _share_cell(row: Row | None) -> TableCell:
    """A share in %, with its standard deviation over draws if present, and its interval below."""
    if row is None:
        return TableCell('–')
    spread = f' ± {labels.percent(row["sd"])}' if 'sd' in row else ''
    return TableCell(
        labels.percent(row['value']) + spread, labels.percent_interval(row['ci95']), 'share'
    )


def retrieval_table(rows: Sequence[Row]) -> ReportTable:
    """Image-level retrieval: a group for each track, a line for each method."""
    return _by_method('Image-level retrieval', rows, ['track', 'captions', 'photos'])


def difference_table(rows: Sequence[Row], added: Container[str] = ()) -> ReportTable:
    """Lead of DiFace in AUC and rank 10; a group for each track.

    Lists the baselines that are the strongest in at least one column of the group, and the `added`
    systems. The upper bound is not a baseline.
    """
    rows = [r for r in rows if r['metric'] in ('auc', 'rank@10') and r['method'] != UPPER_BOUND]
    columns = list(dict.fromkeys(map(_column, rows)))
    groups = []
    for track in dict.fromkeys(row['track'] for row in rows):
        row_of = {(row['method'], _column(row)): row for row in rows if row['track'] == track}
        lines = [
            (
                labels.method_name(name),
                [_points_cell(row_of.get((name, column))) for column in columns],
            )
            for name in _listed(row_of, added)
        ]
        groups.append(TableGroup(labels.track_name(track), lines))
    return ReportTable(
        'DiFace minus the strongest baselines, in points', 'baseline', columns, groups
    )


def _column(row: Row) -> str:
    against = ', same gender' if row['impostors'] == 'same_gender' else ''
    return f'{row["protocol"]}: {labels.metric_name(row["metric"])}{against}'


def _listed(row_of: Mapping[tuple[str, str], Row], added: Container[str]) -> list[str]:
    """Methods with the smallest lead of DiFace in a column, and added ones, in the rows' order."""
    smallest: dict[str, Row] = {}
    for (_, column), row in row_of.items():
        if column not in smallest or row['value'] < smallest[column]['value']:
            smallest[column] = row
    strongest = {row['method'] for row in smallest.values()}
    names = dict.fromkeys(name for name, _ in row_of)
    return [name for name in names if name in strongest or name in added]


def _points_cell(row: Row | None) -> TableCell:
    """A difference in points, with its interval below."""
    if row is None:
        return TableCell('–')
    return TableCell(labels.points_text(row['value']), labels.points_interval(row['ci95']), 'share')


def cluster_table(rows: Sequence[Row]) -> ReportTable:
    """How tight and how far apart the clusters of identities are; a line for each space."""
    metrics = {
        'fisher': 'Fisher ratio',
        'silhouette': 'silhouette',
        'cos_within': 'mean cosine within',
        'cos_between': 'mean cosine between',
    }
    lines = [
        (
            row['space'],
            [
                *(TableCell(labels.number_text(row[name])) for name in metrics),
                TableCell(f'{row["rows"]:,}'),
                TableCell(f'{row["identities"]:,}'),
            ],
        )
        for row in rows
    ]
    columns = [*metrics.values(), 'rows', 'people']
    return ReportTable('Clusters of identities', 'space', columns, [TableGroup('', lines)])


def differing_labels(failure_case: Row) -> ReportTable:
    """The labels that differ between the two photographs of a failure case."""
    lines = [
        (
            name.replace('_', ' '),
            [TableCell(_LABEL_TEXTS[described]), TableCell(_LABEL_TEXTS[shown])],
        )
        for name, (described, shown) in failure_case['labels'].items()
        if described != shown
    ]
    columns = ['described', 'shown']
    return ReportTable('Labels that differ', 'label', columns, [TableGroup('', lines)])


_LABEL_TEXTS = {1: 'yes', 0: 'no', -1: 'unknown'}


def attribute_table(rows: Sequence[Row]) -> ReportTable:
    """Drop of the score: a group for each kind of change, a line for each attribute."""
    groups = [
        TableGroup(
            labels.change_name(change),
            [
                (
                    row['attribute'].replace('_', ' '),
                    [
                        TableCell(
                            labels.number_text(row['drop_in_sd']), labels.interval_text(row['ci95'])
                        ),
                        TableCell(labels.number_text(row['drop'])),
                        TableCell(f'{row["photos"]:,}'),
                    ],
                )
                for row in sorted(rows, key=lambda row: -row['drop_in_sd'])
                if row['change'] == change
            ],
        )
        for change in dict.fromkeys(row['change'] for row in rows)
    ]
    columns = ['drop in standard deviations', 'drop of the score', 'photos']
    return ReportTable('Drop of the score by attribute', 'attribute', columns, groups)


def group_table(rows: Sequence[Row]) -> ReportTable:
    """Accuracy and error rates by group of people, for each track and protocol."""
    metrics = list(dict.fromkeys(row['metric'] for row in rows))
    by_condition: dict[tuple, dict[str, dict[str, Row]]] = {}
    for row in rows:
        by_group = by_condition.setdefault((row['track'], row['protocol']), {})
        by_group.setdefault(row['group'], {})[row['metric']] = row
    groups = [
        TableGroup(
            f'{labels.track_name(track)}, {labels.protocol_name(protocol)}',
            [
                (
                    name.replace('_', ' '),
                    [
                        *(_share_cell(by_metric.get(metric)) for metric in metrics),
                        TableCell(f'{next(iter(by_metric.values()))["texts"]:,}'),
                    ],
                )
                for name, by_metric in by_group.items()
            ],
        )
        for (track, protocol), by_group in by_condition.items()
    ]
    columns = [*map(labels.metric_name, metrics), 'sentences']
    return ReportTable('Accuracy and errors by group of people, in %', 'group', columns, groups)


_SETTINGS = {'num_steps': 'T~', 'num_samples': 'K', 'guidance': 'guidance', 'eta': 'eta'}


def sweep_table(sweep: Content) -> ReportTable:
    """Accuracy and time of each setting of the sampler."""
    shares = ['accuracy', 'auc_cross', 'auc_same', 'accuracy_cross', 'accuracy_same']
    lines = [
        (
            f'{row["num_steps"]}',
            [
                *(TableCell(f'{row[name]:g}') for name in list(_SETTINGS)[1:]),
                _share_cell({'value': row['auc'], 'ci95': row['ci95']}),
                *(TableCell(labels.percent(row[name]), kind='share') for name in shares),
                TableCell(labels.number_text(row['ms_per_text'], 2)),
            ],
        )
        for row in sweep['rows']
    ]
    columns = [*list(_SETTINGS.values())[1:], 'AUC', 'accuracy', 'AUC cross', 'AUC same']
    columns += ['accuracy cross', 'accuracy same', 'ms per text']
    caption = f'Settings of the sampler on {sweep["split"]}, {sweep["texts"]:,} sentences'
    return ReportTable(caption, 'T~', columns, [TableGroup('', lines)])


def ablation_table(ablation: Content) -> ReportTable:
    """The ablation: a line for each variant; a failed one shows its error."""
    columns = ['description', 'settings changed', 'accuracy cross', 'AUC cross']
    columns += ['accuracy same', 'AUC same']
    lines = [(row['name'], _ablation_cells(row)) for row in ablation['rows']]
    caption = f'Ablation on {ablation["split"]}, {ablation["num_steps"]:,} training steps per row'
    return ReportTable(caption, 'row', columns, [TableGroup('', lines)])


def _ablation_cells(row: Row) -> list[TableCell]:
    changes = ', '.join(f'{name} = {value}' for name, value in row['changes'].items())
    row_of = {(r['protocol'], r['metric']): r for r in ablation_results(row)}
    shares = [
        _share_cell(row_of.get((protocol, metric)))
        for protocol in ('cross', 'same')
        for metric in ('accuracy', 'auc')
    ]
    if row['failed']:
        shares = [TableCell('failed', row['failed'], 'words'), *[TableCell('–')] * 3]
    return [
        TableCell(row['what'], kind='words'),
        TableCell(changes or '–', kind='words'),
        *shares,
    ]


def ablation_results(row: Row) -> list[Row]:
    """Verification results of a variant: on its first track, with random impostors."""
    track = row['results'][0]['track'] if row['results'] else None
    return [
        result
        for result in row['results']
        if (result['track'], result['impostors'], result['gallery']) == (track, 'random', None)
    ]

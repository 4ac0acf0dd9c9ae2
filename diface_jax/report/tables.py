"""The content of the report's tables, as text."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from diface_jax.report import labels
from diface_jax.report.headline import UPPER_BOUND

Row = Mapping[str, Any]
Content = Mapping[str, Any]
_KINDS = {
    ('one', 'identity'): 'one photo a person',
    ('all', 'identity'): 'all photos, rank of the person',
    ('all', 'image'): 'all photos, rank of the photo',
}


class TableCell(NamedTuple):
    """What stands in a cell, and small below it; `kind` is 'share' (in %), 'words' or neither."""

    text: str
    below: str = ''
    kind: str = ''


class TableGroup(NamedTuple):
    """Lines under a heading of their own: a name and its cells each."""

    heading: str
    lines: Sequence[tuple[str, Sequence[TableCell]]]


class ReportTable(NamedTuple):
    """A table; `corner` is the heading of the lines' names."""

    caption: str
    corner: str
    columns: Sequence[str]
    groups: Sequence[TableGroup]

    @property
    def first(self) -> 'ReportTable':
        """Its first group only."""
        return self._replace(groups=self.groups[:1])

    @property
    def rest(self) -> 'ReportTable':
        """Its other groups."""
        return self._replace(groups=self.groups[1:])


def verification_tables(results: Sequence[Row], track: str) -> list[ReportTable]:
    """A table a protocol, with a group a kind of impostor."""
    rows = [row for row in results if row['track'] == track and row['gallery'] is None]
    return _by_protocol('Verification', rows, ['impostors'])


def identification_tables(results: Sequence[Row], track: str) -> list[ReportTable]:
    """A table a protocol, with a group a gallery, the largest first."""
    rows = [row for row in _searches(results, track) if not _is_open_set(row)]
    return _by_protocol('Identification', rows, _GALLERY)


def open_set_tables(results: Sequence[Row], track: str) -> list[ReportTable]:
    """A table a protocol, with a group a gallery, the largest first."""
    rows = [row for row in _searches(results, track) if _is_open_set(row)]
    return _by_protocol('Open set', rows, _GALLERY)


_GALLERY = ['gallery', 'photos', 'level']


def _is_open_set(row: Row) -> bool:
    return row['metric'].startswith('dir@')


def _searches(results: Sequence[Row], track: str) -> list[Row]:
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
    """A line a method and a column a metric, in groups."""
    metrics, methods, groups = (
        dict.fromkeys(tuple(row[key] for key in keys) for row in rows)
        for keys in (['metric'], ['method'], group_by)
    )
    found = {(*(row[key] for key in group_by), row['method'], row['metric']): row for row in rows}
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
                        [_share(found.get((*group, name, m))) for (m,) in metrics],
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
    return f'{group["gallery"]:,} people, {_KINDS[group["photos"], group["level"]]}'


def _share(row: Row | None) -> TableCell:
    """A share in %, its standard deviation over draws if it has one, its interval below."""
    if row is None:
        return TableCell('–')
    spread = f' ± {labels.percent(row["sd"])}' if 'sd' in row else ''
    return TableCell(
        labels.percent(row['value']) + spread, labels.percent_interval(row['ci95']), 'share'
    )


def difference_table(rows: Sequence[Row]) -> ReportTable:
    """Lead of DiFace in AUC and rank 10, a group a track.

    A line a baseline that is the strongest in some column of its group; no bound is one.
    """
    rows = [r for r in rows if r['metric'] in ('auc', 'rank@10') and r['method'] != UPPER_BOUND]
    columns = list(dict.fromkeys(map(_column, rows)))
    groups = []
    for track in dict.fromkeys(row['track'] for row in rows):
        found = {(row['method'], _column(row)): row for row in rows if row['track'] == track}
        lines = [
            (labels.method_name(name), [_points(found.get((name, column))) for column in columns])
            for name in _strongest(found)
        ]
        groups.append(TableGroup(labels.track_name(track), lines))
    return ReportTable(
        'DiFace less the strongest baselines, in points', 'baseline', columns, groups
    )


def _column(row: Row) -> str:
    against = ', same gender' if row['impostors'] == 'same_gender' else ''
    return f'{row["protocol"]}: {labels.metric_name(row["metric"])}{against}'


def _strongest(found: Mapping[tuple[str, str], Row]) -> list[str]:
    """Methods that leave DiFace the smallest lead in a column, in the order they stand in."""
    least: dict[str, Row] = {}
    for (_, column), row in found.items():
        least[column] = min(least.get(column, row), row, key=lambda one: one['value'])
    strongest = {row['method'] for row in least.values()}
    return [name for name in dict.fromkeys(name for name, _ in found) if name in strongest]


def _points(row: Row | None) -> TableCell:
    """A difference, its interval below."""
    if row is None:
        return TableCell('–')
    return TableCell(labels.points_text(row['value']), labels.points_interval(row['ci95']), 'share')


def cluster_table(rows: Sequence[Row]) -> ReportTable:
    """Tightness and separation of the identities' clusters, a line a space."""
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
    return ReportTable('Identities as clusters', 'space', columns, [TableGroup('', lines)])


def differing_labels(mistake: Row) -> ReportTable:
    """The labels that differ between the two photographs of a mistake."""
    lines = [
        (name.replace('_', ' '), [TableCell(_ANSWERS[described]), TableCell(_ANSWERS[shown])])
        for name, (described, shown) in mistake['labels'].items()
        if described != shown
    ]
    columns = ['described', 'shown']
    return ReportTable('Labels that differ', 'label', columns, [TableGroup('', lines)])


_ANSWERS = {1: 'yes', 0: 'no', -1: 'unknown'}


def attribute_table(rows: Sequence[Row]) -> ReportTable:
    """Drop of the score, a group a kind of change and a line an attribute."""
    groups = [
        TableGroup(
            {'unsaid': 'left unsaid', 'wrong': 'said wrongly'}[change],
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
    columns = ['fall in standard deviations', 'fall of the score', 'photos']
    return ReportTable('Fall of the score, attribute by attribute', 'attribute', columns, groups)


def group_table(rows: Sequence[Row]) -> ReportTable:
    """Accuracy and error rates by group of people, in a group of lines a track and protocol."""
    metrics = list(dict.fromkeys(row['metric'] for row in rows))
    by_condition: dict[tuple, dict[str, dict[str, Row]]] = {}
    for row in rows:
        of_track = by_condition.setdefault((row['track'], row['protocol']), {})
        of_track.setdefault(row['group'], {})[row['metric']] = row
    groups = [
        TableGroup(
            f'{labels.track_name(track)}, {labels.protocol_name(protocol)}',
            [
                (
                    name.replace('_', ' '),
                    [
                        *(_share(found.get(metric)) for metric in metrics),
                        TableCell(f'{next(iter(found.values()))["texts"]:,}'),
                    ],
                )
                for name, found in some.items()
            ],
        )
        for (track, protocol), some in by_condition.items()
    ]
    columns = [*map(labels.metric_name, metrics), 'sentences']
    return ReportTable('Accuracy and errors by group of people, in %', 'group', columns, groups)


_SETTINGS = {'num_steps': 'T~', 'num_samples': 'K', 'guidance': 'guidance', 'eta': 'eta'}


def sweep_table(found: Content) -> ReportTable:
    """Accuracy and time of each setting of the sampler."""
    shares = ['accuracy', 'auc_cross', 'auc_same', 'accuracy_cross', 'accuracy_same']
    lines = [
        (
            f'{row["num_steps"]}',
            [
                *(TableCell(f'{row[name]:g}') for name in list(_SETTINGS)[1:]),
                _share({'value': row['auc'], 'ci95': row['ci95']}),
                *(TableCell(labels.percent(row[name]), kind='share') for name in shares),
                TableCell(labels.number_text(row['ms_per_text'], 2)),
            ],
        )
        for row in found['rows']
    ]
    columns = [*list(_SETTINGS.values())[1:], 'AUC', 'accuracy', 'AUC cross', 'AUC same']
    columns += ['accuracy cross', 'accuracy same', 'ms a text']
    caption = f'Settings of the sampler on {found["split"]}, {found["texts"]:,} sentences'
    return ReportTable(caption, 'T~', columns, [TableGroup('', lines)])


def ablation_table(found: Content) -> ReportTable:
    """The ablation table; a row that failed says why."""
    columns = ['what', 'settings changed', 'accuracy cross', 'AUC cross']
    columns += ['accuracy same', 'AUC same']
    lines = [(row['name'], _ablation_cells(row)) for row in found['rows']]
    caption = f'Ablation on {found["split"]}, {found["num_steps"]:,} training steps a row'
    return ReportTable(caption, 'row', columns, [TableGroup('', lines)])


def _ablation_cells(row: Row) -> list[TableCell]:
    changes = ', '.join(f'{name} = {value}' for name, value in row['changes'].items())
    numbers = {(r['protocol'], r['metric']): r for r in ablation_results(row)}
    shares = [
        _share(numbers.get((protocol, metric)))
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
    """An ablation row's verification results: of its first track, with random impostors."""
    track = row['results'][0]['track'] if row['results'] else None
    return [
        found
        for found in row['results']
        if (found['track'], found['impostors'], found['gallery']) == (track, 'random', None)
    ]

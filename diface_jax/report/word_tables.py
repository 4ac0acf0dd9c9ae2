"""Tables of single words, negations and short queries, for the page and for the terminal."""

from collections.abc import Sequence

from diface_jax.report import labels
from diface_jax.report.content import Content, Row
from diface_jax.report.tables import ReportTable, TableCell, TableGroup

_SPLITS = {
    'validation': 'validation people',
    'test': 'test people',
    'both': 'validation and test people',
}


def concept_table(concepts: Content) -> ReportTable:
    """AUC of each concept's query: a line for each concept, the most often said first."""
    splits = [mean['split'] for mean in concepts['means']]
    row_of = {(row['concept'], row['split']): row for row in concepts['rows']}
    by_count = sorted(concepts['rows'], key=lambda row: -row['positives'])
    names = dict.fromkeys(row['concept'] for row in by_count)
    query_of = {row['concept']: row['query'] for row in concepts['rows']}
    mean_cells = [cell for mean in concepts['means'] for cell in _mean_cells(mean)]
    lines = [('mean of the concepts', [TableCell(''), *mean_cells])]
    for name in names:
        cells = [cell for split in splits for cell in _auc_cells(row_of.get((name, split)))]
        lines.append((name, [TableCell(query_of[name]), *cells]))
    columns = ['query']
    for split in splits:
        columns += [f'AUC, {_SPLITS[split]}', 'positives']
    caption = 'AUC of a short query for each concept, in %'
    return ReportTable(caption, 'concept', columns, [TableGroup('', lines)])


def _mean_cells(mean: Row) -> list[TableCell]:
    share, interval = labels.percent(mean['mean_auc']), labels.percent_interval(mean['ci95'])
    return [TableCell(share, interval, 'share'), TableCell(f'{mean["concepts"]} concepts')]


def _auc_cells(row: Row | None) -> list[TableCell]:
    if row is None:
        return [TableCell('–'), TableCell('–')]
    share, interval = labels.percent(row['auc']), labels.percent_interval(row['ci95'])
    return [TableCell(share, interval, 'share'), TableCell(str(row['positives']))]


def negation_table(negation: Content) -> ReportTable:
    """Pairs that move the right way, in all and by attribute."""
    in_all = TableCell(
        labels.percent(negation['share']), labels.percent_interval(negation['ci95']), 'share'
    )
    lines = [('all', [TableCell(str(negation['pairs'])), in_all])]
    for row in negation['rows']:
        share = TableCell(labels.percent(row['share']), kind='share')
        lines.append((row['attribute'].replace('_', ' '), [TableCell(str(row['pairs'])), share]))
    columns = ['pairs', 'moves the right way']
    return ReportTable(
        'Pairs of sentences that differ by a negation, in %',
        'attribute',
        columns,
        [TableGroup('', lines)],
    )


def short_query_table(short_queries: Content) -> ReportTable:
    """AUC of each short query, the lowest first, under their mean."""
    mean = labels.percent(short_queries['mean_auc'])
    mean_cell = TableCell(mean, labels.percent_interval(short_queries['ci95']), 'share')
    lines = [('mean', [mean_cell, TableCell('')])]
    for row in sorted(short_queries['rows'], key=lambda row: row['auc']):
        auc = TableCell(labels.percent(row['auc']), kind='share')
        lines.append((row['query'], [auc, TableCell(f'{row["photos"]:,}')]))
    caption = 'Short queries against labels, in %'
    return ReportTable(caption, 'query', ['AUC', 'photos that fit'], [TableGroup('', lines)])


def words_text(content: Content) -> str:
    """The results in lines for the terminal; '' where nothing was measured."""
    lines: list[str] = []
    if concepts := content.get('concepts'):
        lines += ['', 'Words that no label says: AUC of a short query', *_concept_lines(concepts)]
    if negation := content.get('negation'):
        lines += [
            '',
            f'Negation: {labels.percent(negation["share"])} '
            f'({labels.percent_interval(negation["ci95"])}) of {negation["pairs"]} pairs move the '
            'right way',
        ]
    if queries := content.get('short_queries'):
        lines += [
            '',
            f'Short queries: mean AUC {labels.percent(queries["mean_auc"])} '
            f'({labels.percent_interval(queries["ci95"])}) of {queries["queries"]} queries',
        ]
    return '\n'.join(lines)


def _concept_lines(concepts: Content) -> Sequence[str]:
    by_split = {mean['split']: [] for mean in concepts['means']}
    for row in concepts['rows']:
        by_split[row['split']].append(row)
    lines = []
    for mean in concepts['means']:
        worst = min(by_split[mean['split']], key=lambda row: row['auc'])
        lines.append(
            f'{_SPLITS[mean["split"]]:<27} mean {labels.percent(mean["mean_auc"])} '
            f'({labels.percent_interval(mean["ci95"])}) of {mean["concepts"]} concepts; lowest of '
            f'the commonest {labels.percent(mean["lowest_of_commonest"])}; '
            f'lowest {labels.percent(worst["auc"])} ({worst["concept"]})'
        )
    return lines

"""Tables of single words and of negations, for the page and for the terminal."""

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
    lines = [('mean of the concepts', [TableCell(''), *map(_mean_cell, concepts['means'])])]
    lines += [
        (name, [TableCell(query_of[name]), *(_auc_cell(row_of.get((name, s))) for s in splits)])
        for name in names
    ]
    columns = ['query', *(f'AUC, {_SPLITS[split]}' for split in splits)]
    caption = 'AUC of a short query, in %, with the number of positives'
    return ReportTable(caption, 'concept', columns, [TableGroup('', lines)])


def _mean_cell(mean: Row) -> TableCell:
    text = f'{labels.percent(mean["mean_auc"])} ({mean["concepts"]} concepts)'
    return TableCell(text, labels.percent_interval(mean['ci95']), 'share')


def _auc_cell(row: Row | None) -> TableCell:
    if row is None:
        return TableCell('–')
    text = f'{labels.percent(row["auc"])} ({row["positives"]})'
    return TableCell(text, labels.percent_interval(row['ci95']), 'share')


def negation_table(negation: Content) -> ReportTable:
    """Pairs that move the right way, in all and by attribute."""
    in_all = TableCell(
        labels.percent(negation['share']), labels.percent_interval(negation['ci95']), 'share'
    )
    lines = [('all', [TableCell(str(negation['pairs'])), in_all])]
    for row in negation['rows']:
        share = TableCell(labels.percent(row['right'] / row['pairs']), kind='share')
        lines.append((row['attribute'].replace('_', ' '), [TableCell(str(row['pairs'])), share]))
    columns = ['pairs', 'moves the right way']
    return ReportTable(
        'Pairs of sentences that differ by a negation, in %',
        'attribute',
        columns,
        [TableGroup('', lines)],
    )


def words_text(content: Content) -> str:
    """Both results in lines for the terminal; '' where neither was measured."""
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

"""The results in a few sentences: is DiFace better or worse than the best baseline?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from diface_jax.report import labels
from diface_jax.report.content import Content, Row

# It knows the true labels of both photos, so it is an upper bound and not a baseline.
UPPER_BOUND = 'oracle'


class BestBaseline(NamedTuple):
    """The best baseline under one track and protocol, and DiFace's lead over it.

    Attributes:
      auc: the baseline's AUC, a row of `results`.
      lead: DiFace's AUC minus the baseline's, a row of `differences`.
    """

    auc: Row
    lead: Row

    @property
    def is_won(self) -> bool:
        """Whether DiFace has the higher AUC."""
        return self.lead['value'] > 0

    @property
    def is_clear(self) -> bool:
        """Whether the interval of the difference excludes 0."""
        low, high = self.lead['ci95']
        return low > 0 or high < 0


class Headline(NamedTuple):
    """A sentence on the test data, an overall verdict, and findings as (subject, sentence)."""

    data: str
    verdict: str
    findings: list[tuple[str, str]]


def headline(content: Content) -> Headline:
    """Summarises an evaluation: the data, and DiFace against the best baseline.

    Args:
      content: the content of `evaluation.json`.

    Returns:
      Sentences. Every number in them comes from `content`, or is a count of comparisons.
    """
    results, differences = content['results'], content['differences'] or []
    tracks = list(dict.fromkeys(row['track'] for row in results))
    shown = [track for track in tracks if track in (tracks[0], 'human')]
    rows_by_condition = {
        (track, protocol): _by_method(results, track, protocol)
        for track in shown
        for protocol in ('cross', 'same')
    }
    baselines = {
        condition: best
        for condition, by_metric in rows_by_condition.items()
        if (best := _best_baseline(by_metric['auc'], _by_method(differences, *condition)['auc']))
    }
    findings = [
        (
            f'{_track_subject(track)}, {labels.protocol_name(protocol)}',
            _finding(by_metric, baselines.get((track, protocol))),
        )
        for (track, protocol), by_metric in rows_by_condition.items()
        if 'diface' in by_metric['auc']
    ]
    findings += _identification(results, tracks[0])
    return Headline(_data(content['data_card']), _verdict(list(baselines.values())), findings)


def _data(card: Mapping[str, Any]) -> str:
    test = card['splits']['test']
    return (
        f'Measured on {test["photos"]:,} photographs of {test["identities"]:,} people, the test '
        f'split of {card["name"]}. None of these photographs was used in training.'
    )


def _by_method(results: Sequence[Row], track: str, protocol: str) -> dict[str, dict[str, Row]]:
    """Verification rows with random impostors by metric, then by method."""
    return {
        metric: {
            row['method']: row
            for row in results
            if (row['track'], row['protocol'], row['metric']) == (track, protocol, metric)
            and row['impostors'] == 'random'
        }
        for metric in ('accuracy', 'auc')
    }


def _best_baseline(auc: Mapping[str, Row], lead: Mapping[str, Row]) -> BestBaseline | None:
    baselines = [name for name in lead if name in auc and name != UPPER_BOUND]
    if not baselines:
        return None
    best = max(baselines, key=lambda name: auc[name]['value'])
    return BestBaseline(auc[best], lead[best])


def _verdict(baselines: Sequence[BestBaseline]) -> str:
    if not baselines:
        return 'No baseline was measured.'
    won = sum(baseline.is_won for baseline in baselines)
    clear = sum(baseline.is_clear for baseline in baselines)
    return (
        f'With random impostors, DiFace has a higher AUC than the best baseline in '
        f'{_count_text(won, len(baselines))} comparisons. The 95% interval of the difference '
        f'excludes 0 in {_count_text(clear, len(baselines))}.'
    )


def _count_text(count: int, total: int) -> str:
    return f'{count or "none"} of {total}'


def _finding(by_metric: Mapping[str, Mapping[str, Row]], baseline: BestBaseline | None) -> str:
    auc = by_metric['auc']
    text = (
        f'DiFace decides {_share(by_metric["accuracy"]["diface"])} of the pairs correctly and has '
        f'an AUC of {_share(auc["diface"])}.'
    )
    if baseline:
        text += _comparison(baseline)
    if UPPER_BOUND in auc:
        bound = _share(auc[UPPER_BOUND])
        text += f' The oracle, which knows the true labels of both photos, has an AUC of {bound}.'
    return text


def _comparison(baseline: BestBaseline) -> str:
    points, interval = baseline.lead['value'], baseline.lead['ci95']
    return (
        f' The best baseline, {labels.method_name(baseline.auc["method"])}, has an AUC '
        f'of {_share(baseline.auc)}: DiFace is {"ahead" if baseline.is_won else "behind"} '
        f'({labels.points_text(points)} points, 95% interval {labels.points_interval(interval)}), '
        + ('more than chance explains.' if baseline.is_clear else 'which may be chance.')
    )


def _track_subject(track: str) -> str:
    return (
        'Free-hand sentences'
        if track == 'human'
        else f'Sentences of the {labels.track_name(track)}'
    )


def _share(row: Row) -> str:
    return f'{labels.percent(row["value"])}% ({labels.percent_interval(row["ci95"])})'


def _identification(results: Sequence[Row], track: str) -> Iterator[tuple[str, str]]:
    rows = [
        row
        for row in results
        if (row['method'], row['track'], row['protocol']) == ('diface', track, 'cross')
        and (row['metric'], row['photos'], row['level']) == ('rank@10', 'one', 'identity')
    ]
    if rows:
        row = max(rows, key=lambda row: row['gallery'])
        yield (
            f'Search among {row["gallery"]:,} people, cross (another photo of the person)',
            f'The person described is among the first ten results for {_share(row)} of the '
            'sentences. For the other sentences, all ten results show other people.',
        )

"""The results in a few sentences, whether DiFace wins or loses."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from diface_jax.report import labels

Row = Mapping[str, Any]
# It knows the true labels of both photos, so it is a bound and not a baseline.
UPPER_BOUND = 'oracle'


class BestBaseline(NamedTuple):
    """DiFace against the best baseline: the baseline's AUC, and DiFace's lead in AUC.

    Attributes:
      best: row of `results`.
      lead: row of `differences`.
    """

    best: Row
    lead: Row

    @property
    def is_won(self) -> bool:
        """Whether DiFace is ahead."""
        return self.lead['value'] > 0

    @property
    def is_clear(self) -> bool:
        """Whether the interval of the difference excludes 0."""
        low, high = self.lead['ci95']
        return low > 0 or high < 0


class Headline(NamedTuple):
    """The data measured, an overall verdict, and findings as (subject, sentence)."""

    data: str
    verdict: str
    findings: list[tuple[str, str]]


def headline(content: Mapping[str, Any]) -> Headline:
    """Summarises an evaluation: the data, and DiFace against the best baseline.

    Args:
      content: content of `evaluation.json`.

    Returns:
      Sentences. Every number in them is in `content`, or is a count of comparisons.
    """
    results, leads = content['results'], content['differences'] or []
    tracks = list(dict.fromkeys(row['track'] for row in results))
    shown = [track for track in tracks if track in (tracks[0], 'human')]
    rows_by_place = {
        (track, protocol): _by_method(results, track, protocol)
        for track in shown
        for protocol in ('cross', 'same')
    }
    duels = {
        place: duel
        for place, by_metric in rows_by_place.items()
        if (duel := _duel(by_metric['auc'], _by_method(leads, *place)['auc']))
    }
    findings = [
        (
            f'{_sentences(track)}, {labels.protocol_name(protocol)}',
            _finding(by_metric, duels.get((track, protocol))),
        )
        for (track, protocol), by_metric in rows_by_place.items()
        if 'diface' in by_metric['auc']
    ]
    findings += _identification(results, tracks[0])
    return Headline(_data(content['data_card']), _verdict(list(duels.values())), findings)


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


def _duel(auc: Mapping[str, Row], lead: Mapping[str, Row]) -> BestBaseline | None:
    baselines = [name for name in lead if name in auc and name != UPPER_BOUND]
    if not baselines:
        return None
    best = max(baselines, key=lambda name: auc[name]['value'])
    return BestBaseline(auc[best], lead[best])


def _verdict(duels: Sequence[BestBaseline]) -> str:
    if not duels:
        return 'No baseline was measured.'
    won, clear = (sum(kind) for kind in ([d.is_won for d in duels], [d.is_clear for d in duels]))
    return (
        f'By AUC DiFace is ahead of the best baseline in {_of(won, len(duels))} comparisons with '
        f'random impostors; the 95% interval of the difference excludes 0 in '
        f'{_of(clear, len(duels))}.'
    )


def _of(count: int, total: int) -> str:
    return f'{count or "none"} of {total}'


def _finding(by_metric: Mapping[str, Mapping[str, Row]], duel: BestBaseline | None) -> str:
    auc = by_metric['auc']
    text = (
        f'DiFace decides {_share(by_metric["accuracy"]["diface"])} of the pairs correctly; AUC '
        f'{_share(auc["diface"])}.'
    )
    if duel:
        points, interval = duel.lead['value'], duel.lead['ci95']
        lead = f'{labels.points_text(points)} ({labels.points_interval(interval)})'
        text += (
            f' The best baseline is {labels.method_name(duel.best["method"])}, '
            f'AUC {_share(duel.best)}: '
            f'DiFace is {"ahead" if duel.is_won else "behind"}, by {lead} points, '
            + ('more than chance explains.' if duel.is_clear else 'which may be chance.')
        )
    if UPPER_BOUND in auc:
        bound = _share(auc[UPPER_BOUND])
        text += f' The oracle, which knows the true labels of both photos: {bound}.'
    return text


def _sentences(track: str) -> str:
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
            f'Search among {row["gallery"]:,} people by another photo of the person',
            f'The person described is among the first ten for {_share(row)} of the sentences. '
            'For the others, all ten are somebody else.',
        )

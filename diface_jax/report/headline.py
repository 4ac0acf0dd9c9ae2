"""The results in a few sentences, said honestly when DiFace loses."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from diface_jax.report import words

Row = Mapping[str, Any]
# It knows the true labels of both photos: a bound, not a rival.
BOUND = 'oracle'


class Duel(NamedTuple):
    """AUC of the best baseline, and by how much DiFace leads it (a row of `differences`)."""

    best: Row
    lead: Row

    @property
    def is_won(self) -> bool:
        """DiFace is ahead."""
        return self.lead['value'] > 0

    @property
    def is_clear(self) -> bool:
        """The interval of the difference leaves out 0."""
        low, high = self.lead['ci95']
        return low > 0 or high < 0


class Headline(NamedTuple):
    """What was measured, how DiFace did on the whole, and each finding under what it is about."""

    data: str
    verdict: str
    findings: list[tuple[str, str]]


def headline(content: Mapping[str, Any]) -> Headline:
    """What was measured and how DiFace did against the best baseline.

    Args:
      content: of `evaluation.json`.

    Returns:
      Sentences; every number in them is in `content`, or counts comparisons.
    """
    results, leads = content['results'], content['differences'] or []
    tracks = list(dict.fromkeys(row['track'] for row in results))
    shown = [track for track in tracks if track in (tracks[0], 'human')]
    found = {
        (track, protocol): _by_method(results, track, protocol)
        for track in shown
        for protocol in ('cross', 'same')
    }
    duels = {
        where: duel
        for where, by_metric in found.items()
        if (duel := _duel(by_metric['auc'], _by_method(leads, *where)['auc']))
    }
    findings = [
        (
            f'{_sentences(track)}, {words.protocol(protocol)}',
            _finding(by_metric, duels.get((track, protocol))),
        )
        for (track, protocol), by_metric in found.items()
        if 'diface' in by_metric['auc']
    ]
    findings += _identification(results, tracks[0])
    return Headline(_data(content['data_card']), _verdict(list(duels.values())), findings)


def _data(card: Mapping[str, Any]) -> str:
    test = card['splits']['test']
    return (
        f'Measured on {test["photos"]:,} photographs of {test["identities"]:,} people, the test '
        f'split of {card["name"]}; none of these photographs was trained on.'
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


def _duel(auc: Mapping[str, Row], lead: Mapping[str, Row]) -> Duel | None:
    rivals = [name for name in lead if name in auc and name != BOUND]
    if not rivals:
        return None
    best = max(rivals, key=lambda name: auc[name]['value'])
    return Duel(auc[best], lead[best])


def _verdict(duels: Sequence[Duel]) -> str:
    if not duels:
        return 'No baseline was measured beside it.'
    won, clear = (sum(kind) for kind in ([d.is_won for d in duels], [d.is_clear for d in duels]))
    return (
        f'By AUC DiFace is ahead of the best baseline in {_of(won, len(duels))} comparisons with '
        f'random impostors; the 95% interval of the difference leaves out 0 in '
        f'{_of(clear, len(duels))}.'
    )


def _of(some: int, all_of_them: int) -> str:
    return f'{some or "none"} of {all_of_them}'


def _finding(by_metric: Mapping[str, Mapping[str, Row]], duel: Duel | None) -> str:
    auc = by_metric['auc']
    text = (
        f'DiFace is right about {_share(by_metric["accuracy"]["diface"])} of the pairs; AUC '
        f'{_share(auc["diface"])}.'
    )
    if duel:
        lead = f'{words.points(duel.lead["value"])} ({words.points_interval(duel.lead["ci95"])})'
        text += (
            f' The best baseline is {words.method(duel.best["method"])}, AUC {_share(duel.best)}: '
            f'DiFace is {"ahead" if duel.is_won else "behind"}, by {lead} points, '
            + ('more than chance.' if duel.is_clear else 'which may be chance.')
        )
    if BOUND in auc:
        text += f' With the true labels on both sides (oracle): {_share(auc[BOUND])}.'
    return text


def _sentences(track: str) -> str:
    return 'Free-hand sentences' if track == 'human' else f'Sentences of the {words.track(track)}'


def _share(row: Row) -> str:
    return f'{words.percent(row["value"])}% ({words.percent_interval(row["ci95"])})'


def _identification(results: Sequence[Row], track: str) -> Iterator[tuple[str, str]]:
    found = [
        row
        for row in results
        if (row['method'], row['track'], row['protocol']) == ('diface', track, 'cross')
        and (row['metric'], row['photos'], row['level']) == ('rank@10', 'one', 'identity')
    ]
    if found:
        row = max(found, key=lambda row: row['gallery'])
        yield (
            f'Looking for one among {row["gallery"]:,} people, another photo of the person',
            f'The person described is one of the first ten for {_share(row)} of the sentences. '
            'For all others, every one of the ten is somebody else.',
        )

"""Texts for the names and the numbers in `evaluation.json`."""

import math
import re
from collections.abc import Sequence

_METHODS = {
    'diface': 'DiFace',
    'literal': 'literal (one DDIM sample, no R)',
    'towers': 'two towers, no diffusion',
    'cca': 'CCA',
    'ridge': 'ridge regression',
    'clip': 'CLIP, zero-shot',
    'clip_linear': 'CLIP, linear head',
    'oracle': 'oracle (true labels)',
    'gender': 'gender label only',
}
_METRICS = {
    'accuracy': 'accuracy',
    'auc': 'AUC',
    'eer': 'EER',
    'far': 'false accept rate',
    'frr': 'false reject rate',
    'rank_percentile_mean': 'mean percentile',
    'rank_percentile_median': 'median percentile',
}
_CHANGES = {'unsaid': 'left out', 'wrong': 'stated wrongly'}
_PROTOCOLS = {'cross': 'another photo of the person', 'same': 'the photo described'}
_TRACKS = {'human': 'free-hand sentences', 'style': 'free-hand sentences, held-out voices'}
_IMPOSTORS = {'random': 'random impostors', 'same_gender': 'impostors of the same gender'}
_METRIC_AT = re.compile(r'(\w+)@(?:(\w+)=)?([\d.]+)(?:,rank=(\d+))?')


def method_name(name: str) -> str:
    """A method in full: 'two towers, no diffusion'."""
    return _METHODS.get(name, name)


def short_method_name(name: str) -> str:
    """A method in a legend: 'DiFace', 'CCA', 'towers'."""
    return {'diface': 'DiFace', 'cca': 'CCA'}.get(name, name)


def track_name(name: str) -> str:
    """A track: 'grammar, 50% coverage', 'free-hand sentences'."""
    kind, _, coverage = name.partition('-')
    return f'{kind}, {coverage}% coverage' if coverage else _TRACKS.get(name, name)


def protocol_name(name: str) -> str:
    """A protocol: 'cross (another photo of the person)'."""
    return f'{name} ({_PROTOCOLS[name]})'


def impostor_name(name: str) -> str:
    """A kind of impostor: 'random impostors'."""
    return _IMPOSTORS[name]


def metric_name(name: str) -> str:
    """A metric: 'TAR at FAR 1%', 'rank 10', 'R@10' (of photos), 'DIR at FPIR 1%, rank 10'."""
    match = _METRIC_AT.fullmatch(name)
    if match is None:
        return _METRICS.get(name, name)
    metric, rate, at, rank = match.groups()
    if metric == 'recall':
        return f'R@{at}'
    if rate is None:
        return f'rank {at}' if metric == 'rank' else f'{metric} for {100 * float(at):g}%'
    text = f'{metric.upper()} at {rate.upper()} {100 * float(at):g}%'
    return f'{text}, rank {rank}' if rank else text


def change_name(name: str) -> str:
    """A change of a sentence: 'left out', 'stated wrongly'."""
    return _CHANGES[name]


def percent(share: float) -> str:
    """A share in %, with one decimal: '80.8'; a dash for nan."""
    return number_text(100 * share, 1)


def percent_interval(ci95: Sequence[float]) -> str:
    """The ends of an interval of shares, in %: '79.0–82.8'."""
    return '–'.join(map(percent, ci95))


def points_text(difference: float) -> str:
    """A difference of shares in points, with its sign: '+1.2', '-0.3'; a dash for nan."""
    return '–' if math.isnan(difference) else f'{100 * difference:+z.1f}'


def points_interval(ci95: Sequence[float]) -> str:
    """The ends of an interval of differences, in points: '-0.4 to +2.0'."""
    return ' to '.join(map(points_text, ci95))


def number_text(value: float | None, decimals: int = 3) -> str:
    """A number that is not a share: '0.532'; a dash for None or nan."""
    if value is None or math.isnan(value):
        return '–'
    return f'{value:,.{decimals}f}'


def interval_text(ci95: Sequence[float]) -> str:
    """The ends of an interval of numbers that may be negative: '-0.012 to 0.120'."""
    return ' to '.join(map(number_text, ci95))


def rank_text(value: float) -> str:
    """A rank: '57', or '57.5' with ties."""
    return f'{value:,g}'

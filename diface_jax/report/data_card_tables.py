"""Tables of the data card and of the settings."""

import collections
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from diface_jax.report.content import Row
from diface_jax.report.tables import ReportTable, TableCell, TableGroup


def split_counts(card: Mapping[str, Any]) -> ReportTable:
    """Photos, people and sentences in each split."""
    columns = list(dict.fromkeys(name for counts in card['splits'].values() for name in counts))
    lines = [
        (split, [TableCell(f'{counts[name]:,}' if name in counts else '–') for name in columns])
        for split, counts in card['splits'].items()
    ]
    return ReportTable('Photos, people and sentences', 'split', columns, [TableGroup('', lines)])


def encoder_rows(card: Mapping[str, Any]) -> Iterator[tuple[str, Row]]:
    """The kind of each frozen encoder ('face' or 'text') and its entry in the data card."""
    yield from (('face', entry) for entry in card['encoders']['face'])
    if 'text' in card['encoders']:
        yield 'text', card['encoders']['text']


def problem_counts(card: Mapping[str, Any]) -> ReportTable:
    """How many photos were left out, or used with a note, by reason."""
    kinds = {
        'no_embedding': 'left out: no embedding could be computed',
        'problems': 'problems that the reader reported',
        'notes': 'used, with a note',
    }
    groups = [TableGroup(heading, _reasons(card.get(kind, ()))) for kind, heading in kinds.items()]
    return ReportTable('Photos left out, and notes', 'reason', ['photos'], groups)


def _reasons(notes: Sequence[Row]) -> list[tuple[str, list[TableCell]]]:
    counts = collections.Counter(note['why'] for note in notes).most_common()
    return [(why, [TableCell(f'{count:,}')]) for why, count in counts] or [
        ('none', [TableCell('0')])
    ]


def setting_rows(config: Mapping[str, Any]) -> ReportTable:
    """Every setting of the config, by its dotted key."""
    lines = [(name, [TableCell(value, kind='words')]) for name, value in _flat(config)]
    return ReportTable('Settings', 'setting', ['value'], [TableGroup('', lines)])


def _flat(config: Mapping[str, Any], path: str = '') -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f'{path}{name}.')
        else:
            yield f'{path}{name}', json.dumps(value)

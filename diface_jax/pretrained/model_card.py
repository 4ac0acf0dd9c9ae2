"""The model card of a pack: data, results on every test, terms and limits, as Markdown."""

import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jinja2
from absl import logging

from diface_jax.report import labels
from diface_jax.runtime import run_state

_TEMPLATE = pathlib.Path(__file__).with_name('model_card.md.jinja')
_RANKS = ('rank@1', 'rank@10')
_GROUP_METRICS = ('accuracy', 'far', 'frr')

Content = Mapping[str, Any]


def render_card(description: Mapping[str, Any], size: int, evaluations: Sequence[Content]) -> str:
    """The card, from the description of a pack and the evaluations of its model.

    Args:
      description: the content of `model.json`.
      size: of the numbers, in bytes.
      evaluations: contents of `evaluation.json` files.
    """
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(_TEMPLATE.read_text(encoding='utf-8')).render(
        name=description['name'],
        step=f'{description["step"]:,}',
        started_from=(description['settings']['train'].get('init_from') or {}).get('name'),
        data=list(_data_rows(description['trained_on'])),
        tests=[_test(content) for content in evaluations],
        terms=description['terms'],
        encoders=list(_encoder_rows(description)),
        text_encoder=description['encoders']['text'],
        size=f'{size / 1e6:.1f}',
        sha256=description['weights_sha256'],
        parity=description['parity'],
    )


def read_evaluations(
    workdir: pathlib.Path, settings: Mapping[str, Any], step: int
) -> list[dict[str, Any]]:
    """The evaluations in a workdir that are of the model; others are left out with a warning.

    Args:
      workdir: with `evaluation.json` and `evaluation_NAME.json`.
      settings: of the model's training.
      step: of its checkpoint.
    """
    evaluations = []
    for path in sorted(workdir.glob('evaluation*.json')):
        content = json.loads(path.read_text(encoding='utf-8'))
        evaluated = content['settings']
        differences = run_state.settings_differences(
            evaluated['training'], settings, ignore=('sample',)
        )
        if differences or evaluated['step'] != step:
            logging.warning('%s is of another model: it is left out of the model card', path)
        else:
            evaluations.append(content)
    return evaluations


def _data_rows(trained_on: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for data in trained_on:
        for part, counts in data['splits'].items():
            if counts['photos']:
                yield {
                    'name': data['name'],
                    'part': part,
                    'photos': f'{counts["photos"]:,}',
                    'people': f'{counts["identities"]:,}',
                    'grammar': f'{counts["grammar sentences"]:,}',
                    'human': f'{counts["human sentences"]:,}',
                }


def _encoder_rows(description: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The frozen encoders, with the licences of their weights."""
    for encoder in (*description['encoders']['face'], description['encoders']['text']):
        yield {
            'name': encoder['name'],
            'licence': description['licences'].get(encoder['name'], '–'),
            'sha256': encoder['sha256'],
        }


def _test(content: Content) -> dict[str, Any]:
    """What the card says of a test."""
    card = content['data_card']
    rows = [row for row in content['results'] if row['method'] == 'diface']
    people = max((row['gallery'] or 0 for row in rows), default=0)
    gap = content['groups']['largest_gap']
    return {
        'title': f'Test people of {card["name"]}',
        'photos': f'{card["splits"]["test"]["photos"]:,}',
        'people': f'{card["splits"]["test"]["identities"]:,}',
        'threshold_from': content['thresholds']['from'],
        'rank_names': [f'R@{name.partition("@")[2]} of {people:,}' for name in _RANKS],
        'results': list(_result_rows(rows, people)),
        'groups': list(_group_rows(content['groups']['rows'])),
        'gap': gap and gap['sentence'],
    }


def _result_rows(rows: Sequence[Mapping[str, Any]], people: int) -> Iterator[list[str]]:
    """A line a track and protocol; ranks are of people, in the largest gallery."""
    for track, protocol in dict.fromkeys((row['track'], row['protocol']) for row in rows):
        of_line = {
            (row['metric'], row['impostors'], row['gallery']): row
            for row in rows
            if (row['track'], row['protocol']) == (track, protocol)
            and row['photos'] in (None, 'one')
            and row['level'] in (None, 'identity')
        }
        columns = [
            ('accuracy', 'random', None),
            ('auc', 'random', None),
            ('accuracy', 'same_gender', None),
            *((name, 'random', people) for name in _RANKS),
        ]
        cells = (_cell(of_line.get(column)) for column in columns)
        yield [labels.track_name(track), protocol, *cells]


def _group_rows(rows: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """A line a track, protocol and group."""
    for track, protocol, group in dict.fromkeys(
        (row['track'], row['protocol'], row['group']) for row in rows
    ):
        of_line = {
            row['metric']: row
            for row in rows
            if (row['track'], row['protocol'], row['group']) == (track, protocol, group)
        }
        cells = (_cell(of_line.get(metric)) for metric in _GROUP_METRICS)
        texts = f'{of_line["accuracy"]["texts"]:,}'
        yield [labels.track_name(track), protocol, group, texts, *cells]


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return '–'
    return f'{labels.percent(row["value"])} ({labels.percent_interval(row["ci95"])})'

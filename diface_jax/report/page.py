"""The report: the content of `evaluation.json` as one self-contained HTML page."""

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import jinja2

from diface_jax.report import (
    data_card_tables,
    figures,
    interval_plots,
    labels,
    line_plots,
    rate_plots,
    tables,
)
from diface_jax.report.headline import headline
from diface_jax.report.thumbnails import make_thumbnails


def write_report(content: Mapping[str, Any], out: pathlib.Path) -> None:
    """Writes the page, and beside it a folder of the same name with figures and their data.

    Sections without data say so. Photographs that are not on this disk become placeholders.

    Args:
      content: of `evaluation.json`.
      out: the page, such as WORKDIR/report.html; figures are WORKDIR/report/NAME.png and NAME.csv.
    """
    content = {**dict.fromkeys(_OPTIONAL), **content}
    folder = out.with_suffix('')
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {
        section: [figures.render(plot, folder) for plot in plots(content)]
        for section, plots in _PLOTS.items()
    }
    shown = make_thumbnails(content)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template('page.html.jinja').render(
        content=content,
        headline=headline(content),
        tracks=list(dict.fromkeys(row['track'] for row in content['results'])),
        figures=drawn,
        folder=folder.name,
        faces=shown,
        face_ids={file: f'face-{i}' for i, file in enumerate(shown.pictures)},
        panels=_by_condition(content['panels'] or ()),
        mistakes=_by_condition(content['mistakes'] or ()),
        tables=tables,
        card=data_card_tables,
        labels=labels,
    )
    out.write_text(page, encoding='utf-8')


def _by_condition(some: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Searches or mistakes under the kind of sentence and the protocol."""
    found = {}
    for one in some:
        about = f'{labels.track_name(one["track"])}; {labels.protocol_name(one["protocol"])}'
        found.setdefault(about, []).append(one)
    return found


_OPTIONAL = (
    'curves',
    'attributes',
    'mistakes',
    'differences',
    'groups',
    'clusters',
    'path',
    'panels',
    'sweep',
    'ablation',
)
_PLOTS = {
    'roc': rate_plots.roc_plots,
    'det': rate_plots.det_plots,
    'cmc': rate_plots.cmc_plots,
    'said': line_plots.coverage_plots,
    'sweep': line_plots.trade_off_plots,
    'path': line_plots.path_plots,
    'attributes': interval_plots.attribute_plots,
    'people': interval_plots.group_plots,
    'ablation': interval_plots.ablation_plot,
}

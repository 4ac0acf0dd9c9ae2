"""The report: an HTML page that shows the content of `evaluation.json`."""

import pathlib
from collections.abc import Iterable

import jinja2

from diface_jax.report import (
    data_card_tables,
    figures,
    interval_plots,
    labels,
    line_plots,
    poor_photo_plots,
    rate_plots,
    tables,
)
from diface_jax.report.content import Content, Row
from diface_jax.report.headline import headline
from diface_jax.report.poor_photo_table import poor_photo_tables
from diface_jax.report.thumbnails import make_thumbnails


def write_report(content: Content, out: pathlib.Path) -> None:
    """Writes the page, and next to it a folder with the figures and their data.

    A section without data says what is missing. Photographs that cannot be read are replaced by
    placeholders.

    Args:
      content: the content of `evaluation.json`.
      out: the path of the page, such as WORKDIR/report.html. The figures are then
        WORKDIR/report/NAME.png, and their data WORKDIR/report/NAME.csv.

    Raises:
      OSError: a file cannot be written.
    """
    content = {**dict.fromkeys(_OPTIONAL), **content}
    folder = out.with_suffix('')
    folder.mkdir(parents=True, exist_ok=True)
    rendered = {
        section: [figures.render(plot, folder) for plot in plots(content)]
        for section, plots in _PLOTS.items()
    }
    thumbnails = make_thumbnails(content)
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
        figures=rendered,
        folder=folder.name,
        thumbnails=thumbnails,
        thumbnail_ids={file: f'face-{i}' for i, file in enumerate(thumbnails.images)},
        examples=_by_condition(content['panels'] or ()),
        failure_cases=_by_condition(content['mistakes'] or ()),
        tables=tables,
        poor_photo_tables=poor_photo_tables,
        card=data_card_tables,
        labels=labels,
    )
    out.write_text(page, encoding='utf-8')


def _by_condition(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Example searches or failure cases, by the name of their track and protocol."""
    by_condition = {}
    for row in rows:
        condition = f'{labels.track_name(row["track"])}; {labels.protocol_name(row["protocol"])}'
        by_condition.setdefault(condition, []).append(row)
    return by_condition


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
    'poor_photos',
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
    'ablation': interval_plots.ablation_plots,
    'poor_photos': poor_photo_plots.poor_photo_plots,
}

"""Draws docs/search.svg, a search among simulated people: `python docs/search_picture.py WORKDIR`.

WORKDIR is that of launch/quickstart.sh, whose test people carry their true labels as tags.
"""

import pathlib
import sys
import tempfile

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

import diface_jax
from diface_jax.gallery.results import SearchResults

SENTENCE = 'a smiling young woman with wavy blond hair and heavy makeup'
# The words of the sentence, the label that each is about, and whether it says that the label holds.
CLAIMS = (
    ('smiling', 'Smiling', True),
    ('young', 'Young', True),
    ('woman', 'Male', False),
    ('wavy', 'Wavy_Hair', True),
    ('blond', 'Blond_Hair', True),
    ('makeup', 'Heavy_Makeup', True),
)
INK, BAR, MISS = '#1f2328', '#0969da', '#c5ccd3'


def draw(answer: SearchResults, path: pathlib.Path) -> None:
    """Writes the picture: log-likelihood ratios, and which claims of the sentence are true."""
    plt.rcParams |= {'svg.fonttype': 'none', 'svg.hashsalt': 'search', 'text.color': INK}
    figure, (bars, dots) = plt.subplots(
        1, 2, figsize=(10, 3.8), width_ratios=(3, 2.6), layout='constrained', sharey=True
    )
    entries = answer.gallery['entries_searched']
    figure.suptitle(f'“{answer.texts[0]}”, among {entries} simulated photos', fontsize=13)
    _bars(bars, answer)
    _dots(dots, answer)
    figure.savefig(path, metadata={'Date': None})


def _bars(axis: Axes, answer: SearchResults) -> None:
    nats = [result.scored.log_likelihood_ratio for result in answer.results]
    bars = axis.barh(range(len(nats)), nats, color=BAR, height=0.62)
    probabilities = [f'{result.scored.probability:.0%}' for result in answer.results]
    axis.bar_label(bars, probabilities, padding=4, color=INK)
    axis.set_yticks(range(len(nats)), [f'{r.rank}. {r.entry.name}' for r in answer.results])
    axis.set(
        xlabel='log-likelihood ratio, nats; at the end: probability', xlim=(0, max(nats) * 1.12)
    )
    axis.invert_yaxis()
    axis.spines[['top', 'right']].set_visible(False)


def _dots(axis: Axes, answer: SearchResults) -> None:
    for row, result in enumerate(answer.results):
        labels = result.entry.tags['labels'].split(', ')
        for column, (_, label, holds) in enumerate(CLAIMS):
            colour = BAR if (label in labels) == holds else MISS
            axis.scatter(column, row, s=90, color=colour, linewidths=0)
    axis.set_xticks(range(len(CLAIMS)), [word for word, *_ in CLAIMS])
    axis.set(xlabel='true labels that fit (blue), or do not', xlim=(-0.7, len(CLAIMS) - 0.3))
    axis.tick_params(length=0, labelsize=9)
    axis.spines[:].set_visible(False)


def search(workdir: pathlib.Path) -> SearchResults:
    """Searches the test people of a quickstart with its model."""
    model = diface_jax.load(workdir)
    (embeddings,) = workdir.glob('prepared/*/gallery.parquet')
    with tempfile.TemporaryDirectory() as gallery:
        model.enroll_embeddings(gallery, embeddings)
        return model.search(gallery, SENTENCE, k=8)


if __name__ == '__main__':
    draw(search(pathlib.Path(sys.argv[1])), pathlib.Path(__file__).with_name('search.svg'))

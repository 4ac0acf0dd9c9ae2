"""Draws docs/search.svg, a search with no faces: `python docs/search_picture.py WORKDIR`.

WORKDIR is of launch/quickstart.sh, whose test people are simulated and carry their true labels as
tags. Everything in the picture comes from that search.
"""

import pathlib
import sys
import tempfile

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

import diface_jax
from diface_jax.gallery.answers import SearchAnswer

SENTENCE = 'a smiling young woman with wavy blond hair and heavy makeup'
# What it says, the label, and whether the label has to hold.
SAID = (
    ('smiling', 'Smiling', True),
    ('young', 'Young', True),
    ('woman', 'Male', False),
    ('wavy', 'Wavy_Hair', True),
    ('blond', 'Blond_Hair', True),
    ('makeup', 'Heavy_Makeup', True),
)
INK, BAR, MISS = '#1f2328', '#0969da', '#c5ccd3'


def draw(answer: SearchAnswer, path: pathlib.Path) -> None:
    """Writes the picture: each result's log-likelihood ratio, and which of what was said holds."""
    plt.rcParams |= {'svg.fonttype': 'none', 'svg.hashsalt': 'search', 'text.color': INK}
    figure, (bars, dots) = plt.subplots(
        1, 2, figsize=(10, 3.8), width_ratios=(3, 2.6), layout='constrained', sharey=True
    )
    entries = answer.gallery['entries_searched']
    figure.suptitle(f'“{answer.texts[0]}”, among {entries} simulated photos', fontsize=13)
    _bars(bars, answer)
    _dots(dots, answer)
    figure.savefig(path, metadata={'Date': None})


def _bars(axis: Axes, answer: SearchAnswer) -> None:
    nats = [found.scored.log_likelihood_ratio for found in answer.results]
    drawn = axis.barh(range(len(nats)), nats, color=BAR, height=0.62)
    chances = [f'{found.scored.probability:.0%}' for found in answer.results]
    axis.bar_label(drawn, chances, padding=4, color=INK)
    axis.set_yticks(range(len(nats)), [f'{f.rank}. {f.entry.name}' for f in answer.results])
    axis.set(
        xlabel='log-likelihood ratio, nats; at the end: probability', xlim=(0, max(nats) * 1.12)
    )
    axis.invert_yaxis()
    axis.spines[['top', 'right']].set_visible(False)


def _dots(axis: Axes, answer: SearchAnswer) -> None:
    for row, found in enumerate(answer.results):
        labels = found.entry.tags['labels'].split(', ')
        for column, (_, label, holds) in enumerate(SAID):
            colour = BAR if (label in labels) == holds else MISS
            axis.scatter(column, row, s=90, color=colour, linewidths=0)
    axis.set_xticks(range(len(SAID)), [word for word, *_ in SAID])
    axis.set(xlabel='true labels that fit (blue), or do not', xlim=(-0.7, len(SAID) - 0.3))
    axis.tick_params(length=0, labelsize=9)
    axis.spines[:].set_visible(False)


def search(workdir: pathlib.Path) -> SearchAnswer:
    """What the model of a quickstart finds among its test people."""
    model = diface_jax.load(workdir)
    (embeddings,) = workdir.glob('prepared/*/gallery.parquet')
    with tempfile.TemporaryDirectory() as gallery:
        model.enroll_embeddings(gallery, embeddings)
        return model.search(gallery, SENTENCE, k=8)


if __name__ == '__main__':
    draw(search(pathlib.Path(sys.argv[1])), pathlib.Path(__file__).with_name('search.svg'))

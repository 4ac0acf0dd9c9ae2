"""Whoever has the files alone draws the same pairs and finds the same numbers."""

import csv
import dataclasses
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from diface_jax.evaluation import verification
from diface_jax.evaluation.protocol_files import write_protocol
from diface_jax.evaluation.scores_file import read_scores
from tests.evaluation import benchmark_world as world


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp('protocol') / 'out'
    said = write_protocol(world.benchmark(), out)
    assert str(out) in said
    return out


def table(path, split):
    with path.open(newline='') as file:
        return [row for row in csv.DictReader(file) if row['split'] == split]


def test_the_files_give_the_pairs_and_their_scores(folder):
    texts, photos = table(folder / 'texts.csv', 'test'), table(folder / 'photos.csv', 'test')
    pairs = np.load(folder / 'pairs.npz')
    features, split = world.cca()['test'], world.benchmark().split('test')
    for condition, draws in world.benchmark().test_pairs().items():
        name = f'test/{condition.name}'
        for s, expected in enumerate(draws):
            text_P, photo_P = pairs[f'{name}/text'][s], pairs[f'{name}/photo'][s]
            np.testing.assert_array_equal(photo_P, expected.photo_P)
            np.testing.assert_array_equal(pairs[f'{name}/genuine'][s], expected.genuine_P)
            sentences = [texts[row]['sentence'] for row in text_P]
            assert sentences == split.text_T[expected.text_P].tolist()
            person_P = np.array([int(photos[row]['person']) for row in photo_P])
            file_P = [texts[row]['photo'] for row in text_P]
            person_of = {photo['photo']: int(photo['person']) for photo in photos}
            described_P = np.array([person_of[file] for file in file_P])
            np.testing.assert_array_equal(described_P == person_P, expected.genuine_P)
        scores = features.scores(expected.text_P, expected.photo_P)
        assert verification.auc(verification.roc_curve(scores, expected.genuine_P)) > 0.6


def test_the_galleries_hold_the_mates(folder):
    galleries, photos = np.load(folder / 'galleries.npz'), table(folder / 'photos.csv', 'test')
    texts = table(folder / 'texts.csv', 'test')
    people = sorted({int(photo['person']) for photo in photos})
    for protocol in verification.PROTOCOLS:
        name = f'human/{protocol}'
        for text_P, person_P, photo_I in zip(
            *(galleries[f'{name}/{key}'] for key in ('text', 'person', 'photo')), strict=True
        ):
            mates = [photos[photo_I[person]] for person in person_P]
            assert [int(mate['person']) for mate in mates] == [people[p] for p in person_P]
            described = [texts[row]['photo'] for row in text_P]
            shown = [mate['photo'] for mate in mates]
            assert all(
                (a == b) == (protocol == 'same') for a, b in zip(described, shown, strict=True)
            )
        assert galleries[f'{name}/gallery'].shape[1] == len(world.benchmark().gallery_sizes)


def test_the_description_names_version_seeds_and_counts(folder):
    description = json.loads((folder / 'protocol.json').read_text())
    assert description == world.benchmark().description()
    assert (description['format'], description['version']) == ('diface protocol', 1)
    assert description['counts']['test']['people'] == 20
    assert description['sha256'] in (folder / 'README.md').read_text()
    texts = table(folder / 'texts.csv', 'test')
    assert sum(int(row['retrieval']) for row in texts) == len(texts)
    assert {row['track'] for row in texts} == {'grammar-100', 'human'}
    assert table(folder / 'photos.csv', 'train')


def test_the_example_of_the_documentation_makes_a_file_that_is_read(folder, tmp_path):
    page = (pathlib.Path(__file__).parents[2] / 'docs' / 'benchmark.md').read_text()
    (tmp_path / 'example.py').write_text(re.search(r'```python\n(.*?)```', page, re.DOTALL)[1])
    command = [sys.executable, tmp_path / 'example.py', folder, tmp_path / 'mine.npz']
    subprocess.run(command, check=True, capture_output=True)
    scores = read_scores(tmp_path / 'mine.npz', world.benchmark())
    assert scores.kind == 'embeddings'
    assert scores.methods['test'].text_TxF.shape == (len(table(folder / 'texts.csv', 'test')), 8)


def test_another_sentence_or_seed_is_another_protocol():
    benchmark = world.benchmark()
    sha256 = benchmark.description()['sha256']
    settings = benchmark.settings.copy_and_resolve_references()
    settings.seed = 1
    reseeded = dataclasses.replace(benchmark, settings=settings)
    assert reseeded.description()['sha256'] != sha256
    test = benchmark.split('test')
    said = test.text_T.copy()
    said[0] = 'another sentence'
    splits = {**benchmark.data.splits, 'test': dataclasses.replace(test, text_T=said)}
    reworded = dataclasses.replace(
        benchmark, data=dataclasses.replace(benchmark.data, splits=splits)
    )
    assert reworded.description()['sha256'] != sha256


def test_what_is_there_is_replaced_only_when_asked(folder, tmp_path):
    with pytest.raises(FileExistsError, match='is a protocol already: give another --out'):
        write_protocol(world.benchmark(), folder)
    write_protocol(world.benchmark(), folder, overwrite=True)
    (tmp_path / 'mine').write_text('')
    with pytest.raises(FileExistsError, match='is there and is not a protocol'):
        write_protocol(world.benchmark(), tmp_path, overwrite=True)

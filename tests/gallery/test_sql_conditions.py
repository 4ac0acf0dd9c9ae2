"""Conditions as SQL choose what the matcher of Python chooses."""

import os

import numpy as np
import pytest

from diface_jax.gallery import conditions, entries
from diface_jax.gallery.store import EnrolledFace, PhotoFile, PhotoLabel, Store
from diface_jax.runtime.terminal import printable
from tests.gallery import world

TEXTS = (
    *('Anna', 'anna', 'An*', 'A?na', '[Anna]', '[!a]', "O'Hara", 'q"uote', 'back\\slash', '100%'),
    *('a_b', '', ' ', '*', 'Zoë', '李雷', 'a\x00b', 'a', '\x00', 'red\x1b[31m', 'red\\x1b[31m'),
    *('two\nlines', '\u202egnp', '\u200b', 'x\x7f', '\U0001f600', 'null', '{}', '"a"', '1', '12'),
)
TAGS = (*TEXTS, 'half \udcff', 'Rome')
FOLDERS = (b'photos/Anna', b'photos/A?na', 'Zoë/李'.encode(), b'no-\xff\xfe', b'[x]', b'\x1b', b'')
NAMES = (
    b'a.jpg',
    b'b*.jpg',
    b'[1].jpg',
    b'\xff.jpg',
    'é.jpg'.encode(),
    b'two\nlines.jpg',
    b'\\.jpg',
)
TAKEN = (None, '2018-12-31T23:59:59', '2019-07-01T00:00:00', '2019-07-14T12:30:05')
FEATURE = np.eye(4, dtype=np.float32)[0]
FACE = EnrolledFace(None, None, FEATURE, FEATURE)


@pytest.fixture(params=range(3))
def rng(request):
    return np.random.default_rng(request.param)


def pick(rng, values):
    return values[rng.integers(len(values))]


def fill(store, rng):
    """Photos with none to two faces, some labelled copies, and imported embeddings."""
    for number in range(12):
        faces = [FACE] * rng.integers(3)
        tags = {pick(rng, ('place', 'café', "it's", 'q"', '')): pick(rng, TAGS) for _ in range(2)}
        label = PhotoLabel(pick(rng, (None, *TEXTS)), tags)
        problem = None if faces else 'no face found'
        photo = store.add_photo(bytes([number]) * 32, faces, label, problem, pick(rng, TAKEN))
        for copy in range(rng.integers(1, 3)):
            path = b'/'.join([pick(rng, FOLDERS), b'%d-%d' % (number, copy) + pick(rng, NAMES)])
            store.place(PhotoFile(path, 1, 1), photo)
            if rng.integers(2):
                store.label(path, PhotoLabel(pick(rng, TEXTS)))
    for name in {pick(rng, TEXTS) for _ in range(6)}:
        label = PhotoLabel(pick(rng, (None, *TEXTS)), {'place': pick(rng, TAGS)})
        store.add_embeddings([name], [FACE], [label])


def unusable(store):
    """What conditions are about, of each file without a face, by its path."""
    for path in store.problems():
        folder = entries.path_text(os.path.basename(os.path.dirname(path)))
        yield path, {'photo': entries.path_text(path), 'person': folder}


def pattern_near(rng, text):
    """A text, or as it is printed, with some characters replaced."""
    text = pick(rng, (text, printable(text)))
    for _ in range(rng.integers(3)):
        start, end = sorted(rng.integers(len(text) + 1, size=2))
        text = pick(rng, (text[:start] + '*' + text[end:], text[:start] + '?' + text[start + 1 :]))
    return text


def some_conditions(rng, values):
    """Conditions that are near to what an entry has."""
    where = []
    for _ in range(rng.integers(1, 4)):
        name = pick(rng, [*values, 'place', 'person', 'photo'])
        where.append((name, pattern_near(rng, values.get(name) or pick(rng, TAGS))))
    if not rng.integers(4):
        bound = pick(rng, (conditions.SINCE, conditions.UNTIL))
        where.append((bound, pick(rng, ('2019', '2018-12', '2019-07-14', '2019-07-01T00'))))
    return tuple(where)


def test_sql_and_the_matcher_choose_the_same(tmp_path, rng):
    with Store(tmp_path / 'gallery', create=True) as store:
        with store.changing():
            fill(store, rng)
        faces, files = list(world.described(store)), list(unusable(store))
        candidates = [values for _, values in (*faces, *files)]
        chosen = 0
        for _ in range(100):
            where = some_conditions(rng, pick(rng, candidates))
            fits = conditions.matcher(where, candidates)
            expected = {number for number, values in faces if fits(values)}
            assert store.where(where).tolist() == sorted(expected), where
            paths = sorted(path for path, values in files if fits(values))
            assert sorted(store.unusable_where(where)) == paths, where
            chosen += len(expected) + len(paths)
        assert chosen > 30


def test_long_patterns_are_matched_too(tmp_path):
    with Store(tmp_path / 'gallery', create=True) as store, store.changing():
        store.add_embeddings(['x' * 60_000], [FACE], [PhotoLabel('Anna')])
        assert store.where({'name': 'x' * 59_999 + '*'}).tolist() == [1]
        assert store.where({'name': 'x' * 60_001 + '*'}).tolist() == []


def test_what_is_printed_otherwise_is_not_printable():
    odd = [text for text in map(chr, range(0x20000)) if printable(text) != text]
    assert len(odd) > 100
    assert not any(map(str.isprintable, odd))


@pytest.mark.parametrize(
    ('where', 'index'),
    [
        ({'person': 'Anna'}, 'entry_of_person'),
        ({'person': 'An*'}, 'file_of_person'),
        ({'place': 'R*'}, 'entry_of_tags'),
    ],
)
def test_conditions_are_answered_from_indexes(tmp_path, where, index):
    from diface_jax.gallery import sql_conditions

    with Store(tmp_path / 'gallery', create=True) as store:
        query = sql_conditions.chosen_entries(store.database, conditions.conditions_of(where))
        plan = [row[-1] for row in store._rows(f'EXPLAIN QUERY PLAN {query.sql}', *query.values)]
    assert any(f'COVERING INDEX {index}' in step for step in plan)
    assert not any(step == 'SCAN entry' for step in plan)

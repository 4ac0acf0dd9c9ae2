"""The command line: JSON as documented, exit codes, and errors that say what to do."""

import json
import pathlib
import re

import pytest
from PIL import Image

from diface_jax.gallery import store
from tests.gallery import world

REFERENCE = pathlib.Path(__file__).resolve().parents[2] / 'docs' / 'search.md'


@pytest.fixture
def gallery(command, tmp_path):
    world.folder_of(tmp_path / 'photos')
    code, said = command(
        *('enroll', f'--gallery={tmp_path / "gallery"}', f'--photos={tmp_path / "photos"}'),
        *('--people', '--tag=place=Rome'),
    )
    assert (code, said) == (0, '18 faces of 18 new photos\n')
    return tmp_path / 'gallery'


def asked(gallery, text, *more):
    return f'--gallery={gallery}', f'--text={text}', *more


def test_search_for_people_to_read(command, gallery):
    code, said = command('search', *asked(gallery, 'person 3, smiling'))
    assert code == 0
    assert said.startswith('match among 18 faces: person 3, smiling\n')
    assert re.search(r'1 match person-3 \S+/person-3/\d.png \(entry \d+\)', said)
    assert re.search(r'probability \d', said)
    assert 'smiling +0.00' in said
    code, said = command('search', *asked(gallery, 'person 3', '--text=person 4'))
    assert said.splitlines()[-1].startswith('ask next: Does the person wear glasses? (yes, no; ')


def test_exit_codes(command, gallery, tmp_path):
    assert command('search', *asked(gallery, 'person 3'))[0] == 0
    code, said = command('search', *asked(gallery, 'person 29'))
    assert code == 2
    assert said.startswith('no match')
    photo = tmp_path / 'photos' / 'person-3' / '0.png'
    assert command('verify', f'--photo={photo}', '--text=person 3')[0] == 0
    assert command('verify', f'--photo={photo}', '--text=person 4')[0] == 2
    assert command('identify', *asked(gallery, 'person 3'))[0] == 0
    assert command('search', *asked(tmp_path / 'none', 'person 3'))[0] == 1


def keys_in(made):
    if isinstance(made, dict):
        # Tags and conditions are named by the user.
        inner = [keys_in(value) for key, value in made.items() if key not in ('tags', 'where')]
        return set(made).union(*inner)
    if isinstance(made, list):
        return set().union(*map(keys_in, made))
    return set()


def test_json_is_as_documented(command, gallery, tmp_path):
    photo = tmp_path / 'photos' / 'person-3' / '0.png'
    answers = [
        command('search', *asked(gallery, 'person 3 or 4', '--json', '--where=place=R*'))[1],
        command('identify', *asked(gallery, 'person 3', '--json'))[1],
        command('verify', f'--photo={photo}', '--text=person 3, smiling', '--json')[1],
    ]
    documented = set(re.findall(r'`([a-z_]+)`', REFERENCE.read_text()))
    for said in answers:
        made = json.loads(said)
        assert made['schema'] == 1
        assert made['decision'] == 'match'
        assert keys_in(made) <= documented
    found = json.loads(answers[0])
    assert found['where'] == {'place': 'R*'}
    assert found['results'][0]['person'] in ('person-3', 'person-4')
    assert found['results'][0]['tags'] == {'place': 'Rome'}
    assert found['results'][0]['box'] == [0, 0, 7, 7]
    assert found['results'][0]['phrases'][0]['phrase'] == 'person 3 or 4'
    assert found['next_question']['gain_bits'] > 0
    assert found['next_question']['answers'][0] == {
        'say': 'yes',
        'sentence': 'A person with glasses.',
    }
    assert json.loads(answers[2])['faces'][0]['phrases'][1] == {'phrase': 'smiling', 'nats': 0.0}


def test_enroll_says_json_too(command, gallery, tmp_path):
    code, said = command(
        'enroll', f'--gallery={gallery}', f'--photos={tmp_path / "photos"}', '--json'
    )
    assert code == 0
    assert json.loads(said)['unchanged'] == 18


def test_a_batch_of_queries(command, gallery, tmp_path):
    (tmp_path / 'queries.txt').write_text('person 1\n\nperson 29\n')
    run = (f'--gallery={gallery}', f'--queries={tmp_path / "queries.txt"}', '--json')
    code, said = command('search', *run, f'--sheet={tmp_path / "sheet.png"}')
    assert code == 0
    decisions = [json.loads(line)['decision'] for line in said.splitlines()]
    assert decisions == ['match', 'no match']
    assert (tmp_path / 'sheet-1.png').exists()
    assert (tmp_path / 'sheet-2.png').exists()


def test_contact_sheet(command, gallery, tmp_path):
    out = tmp_path / 'sheet.png'
    assert command('search', *asked(gallery, 'person 3', '--k=7', f'--sheet={out}'))[0] == 0
    colours = Image.open(out).convert('RGB').getcolors(1 << 20)
    shares = {colour: count for count, colour in colours}
    face = (8 * 3, 200, 0)  # of person 3, near enough for a JPEG
    near = [
        n for c, n in shares.items() if max(abs(a - b) for a, b in zip(c, face, strict=True)) < 25
    ]
    assert sum(near) > 3 * 100 * 100
    assert shares[(0x12, 0x90, 0x6A)] > 3 * 4 * 150  # a frame around each of the matches


def test_delete(command, gallery):
    assert command('delete', f'--gallery={gallery}', '--where=person=person-3', '--yes') == (
        0,
        'removed 3 entries\n',
    )
    code, said = command('delete', f'--gallery={gallery}', '--where=person=person-3', '--yes')
    assert code == 1
    assert 'nothing' in said
    code, said = command('delete', f'--gallery={gallery}')
    assert code == 1
    assert '--everything' in said
    assert command('delete', f'--gallery={gallery}', '--everything', '--yes')[0] == 0
    assert not (gallery / store.FILE).exists()


@pytest.mark.parametrize(
    ('mode', 'arguments', 'why'),
    [
        ('search', ('--text=a man',), '--gallery is missing'),
        ('enroll', ('--gallery=none',), 'no gallery in none: make one with --mode=enroll'),
        ('enroll', (), '--gallery is missing'),
        ('enroll', ('--gallery=g', '--photos=a', '--embeddings=b'), '--photos or --embeddings'),
        ('enroll', ('--gallery=g', '--photos=nowhere'), 'no folder or file of photographs'),
        ('enroll', ('--gallery=g', '--embeddings=nowhere.npz'), 'no file of embeddings'),
        ('verify', ('--text=a man',), '--photo is missing'),
        ('verify', ('--photo=nowhere', '--text=a man'), 'nowhere'),
        ('search', ('--gallery=g',), 'give --text'),
        ('identify', ('--gallery=g', '--queries=q'), 'goes with --mode=search'),
        ('search', ('--gallery=g', '--queries=nowhere'), 'nowhere'),
        (
            'search',
            ('--gallery=g', '--text=a man', '--where=person'),
            "'person' is not of the form",
        ),
        ('search', ('--gallery=g', '--text=a man', '--k=0'), '1 or more'),
        ('delete', ('--everything',), '--gallery is missing'),
        ('delete', ('--gallery=g', '--everything'), 'no gallery in g'),
    ],
)
def test_errors_say_what_to_do(command, mode, arguments, why, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said = command(mode, *arguments)
    assert code == 1
    assert why in said
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_a_clear_error(command, gallery, monkeypatch):
    with store.Store(gallery) as opened:
        pages = opened._number('PRAGMA page_count')
    set_up = store.Store._set_up

    def small(self):
        set_up(self)
        self._database.execute(f'PRAGMA max_page_count = {pages}')

    monkeypatch.setattr(store.Store, '_set_up', small)
    photos = gallery.parent / 'more'
    world.folder_of(photos / 'more', people=32, photos=20)
    code, said = command('enroll', f'--gallery={gallery}', f'--photos={photos}')
    assert code == 1
    assert 'full' in said
    assert command('search', *asked(gallery, 'person 3'))[0] == 0

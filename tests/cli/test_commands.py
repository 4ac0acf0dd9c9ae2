"""The command line: JSON as documented, exit codes, and errors that say what to do."""

import io
import json
import pathlib
import re

import pytest
from PIL import Image

from diface_jax import model as models
from diface_jax.cli import commands
from diface_jax.gallery import sqlite_database, store
from tests.gallery import world

REFERENCE = pathlib.Path(__file__).resolve().parents[2] / 'docs' / 'searching.md'


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
    assert said.startswith(
        '3 matches and 7 leads among 18 faces, most likely first: person 3, smiling\n'
    )
    first = r'1 more than 19 in 20, a match: person-3 \S+/person-3/\d.png \(entry \d+\)'
    assert re.search(first, said)
    assert re.search(r'by chance 0\.\d+, score 0\.9\d+\n      person 3 \+\d', said)
    assert 'how likely this face is the person described' in said
    assert said.rstrip().endswith('Every other result is a lead: a reason to look, and no more.')
    code, said = command('search', *asked(gallery, 'person 3', '--text=person 4'))
    assert 'ask next: Does the person wear glasses? (yes, no)\n' in said


def test_exit_codes(command, gallery, tmp_path):
    assert command('search', *asked(gallery, 'person 3'))[0] == 0
    code, said = command('search', *asked(gallery, 'person 29'))
    assert code == 2
    assert said.startswith('10 leads among 18 faces, most likely first: person 29\n')
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
    assert json.loads(answers[2])['faces'][0]['phrases'][1]['phrase'] == 'smiling'


@pytest.fixture
def still(tmp_path):
    file = tmp_path / 'still.png'
    file.write_bytes(world.poor_photo(4, 5))
    return file


def test_a_photo_beside_words_or_alone(command, gallery, still):
    code, said = command('search', f'--gallery={gallery}', f'--photo={still}', '--k=2')
    assert code == 0
    assert said.startswith(
        f'2 matches among 18 faces, most likely first: {still}\n'
        'The face in the photo is 2 pixels wide.\n'
        'the photo shows 2 faces, and the largest is taken: cut out another if it is meant\n'
    )
    assert 'phrases ' not in said
    same = command('search', f'--gallery={gallery}', f'--probe_photo={still}', '--k=2')
    assert same == (code, said)
    _, said = command('identify', *asked(gallery, 'person 3', f'--photo={still}'))
    assert f'most likely first: {still} / person 3\nThe photo counts for about 20%' in said
    assert ': person-3 ' in said.splitlines()[3]


def test_verify_keeps_the_photo_to_be_verified_apart_from_the_probe(command, gallery, still):
    photos = still.parent / 'photos'
    fits, other = (f'--photo={photos / person / "0.png"}' for person in ('person-4', 'person-2'))
    probe = f'--probe_photo={still}'
    assert command('verify', fits, probe)[0] == 0
    assert command('verify', other, probe)[0] == 2
    code, said = command('verify', fits, probe, '--text=person 4', '--json')
    answer = json.loads(said)
    documented = set(re.findall(r'`([a-z_]+)`', REFERENCE.read_text()))
    assert keys_in(answer) <= documented
    assert (answer['probe'], answer['probe_photo']['face_px']) == ('text+photo', 2.0)
    assert code == 0


@pytest.mark.parametrize(
    ('mode', 'flags', 'why'),
    [
        ('search', ['--photo=a.png', '--probe_photo=b.png'], 'which mean the same here'),
        ('search', ['--photo=a.png', '--queries=texts.txt'], '--queries are texts alone'),
        ('search', [], 'person sought (--photo=FILE), or both (or --queries=FILE)'),
        ('identify', ['--photo=nowhere.png'], 'nowhere.png'),
        ('verify', ['--photo=a.png'], 'person sought (--probe_photo=FILE), or both'),
        ('verify', ['--probe_photo=a.png'], '--photo is missing'),
    ],
)
def test_probes_that_cannot_be_are_explained(command, gallery, mode, flags, why):
    code, said = command(mode, f'--gallery={gallery}', *flags)
    assert code == 1
    assert why in said


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
    _, said = command('search', *run[:-1])
    assert said.count('most likely first: ') == 2
    assert said.count('how to read this:') == 1


@pytest.mark.parametrize(
    ('content', 'why'), [(b'\n \n', 'holds no description'), (b'\xff\xfe', 'not a text file')]
)
def test_a_file_without_queries_is_named(command, gallery, tmp_path, content, why):
    (tmp_path / 'queries.txt').write_bytes(content)
    queries = f'--queries={tmp_path / "queries.txt"}'
    code, said = command('search', f'--gallery={gallery}', queries)
    assert code == 1
    assert f'queries.txt {why}' in said or f'queries.txt is {why}' in said


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


def test_the_model_of_a_command_is_given_by_folder_or_name(command, gallery, monkeypatch):
    names = []
    model = world.model()
    monkeypatch.setattr(models, 'load', lambda name, _: names.append(name) or model)
    command('search', *asked(gallery, 'person 3'))
    command('search', *asked(gallery, 'person 3', '--model=celeba_lfw'))
    assert names == [None, 'celeba_lfw']


def test_the_sampling_of_a_command_is_that_of_its_model(command, gallery, monkeypatch):
    samplings = []
    model = world.model()
    monkeypatch.setattr(models, 'load', lambda _, sampling: samplings.append(sampling) or model)
    command('search', *asked(gallery, 'person 3'))
    command('search', *asked(gallery, 'person 3', '--sampling=num_steps=10,num_samples=4'))
    command('identify', *asked(gallery, 'person 3', '--sampling=num_steps=5, guidance=2.5'))
    assert samplings == [None, models.Sampling(10, 4), models.Sampling(5, 1, 2.5, 0.0)]


@pytest.mark.parametrize(
    ('sampling', 'why'),
    [
        ('num_samples=4', 'needs num_steps, such as --sampling=num_steps=10'),
        ('num_steps=ten', 'num_steps=ten is not a number'),
        ('num_steps=0', 'sampling.num_steps must be between 1 and'),
        ('num_steps=1,steps=4', 'sampling.steps is no setting: did you mean num_steps?'),
        ('10', "'10' is not of the form NAME=VALUE"),
    ],
)
def test_a_sampling_that_cannot_be_used_is_explained(command, gallery, sampling, why):
    code, said = command('search', *asked(gallery, 'person 3', f'--sampling={sampling}'))
    assert code == 1
    assert why in said


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
    assert not (gallery / sqlite_database.FILE).exists()


def photos_in(gallery):
    with store.Store(gallery) as opened:
        return [entry.photo for entry in opened.entries(opened.where({}).tolist())]


def enrolled(command, tmp_path, *names):
    """A gallery of photos with these names; returns it, and their paths by name."""
    paths = {name: tmp_path / 'photos' / name for name in names}
    for who, path in enumerate(paths.values()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(world.photo(who))
    command('enroll', f'--gallery={tmp_path / "gallery"}', f'--photos={tmp_path / "photos"}')
    return tmp_path / 'gallery', paths


def test_a_repeated_where_deletes_only_what_fits_both(command, tmp_path):
    names = '2020/anna.png', '2020/eve.png', '2021/anna.png'
    gallery, paths = enrolled(command, tmp_path, *names)
    where = ('--where=photo=*2020*', '--where=photo=*anna*')
    found = command('search', *asked(gallery, 'person 1'), *where, '--json')[1]
    assert json.loads(found)['where'] == {'photo': ['*2020*', '*anna*']}
    assert [one['photo'] for one in json.loads(found)['results']] == [str(paths['2020/anna.png'])]
    assert command('delete', f'--gallery={gallery}', *where, '--yes') == (0, 'removed 1 entries\n')
    assert photos_in(gallery) == [str(paths['2020/eve.png']), str(paths['2021/anna.png'])]


@pytest.mark.parametrize('name', ['img[1].png', 'img?.png', 'img*.png', 'img\x1b[1m.png'])
def test_the_path_that_a_search_printed_deletes_that_photo(command, tmp_path, name):
    gallery, paths = enrolled(command, tmp_path, name, 'img1.png', 'img12.png')
    _, said = command('search', *asked(gallery, 'person 0'), '--k=1')
    printed = re.search(r'match:  (.*) \(entry', said).group(1)
    assert command('delete', f'--gallery={gallery}', f'--where=photo={printed}', '--yes')[0] == 0
    assert photos_in(gallery) == [str(paths['img1.png']), str(paths['img12.png'])]


def test_the_path_of_a_file_without_a_face_deletes_no_other(command, tmp_path):
    gallery, paths = enrolled(command, tmp_path, 'img1.png', 'other.png')
    (tmp_path / 'photos' / 'img?.png').write_bytes(b'no image')
    command('enroll', f'--gallery={gallery}', f'--photos={tmp_path / "photos"}')
    where = f'--where=photo={tmp_path / "photos" / "img?.png"}'
    assert command('delete', f'--gallery={gallery}', where, '--yes') == (0, 'removed 0 entries\n')
    assert photos_in(gallery) == list(map(str, paths.values()))


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ('answer', 'left'),
    [('n\n', 18), ('\n', 18), ('', 18), ('yep\n', 18), ('y\n', 15), (' YES \n', 15)],
)
def test_deleting_asks_and_only_yes_deletes(command, gallery, monkeypatch, answer, left):
    monkeypatch.setattr('sys.stdin', Terminal(answer))
    code, said = command('delete', f'--gallery={gallery}', '--where=person=person-3')
    assert (code, said) == ((0, 'removed 3 entries\n') if left == 15 else (1, DELETED_NOTHING))
    assert len(photos_in(gallery)) == left


DELETED_NOTHING = 'delete: nothing was deleted'


@pytest.mark.parametrize('what', ['--where=person=person-3', '--everything'])
def test_deleting_without_a_terminal_needs_yes(command, gallery, monkeypatch, what):
    monkeypatch.setattr('sys.stdin', io.StringIO('y\n'))
    code, said = command('delete', f'--gallery={gallery}', what)
    assert code == 1
    assert said == f'{DELETED_NOTHING}: without a terminal to ask on, give --yes'
    assert len(photos_in(gallery)) == 18


def test_deleting_shows_what_will_go(command, gallery, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(commands, '_confirm', shown.append)
    (tmp_path / 'photos' / 'person-3' / 'blurred.jpg').write_bytes(b'no image')
    command('enroll', f'--gallery={gallery}', f'--photos={tmp_path / "photos"}')
    command('delete', f'--gallery={gallery}', '--where=photo=*')
    lines = shown[0].splitlines()
    assert lines[0] == (
        f'this deletes from {gallery}: 18 entries of 6 people, 18 photos, 1 files without a face'
    )
    assert lines[1] == f'  person-0 {tmp_path}/photos/person-0/0.png (entry 1)'
    assert lines[-1] == f'  {tmp_path}/photos/person-3/blurred.jpg'
    command('enroll', f'--gallery={gallery}', f'--photos={tmp_path / "photos"}')
    command('delete', f'--gallery={gallery}', '--everything')
    assert shown[1] == (
        f'this deletes the whole gallery {gallery} (18 entries of 18 people, 18 photos)'
    )
    assert not gallery.exists()


def test_what_was_enrolled_while_deleting_asked_is_not_deleted(command, gallery, monkeypatch):
    def enroll_meanwhile(_):
        world.model().enroll_bytes(gallery, 'new.png', world.photo(9), store.PhotoLabel('person-3'))

    monkeypatch.setattr(commands, '_confirm', enroll_meanwhile)
    code, said = command('delete', f'--gallery={gallery}', '--where=person=person-3')
    assert code == 1
    assert 'has changed meanwhile' in said
    assert len(photos_in(gallery)) == 19


def test_a_gallery_that_cannot_be_read_can_be_deleted(command, gallery):
    (gallery / sqlite_database.FILE).write_bytes(b'no database')
    assert command('delete', f'--gallery={gallery}', '--everything', '--yes')[0] == 0
    assert not gallery.exists()


def test_control_characters_of_names_do_not_reach_the_terminal(command, tmp_path, monkeypatch):
    evil = '\x1b[2J\x9b31m\u202eevil\nprobability 100%'
    (tmp_path / 'photos' / evil).mkdir(parents=True)
    (tmp_path / 'photos' / evil / f'{evil}.png').write_bytes(world.photo(1))
    (tmp_path / 'photos' / evil / f'{evil}.jpg').write_bytes(b'no image')
    gallery, photos = f'--gallery={tmp_path / "gallery"}', f'--photos={tmp_path / "photos"}'
    shown = []
    monkeypatch.setattr(commands, '_confirm', lambda what: shown.append(what) or refuse())

    def refuse():
        raise ValueError('no')

    said = [
        command('enroll', gallery, photos, '--people', f'--tag={evil}={evil}')[1],
        command('search', gallery, '--text=person 1')[1],
        command('identify', gallery, '--text=person 1')[1],
        command(
            'verify', f'--photo={tmp_path / "photos" / evil / (evil + ".png")}', '--text=a man'
        )[1],
        command('delete', gallery, '--where=person=*')[1],
        command(
            'verify', f'--photo={tmp_path / "photos" / evil / (evil + ".jpg")}', '--text=a man'
        )[1],
        *shown,
    ]
    assert len(shown) == 1
    for text in said:
        assert not [letter for letter in text if letter != '\n' and not letter.isprintable()]
    assert '\\x1b[2J\\x9b31m\\u202eevil\\nprobability 100%' in said[1]
    assert not any(line.startswith('probability 100%') for line in '\n'.join(said[:4]).splitlines())
    found = json.loads(command('search', gallery, '--text=person 1', '--json')[1])
    assert found['results'][0]['person'] == evil  # JSON escapes by itself


def test_words_that_are_not_understood_are_told(command, gallery, tmp_path):
    text = 'person 3, a man with a car and a борода'
    code, said = command('search', *asked(gallery, text))
    assert code == 0
    assert said.splitlines()[1:3] == ["'car': not about a face", "'борода': not understood"]
    code, said = command('search', *asked(gallery, text), '--json')
    assert json.loads(said)['not_about_a_face'] == ['car']
    assert json.loads(said)['not_understood'] == ['борода']
    photo = f'--photo={tmp_path / "photos" / "person-3" / "0.png"}'
    code, said = command('verify', photo, '--text=person 3 ' + 'a ' * 60 + 'hat')
    assert said.splitlines()[1] == 'too long, the end is not read: a hat'
    code, said = command('verify', photo, '--text=person 3 ' + 'a ' * 60 + 'hat', '--json')
    assert json.loads(said)['not_read'] == ['a', 'hat']


@pytest.mark.parametrize('text', ['мужчина с бородой', 'ein Mann mit Bart', 'qwzx', '42'])
def test_a_text_of_which_nothing_is_understood_gets_no_probability(command, gallery, text):
    for more in ((), ('--text=person 3',)):
        code, said = command('search', *asked(gallery, text), *more)
        assert code == 1
        assert f'"{text}" is not about a face' in said


@pytest.mark.parametrize(
    ('mode', 'arguments', 'why'),
    [
        ('search', ('--text=a man',), '--gallery is missing'),
        ('search', ('--workdir=w', '--gallery=g', '--text=a man'), 'leave out --workdir'),
        ('pack', ('--workdir=w',), 'give --workdir, of a training, and --out'),
        ('pack', ('--workdir=w', '--out=p'), 'no trained model in w'),
        ('enroll', ('--gallery=none',), 'no gallery in none: make one with --mode=enroll'),
        ('enroll', (), '--gallery is missing'),
        ('enroll', ('--gallery=g', '--photos=a', '--embeddings=b'), '--photos or --embeddings'),
        ('enroll', ('--gallery=g', '--photos=nowhere'), 'no folder or file of photographs'),
        ('enroll', ('--gallery=g', '--embeddings=nowhere.npz'), 'no file of embeddings'),
        ('enroll', ('--gallery=g', '--embeddings=postgresql://h/d'), 'a database needs --sql'),
        ('enroll', ('--gallery=g', '--embeddings=a.npz', '--sql=SELECT 1'), '--sql goes with'),
        ('export', (), '--out is missing'),
        ('protocol', ('--config=celeba', '--workdir=w'), 'give --out, the folder of the protocol'),
        ('train', ('--config=celeba', '--workdir=w', '--scores=a'), 'goes with --mode=evaluate'),
        (
            'evaluate',
            ('--config=celeba', '--workdir=w', '--scores=a b.npz'),
            "'a b' is no name for a method",
        ),
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
    set_up = sqlite_database.SqliteDatabase._set_up

    def small(self):
        set_up(self)
        self.execute(f'PRAGMA max_page_count = {pages}')

    monkeypatch.setattr(sqlite_database.SqliteDatabase, '_set_up', small)
    photos = gallery.parent / 'more'
    world.folder_of(photos / 'more', people=32, photos=20)
    code, said = command('enroll', f'--gallery={gallery}', f'--photos={photos}')
    assert code == 1
    assert 'full' in said
    assert command('search', *asked(gallery, 'person 3'))[0] == 0

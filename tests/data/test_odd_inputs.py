"""Odd file names and damaged lists: never a traceback, always a sentence that names the cause."""

import json
import os

import pytest

from diface_jax.data import check
from diface_jax.data.readers import celeba, lfw
from diface_jax.data.readers.dispatch import read_data_set
from diface_jax.runtime.terminal import printable
from tests import tiny


@pytest.fixture(autouse=True)
def no_shipped_sentences(monkeypatch, tmp_path):
    """Thousands of sentences that no test here looks at."""
    for reader in (celeba, lfw):
        monkeypatch.setattr(reader, 'SENTENCES', tmp_path / 'nothing')


# Letters that break shells, patterns, CSV, JSON, terminals or URLs, each in several places.
_LETTERS = (
    *(' ', '\t', '\n', '\r', '\x1b[31m', '\x07', '\x7f', '\x01', '\u202e', '\u200b', '\u2028'),
    *('"', "'", '`', ',', ';', '|', '&', '$(x)', '%', '%s', '%2F', '{}', '{0}', '[1]', '(1)'),
    *('*', '?', '~', '#', '!', '@', '=', '+', ':', '<', '>', '^', '\\', '\\n', '\\x00', '-', '..'),
    *('\xe9', 'e\u0301', '\u0130', '\ufb01', '\xdf', '\u65e5\u672c', '\u0627\u0644', '\U0001f600'),
    *('\U0001f468\u200d\U0001f469\u200d\U0001f467', '\ufeff', '\ufffe', '\U0010ffff', '\u0000'[:0]),
)
GOOD_NAMES = [
    *(f'a{letter}b.jpg' for letter in _LETTERS),
    *(f'{letter}.jpg' for letter in _LETTERS if letter and letter[0] != '.'),
    *('-rf.jpg', '--help.jpg', 'a.jpg.jpg', 'a..jpg', 'CON.jpg', 'nul.jpg', 'a.JPG', 'a.JpEg'),
    *('x' * 251 + '.jpg', '\u65e5' * 83 + '.jpg', '1.jpg', '000001.jpg', 'true.jpg', 'NaN.jpg'),
]
BAD_NAMES = {
    b'caf\xe9.jpg': 'not UTF-8',
    b'\xff\xfe.jpg': 'not UTF-8',
    b'a\xc3.jpg': 'not UTF-8',
    b'a.jpg.': 'not an image',
    b'a.jpg ': 'not an image',
    b'a.txt': 'not an image',
    b'a': 'not an image',
    b'.jpg': 'not an image',
    b'a.jpg~': 'not an image',
    b'.a.jpg': 'hidden',
    b'._a.jpg': 'hidden',
}


def write(folder, name, content):
    folder.mkdir(parents=True, exist_ok=True)
    with open(os.path.join(os.fsencode(folder), os.fsencode(name)), 'wb') as file:
        file.write(content)


def described(source):
    """All that check says about a data set, in one text."""
    config = tiny.config()
    captions, train = config.captions, config.train
    lines = check.describe_data_set(source, captions, 'root')
    reasons = check.reasons_not_to_train(source, captions, train, config.encoders.appearance_dim)
    return '\n'.join([*lines, *reasons, *check.reasons_not_to_evaluate(source, captions)])


def assert_for_a_terminal(text):
    """No control characters, and no line as long as a book."""
    assert text.replace('\n', '').isprintable()
    assert len(text) < 5000


def quoted(field):
    return '"' + field.replace('"', '""') + '"'


def test_there_are_a_hundred_odd_names():
    assert len({*GOOD_NAMES, *BAD_NAMES}) >= 100


@pytest.mark.parametrize('name', GOOD_NAMES, ids=ascii)
def test_an_oddly_named_photo_has_its_captions(tmp_path, jpeg, name):
    write(tmp_path / 'ann', name, jpeg)
    write(tmp_path / 'bob', 'plain.jpg', jpeg)
    file = f'ann/{name}'
    write(tmp_path, 'captions.jsonl', json.dumps({'file': file, 'caption': 'tall'}).encode())
    rows = f'file,caption\n{quoted(file)},"bald, thin"\n'
    write(tmp_path, 'captions.csv', rows.encode())

    source = read_data_set(tmp_path)

    assert source.problems == ()
    assert {p.file: p.descriptions for p in source.photos} == {
        file: ('tall', 'bald, thin'),
        'bob/plain.jpg': (),
    }
    assert source.read(file) == jpeg


def test_oddly_named_people_are_people(tmp_path, jpeg):
    names = {name[:-4] for name in GOOD_NAMES}
    hidden = {name for name in names if name.startswith('.')}
    for name in names:
        write(tmp_path / name, '1.jpg', jpeg)

    source = read_data_set(tmp_path)

    assert {p.identity for p in source.photos} == names - hidden
    assert {(p.file, p.reason) for p in source.problems} == {
        (f'{n}/1.jpg', 'hidden') for n in hidden
    }
    assert_for_a_terminal(described(source))


@pytest.mark.parametrize(('name', 'why'), BAD_NAMES.items(), ids=ascii)
def test_a_file_that_is_left_out_is_named_with_the_cause(tmp_path, jpeg, name, why):
    write(tmp_path / 'ann', name, jpeg)
    write(tmp_path / 'bob', 'plain.jpg', jpeg)

    source = read_data_set(tmp_path)

    assert [p.file for p in source.photos] == ['bob/plain.jpg']
    (problem,) = source.problems
    assert os.fsencode(problem.file) == b'ann/' + name
    assert why in problem.reason
    assert printable(problem.file) in described(source)
    assert_for_a_terminal(described(source))


def test_an_oddly_named_photo_of_celeba_is_a_photo_or_a_problem(tmp_path, jpeg):
    for number, name in enumerate([*GOOD_NAMES, *BAD_NAMES]):
        root, raw = tmp_path / str(number), os.fsencode(name)
        write(root / 'img_align_celeba', name, jpeg)
        write(root / 'img_align_celeba', 'plain_2.jpg', jpeg)
        write(root, 'identity_CelebA.txt', raw + b' 1\nplain_2.jpg 2\n')
        write(root, 'list_eval_partition.txt', raw + b' 0\nplain_2.jpg 0\n')
        write(root, 'list_attr_celeba.txt', b'2\nMale Young\n' + raw + b' 1 1\nplain_2.jpg 1 1\n')

        source, refusal = read_or_refusal(root)

        if source:
            file = f'img_align_celeba/{os.fsdecode(name)}'
            assert file in {p.file for p in (*source.photos, *source.problems)}
            assert_for_a_terminal(described(source))
        else:
            assert 'list_' in refusal or 'identity_' in refusal or 'split' in refusal


def read_or_refusal(root):
    """The data set, or the sentence by which it is refused."""
    try:
        return read_data_set(root), None
    except (OSError, ValueError) as error:
        return None, str(error)


LISTS = {
    'img_align_celeba/identity_CelebA.txt': '1.jpg 1\n2.jpg 2\n',
    'img_align_celeba/list_eval_partition.txt': '1.jpg 0\n2.jpg 1\n',
    'img_align_celeba/list_attr_celeba.txt': '2\nMale Young\n1.jpg 1 -1\n2.jpg -1 1\n',
    'lfw/lfwa_40.csv': 'image,Male,Young\nAnn/1.jpg,1,0\nBob/2.jpg,0,1\n',
    'folder/captions.csv': 'file,caption\nann/1.jpg,tall\nbob/2.jpg,bald\n',
    'folder/captions.jsonl': '{"file": "ann/1.jpg", "caption": "tall"}\n',
}
DAMAGES = {
    'empty': lambda text: '',
    'white space': lambda text: ' \n\t\n',
    'the first line only': lambda text: text.splitlines()[0],
    'without the first line': lambda text: text.partition('\n')[2],
    'cut in the middle': lambda text: text[: len(text) // 2],
    'cut at the end': lambda text: text[:-3],
    'twice': lambda text: text * 2,
    'a line twice': lambda text: text + text.splitlines()[-1],
    'another value for a photo': lambda text: text + text.splitlines()[-1].replace('1', '0'),
    'no fields': lambda text: text.replace(' ', '').replace(',', ''),
    'a field too many': lambda text: text.replace('\n', ' 1\n'),
    'a comma too many': lambda text: text.replace('\n', ',\n'),
    'a quote': lambda text: text.replace('jpg', 'jpg"'),
    'a quote that opens': lambda text: text.replace('1.jpg', '"1.jpg'),
    'brackets': lambda text: '[' * 100_000,
    'a long line': lambda text: text + 'x' * 300_000,
    'a long field': lambda text: text.replace('1.jpg', 'x' * 300_000),
    'a long number': lambda text: '9' * 5_000 + '\n' + text,
    'a huge number': lambda text: text.replace(' 1', f' {"9" * 5_000}'),
    'NUL': lambda text: text.replace(' ', '\0'),
    'NaN': lambda text: text.replace('1', 'nan'),
    'negative': lambda text: text.replace(' 1', ' -7'),
    'digits of another script': lambda text: text.replace(' 1', ' \u0661').replace('2\n', '\xb2\n'),
    'an escape': lambda text: text.replace('jpg', 'jpg\x1b[2J'),
    'latin-1': lambda text: text.replace('jpg', 'j\xe9pg').encode('latin-1'),
    'half of utf-16': lambda text: text.encode('utf-16')[:-1],
    'a photo': lambda text: b'\xff\xd8\xff\xe0\x00\x10JFIF\x00\xff\xfe\x00' * 50,
    'another list': lambda text: 'a,b,c\n1,2,3\n',
    'attributes of one name': lambda text: text.replace('Young', 'Male'),
    'a web page': lambda text: '<!doctype html>\n<html><body>Quota exceeded, sorry</body></html>',
    'the pointer of git-lfs': lambda text: 'version https://git-lfs.github.com/spec/v1\nsize 9\n',
}


@pytest.mark.parametrize('damage', DAMAGES)
@pytest.mark.parametrize('path', LISTS)
def test_a_damaged_list_is_refused_or_its_lines_are_problems(tmp_path, jpeg, path, damage):
    layout, _, name = path.partition('/')
    people = {'img_align_celeba': '', 'lfw': 'lfw/', 'folder': ''}[layout]
    for file in ('ann/1.jpg', 'bob/2.jpg') if layout != 'img_align_celeba' else ():
        file = file.capitalize() if layout == 'lfw' else file
        write(tmp_path / people / os.path.dirname(file), os.path.basename(file), jpeg)
    for file in ('1.jpg', '2.jpg') if layout == 'img_align_celeba' else ():
        write(tmp_path / layout, file, jpeg)
    for other, text in LISTS.items():
        if other.startswith(layout):
            write(tmp_path, other.partition('/')[2], text.encode())
    damaged = DAMAGES[damage](LISTS[path])
    write(tmp_path, name, damaged if isinstance(damaged, bytes) else damaged.encode())

    source, refusal = read_or_refusal(tmp_path)

    if source is None:
        assert name in refusal or 'split' in refusal
        assert len(refusal) < 1000
        return
    on_disk = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob('*.jpg')}
    assert on_disk <= {p.file for p in (*source.photos, *source.problems)}
    assert_for_a_terminal(described(source))
    assert source.problems == () or 'problems   none' not in described(source)

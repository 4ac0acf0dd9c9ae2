"""What is said of a data set before anything is embedded."""

import re

import pytest
from absl import flags
from absl.testing import flagsaver

from diface_jax import main
from diface_jax.cli import pipeline
from diface_jax.data import check, prepare
from diface_jax.data.readers import dispatch
from diface_jax.data.readers.records import DataSet, Photo, Problem
from tests import celeba_tree, tiny

LABELS = {'Male': True, 'Bald': False}


def config(**root):
    config = tiny.config()
    config.train.batch_size, config.encoders.appearance_dim = 4, 4
    for section, folder in root.items():
        config[section].root = str(folder)
    return config


def photos(people, number, split, labels=LABELS, descriptions=()):
    return [
        Photo(f'{split}/{who}/{i}.jpg', f'{split} {who}', split, labels, descriptions)
        for who in range(people)
        for i in range(number)
    ]


def source(*photos, name='folder', problems=()):
    return DataSet(name, tuple(photos), tuple(problems), None)


def reasons_not_to_train(data_set):
    sections = config()
    return check.reasons_not_to_train(
        data_set, sections.captions, sections.train, sections.encoders.appearance_dim
    )


TRAIN, VALIDATION = photos(3, 2, 'train'), photos(2, 2, 'validation')


def test_a_usual_data_set_can_be_trained_and_evaluated():
    usual = source(*TRAIN, *VALIDATION, *photos(2, 2, 'test'))

    assert reasons_not_to_train(usual) == []
    assert check.reasons_not_to_evaluate(usual, config().captions) == []


NOT_TRAINABLE = {
    'no photo': ([], 'no photo can be used'),
    'one person': (photos(1, 9, 'train'), r'all 9 photos are of one person \(train 0\)'),
    'no captions': (
        photos(9, 2, 'train', None) + photos(2, 2, 'validation', None),
        'no photo has labels or a sentence: write some into captions.csv',
    ),
    'no training photo': ([*VALIDATION], 'no photo to train on: give data.shares'),
    'no validation photo': (TRAIN, 'no validation photo'),
    'too few for a batch': (
        [*photos(3, 1, 'train'), *photos(9, 1, 'train', None), *VALIDATION],
        '3 training photos have labels or a sentence, fewer than train.batch_size=4',
    ),
    'too few for the components': (
        [*photos(3, 1, 'train'), *VALIDATION],
        'encoders.appearance_dim=4 components need as many training photos, and 3',
    ),
    'one validation person': (
        [*TRAIN, *photos(1, 9, 'validation')],
        'the validation split has one person',
    ),
    'a photo a person': (
        [*TRAIN, *photos(5, 1, 'validation')],
        'no person with labels in the validation split has a second photo, which the cross',
    ),
    'one man and one woman': (
        [*TRAIN, *photos(1, 2, 'validation'), Photo('w', 'w', 'validation', {'Male': False})],
        'nobody with labels in the validation split can be compared .* of the same gender',
    ),
    'sentences about people of one photo': (
        [*TRAIN, *VALIDATION, Photo('w', 'w', 'validation', LABELS, ('Tall.',))],
        'no person with sentences in the validation split has a second photo',
    ),
    'an attribute that the grammar does not know': (
        [*TRAIN, *photos(2, 2, 'validation', {'Freckles': True})],
        "the grammar knows no attribute 'Freckles'",
    ),
}


@pytest.mark.parametrize('case', NOT_TRAINABLE)
def test_what_cannot_be_trained_has_a_reason(case):
    listed, reason = NOT_TRAINABLE[case]

    reasons = reasons_not_to_train(source(*listed))

    assert re.search(reason, '; '.join(reasons))


def test_every_reason_is_given_at_once():
    reasons = reasons_not_to_train(source(*photos(2, 1, 'train')))

    assert len(reasons) == 3


def test_a_second_data_set_smaller_than_a_batch_is_refused():
    small, sections = source(*photos(3, 1, 'train')), (config().captions, config().train)

    (reason,) = check.reasons_not_to_join(small, *sections)

    assert reason.startswith('3 training photos have labels or a sentence, fewer than train.batch')
    assert check.reasons_not_to_join(source(*TRAIN), *sections) == []


def test_people_in_folders_one_level_too_deep_are_no_giant_person(tmp_path, put, jpeg):
    for person in ('ann', 'bob'):
        put(f'people/{person}/1.jpg', jpeg)
    put('captions.csv', 'file,caption\npeople/ann/1.jpg,tall\n')

    deep = dispatch.read_data_set(tmp_path)

    (reason,) = reasons_not_to_train(deep)
    assert 'all 2 photos are of one person (people)' in reason
    assert 'set the root to that folder' in reason


def test_problems_are_counted_by_kind_with_the_first_three():
    problems = [
        Problem('a\n.jpg', 'left out: not on disk'),
        *(Problem('c.csv', f'line {i}: empty', 'captions') for i in range(2, 5)),
    ]

    assert check.describe_problems(problems) == (
        '1 photos left out, 3 captions not used: a\\n.jpg: left out: not on disk; '
        'c.csv: line 2: empty; c.csv: line 3: empty; and 1 more'
    )
    assert check.describe_problems([]) == ''


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('check') / 'drawn'
    celeba_tree.make(root, people=(6, 3, 3), photos=2)
    (root / 'img_align_celeba/000003.jpg').unlink()
    return root


def test_check_says_what_is_there_and_that_it_can_be_trained(root, capsys):
    assert check.run_check(config(data=root)) == 0

    out = capsys.readouterr().out
    assert f'data set   celeba in {root}' in out
    assert 'photos     23 (train 11, validation 6, test 6)' in out
    assert 'people     12 (train 6, validation 3, test 3)' in out
    assert 'labels     40 attributes of 23 photos: 5_o_Clock_Shadow, ' in out
    assert 'sentences  11 written about 11 photos; from labels: 2 per training photo, 1 ' in out
    assert '1 photos left out' in out
    assert 'img_align_celeba/000003.jpg: left out: not on disk' in out
    assert out.endswith('can be trained: yes\ncan be evaluated: yes\n')


def test_check_gives_the_reasons_and_exit_code_1(root, capsys):
    settings = config(data=root, second_data=root)
    settings.train.batch_size = 12

    assert check.run_check(settings) == 1

    out = capsys.readouterr().out
    assert 'can be trained: no\n  11 training photos have labels or a sentence, fewer than ' in out
    assert 'can be trained on together with the first: no' in out


def test_check_without_a_root_says_what_to_give():
    with pytest.raises(ValueError, match=r'--config\.data\.root=FOLDER'):
        check.run_check(config())


def test_prepare_refuses_before_it_embeds_anything(root, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, 'prepare', None)
    monkeypatch.setattr(prepare, 'load_text_encoder', None)
    settings = config(data=root)
    settings.encoders.appearance_dim = 256

    with pytest.raises(ValueError, match=r'cannot be trained: encoders\.appearance_dim=256'):
        pipeline.run_pipeline('prepare', settings, tmp_path, overwrite=False)


def test_prepare_says_on_the_console_what_was_left_out(root, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(pipeline, 'prepare', lambda *_, **__: None)

    pipeline.run_pipeline('prepare', config(data=root), tmp_path, overwrite=False)

    assert '1 photos left out' in caplog.text
    assert '000003.jpg: left out: not on disk' in caplog.text


def test_check_needs_no_workdir(root, capsys):
    flags.FLAGS.mark_as_parsed()

    with flagsaver.flagsaver(mode='check', config=config(data=root), workdir=None):
        assert main._run() == 0

    assert 'can be trained: yes' in capsys.readouterr().out


def test_photos_without_a_face_are_counted_on_the_console(caplog):
    check.log_failures([{'file': f'{i}.jpg', 'why': 'no face'} for i in range(5)])

    assert 'without an embedding: 5 photos left out: 0.jpg: no face; 1.jpg: no face' in caplog.text

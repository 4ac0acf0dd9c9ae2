import pytest

from diface_jax.data.readers.label_lists import LabelParser, PhotoNames, parse_labels, read_list


def number(fields):
    (field,) = fields
    return int(field)


def test_values_by_photo_and_why_there_is_none():
    rows = [['a.jpg', '1'], ['b.jpg', 'one'], ['c.jpg', '3'], ['c.jpg', '3'], ['d.jpg', '4']]

    photo_list = read_list('numbers.txt', enumerate(rows, 3), number, PhotoNames(()), 1)

    assert photo_list.values == {'a.jpg': 1, 'c.jpg': 3, 'd.jpg': 4}
    assert photo_list.files() == {'a.jpg', 'b.jpg', 'c.jpg', 'd.jpg'}
    assert photo_list.reason_missing('a.jpg') is None
    assert photo_list.reason_missing('b.jpg').startswith('numbers.txt line 4: ')
    assert photo_list.reason_missing('z.jpg') == 'not in numbers.txt'


@pytest.mark.parametrize('second', ['2', 'one'])
def test_lines_that_differ_leave_a_photo_without_a_value(second):
    rows = [['a.jpg', '1'], ['a.jpg', second], ['a.jpg', '1']]

    photo_list = read_list('numbers.txt', enumerate(rows, 1), number, PhotoNames(()), 1)

    assert photo_list.values == {}
    assert 'line 2' in photo_list.reason_missing('a.jpg')


def test_labels():
    meaning = {'1': True, '-1': False}

    assert parse_labels(['1', '-1'], ['Bald', 'Male'], meaning) == {'Bald': True, 'Male': False}
    with pytest.raises(ValueError, match='1 labels, expected 2'):
        parse_labels(['1'], ['Bald', 'Male'], meaning)
    with pytest.raises(ValueError, match="1 or -1, found '0'"):
        parse_labels(['1', '0'], ['Bald', 'Male'], meaning)


def test_labels_of_0_and_1_are_read_as_those_of_minus_1_and_1():
    parse = LabelParser(['Bald', 'Male'])

    assert parse(['1', '1']) == {'Bald': True, 'Male': True}
    assert parse(['1', '0']) == {'Bald': True, 'Male': False}
    with pytest.raises(ValueError, match="1 or 0, found '-1'"):
        parse(['1', '-1'])
    with pytest.raises(ValueError, match='found'):
        LabelParser(['Bald', 'Male'])(['0', '-1'])


def test_a_list_names_photos_with_spaces_commas_or_another_form_of_an_accent():
    names = PhotoNames(['my photo, old.jpg', 'e\u0301.jpg', 'a/b.jpg'])
    rows = [['my', 'photo,', 'old.jpg', '1'], ['\xe9.jpg', '2'], ['.\\a\\b.jpg', '3']]

    photo_list = read_list('numbers.txt', enumerate(rows, 1), number, names, 1)

    assert photo_list.values == {'my photo, old.jpg': 1, 'e\u0301.jpg': 2, 'a/b.jpg': 3}


def test_two_photos_whose_names_look_alike_are_told_apart():
    names = PhotoNames(['e\u0301.jpg', '\xe9.jpg'])

    assert names.find('\xe9.jpg') == '\xe9.jpg'
    assert names.find('e\u0301.jpg') == 'e\u0301.jpg'
    assert names.find('./\xe9.jpg') is None

import pytest

from diface_jax.data.lists import parse_labels, read_list


def number(fields):
    (field,) = fields
    return int(field)


def test_values_by_photo_and_why_there_is_none():
    rows = [['a.jpg', '1'], [], ['b.jpg', 'one'], ['c.jpg', '3'], ['c.jpg', '3'], ['d.jpg', '4']]

    found = read_list('numbers.txt', rows, 3, number)

    assert found.values == {'a.jpg': 1, 'c.jpg': 3, 'd.jpg': 4}
    assert found.files() == {'a.jpg', 'b.jpg', 'c.jpg', 'd.jpg'}
    assert found.why_not('a.jpg') is None
    assert found.why_not('b.jpg').startswith('numbers.txt line 5: ')
    assert found.why_not('z.jpg') == 'not in numbers.txt'


@pytest.mark.parametrize('second', ['2', 'one'])
def test_lines_that_differ_leave_a_photo_without_a_value(second):
    rows = [['a.jpg', '1'], ['a.jpg', second], ['a.jpg', '1']]

    found = read_list('numbers.txt', rows, 1, number)

    assert found.values == {}
    assert 'line 2' in found.why_not('a.jpg')


def test_labels():
    meaning = {'1': True, '-1': False}

    assert parse_labels(['1', '-1'], ['Bald', 'Male'], meaning) == {'Bald': True, 'Male': False}
    with pytest.raises(ValueError, match='1 labels, expected 2'):
        parse_labels(['1'], ['Bald', 'Male'], meaning)
    with pytest.raises(ValueError, match="1 or -1, found '0'"):
        parse_labels(['1', '0'], ['Bald', 'Male'], meaning)

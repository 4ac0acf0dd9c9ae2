"""Conditions: all of them hold, and only `*` and `?` are special."""

import pytest

from diface_jax.gallery import conditions


def fitting(where, *values, name='photo'):
    candidates = [{name: value} for value in values]
    fits = conditions.matcher(conditions.conditions_of(where), candidates)
    return [one[name] for one in candidates if fits(one)]


def test_conditions_with_the_same_name_must_all_hold():
    where = conditions.parse_conditions(['photo=*2020*', 'photo=*anna*'])
    assert fitting(where, '2020/anna.jpg', '2021/anna.jpg', '2020/eve.jpg') == ['2020/anna.jpg']
    where = {'photo': ['*2020*', '*anna*']}
    assert fitting(where, '2020/anna.jpg', '2021/anna.jpg', '2020/eve.jpg') == ['2020/anna.jpg']


@pytest.mark.parametrize(
    ('pattern', 'values', 'expected'),
    [
        ('img[1].jpg', ['img1.jpg', 'img[1].jpg'], ['img[1].jpg']),
        ('*/[!a].jpg', ['x/b.jpg', 'x/[!a].jpg'], ['x/[!a].jpg']),
        ('[*', ['[a', 'a'], ['[a']),
        ('what?.jpg', ['whatx.jpg', 'what?.jpg'], ['what?.jpg']),
        ('what?.jpg', ['whatx.jpg', 'whaty.jpg'], ['whatx.jpg', 'whaty.jpg']),
        ('a*', ['a*', 'ab'], ['a*']),
        ('a.b', ['axb', 'a.b'], ['a.b']),
        ('A*', ['ab', 'Ab'], ['Ab']),
        ('*', ['two\nlines', ''], ['two\nlines', '']),
        ('two\\nlines', ['two\nlines', 'twonlines'], ['two\nlines']),  # as it is printed
        ('\\', ['\\', 'a'], ['\\']),
    ],
)
def test_only_stars_and_question_marks_are_special(pattern, values, expected):
    assert fitting({'photo': pattern}, *values) == expected


def test_a_missing_value_fits_nothing():
    assert fitting({'person': '*'}, None, 'Anna', name='person') == ['Anna']
    assert fitting({'place': '*'}, 'Anna', name='person') == []


def test_conditions_are_told_again_as_they_were_given():
    where = conditions.parse_conditions(['a=1', 'b=2', 'a=3=4'])
    assert where == (('a', '1'), ('b', '2'), ('a', '3=4'))
    assert conditions.conditions_to_json(where) == {'a': ['1', '3=4'], 'b': '2'}
    assert conditions.conditions_of(where) == where
    assert conditions.conditions_of(conditions.conditions_to_json(where)) == (
        ('a', '1'),
        ('a', '3=4'),
        ('b', '2'),
    )


@pytest.mark.parametrize('where', [{'a': 1}, {1: 'a'}, [('a', 'b', 'c')], {'a': [1]}, [5]])
def test_conditions_that_are_no_strings_are_refused(where):
    with pytest.raises(ValueError, match='condition'):
        conditions.conditions_of(where)


@pytest.mark.parametrize(
    ('arguments', 'why'),
    [
        (['place=Rome', 'place=Oslo'], "'place' is given twice"),
        (['person=Anna'], "cannot be called 'person'"),
        (['place'], "'place' is not of the form"),
    ],
)
def test_tags_that_could_not_be_searched_are_refused(arguments, why):
    with pytest.raises(ValueError, match=why):
        conditions.parse_tags(arguments)


@pytest.mark.parametrize(
    ('where', 'expected'),
    [
        ({'since': '2019-07'}, ['2019-07-01T00:00:00', '2020-01-01T12:00:00']),
        ({'until': '2019-07'}, ['2018-12-31T23:59:59', '2019-07-01T00:00:00']),
        ({'since': '2019', 'until': '2019-12-31'}, ['2019-07-01T00:00:00']),
        ({'taken': '2019-*'}, ['2019-07-01T00:00:00']),
    ],
)
def test_dates_bound(where, expected):
    taken = '2018-12-31T23:59:59', '2019-07-01T00:00:00', '2020-01-01T12:00:00', None
    assert fitting(where, *taken, name='taken') == expected


@pytest.mark.parametrize('date', ['july', '2019-7', '2019-07-14 12:00', ''])
def test_a_bound_that_is_no_date_is_refused(date):
    with pytest.raises(ValueError, match=r'since=.* is no date such as 2019-07-14'):
        conditions.conditions_of({'since': date})

"""What a page offers to filter by."""

from diface_jax.gallery.filter_choices import filter_choices


def test_people_tags_and_dates():
    described = [
        {'person': 'eve', 'taken': '2020-02-01T10:00:00', 'place': 'Rome', 'photo': 'a.jpg'},
        {'person': 'anna', 'taken': None, 'place': 'Oslo', 'entry': '2'},
        {'person': None, 'taken': '2019-07-14T12:30:05', 'name': 'x'},
    ]
    assert filter_choices(described) == {
        'people': ['anna', 'eve'],
        'tags': {'place': ['Oslo', 'Rome']},
        'first_taken': '2019-07-14',
        'last_taken': '2020-02-01',
    }


def test_a_tag_that_differs_on_every_photo_is_not_offered():
    described = [{'labels': f'number {number}', 'place': 'Rome'} for number in range(60)]
    assert filter_choices(described)['tags'] == {'place': ['Rome']}

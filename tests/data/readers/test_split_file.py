import pytest

from diface_jax.data.readers import dispatch
from diface_jax.data.readers.dispatch import read_data_set
from diface_jax.data.readers.split_file import apply_split_file
from diface_jax.runtime import config_files, schema
from diface_jax.runtime.settings import DataSettings


@pytest.fixture
def people(tmp_path, put, jpeg):
    """Three people of a photo each, all of them in training by default."""
    for person in ('Ann', 'Bob', 'Cy'):
        put(f'data/{person}/{person}_1.jpg', jpeg)
    return read_data_set(tmp_path / 'data', shares=(1.0, 0.0, 0.0))


def test_only_listed_photos_in_the_listed_splits(people, put, tmp_path):
    put('list.csv', 'file,split\nAnn/Ann_1.jpg,test\nBob_1.jpg,1\nDee_1.jpg,train\n')

    selected = apply_split_file(people, str(tmp_path / 'list.csv'))

    splits = {photo.file: photo.split for photo in selected.photos}
    assert splits == {'Ann/Ann_1.jpg': 'test', 'Bob/Bob_1.jpg': 'validation'}
    assert [problem.reason for problem in selected.problems] == [
        '1 photos of the data set are not listed, and left out',
        '1 listed photos are not in the data set, such as Dee_1.jpg',
    ]


@pytest.mark.parametrize(
    ('lines', 'reason'),
    [
        ('', 'the first line must be file,split'),
        ('Ann_1.jpg,train\n', 'the first line must be file,split'),
        ('file,split\nAnn_1.jpg,dev\n', 'line 2: expected FILE,train'),
        ('file,split\nAnn_1.jpg,train\nAnn_1.jpg,test\n', 'line 3: Ann_1.jpg is listed twice'),
        ('file,split\nDee_1.jpg,train\n', 'no photo of the data set folder is listed'),
    ],
)
def test_a_list_that_cannot_be_used(people, put, tmp_path, lines, reason):
    put('list.csv', lines)

    with pytest.raises(ValueError, match=reason):
        apply_split_file(people, str(tmp_path / 'list.csv'))


def test_a_list_that_splits_a_person(tmp_path, put, jpeg):
    for photo in ('1.jpg', '2.jpg'):
        put(f'data/Ann/{photo}', jpeg)
    put('list.csv', 'file,split\n1.jpg,train\n2.jpg,test\n')

    with pytest.raises(ValueError, match=r'Ann \(test, train\)'):
        apply_split_file(read_data_set(tmp_path / 'data'), str(tmp_path / 'list.csv'))


def test_a_missing_list_names_those_that_ship(people):
    with pytest.raises(FileNotFoundError, match='give the path of one, or celeba, lfw'):
        apply_split_file(people, 'nowhere.csv')


def test_the_setting_selects_the_photos(tmp_path, put, people):
    put('list.csv', 'file,split\nAnn_1.jpg,test\n')
    section = config_files.load_config('celeba').data
    section.root, section.split_file = str(tmp_path / 'data'), str(tmp_path / 'list.csv')
    settings = schema.build_section(DataSettings, section.to_dict(), 'data')

    assert [photo.split for photo in dispatch.read_section(settings, None).photos] == ['test']


@pytest.mark.parametrize('name', ['celeba', 'lfw'])
def test_the_lists_that_ship_are_those_of_the_results(shared, name):
    shares = (0.7, 0.1, 0.2)  # configs/celeba.py's shares of the second data set
    data_set = read_data_set(shared / 'data' / name, shares=shares)

    selected = apply_split_file(data_set, name)

    assert selected.photos == data_set.photos
    assert selected.problems == data_set.problems

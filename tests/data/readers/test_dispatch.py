import pytest

from diface_jax.data.readers.dispatch import find_layout, read_data_set


@pytest.mark.parametrize(
    ('file', 'layout'),
    [
        ('img_align_celeba/000001.jpg', 'celeba'),
        ('identity_CelebA.txt', 'celeba'),
        ('lfw-deepfunneled/Ann_A/Ann_A_0001.jpg', 'lfw'),
        ('lfw/Ann_A/Ann_A_0001.jpg', 'lfw'),
        ('Ann/1.jpg', 'folder'),
        ('captions.csv', 'folder'),
    ],
)
def test_the_layout_by_what_lies_there(tmp_path, put, file, layout):
    put(file, b'')

    assert find_layout(tmp_path) == layout


def test_the_layout_of_tfds(tmp_path, put):
    put('celeb_a/2.1.0/dataset_info.json', '{"name": "celeb_a"}')

    assert find_layout(tmp_path) == 'celeb_a_tfds'
    assert find_layout(tmp_path / 'celeb_a/2.1.0') == 'celeb_a_tfds'


def test_shares_and_seed_reach_the_reader(tmp_path, put, jpeg):
    for person in range(40):
        put(f'{person}/0.jpg', jpeg)

    first, again, other = (read_data_set(str(tmp_path), seed=seed) for seed in (0, 0, 1))

    assert first.photos == again.photos
    assert first.photos != other.photos
    assert {p.split for p in read_data_set(tmp_path, shares=(0, 0, 1)).photos} == {'test'}


def test_a_named_layout_overrides_what_lies_there(tmp_path, put, jpeg):
    put('lfw-deepfunneled/a.jpg', jpeg)

    assert read_data_set(tmp_path, layout='folder').name == 'folder'


def test_no_folder_and_no_layout_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'config\.data\.root'):
        read_data_set(tmp_path / 'nowhere')
    with pytest.raises(ValueError, match=r"'lwf': choose from auto, celeba"):
        read_data_set(tmp_path, layout='lwf')


@pytest.mark.parametrize(
    ('folder', 'name'), [('celeba', 'celeba'), ('lfw', 'lfw'), ('photos', 'folder')]
)
def test_real_photographs_are_told_apart(shared, folder, name):
    data_set = read_data_set(shared / 'data' / folder)

    assert data_set.name == name
    assert data_set.read(data_set.photos[0].file).startswith(b'\xff\xd8')

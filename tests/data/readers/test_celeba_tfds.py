import io
import json
import pathlib
import pickle
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

from diface_jax.data.readers.celeba_tfds import find_celeb_a, read_celeb_a_tfds

# TFDS's own description of celeb_a: features, names and version are the real ones.
VERSION = '2.1.0'


def write(root, jpeg, people):
    """A celeb_a of a photo for each identity in `people`, by split."""
    info = tfds.builder('celeb_a', data_dir=root, file_format='array_record').info
    pathlib.Path(info.data_dir).mkdir(parents=True)
    writer = tfds.core.SequentialWriter(info, 10, file_format='array_record')
    writer.initialize_splits(list(people))
    attributes, landmarks = info.features['attributes'], info.features['landmarks']
    for split, identities in people.items():
        rows = [
            {
                'image': io.BytesIO(jpeg),
                'landmarks': dict.fromkeys(landmarks, 0),
                'attributes': {name: name == 'Male' for name in attributes},
                'identity': {'Identity_No': identity},
            }
            for identity in identities
        ]
        writer.add_examples({split: rows})
    writer.close_all()
    return pathlib.Path(info.data_dir)


@pytest.fixture
def celeb_a(tmp_path, jpeg):
    return write(tmp_path, jpeg, {'train': [7, 8, 7], 'validation': [20], 'test': [30, 31]})


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_tfds_provides(tmp_path, celeb_a, jpeg):
    data_set = read_celeb_a_tfds(tmp_path)

    assert data_set.name == 'celeb_a (TFDS)'
    assert data_set.problems == ()
    assert [(p.file, p.identity, p.split) for p in data_set.photos] == [
        ('train/000000', '7', 'train'),
        ('train/000001', '8', 'train'),
        ('train/000002', '7', 'train'),
        ('validation/000000', '20', 'validation'),
        ('test/000000', '30', 'test'),
        ('test/000001', '31', 'test'),
    ]
    assert len(data_set.photos[0].labels) == 40
    assert {name for name, value in data_set.photos[0].labels.items() if value} == {'Male'}
    assert pickle.loads(pickle.dumps(data_set.read))('test/000001') == jpeg


def test_tensorflow_is_not_imported(celeb_a):
    code = (
        'import pathlib, sys; from diface_jax.data.readers.celeba_tfds import read_celeb_a_tfds\n'
        f'found = read_celeb_a_tfds(pathlib.Path({str(celeb_a)!r}))\n'
        'found.read(found.photos[0].file)\n'
        'print(len(found.photos), "tensorflow" in sys.modules)'
    )

    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)

    assert run.stdout.split() == ['6', 'False']


def test_found_from_the_data_dir_and_from_the_version(tmp_path, celeb_a):
    assert celeb_a.name == VERSION
    assert find_celeb_a(tmp_path) == celeb_a
    assert find_celeb_a(celeb_a) == celeb_a
    assert find_celeb_a(celeb_a.parent) == celeb_a


def test_another_tfds_data_set_is_not_taken_for_it(celeb_a):
    rewrite(celeb_a / 'dataset_info.json', name='mnist')

    with pytest.raises(FileNotFoundError, match='tfds build celeb_a --file_format=array_record'):
        read_celeb_a_tfds(celeb_a)


def test_identities_are_missed_in_older_versions(celeb_a):
    features = json.loads((celeb_a / 'features.json').read_text())
    del features['featuresDict']['features']['identity']
    (celeb_a / 'features.json').write_text(json.dumps(features))

    with pytest.raises(ValueError, match=r'no identities; TFDS gives them since 2\.1\.0'):
        read_celeb_a_tfds(celeb_a)


def test_tfrecords_are_refused_with_the_way_out(celeb_a):
    rewrite(celeb_a / 'dataset_info.json', fileFormat='tfrecord')

    with pytest.raises(ValueError, match=r'tfrecord.*tfds convert_format'):
        read_celeb_a_tfds(celeb_a)


def test_an_identity_in_two_splits_is_refused(tmp_path, jpeg):
    write(tmp_path, jpeg, {'train': [1, 2], 'test': [2]})

    with pytest.raises(ValueError, match=r'2 \(test, train\)'):
        read_celeb_a_tfds(tmp_path)

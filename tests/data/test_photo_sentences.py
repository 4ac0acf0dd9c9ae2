import pytest

from diface_jax.data.photo_sentences import sentences_of_photo
from diface_jax.data.readers.records import Photo
from diface_jax.runtime import config_files, schema
from diface_jax.runtime.settings import CaptionsSettings


@pytest.fixture(scope='module')
def captions():
    section = config_files.load_config('celeba').captions
    return schema.build_section(CaptionsSettings, section.to_dict(), 'captions')


@pytest.mark.parametrize(
    ('split', 'tracks'),
    [('train', ['human']), ('validation', ['human', 'style']), ('test', ['human', 'style'])],
)
def test_held_out_voices_describe_people_to_test_on_only(captions, split, tracks):
    photo = Photo('a.jpg', 'Ann', split, None, ('A tall woman.',), ('Hair? Long.',))

    assert [sentence.track for sentence in sentences_of_photo(photo, captions)] == tracks

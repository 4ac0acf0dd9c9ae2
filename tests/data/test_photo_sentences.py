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


def test_phrases_of_training_sentences(captions):
    text = 'A tall woman with red hair, freckles and a scarf.'
    parts = {'A tall woman', 'red hair', 'freckles', 'a scarf'}

    def phrases(split, texts):
        drawn = sentences_of_photo(Photo('a.jpg', 'Ann', split, None, texts), captions)
        return [sentence.text for sentence in drawn if sentence.track == 'phrase']

    drawn = phrases('train', (text,))
    assert len(set(drawn)) == captions.phrases == len(drawn)
    assert set(drawn) < parts
    assert phrases('train', (text,)) == drawn
    assert phrases('train', ('A woman.',)) == []
    assert phrases('validation', (text,)) == phrases('test', (text,)) == []

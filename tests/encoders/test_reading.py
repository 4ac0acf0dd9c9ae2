"""How a sentence is read is the folder's: pooling, prefix, length, licence."""

import json

import numpy as np
import pytest
import tokenizers

from diface_jax.encoders.text import condition, encoder
from tests.encoders import golden

MEAN, CLS = (
    {'pooling_mode_mean_tokens': mean, 'pooling_mode_cls_token': not mean} for mean in (1, 0)
)
QUERY = {'prompts': {'passage': 'pale ', 'query': 'young '}}


def load(tmp_path, network='bert', **files):
    return encoder.load_text_encoder(str(golden.save(tmp_path / network, network, **files)))


def own_vectors(loaded, sentences):
    return condition.sentence_vectors(loaded.encode(sentences))


def test_pooling_and_prefix_of_the_folder(tmp_path):
    plain = load(tmp_path / 'plain')
    states_2xLxC, mask_2xL = plain.token_states(['young bald', 'young hat nose'])
    modules = [
        {'path': '', 'type': 'sentence_transformers.models.Transformer'},
        {'path': '1_Pool', 'type': 'sentence_transformers.models.Pooling'},
        {'path': '2_Normalize', 'type': 'sentence_transformers.models.Normalize'},
    ]
    files = {'modules': modules, '1_Pool/config': CLS, 'config_sentence_transformers': QUERY}
    cls = load(tmp_path / 'cls', **files)

    assert cls.unusual_reading == {'pooling': 'cls', 'prefix': 'young '}
    assert mask_2xL.tolist() == [[True] * 4 + [False], [True] * 5]
    vectors = own_vectors(cls, ['bald', 'hat nose'])
    np.testing.assert_allclose(vectors, states_2xLxC[:, 0], atol=1e-5)
    assert not states_2xLxC[0, 4].any()
    assert plain.unusual_reading == {}


def test_the_default_prompt_comes_before_the_query(tmp_path):
    prompts = QUERY | {'default_prompt_name': 'passage'}
    loaded = load(tmp_path, config_sentence_transformers=prompts)
    assert loaded.reading.prefix == 'pale '


def test_a_long_sentence_is_split_after_the_prefix(tmp_path):
    files = {'config_sentence_transformers': QUERY, 'sentence_bert_config': {'max_seq_length': 5}}
    loaded = load(tmp_path, **files)
    assert loaded.max_tokens == 5
    assert loaded.split('bald hat nose beard') == ('bald hat', 'nose beard')
    assert loaded.split('bald hat') == ('bald hat', '')


@pytest.mark.parametrize('network', ['clip', 't5'])
def test_long_sentences_are_truncated_and_empty_ones_refused(tmp_path, network):
    loaded = load(tmp_path, network, sentence_bert_config={'max_seq_length': 6})
    fits = 'bald hat nose pale'
    vectors = own_vectors(loaded, [fits, f'{fits} smiling', 'hat'])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    assert np.abs(vectors[0] - vectors[2]).max() > 0.01
    with pytest.raises(ValueError, match='sentence 1 is empty'):
        loaded.token_states(['bald', ' '])


def test_a_clip_reads_the_token_that_ends_a_sentence(tmp_path):
    loaded = load(tmp_path, 'clip', sentence_bert_config={'max_seq_length': 6})
    sentences = ['bald hat nose pale young', 'hat']
    state_2xLxC, mask_2xL = loaded.token_states(sentences)
    assert mask_2xL.sum(axis=1).tolist() == [6, 3]
    expected = [state_2xLxC[0, 5], state_2xLxC[1, 2]]
    np.testing.assert_allclose(own_vectors(loaded, sentences), expected, atol=1e-5)


@pytest.mark.parametrize(
    ('files', 'message'),
    [
        ({'1_Pooling/config': {'pooling_mode_max_tokens': True}}, 'the pooling max; implemented'),
        ({'1_Pooling/config': {'pooling_mode': 'weightedmean'}}, 'the pooling weightedmean'),
        (
            {'1_Pooling/config': MEAN | {'include_prompt': False}}
            | {'config_sentence_transformers': QUERY},
            'leaves the prompt out',
        ),
        ({'modules': [{'path': '2_Dense', 'type': 'sentence_transformers.models.Dense'}]}, 'Dense'),
    ],
)
def test_another_reading_is_refused(tmp_path, files, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, **files)


def test_files_that_are_not_json_are_named(tmp_path):
    folder = golden.save(tmp_path / 'bert', 'bert')
    (folder / 'modules.json').write_text('[{')
    with pytest.raises(ValueError, match=r'modules\.json is not JSON'):
        encoder.load_text_encoder(str(folder))


def test_a_tokenizer_is_asked_for_and_must_end_sentences(tmp_path):
    folder = golden.save(tmp_path / 'clip', 'clip')
    path = folder / 'tokenizer.json'
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {'post_processor': None}))
    with pytest.raises(ValueError, match='adds no token at the end'):
        encoder.load_text_encoder(str(folder))
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r'has no tokenizer\.json\. Where transformers is'):
        encoder.load_text_encoder(str(folder))


def test_unknown_words_are_no_tokens(tmp_path):
    folder = golden.save(tmp_path / 't5', 't5')
    loaded = encoder.load_text_encoder(str(folder))
    assert loaded.is_token('hat')
    assert not loaded.is_token('hats')
    unigram = tokenizers.models.Unigram([('[UNK]', 0.0), ('hat', -1.0), ('s', -1.0)], 0)
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / 'tokenizer.json'))
    tokenizer.model = unigram
    tokenizer.save(str(folder / 'tokenizer.json'))
    loaded = encoder.load_text_encoder(str(folder))
    assert loaded.is_token('hat')
    assert not loaded.is_token('hats')
    assert not loaded.is_token('z')


@pytest.mark.parametrize(
    ('card', 'licence'),
    [
        ('---\nlanguage: en\nlicense: mit\n---\n# Model\n', 'mit'),
        ('---\nlanguage: en\n---\nlicense: not here\n', 'unknown'),
        (None, 'unknown'),
    ],
)
def test_the_licence_is_that_of_the_model_card(tmp_path, card, licence):
    folder = golden.save(tmp_path / 'bert', 'bert')
    (folder / 'README.md').unlink()
    if card:
        (folder / 'README.md').write_text(card)
    assert encoder.load_text_encoder(str(folder)).licence == licence

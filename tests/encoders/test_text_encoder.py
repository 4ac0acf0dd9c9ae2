import itertools
import json
import pathlib
import shutil
import socket

import huggingface_hub.constants
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diface_jax.encoders.text import bert, condition, encoder, pooling
from diface_jax.models.features import unit_rows
from diface_jax.runtime import devices
from tests.tiny_bert import CONFIG, MAX_TOKENS, WORDS, random_tensors, save_model, tensor_shapes

GOLDEN = json.loads(pathlib.Path(__file__).with_name('golden_minilm.json').read_text())


@pytest.fixture
def folder(tmp_path):
    return save_model(tmp_path / 'tiny', random_tensors())


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    return encoder.load_text_encoder(
        str(save_model(tmp_path_factory.mktemp('bert') / 'tiny', random_tensors()))
    )


@pytest.fixture(scope='module')
def minilm():
    return encoder.load_text_encoder()


def sentences_of(lengths):
    """One sentence for each number of words, all different."""
    rng = np.random.default_rng(1)
    return [' '.join(rng.choice(WORDS, length)) for length in lengths]


def test_minilm_equals_pytorch(minilm):
    pool_NxP = minilm.encode([row['sentence'] for row in GOLDEN])
    golden_NxC = np.array([row['vector'] for row in GOLDEN])
    assert pool_NxP.dtype == np.float32
    assert pool_NxP.shape == (len(GOLDEN), pooling.POOLS * minilm.width)
    c_NxC = unit_rows(condition.sentence_vectors(pool_NxP))
    # Of float32 weights; ours are rounded to float16.
    np.testing.assert_allclose(c_NxC, golden_NxC, rtol=0, atol=5e-4)
    assert np.vecdot(c_NxC, golden_NxC).min() > 0.99999


def test_minilm_does_not_depend_on_the_batch(minilm):
    sentence = GOLDEN[1]['sentence']
    company = [f'{name} is bald, and {name} has a big nose.' for name in ('He', 'Ann', 'Bo', 'Al')]
    alone_C = minilm.encode([sentence])[0]
    among_C = minilm.encode([*company, sentence])[-1]
    np.testing.assert_allclose(alone_C, among_C, rtol=0, atol=1e-5)


def test_minilm_says_what_it_is(minilm):
    assert (minilm.name, minilm.sha256) == (encoder.MODEL, encoder.MODEL_SHA256)
    assert (minilm.width, minilm.max_tokens) == (384, 256)
    assert (minilm.licence, minilm.unusual_reading) == ('Apache-2.0', {})


def test_pools_are_of_the_first_the_middle_and_the_last_depth(tiny, folder):
    sentence = sentences_of([5])[0]
    tokens = jnp.array(tiny._tokenizer.ids([sentence]))
    hidden_SxLxC = bert.load_bert(folder)(tokens, jnp.ones_like(tokens, bool))[:, 0]
    assert len(hidden_SxLxC) == CONFIG.num_hidden_layers + 1
    depths_3xLxC = hidden_SxLxC[jnp.array([0, CONFIG.num_hidden_layers // 2, -1])]
    expected = np.concatenate([depths_3xLxC.mean(axis=1), depths_3xLxC.max(axis=1)]).ravel()
    np.testing.assert_allclose(tiny.encode([sentence])[0], expected, atol=1e-5)


@pytest.mark.parametrize('batch_tokens', [1, 50, 1024])
def test_order_is_the_callers_whatever_the_batches(tiny, batch_tokens):
    sentences = sentences_of([3, 17, 1, 9, 9, 2, 12, 9])
    alone_NxC = np.concatenate([tiny.encode([sentence]) for sentence in sentences])
    together_NxC = tiny.encode(sentences, batch_tokens=batch_tokens)
    # Unit vectors in float32: products of another shape may round otherwise.
    np.testing.assert_allclose(together_NxC, alone_NxC, rtol=0, atol=1e-5)
    for one_C, other_C in itertools.combinations(alone_NxC, 2):
        assert np.linalg.norm(one_C - other_C) > 0.01, 'vectors so alike would hide a wrong order'


def test_no_sentences_give_no_vectors(tiny):
    assert tiny.encode([]).shape == (0, pooling.POOLS * CONFIG.hidden_size)


@pytest.mark.parametrize('blank', ['', ' \t\n'])
def test_blank_sentence_is_an_error_with_its_index(tiny, blank):
    with pytest.raises(ValueError, match='sentence 2 is empty'):
        tiny.encode(['bald', 'hat', blank, 'nose'])


def test_long_sentences_are_cut_and_counted_once(tiny, caplog):
    fits = ' '.join(['hat'] * (MAX_TOKENS - 2))  # [CLS] and [SEP] take two
    c_NxC = tiny.encode([fits, f'{fits} bald', f'{fits} young pale nose', 'hat'])
    np.testing.assert_allclose(c_NxC[1:3], c_NxC[:1].repeat(2, axis=0), atol=1e-6)
    assert [record.getMessage()[:16] for record in caplog.records] == ['2 of 4 sentences']


def test_what_fits_is_not_warned_of(tiny, caplog):
    tiny.encode(sentences_of([1, MAX_TOKENS - 2]))
    assert not caplog.records


def test_compilations_are_bounded(tiny):
    pooling.pooled_states.clear_cache()
    for count in range(1, 10):
        tiny.encode(sentences_of(range(1, 2 * count, 2)))
    assert pooling.pooled_states._cache_size() == 4, 'one or four, of up to 16 or 20 tokens'
    lengths = np.random.default_rng(2).integers(9, 25, 300)
    tiny.encode(sentences_of(lengths), batch_tokens=64)
    assert pooling.pooled_states._cache_size() == 7, (
        'three more, of 12 and 20 tokens and the last of 12; four of 16 are one of the others'
    )
    tiny.encode(sentences_of(lengths[::-1]), batch_tokens=64)
    assert pooling.pooled_states._cache_size() == 7


def test_a_sentence_left_over_needs_no_program_of_its_own(tiny):
    pooling.pooled_states.clear_cache()
    tiny.encode(sentences_of([3] * 5))
    assert pooling.pooled_states._cache_size() == 1


def test_accelerators_compile_few_shapes_for_the_same_vectors(tiny, monkeypatch):
    sentences = sentences_of(np.random.default_rng(4).integers(1, MAX_TOKENS - 1, 200))
    expected_NxC = tiny.encode(sentences)
    monkeypatch.setattr(devices, 'has_accelerator', lambda: True)
    pooling.pooled_states.clear_cache()
    np.testing.assert_allclose(tiny.encode(sentences), expected_NxC, rtol=0, atol=1e-5)
    assert pooling.pooled_states._cache_size() == 1, 'all are padded to the longest length'
    tiny.encode(sentences, batch_tokens=320)
    assert pooling.pooled_states._cache_size() == 3, 'full batches of two lengths'


def test_many_sentences_are_padded_little(tiny):
    lengths_N = np.random.default_rng(3).integers(40, 110, 400)
    tokenizer = tiny._tokenizer._replace(max_tokens=512)
    batches = list(tokenizer.batches([[1] * length for length in lengths_N], 1024))
    rows = np.concatenate([batch.rows for batch in batches])
    np.testing.assert_array_equal(np.sort(rows), np.arange(400))
    for batch in batches:
        real_B = batch.mask_BxL.sum(axis=1)[: len(batch.rows)]
        np.testing.assert_array_equal(real_B, lengths_N[batch.rows])
    assert sum(batch.tokens_BxL.size for batch in batches) < 1.05 * lengths_N.sum()


def test_progress_counts_every_sentence(tiny):
    encoded = []
    tiny.encode(sentences_of(range(1, 10)), on_encoded=encoded.append)
    assert sum(encoded) == 9
    assert len(encoded) > 1


def test_nothing_attends_to_masked_tokens(folder):
    model, run = bert.load_bert(folder), nnx.jit(bert.Bert.__call__)
    mask_BxL = jnp.array([[True, True, True, False, False]])
    one_BxLxC = run(model, jnp.array([[2, 7, 3, 0, 0]]), mask_BxL)[-1]
    other_BxLxC = run(model, jnp.array([[2, 7, 3, 8, 9]]), mask_BxL)[-1]
    assert one_BxLxC.shape == (1, 5, CONFIG.hidden_size)
    np.testing.assert_allclose(one_BxLxC[:, :3], other_BxLxC[:, :3], atol=1e-6)
    assert not np.allclose(one_BxLxC[:, 3:], other_BxLxC[:, 3:])


NEEDED = [n for n in tensor_shapes(CONFIG) if 'pooler' not in n and 'position_ids' not in n]


def test_pooler_and_position_ids_are_not_needed(tmp_path):
    tensors = random_tensors()
    complete = encoder.load_text_encoder(str(save_model(tmp_path / 'whole', tensors)))
    needed = encoder.load_text_encoder(
        str(save_model(tmp_path / 'needed', {n: tensors[n] for n in NEEDED}))
    )
    np.testing.assert_array_equal(complete.encode(['bald']), needed.encode(['bald']))


@pytest.mark.parametrize('name', NEEDED[:1] + NEEDED[-3:])
def test_missing_tensor_is_named(tmp_path, name):
    tensors = random_tensors()
    del tensors[name]
    with pytest.raises(ValueError, match=f'no tensor {name}'):
        bert.load_bert(save_model(tmp_path / 'tiny', tensors))


@pytest.mark.parametrize(
    'name', ['embeddings.LayerNorm.bias', 'encoder.layer.1.attention.self.key.weight']
)
def test_misshaped_tensor_is_named(tmp_path, name):
    tensors = random_tensors()
    tensors[name] = tensors[name][:-1]
    with pytest.raises(ValueError, match=rf'{name} is \(23.*, not \(24'):
        bert.load_bert(save_model(tmp_path / 'tiny', tensors))


def test_leftover_tensor_is_named(tmp_path):
    tensors = random_tensors()
    tensors['encoder.layer.2.output.dense.bias'] = np.zeros(24, np.float32)
    with pytest.raises(
        ValueError, match=r'does not use, such as encoder\.layer\.2\.output\.dense\.bias'
    ):
        bert.load_bert(save_model(tmp_path / 'tiny', tensors))


def edit_json(path, **changes):
    settings = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(settings | changes))


def test_other_activation_is_refused(folder):
    edit_json(folder / 'config.json', hidden_act='relu')
    with pytest.raises(ValueError, match='bert with relu'):
        encoder.load_text_encoder(str(folder))


def test_other_pooling_is_refused(folder):
    edit_json(folder / '1_Pooling/config.json', pooling_mode_mean_tokens=False)
    with pytest.raises(ValueError, match='the pooling none; implemented are mean'):
        encoder.load_text_encoder(str(folder))


@pytest.mark.parametrize('name', ['config.json', 'tokenizer.json', 'model.safetensors'])
def test_incomplete_folder_says_what_lacks(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f'has no {name}'):
        encoder.load_text_encoder(str(folder))


def test_shipped_copy_with_other_weights_is_refused(folder, monkeypatch):
    monkeypatch.setattr(encoder, '_SHIPPED', folder)
    with pytest.raises(ValueError, match=f'not {encoder.MODEL_SHA256}'):
        encoder.load_text_encoder()


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*unused):
        raise AssertionError('the network was used')

    monkeypatch.setattr(socket.socket, 'connect', refuse)
    monkeypatch.setattr(socket, 'getaddrinfo', refuse)


@pytest.mark.usefixtures('no_network')
def test_hub_cache_is_read_offline(folder, tmp_path, monkeypatch):
    cached = tmp_path / 'hub/models--someone--tiny'
    shutil.copytree(folder, cached / 'snapshots/0123abc')
    (cached / 'refs').mkdir()
    (cached / 'refs/main').write_text('0123abc')
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path / 'hub'))
    from_hub, from_folder = (
        encoder.load_text_encoder('someone/tiny'),
        encoder.load_text_encoder(str(folder)),
    )
    assert (from_hub.name, from_folder.name) == ('someone/tiny', 'tiny')
    assert from_hub.sha256 == from_folder.sha256
    np.testing.assert_array_equal(from_hub.encode(['bald']), from_folder.encode(['bald']))


@pytest.mark.usefixtures('no_network')
@pytest.mark.parametrize('source', ['someone/else', 'no/such/folder', './no-such-folder'])
def test_unknown_source_says_what_to_do(source, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r'neither a folder nor in the hub cache\. Give no encoder'
    ):
        encoder.load_text_encoder(source)

"""An export computes what the package computes, in a process that does not have the package."""

import dataclasses
import importlib.util
import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from diface_jax.data.encoder_bundle import EncoderBundle
from diface_jax.encoders.face.encoder import SimulatedEncoder
from diface_jax.encoders.text.condition import ConditionEncoder, Standardisation
from diface_jax.encoders.text.encoder import load_text_encoder
from diface_jax.encoders.text.pooling import POOLS
from diface_jax.gallery.inference import InferenceModel
from diface_jax.models.diface import Sampling, build_model
from diface_jax.models.normalise import Normalisation
from diface_jax.pretrained import exported_functions, write_export
from diface_jax.runtime import mesh as meshes
from diface_jax.runtime import run_state
from diface_jax.training import state as states
from diface_jax.training.loaded_model import LoadedModel
from tests import tiny, tiny_bert

WIDTHS = (8, 4)
SAMPLING = Sampling(num_steps=1, num_samples=2)


@pytest.fixture(scope='module')
def inference(tmp_path_factory):
    """An untrained model with a random text encoder."""
    rng = np.random.default_rng(0)
    folder = tiny_bert.save_model(
        tmp_path_factory.mktemp('text') / 'encoder', tiny_bert.random_tensors()
    )
    width = POOLS * tiny_bert.CONFIG.hidden_size
    standard = Standardisation.fit(rng.standard_normal((20, width)), POOLS)
    standard.scale_C[3] = np.inf  # as of a dimension that is the same in every sentence
    text = ConditionEncoder(load_text_encoder(str(folder)), standard)
    face = [{'name': f'made up {i}', 'sha256': '00', 'width': w} for i, w in enumerate(WIDTHS)]
    encoders, config = EncoderBundle(SimulatedEncoder(face), text), tiny.config()
    sizes = states.ModelSizes(sum(WIDTHS), width, 4)
    params = states.init_sharded(config, sizes, meshes.make_mesh()).average
    trained = LoadedModel(
        name='tiny',
        sha256='ab' * 32,
        step=1,
        model=build_model(
            config.model, config.diffusion.schedule, sizes.embedding_dim, sizes.condition_dim
        ),
        params=params,
        normalise=Normalisation(np.full(sum(WIDTHS), 0.1, np.float32), WIDTHS),
        thresholds={},
        encoders=encoders.description,
        settings=run_state.to_plain_json(config.to_dict()),
    )
    return InferenceModel(trained, encoders, SAMPLING)


@pytest.fixture(scope='module')
def written(inference, tmp_path_factory):
    out = tmp_path_factory.mktemp('export') / 'out'
    report = write_export.write_export(inference, out)
    assert report.difference <= 1e-5
    assert str(out) in str(report)
    return out


READ = """
import sys
sys.modules['diface_jax'] = sys.modules['flax'] = None
import jax, numpy
folder = sys.argv[1]
example = numpy.load(f'{folder}/example.npz')
text_to_f, embedding_to_f = (
    jax.export.deserialize(open(f'{folder}/{name}.stablehlo', 'rb').read())
    for name in ('text_to_f', 'embedding_to_f')
)
assert set(text_to_f.platforms) == {'cpu', 'cuda', 'tpu'}
for rows in (slice(None), slice(1), [0, 1, 0, 1, 0]):  # any number of rows
    f = text_to_f.call(example['tokens'][rows], example['mask'][rows])
    numpy.testing.assert_allclose(f, example['text_f'][rows], atol=1e-5)
numpy.testing.assert_allclose(embedding_to_f.call(example['embedding']), example['f'], atol=1e-5)
more = numpy.pad(example['tokens'], ((0, 0), (0, 3))), numpy.pad(example['mask'], ((0, 0), (0, 3)))
numpy.testing.assert_allclose(text_to_f.call(*more), example['text_f'], atol=1e-5)
"""


def run(*arguments, folder):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_stablehlo_is_read_by_jax_without_the_package(written):
    run('-c', READ, str(written), folder=written)


def test_onnx_is_read_by_numpy_and_onnxruntime(written):
    if not importlib.util.find_spec('jax2onnx') or not importlib.util.find_spec('onnxruntime'):
        pytest.skip("needs pip install 'diface_jax[export]'")
    hidden = "import sys, runpy; sys.modules |= dict.fromkeys(('diface_jax', 'jax', 'flax')); "
    said = run('-c', f"{hidden}runpy.run_path('read.py', run_name='__main__')", folder=written)
    assert float(said.rpartition(' ')[2]) <= 1e-5


def test_the_description_says_what_it_is_of(written, inference):
    description = json.loads((written / 'export.json').read_text())
    assert (description['format'], description['version']) == ('diface export', 1)
    assert (description['name'], description['sha256']) == ('tiny', 'ab' * 32)
    assert description['embedding_width'] == inference.width
    assert description['max_tokens'] == tiny_bert.MAX_TOKENS
    assert 'made up 0 and made up 1' in (written / 'README.md').read_text()


def test_a_sampler_of_many_steps_is_the_same(inference):
    trained, encoders = inference.parts
    slow = InferenceModel(trained, encoders, Sampling(num_steps=3, num_samples=2, guidance=1.5))
    text_to_f = jax.jit(exported_functions.text_function(trained, encoders, slow.sampling))
    sentences = ['a man with a beard', 'a young woman']
    f = text_to_f(*encoders.text.encoder.tokens(sentences))
    np.testing.assert_allclose(f, slow.of_texts(sentences), atol=1e-5)


def test_what_cannot_be_exported_is_refused(inference, written, tmp_path):
    trained, encoders = inference.parts
    noisy = dataclasses.replace(SAMPLING, eta=1.0)
    with pytest.raises(ValueError, match='eta=1 is not exported'):
        exported_functions.text_function(trained, encoders, noisy)
    with pytest.raises(FileExistsError, match='is an export already'):
        write_export.write_export(inference, written)
    (tmp_path / 'mine').write_text('')
    with pytest.raises(FileExistsError, match='is not an export'):
        write_export.write_export(inference, tmp_path, overwrite=True)


def test_an_export_without_its_extra_names_it(inference, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'diface_jax\[export\]'"):
        write_export.write_export(inference, tmp_path / 'export')
    assert not list(tmp_path.iterdir())

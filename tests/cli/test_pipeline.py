"""What a job replaces, and when."""

import json
import types

import jax
import pytest
from flax import nnx

from diface_jax.cli import pipeline
from diface_jax.encoders.text import adapters, encoder
from diface_jax.runtime import run_state
from diface_jax.training import loop, text_tuning
from diface_jax.training.text_tuning import TunedText
from tests import population, tiny
from tests.encoders import golden


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """A workdir with a model, and training replaced by writing files."""
    monkeypatch.setattr(pipeline, '_load_train_data', lambda config, workdir: population.prepared())
    monkeypatch.setattr(loop, 'train', write_model)
    write_model(tiny.config(), None, tmp_path)
    return tmp_path


def write_model(config, data, workdir, resume_from=None):
    done = workdir / 'training.json'
    if done.is_file():
        run_state.require_same_settings(
            'The model', json.loads(done.read_text()), {'seed': config.seed}
        )
    (workdir / 'checkpoints').mkdir(parents=True, exist_ok=True)
    (workdir / 'checkpoints' / 'of').write_text(str(config.seed))
    (workdir / 'metrics.jsonl').write_text(str(config.seed))
    if config.seed == 666:
        raise KeyboardInterrupt
    run_state.write_json(done, {'seed': config.seed})


def contents(folder):
    files = [path for path in folder.rglob('*') if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text().strip() for path in files}


def test_an_interrupted_overwrite_keeps_the_old_model(workdir):
    config, before = tiny.config(), contents(workdir)
    config.seed = 666
    with pytest.raises(KeyboardInterrupt):
        pipeline.run_pipeline('train', config, workdir, overwrite=True)
    assert before.items() <= contents(workdir).items()


def test_overwrite_leaves_the_new_model_alone(workdir):
    config = tiny.config()
    config.seed = 7
    with pytest.raises(run_state.SettingsDifferError, match='seed: 0 -> 7'):
        pipeline.run_pipeline('train', config, workdir, overwrite=False)
    pipeline.run_pipeline('train', config, workdir, overwrite=True)
    files = contents(workdir)
    assert files.pop('training.json') == json.dumps({'seed': 7}, indent=1)
    assert files == {'checkpoints/of': '7', 'metrics.jsonl': '7'}


def test_an_overwrite_that_cannot_help_removes_nothing(workdir, monkeypatch):
    def refuse(*_):
        run_state.require_same_settings('The data', {'a': 1}, {'a': 2}, instead='Prepare it again.')

    monkeypatch.setattr(loop, 'train', refuse)
    before = contents(workdir)
    with pytest.raises(run_state.SettingsDifferError, match=r'Prepare it again'):
        pipeline.run_pipeline('train', tiny.config(), workdir, overwrite=True)
    assert contents(workdir) == before


def test_a_tuning_writes_its_adapters_and_their_validation_once(workdir, tmp_path, monkeypatch):
    folder, config = golden.save(tmp_path / 'bert', 'bert'), tiny.config()
    config.encoders.text = str(folder)
    frozen = encoder.load_text_encoder(str(folder))
    layers = nnx.state(frozen.network.layers)
    trained = adapters.rounded(adapters.init_adapters(layers, 1, 2, jax.random.key(0)))
    results = iter([TunedText(trained, {'auc': 0.5}, {'auc': 0.75})])
    monkeypatch.setattr(pipeline, 'find_prepared', lambda *_: folder)
    bundle = types.SimpleNamespace(load=lambda *_: types.SimpleNamespace(text=None))
    monkeypatch.setattr(pipeline, 'EncoderBundle', bundle)
    monkeypatch.setattr(text_tuning, 'tune_text', lambda *_: next(results))
    for _ in range(2):
        pipeline.run_pipeline('tune_text', config, workdir, overwrite=False)
    written = adapters.load_adapters(workdir / 'text_adapters.safetensors', frozen.frozen)
    assert frozen.with_adapters(written).sha256 == frozen.with_adapters(trained).sha256
    summary = json.loads((workdir / 'tune_text.json').read_text())
    assert (summary['frozen'], summary['adapted']) == ({'auc': 0.5}, {'auc': 0.75})

"""Fixtures every test may use, and in which order files run."""

import functools
import os
import pathlib
from collections.abc import Iterator

os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')  # pytest-xdist has a worker for each core

import jax
import pytest

from diface_jax.encoders.face import dlib_resnet
from diface_jax.evaluation.analysis import negation_test, short_queries
from diface_jax.report import figures

# Small programs take longer to compile than to run. Children of the tests inherit it.
QUICK_TO_COMPILE = '--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false'
os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {QUICK_TO_COMPILE}'

SHARED = pathlib.Path(__file__).resolve().parents[1] / '../shared'

# Those with the most work first, so that no worker of pytest-xdist ends long after the other.
LONGEST = (
    'test_main.py',
    'data/test_prepare.py',
    'runtime/test_preemption.py',
    'training/test_loop.py',
    'training/test_step.py',
    'runtime/test_hosts.py',
    'test_quickstart.py',
    'encoders/test_dlib_resnet.py',
    'evaluation/test_ablation.py',
    'encoders/test_align.py',
    'gallery/test_killed.py',
    'test_text_encoders.py',
    'training/test_text_tuning.py',
)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """With workers (`-n`), each file runs on one: its fixtures are made once."""
    if getattr(config.option, 'numprocesses', None) and config.option.dist == 'no':
        config.option.dist = 'loadfile'
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts by LONGEST; the other files follow in their order."""
    order = {pathlib.Path(__file__).parent / name: at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(scope='session')
def shared() -> pathlib.Path:
    """The folder of real faces beside the checkout; tests that need it skip without it."""
    if not (SHARED / 'data').is_dir():
        pytest.skip('needs the real photographs in ../shared/data, which are not here')
    return SHARED


@pytest.fixture(scope='session', autouse=True)
def _compile_once(tmp_path_factory) -> None:
    """Tests train the same small model many times: compile it once, for all processes."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if 'PYTEST_XDIST_WORKER' in os.environ else base
    jax.config.update('jax_compilation_cache_dir', str(shared / 'compiled'))
    os.environ['JAX_COMPILATION_CACHE_DIR'] = str(shared / 'compiled')  # of children
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)


@pytest.fixture(scope='session', autouse=True)
def _small_batches_of_photos() -> Iterator[None]:
    """A batch that is not full costs as much as a full one, and the tests have few photos."""
    embed = functools.partial(dlib_resnet.embed_with_maps, batch_size=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dlib_resnet, 'embed_with_maps', embed)
        yield


@pytest.fixture(scope='module')
def few_questions() -> Iterator[None]:
    """An evaluation asks a few of the sentence pairs and queries that ship: all take long."""
    pairs, queries = negation_test.read_pairs()[:8], short_queries.read_short_queries()[:8]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(negation_test, 'read_pairs', lambda: pairs)
        patch.setattr(short_queries, 'read_short_queries', lambda: queries)
        yield


@pytest.fixture(scope='session', autouse=True)
def _small_pictures() -> None:
    """Figures are drawn often and looked at by nobody."""
    figures.PNG_DPI = 40

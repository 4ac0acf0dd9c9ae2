"""Two hosts do what one does: prepare, recover, score, search; and say what keeps them from it."""

import hashlib

import jax
import numpy as np
import pytest

from diface_jax.data import prepared
from diface_jax.runtime import hosts
from tests import celeba_tree, subprocesses, together

# All that is done by several hosts but training, on 2 x 2 devices.
TWO = """
import pathlib
import numpy as np
from diface_jax.runtime import hosts
from tests import together

root, shared, own = map(pathlib.Path, sys.argv[1:])
hosts._VISIBLE_SECONDS = 1
mine = own / str(jax.process_index())
try:
    hosts.check_shared(mine)
except ValueError as error:
    print(error)
hosts.check_shared(shared)
assert hosts.any_host(jax.process_index() == 1) and not hosts.any_host(False)
found = together.recognised()
together.prepare(root, shared)
np.savez(mine / 'found.npz', *found)
"""


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('faces') / 'drawn'
    celeba_tree.make(root, people=(2, 1, 1))
    return root


@pytest.fixture(scope='module')
def two(root, tmp_path_factory):
    """What two hosts printed, the folder they share, and the folder with one for each."""
    shared, own = (tmp_path_factory.mktemp(name) for name in ('shared', 'own'))
    said = subprocesses.run(TWO, root, shared, own, devices=2, processes=2)
    return said, shared, own


def test_a_workdir_that_is_not_shared_is_a_clear_error_on_all(two):
    assert all('not the same folder on all hosts' in one for one in two[0])


def test_two_hosts_recognise_as_one_does(two):
    expected = together.recognised()
    for host in '01':
        with np.load(two[2] / host / 'found.npz') as found:
            for one, other in zip(expected, found.values(), strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def hashes(folder):
    files = [path for path in folder.rglob('*') if path.is_file() and path.parent.name != 'rows']
    # The cache's files depend on which host made which rows, and when.
    files = [path for path in files if 'cache' not in path.parts]
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def test_two_hosts_prepare_what_one_does(root, two, tmp_path):
    """Byte for byte but for the rows, whose files differ each time one host writes them."""
    folder = together.prepare(root, tmp_path)
    assert hashes(tmp_path) == hashes(two[1])
    assert len(list((tmp_path / 'prepared' / 'cache').rglob('*.npz'))) > 6
    for name, one in prepared.load_prepared(folder).splits.items():
        other = prepared.load_prepared(two[1] / folder.relative_to(tmp_path)).splits[name]
        for expected, found in zip(vars(one).values(), vars(other).values(), strict=True):
            np.testing.assert_array_equal(expected, found)


@pytest.mark.parametrize(
    ('given', 'why'),
    [
        (('there:1234', None, None), '--num_processes and --process_id must be given too'),
        ((None, 2, 0), '--coordinator must be given too'),
        (('there', 2, 0), '--coordinator=there is not of the form HOST:PORT'),
        (('there:1234', 2, 2), '--process_id=2 is not between 0 and 1'),
    ],
)
def test_wrong_flags(given, why):
    with pytest.raises(ValueError, match=why):
        hosts.join_hosts(True, *given)


def test_one_host(tmp_path, capsys):
    hosts.join_hosts(False, None, None, None)
    assert not jax.distributed.is_initialized()
    hosts.check_shared(tmp_path / 'made')
    assert (tmp_path / 'made').is_dir()
    assert hosts.first_then_others('work', lambda: 3) == 3
    assert hosts.is_first()
    assert all(hosts.is_mine(i) for i in range(3))
    with pytest.raises(SystemExit, match='why'):
        hosts.exit_program('why')

"""A model is a folder, a name or the default one; whatever else is refused with what there is."""

import pytest

from diface_jax.pretrained import find_model, pack_files
from tests.pretrained import conftest


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    folder = tmp_path / 'shipped'
    folder.mkdir()
    monkeypatch.setattr(pack_files, '_SHIPPED', folder)
    return folder


def test_a_folder_comes_before_a_name_and_the_default_is_shipped(shipped, tmp_path, monkeypatch):
    default = conftest.write(shipped / find_model.DEFAULT)
    assert find_model.find_model(None) == default
    assert find_model.find_model(find_model.DEFAULT) == default
    monkeypatch.chdir(tmp_path)
    own = conftest.write(tmp_path / find_model.DEFAULT)
    assert find_model.find_model(find_model.DEFAULT).resolve() == own
    assert find_model.find_model(None) == default


def test_what_is_not_there_is_named(shipped):
    with pytest.raises(FileNotFoundError, match='no pack celeba_lfw: give --model=PACK'):
        find_model.find_model(None)
    conftest.write(shipped / 'other')
    with pytest.raises(FileNotFoundError, match=r'no model nobody.*come with the package.*other'):
        find_model.find_model('nobody')

"""A pack without what a model needs is refused, whatever its hashes say."""

import pytest

from diface_jax.pretrained import load_model, pack_files, packed_model
from diface_jax.pretrained.pack_files import PackError
from tests.pretrained import conftest


def test_fitted_arrays_that_are_missing_are_named(tmp_path):
    face = [{'name': 'made up', 'width': 4}]
    folder = conftest.write(tmp_path / 'pack', encoders={'face': face})
    pack = pack_files.read_pack(folder)
    with pytest.raises(PackError, match='by hand has no tensor standardisation/mean_C'):
        packed_model.pack_encoders(pack, text=None, folders=[])


@pytest.mark.parametrize('rule', [{}, {'rates': [], 'threshold': 0.0}, {'rates': {}}, None])
def test_a_decision_rule_that_cannot_be_used_is_refused(tmp_path, rule):
    folder = conftest.write(tmp_path / 'pack', decision_rule=rule)
    with pytest.raises(PackError, match=r'model\.json is damaged'):
        load_model._decision_rule(pack_files.read_pack(folder), folder)


def test_a_folder_of_neither_kind_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'neither a model pack .* nor the workdir'):
        load_model.load_model(tmp_path)

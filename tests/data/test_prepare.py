"""The prepare job on a drawn data set: complete, resumable, honest about what failed."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from diface_jax.data import photo_embeddings, prepare, prepared, prepared_folders
from diface_jax.data.encoder_bundle import EncoderBundle
from diface_jax.encoders import arrays
from diface_jax.encoders.face import dlib_resnet
from diface_jax.encoders.face.appearance import Appearance
from diface_jax.encoders.text.condition import ConditionEncoder
from diface_jax.encoders.text.encoder import TextEncoder, load_text_encoder
from diface_jax.runtime import run_state
from tests import celeba_tree, tiny


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('faces') / 'drawn'
    celeba_tree.make(root, people=(6, 3, 3))
    photos = root / 'img_align_celeba'
    (photos / '000001.jpg').write_bytes((photos / '000001.jpg').read_bytes()[:900])
    (photos / '000002.jpg').write_bytes(b'')
    (photos / '000003.jpg').unlink()
    return root


def settings(root):
    config = tiny.config()
    config.data.root = str(root)
    config.encoders.text_layers = 'several'
    config.captions.update(full=2, partial=1)
    return config


@pytest.fixture(scope='module')
def folder(root, tmp_path_factory):
    config = settings(root)
    return prepare.prepare(config, config.data, tmp_path_factory.mktemp('work') / 'prepared')


def test_every_photo_is_in_a_row_or_in_the_card(folder):
    data = prepared.load_prepared(folder)
    rows = {file for split in data.splits.values() for file in split.file_N}
    failed = {entry['file'] for entry in data.card['no_embedding'] + data.card['problems']}
    assert {name[-10:] for name in rows | failed} == {f'{i:06d}.jpg' for i in range(1, 37)}
    assert not rows & failed
    assert {name[-10:-4] for name in failed} == {'000001', '000002', '000003'}
    why = ' '.join(e['why'] for e in data.card['no_embedding'] + data.card['problems'])
    assert 'empty' in why
    # Not every drawing looks like a face to the detector: the card says how those were cut.
    assert {entry['file'] for entry in data.card['notes']} <= rows


def test_rows_hold_what_they_should(folder):
    data = prepared.load_prepared(folder)
    train, test = data.splits['train'], data.splits['test']
    assert train.embedding_NxD.shape[1] == 128 + 4
    assert data.widths == (128, 4)
    assert np.isfinite(train.embedding_NxD).all()
    assert train.c_TxC.shape[1] == 6 * 384
    c_TxC = train.c_TxC[train.track_T != prepared.TRACKS.index('phrase')]
    np.testing.assert_allclose(c_TxC.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose((c_TxC**2).sum(axis=1).mean(), 6, rtol=0.05)
    grammar = train.texts('grammar')
    np.testing.assert_array_equal(np.bincount(train.photo_T[grammar]), 3)
    assert np.isclose(train.coverage_T[grammar], 1.0).sum() == 2 * len(train.identity_N)
    assert np.ptp(train.coverage_T[grammar]) > 0.5
    np.testing.assert_array_equal(test.coverage_T[test.texts('grammar')], 1.0)
    described = test.texts('human')
    for text, owner in zip(test.text_T[described], test.photo_T[described], strict=True):
        assert text == f'Somebody drawn, number {test.file_N[owner][-10:-4]}.'
    identities = [set(split.identity_N.tolist()) for split in data.splits.values()]
    assert sum(map(len, identities)) == len(set.union(*identities))
    card = data.card
    assert card['splits']['train']['photos'] == len(train.identity_N) == 15
    assert card['encoders']['face'][0]['sha256'] == dlib_resnet.SHA256
    assert card['words']['grammar can say'] > 300


def test_nothing_is_done_twice(root, folder, monkeypatch):
    before = (folder / prepared.CARD).stat().st_mtime_ns
    monkeypatch.setattr(prepare, '_write', None)
    config = settings(root)
    assert prepare.prepare(config, config.data, folder.parent) == folder
    assert (folder / prepared.CARD).stat().st_mtime_ns == before


def test_other_settings_are_named(root, folder):
    config = settings(root)
    config.captions.seed = 7
    with pytest.raises(run_state.SettingsDifferError, match=r'captions\.seed: 0 -> 7'):
        prepare.prepare(config, config.data, folder.parent)


def test_the_maps_of_training_photos_stay_in_the_cache(folder):
    train = prepared.load_prepared(folder).splits['train']
    appearance = arrays.load_arrays(Appearance, folder / 'appearance.safetensors')
    hashes = [*train.sha256_N[::-1], 'of no photo']
    rows, maps_NxP = photo_embeddings.cached_maps(folder.parent / 'cache', hashes, 5)
    assert rows.tolist() == list(range(5))
    expected = train.embedding_NxD[::-1][:5, 128:]
    np.testing.assert_allclose(appearance(maps_NxP), expected, rtol=0.02, atol=0.02)
    rows, maps_NxP = photo_embeddings.cached_maps(folder.parent / 'nowhere', hashes, 5)
    assert (len(rows), maps_NxP) == (0, None)


def test_the_encoders_of_a_pack_are_used_and_kept(root, folder, tmp_path):
    shutil.copytree(folder.parent / 'cache', tmp_path / 'cache')
    bundle = EncoderBundle.load(load_text_encoder(), folder)
    standard = bundle.text.standard._replace(mean_C=bundle.text.standard.mean_C + 1)
    bundle = bundle._replace(text=ConditionEncoder(bundle.text.encoder, standard))
    config = settings(root)
    again = prepare.prepare(config, config.data, tmp_path, encoders=bundle)
    card = prepared.read_card(again)
    assert card['encoders'] == bundle.description
    assert card['settings']['encoders of the pack'] == bundle.description
    kept = EncoderBundle.load(bundle.text.encoder, again)
    assert kept.description == bundle.description
    with pytest.raises(run_state.SettingsDifferError, match='encoders of the pack'):
        prepare.prepare(config, config.data, tmp_path)


class Killed(Exception):
    """Stands for the machine being taken away."""


def test_an_interrupted_job_goes_on_and_makes_the_same(root, folder, tmp_path, monkeypatch):
    def die(*args, **named):
        raise Killed

    config, embedded, embed = settings(root), [], dlib_resnet.embed_with_maps

    def count(network, chips):
        embedded.append(len(chips))
        return embed(network, chips)

    monkeypatch.setattr(dlib_resnet, 'embed_with_maps', count)
    monkeypatch.setattr(TextEncoder, 'encode', die)
    with pytest.raises(Killed):
        prepare.prepare(config, config.data, tmp_path)
    photos = sum(len(split.file_N) for split in prepared.load_prepared(folder).splits.values())
    assert sum(embedded) == photos, 'those that the components are fitted on are embedded once too'
    with pytest.raises(FileNotFoundError, match='--mode=prepare'):
        prepare.find_prepared(config, config.data, tmp_path)
    monkeypatch.undo()
    # The faces are there already: E is not asked again.
    monkeypatch.setattr(dlib_resnet, 'embed_with_maps', die)
    again = prepare.prepare(config, config.data, tmp_path)
    for name, uninterrupted in prepared.load_prepared(folder).splits.items():
        resumed = prepared.load_prepared(again).splits[name]
        np.testing.assert_array_equal(resumed.embedding_NxD, uninterrupted.embedding_NxD)
        np.testing.assert_array_equal(resumed.c_TxC, uninterrupted.c_TxC)
        np.testing.assert_array_equal(resumed.text_T, uninterrupted.text_T)


def test_a_person_in_two_splits_is_an_error(tmp_path):
    root = tmp_path / 'torn'
    celeba_tree.make(root, people=(2, 1, 1))
    lines = (root / 'list_eval_partition.txt').read_text().replace('000001.jpg 0', '000001.jpg 2')
    (root / 'list_eval_partition.txt').write_text(lines)
    config, out = settings(root), tmp_path / 'out'
    with pytest.raises(ValueError, match='more than one split'):
        prepare.prepare(config, config.data, out)


def test_no_face_anywhere(tmp_path):
    root = tmp_path / 'nobody'
    (root / 'somebody').mkdir(parents=True)
    for i in range(2):
        Image.new('RGB', (178, 218), 'grey').save(root / 'somebody' / f'{i}.jpg')
    config, out = settings(root), tmp_path / 'out'
    config.encoders.face = ('dlib',)
    with pytest.raises(ValueError, match='no face'):
        prepare.prepare(config, config.data, out)


@pytest.fixture
def moved(root, folder, tmp_path):
    """The data set and its prepared form, both in other folders."""
    shutil.copytree(root, tmp_path / 'data' / 'drawn')
    shutil.copytree(folder.parent, tmp_path / 'prepared')
    config = settings(tmp_path / 'data' / 'drawn')
    return config, tmp_path / 'prepared', tmp_path / 'prepared' / folder.name


def test_a_data_folder_that_moved_keeps_its_prepared_data(moved, monkeypatch):
    config, store, folder = moved
    monkeypatch.setattr(prepare, '_write', None)
    assert prepare.prepare(config, config.data, store) == folder
    assert prepare.find_prepared(config, config.data, store) == folder
    card = prepared.read_card(folder)
    assert card['root'] == config.data.root
    assert config.data.root not in json.dumps(card['settings'])


def test_a_replaced_photo_of_the_same_name_is_embedded_again(moved):
    config, store, folder = moved
    prepare.prepare(config, config.data, store)
    before = prepared.load_prepared(folder).splits['test']
    new, old = (pathlib.Path(config.data.root) / file for file in before.file_N[[0, 3]])
    old.write_bytes(new.read_bytes())
    with pytest.raises(run_state.SettingsDifferError, match='content_of_photos'):
        prepare.prepare(config, config.data, store)
    assert prepared.read_card(folder)['splits']['test']['photos'] == 9
    replaced = prepare.prepare(config, config.data, store, overwrite=True)
    assert [path.parent for path in store.glob('*/data_card.json')] == [replaced]
    after = prepared.load_prepared(replaced).splits['test']
    expected = before.embedding_NxD[[0, 1, 2, 0, *range(4, 9)]]
    np.testing.assert_allclose(after.embedding_NxD, expected, rtol=1e-4, atol=1e-5)
    assert after.sha256_N[3] == before.sha256_N[0] != before.sha256_N[3]


def test_two_data_sets_of_one_folder_name_do_not_meet(moved, root, tmp_path):
    _, store, first = moved
    other = tmp_path / 'elsewhere' / 'drawn'
    # Photos whose embeddings are in the cache, so that this is quick.
    for name in celeba_tree.make(other, people=(1, 1, 1), photos=2, seed=9):
        photo = root / 'img_align_celeba' / f'{int(name[:-4]) + 10:06d}.jpg'
        shutil.copy(photo, other / 'img_align_celeba' / name)
    config = settings(other)
    before = {path: path.read_bytes() for path in first.rglob('*') if path.is_file()}
    second = prepare.prepare(config, config.data, store, first, overwrite=True, protected=[first])
    assert second.name.startswith('drawn-')
    assert second != first
    assert {path: path.read_bytes() for path in before} == before
    assert prepared.read_card(second)['encoders'] == prepared.read_card(first)['encoders']
    assert prepared_folders.folder_of_model(store, *_settings_and_encoders(first)) == first
    # What was trained on is never replaced, whatever is asked for.
    config.data.root = prepared.read_card(first)['root']
    config.captions.seed = 7
    with pytest.raises(run_state.SettingsDifferError, match='A model was trained on it') as error:
        prepare.prepare(config, config.data, store, first, overwrite=True, protected=[first])
    assert '--overwrite' not in str(error.value)


def _settings_and_encoders(folder):
    card = prepared.read_card(folder)
    return card['settings'], card['encoders']


def test_a_data_set_prepared_by_an_earlier_version_is_used(root, folder, tmp_path, monkeypatch):
    store, config = tmp_path / 'prepared', settings(root)
    earlier = store / 'drawn'
    shutil.copytree(folder, earlier)
    card = prepared.read_card(earlier)
    del card['root'], card['settings']['content_of_photos']
    card['settings']['data']['root'] = str(root)
    run_state.write_json(earlier / prepared.CARD, card)
    monkeypatch.setattr(prepare, '_write', None)
    assert prepare.prepare(config, config.data, store) == earlier
    assert prepare.find_prepared(config, config.data, store) == earlier
    assert prepared_folders.folder_of_model(store, card['settings'], card['encoders']) == earlier
    config.captions.seed = 7
    with pytest.raises(run_state.SettingsDifferError, match=r'captions\.seed: 0 -> 7'):
        prepare.prepare(config, config.data, store)


def test_a_data_set_without_a_usable_photo_says_why(tmp_path):
    root = tmp_path / 'celeba'
    celeba_tree.make(root, people=(1, 1, 1), photos=1)
    for photo in (root / 'img_align_celeba').iterdir():
        photo.rename(photo.with_stem(f'9{photo.stem[1:]}'))  # which no list names
    config, out = settings(root), tmp_path / 'out'
    with pytest.raises(ValueError, match=r'\(\d+ problems, the first: .*1.jpg: left out: not on'):
        prepare.prepare(config, config.data, out)


def test_a_data_set_without_a_training_photo_says_what_to_change(tmp_path):
    root = tmp_path / 'celeba'
    celeba_tree.make(root, people=(0, 1, 1), photos=1)
    config, out = settings(root), tmp_path / 'out'
    with pytest.raises(
        ValueError, match=r'give data\.shares a share for train, or set encoders\.app'
    ):
        prepare.prepare(config, config.data, out)


def test_the_card_is_json_to_read(folder):
    assert json.loads((folder / prepared.CARD).read_text())['name'] == 'celeba'

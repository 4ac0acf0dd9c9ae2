"""Writes the model of a workdir as a pack."""

import hashlib
import json
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy

from diface_jax.data import prepared, prepared_folders
from diface_jax.data.encoder_bundle import EncoderBundle
from diface_jax.encoders.face.appearance import Appearance
from diface_jax.encoders.text.adapters import rounded
from diface_jax.gallery import calibrate
from diface_jax.models.diface import Sampling
from diface_jax.pretrained import model_card, pack_files, packed_model
from diface_jax.pretrained.network_arrays import named_arrays
from diface_jax.pretrained.parity_probes import probes_of
from diface_jax.pretrained.rounding import Parity, round_tensors
from diface_jax.pretrained.terms import terms_of
from diface_jax.runtime import versions
from diface_jax.runtime.settings import ONNX
from diface_jax.training.loaded_model import LoadedModel, load_best_checkpoint

Arrays = dict[str, np.ndarray]

_OBSERVATIONS = 'score/embed_y/kernel'


class PackReport(NamedTuple):
    """What was written.

    Attributes:
      folder: of the pack.
      size: of its numbers, in bytes.
      size_float32: what they would take in float32.
      in_float32: names of the matrices that are not rounded.
      parity: how scores compare with those of the checkpoint.
      files: names of ONNX files that the model needs for photographs, and that are not in the pack.
    """

    folder: pathlib.Path
    size: int
    size_float32: int
    in_float32: tuple[str, ...]
    parity: Parity
    files: tuple[str, ...]

    def __str__(self) -> str:
        lines = [
            f'{self.folder}: {self.size / 1e6:.1f} MB of numbers '
            f'({self.size_float32 / 1e6:.1f} MB in float32)'
        ]
        if self.in_float32:
            lines.append(f'not rounded to float16: {", ".join(self.in_float32)}')
        if self.files:
            files = ', '.join(self.files)
            lines.append(f'to embed photographs, copy there too, if its licence allows: {files}')
        return '\n'.join([*lines, f'against the checkpoint, {self.parity}'])


def write_pack(workdir: pathlib.Path, out: pathlib.Path, overwrite: bool = False) -> PackReport:
    """Writes the best checkpoint of a workdir as a pack; it gets its name once it is complete.

    Args:
      workdir: of the training, with its prepared data set.
      out: folder of the pack.
      overwrite: replaces a pack that is there.

    Raises:
      FileExistsError: a pack is there and `overwrite` is False, or something else is there.
      FileNotFoundError: the workdir has no trained model, or no prepared data.
    """
    _check_free(out, overwrite)
    trained, store = load_best_checkpoint(workdir), workdir / 'prepared'
    folder = prepared_folders.folder_of_model(store, trained.settings['data'], trained.encoders)
    encoders = EncoderBundle.load(packed_model.text_encoder_of(trained), folder)
    sampling = Sampling(**trained.settings['sample'])
    scores = calibrate.ValidationModel(trained, sampling, folder).validation()
    probes = probes_of(trained, scores.data, scores.texts, store / prepared_folders.CACHE)
    exact = _exact_arrays(trained, encoders)
    # The probes are texts, so their scores do not depend on how observations are embedded.
    keep = (_OBSERVATIONS,) if probes.have_maps else (_OBSERVATIONS, 'appearance/components_PxK')
    stored, parity = round_tensors(exact, probes.scores, keep)
    stored |= _adapters(encoders)
    weights = safetensors.numpy.save(stored)
    description = {
        'format': pack_files.FORMAT,
        'version': pack_files.VERSION,
        'written_by': versions.version_summary(),
        'name': out.resolve().name,
        'weights_sha256': hashlib.sha256(weights).hexdigest(),
        'tensors': {name: list(array.shape) for name, array in sorted(stored.items())},
        'parity': str(parity),
        **_description_of_model(trained, stored, encoders),
        'decision_rule': calibrate.fit_decision_rule(scores).to_json(),
        'licences': _licences(folder, encoders),
        **_description_of_data(trained, store, folder),
    }
    description['sha256'] = pack_files.description_sha256(description)
    evaluations = model_card.read_evaluations(workdir, trained.settings, trained.step)
    card = model_card.render_card(description, len(weights), evaluations)
    _write(out, weights, description, card)
    return _report(out, stored, parity, description)


def _check_free(out: pathlib.Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not pack_files.is_pack(out):
        raise FileExistsError(f'{out} is there and is not a model pack: give another --out')
    if not overwrite:
        raise FileExistsError(f'{out} is a pack already: give another --out, or --overwrite')


def _exact_arrays(trained: LoadedModel, encoders: EncoderBundle) -> Arrays:
    """The arrays of a pack by name, without the adapters; float32."""
    groups = {
        'normalisation': {'mean_D': trained.normalise.mean_D},
        'standardisation': encoders.text.standard._asdict(),
    }
    if encoders.face.appearance:
        groups['appearance'] = encoders.face.appearance._asdict()
    fitted = {
        f'{group}/{name}': np.ascontiguousarray(array, np.float32)
        for group, arrays in groups.items()
        for name, array in arrays.items()
    }
    return named_arrays(trained.params) | fitted


def _adapters(encoders: EncoderBundle) -> Arrays:
    """The adapters of the text encoder by name; float16, as they were prepared with."""
    adapters = rounded(encoders.text.encoder.adapters or {})
    return {f'{packed_model.ADAPTERS}/{name}': array for name, array in adapters.items()}


def _description_of_model(
    trained: LoadedModel, stored: Arrays, encoders: EncoderBundle
) -> dict[str, Any]:
    description = {**trained.encoders, 'face': list(trained.encoders['face'])}
    if 'appearance/mean_P' in stored:
        appearance = Appearance(
            *(stored[f'appearance/{field}'].astype(np.float32) for field in Appearance._fields)
        )
        # The rounded components are an encoder of their own, with a hash of its own.
        description['face'] = encoders.face.with_appearance(appearance).description
    return {
        'settings': trained.settings,
        'step': trained.step,
        'sizes': list(trained.widths),
        'normalisation_widths': list(trained.normalise.widths),
        'encoders': description,
        'thresholds': trained.thresholds,
    }


def _licences(folder: pathlib.Path, encoders: EncoderBundle) -> dict[str, str]:
    """The licence of each encoder, by its name, as accepted when the data set was prepared."""
    card = prepared.read_card(folder)
    if 'licences' not in card:  # prepared by an earlier version
        return {weights.name: weights.licence for weights in encoders.licences}
    return {row['name']: row['licence'] for row in card['licences']}


def _description_of_data(
    trained: LoadedModel, store: pathlib.Path, folder: pathlib.Path
) -> dict[str, Any]:
    """Counts of the data sets that a model was trained on, and its terms."""
    first = prepared.read_card(folder)
    trained_on = [{'name': first['name'], 'splits': first['splits']}]
    if settings := trained.settings['data'].get('second_data'):
        second = prepared.read_card(prepared_folders.folder_with_content(store, settings))
        trained_on.append({'name': second['name'], 'splits': {'train': second['splits']['train']}})
    started_from = trained.settings['train'].get('init_from') or {}
    names = [data['name'] for data in trained_on]
    return {
        'trained_on': trained_on,
        'terms': terms_of(names, started_from.get('terms', '')),
    }


def _write(out: pathlib.Path, weights: bytes, description: Mapping[str, Any], card: str) -> None:
    """Writes a pack beside its place, reads it once, and moves it there."""
    building = out.with_name(f'{out.name}.new')
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    (building / pack_files.WEIGHTS).write_bytes(weights)
    text = json.dumps(description, indent=1, ensure_ascii=False)
    (building / pack_files.DESCRIPTION).write_text(text + '\n', encoding='utf-8')
    (building / pack_files.CARD).write_text(card, encoding='utf-8')
    packed_model.trained_model(pack_files.read_pack(building))
    old = out.with_name(f'{out.name}.old')
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    building.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _report(
    out: pathlib.Path,
    stored: Arrays,
    parity: Parity,
    description: Mapping[str, Any],
) -> PackReport:
    unrounded = [
        name for name, array in stored.items() if array.ndim > 1 and array.dtype == np.float32
    ]
    names = [encoder['name'] for encoder in description['encoders']['face']]
    return PackReport(
        folder=out,
        size=(out / pack_files.WEIGHTS).stat().st_size,
        size_float32=sum(4 * array.size for array in stored.values()),
        in_float32=tuple(unrounded),
        parity=parity,
        files=tuple(name.removeprefix(ONNX) for name in names if name.startswith(ONNX)),
    )

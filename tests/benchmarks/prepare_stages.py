"""Where the time of preparing photographs goes, and the least that its products need.

    python -m tests.benchmarks.prepare_stages PHOTOS

PHOTOS is a data set with training photos. Its stages run one after the other, each alone: `prepare`
runs some of them at once, but together they keep every core busy. Programs are compiled before they
are timed. The floor is the time of the same FLOPs at the rate of a large matrix product, measured
in turn with the stages. Prints a line of JSON a stage: seconds, core seconds, GFLOP and the floor.
"""

import concurrent.futures
import functools
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from configs import celeba
from diface_jax.data import prepared, sharded_work
from diface_jax.data.face_crops import FaceCrops, crop_faces
from diface_jax.data.photo_hashes import photo_hashes
from diface_jax.data.photo_sentences import sentences_of_photo
from diface_jax.data.prepared_rows import DescribedPhoto, prepared_rows
from diface_jax.data.readers.dispatch import read_section
from diface_jax.data.readers.records import DataSet
from diface_jax.data.text_conditions import fit_condition_encoder
from diface_jax.encoders.face import align, appearance, dlib_resnet, mtcnn, photo
from diface_jax.encoders.text.encoder import TextEncoder, load_text_encoder
from diface_jax.runtime.batch_threads import usable_cores
from tests.benchmarks import programs, roofline

START = 'import diface_jax.cli.pipeline, jax; jax.devices()'
WARM = 40  # photos that compile the programs
PEAK_REPEATS = 10


class Stages:
    """Times stages and prints them."""

    def __init__(self) -> None:
        self._product, _ = roofline.peaks()
        self._rate = 0.0  # FLOPs a second
        self.update_peak()

    def update_peak(self) -> None:
        """Measures the rate of a matrix product once more; the best one counts."""
        for _ in range(PEAK_REPEATS):
            start = time.perf_counter()
            self._product.run()
            self._rate = max(self._rate, self._product.flops / (time.perf_counter() - start))

    def run(self, name: str, work: Callable[[], Any], gflop: float = 0.0) -> Any:
        """What `work` returns."""
        start, cores = time.perf_counter(), core_seconds()
        result = work()
        seconds, cores = time.perf_counter() - start, core_seconds() - cores
        self.update_peak()
        self.show(name, seconds, cores, gflop)
        return result

    def show(self, name: str, seconds: float, cores: float, gflop: float = 0.0) -> None:
        """Prints a stage."""
        line = {'stage': name, 'seconds': round(seconds, 2), 'core_seconds': round(cores, 2)}
        if gflop:
            floor = 1e9 * gflop / self._rate
            line |= {'gflop': round(gflop, 1), 'floor_seconds': round(floor, 2)}
            line['gflops_of_peak'] = round(self._rate / 1e9)
        print(json.dumps(line), flush=True)


def core_seconds() -> float:
    """That this process and its children have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def detect(images: Sequence[np.ndarray]) -> None:
    """Finds the faces of decoded photos, by one thread for each core."""

    def of_photo(image_HxWx3: np.ndarray) -> None:
        height, width = image_HxWx3.shape[:2]
        mtcnn.load_mtcnn().detect(image_HxWx3, align.smallest_face(width, height), 0.7)

    with concurrent.futures.ThreadPoolExecutor(usable_cores()) as pool:
        list(pool.map(of_photo, images))


def crop(source: DataSet, files: Sequence[str]) -> list[FaceCrops]:
    """The crops of photos, as `prepare` makes them."""
    crop_one = functools.partial(crop_faces, source.read, source.landmarks_5x2)
    return list(sharded_work._cropped(crop_one, files))


def maps_of(network: dlib_resnet.DlibResNet, crops: Sequence[FaceCrops]) -> Any:
    """Embeddings and maps by E's network, of the tight and the wide chip."""
    chips_NxSxHxWx3 = np.stack([crop.chips[:2] for crop in crops])
    parts = list(dlib_resnet.embed_with_maps(network, chips_NxSxHxWx3))
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def encoder_gflop(encoder: TextEncoder, sentences: Sequence[str]) -> tuple[int, float]:
    """Tokens of sentences, and GFLOP of all matrix products of MiniLM without any padding."""
    lengths = np.array([len(ids) for ids in encoder._tokenizer.ids(sentences)], np.float64)
    kernels = jax.tree.leaves(encoder._state['layers'])
    weights = sum(kernel.size for kernel in kernels if kernel.ndim == 3)
    attention = 4 * encoder.num_layers * encoder.width * np.sum(lengths**2)
    return int(lengths.sum()), (2 * weights * lengths.sum() + attention) / 1e9


def main(photos: str) -> None:
    """Prints the lines."""
    config = celeba.get_config()
    config.data.root = photos
    stages = Stages()
    command = [sys.executable, '-c', START]
    stages.run('start', lambda: subprocess.run(command, check=True))
    with tempfile.TemporaryDirectory() as folder:
        measure(stages, config, pathlib.Path(folder))


def measure(stages: Stages, config: Any, folder: pathlib.Path) -> None:
    """All stages but the start."""
    source = stages.run('read the lists', lambda: read_section(config.data, config.simulated))
    root = pathlib.Path(config.data.root)
    hashes = stages.run('hash the photos', lambda: photo_hashes(source, root, folder))
    x_NxD, faces = embed(stages, source, config.encoders.appearance_dim)
    described = stages.run(
        'write the sentences',
        lambda: [
            DescribedPhoto(photo, sha256, x_D, sentences_of_photo(photo, config.captions))
            for photo, sha256, x_D in zip(source.photos, hashes, x_NxD, strict=True)
        ],
    )
    texts = [sentence.text for photo in described for sentence in photo.sentences]
    pool_UxP, encoder = encode(stages, texts)
    row_of = {text: row for row, text in enumerate(distinct(texts))}
    pool_TxP = pool_UxP[[row_of[text] for text in texts]]

    def write() -> None:
        of_train = np.array([p.photo.split == 'train' for p in described for _ in p.sentences])
        conditions = fit_condition_encoder(encoder, pool_TxP, of_train, 'several')
        rows = prepared_rows(described, pool_TxP, conditions, sorted(source.photos[0].labels or {}))
        prepared.write_prepared(folder / 'rows', rows, sorted({p.split for p in source.photos}))

    stages.run('standardise and write the rows', write)
    print(json.dumps({'photos': len(x_NxD), 'faces': faces, 'sentences': len(row_of)}), flush=True)


def embed(stages: Stages, source: DataSet, width: int) -> tuple[np.ndarray, int]:
    """E's embeddings without the appearance, and how many photos have a face."""
    files = [photo.file for photo in source.photos]
    network = dlib_resnet.load_dlib_resnet()
    maps_of(network, crop(source, files[:WARM]))  # compiles
    images = stages.run('decode', lambda: [photo.decode(source.read(file)) for file in files])
    stages.run('detect faces (part of crop)', lambda: detect(images))
    crops = stages.run('crop: decode, detect, landmarks, chips', lambda: crop(source, files))
    has_face_N = np.array([crop.chips is not None for crop in crops])
    faces = [crop for crop in crops if crop.chips is not None]
    gflop = programs.face_encoder(8).flops / 1e9 * 2 * len(faces) / 8
    x_FxD, maps_FxP = stages.run('E and its maps', lambda: maps_of(network, faces), gflop)
    blocks = dlib_resnet.block_widths(network, len(align.PADDINGS))
    is_train_F = np.array([photo.split == 'train' for photo in source.photos])[has_face_N]
    train_FxP = maps_FxP[is_train_F].astype(np.float16)
    stages.run('fit the appearance', lambda: appearance.fit_appearance(train_FxP, blocks, width))
    x_NxD = np.zeros((len(files), dlib_resnet.WIDTH), np.float32)
    x_NxD[has_face_N] = x_FxD
    return x_NxD, len(faces)


def distinct(texts: Sequence[str]) -> list[str]:
    """Each text once."""
    return sorted(set(texts), key=lambda text: (len(text), text))


def encode(stages: Stages, texts: Sequence[str]) -> tuple[np.ndarray, TextEncoder]:
    """The pooled vectors of distinct texts, in the order of `distinct`."""
    encoder = stages.run('load MiniLM', load_text_encoder)
    texts = distinct(texts)
    encoder.encode(texts)  # compiles
    tokens, gflop = stages.run('count tokens', lambda: encoder_gflop(encoder, texts))
    name = f'MiniLM: {len(texts):,} sentences of {tokens:,} tokens'
    return stages.run(name, lambda: encoder.encode(texts).astype(np.float16), gflop), encoder


if __name__ == '__main__':
    main(*sys.argv[1:])

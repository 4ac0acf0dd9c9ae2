"""Face verification by E on LFW's pairs: are these two photos of one person?

    python -m tests.benchmarks.lfw_pairs --root=PATH --face=dlib --face=onnx:FILE

PATH holds pairs.txt and lfw-deepfunneled/. Prints the accuracy of each encoder: the distance
threshold is chosen on nine tenths of the pairs and used on the last, ten times over, as LFW's view
2 does. Embeddings of ONNX files are compared by their angle; --mean and --scale are those of
`encoders.onnx`.
"""

import argparse
import concurrent.futures
import pathlib

import numpy as np
from tqdm import tqdm

from configs import celeba
from diface_jax.data.readers.lfw import LANDMARKS_5x2
from diface_jax.encoders.face import align
from diface_jax.encoders.face.encoder import FaceEncoder, build_face_encoder, read_recognisers
from diface_jax.runtime.settings import ONNX

Pair = tuple[str, str, bool]


def read_pairs(path: pathlib.Path) -> list[Pair]:
    """The two files of each pair, relative to the folder of images, and whether one person's."""
    pairs = []
    for line in path.read_text().splitlines()[1:]:
        fields = line.split('\t')
        first, second = (fields[0], fields[1]), (fields[-2], fields[-1])
        if len(fields) == 3:
            second = (fields[0], fields[2])
        files = [f'{name}/{name}_{int(number):04d}.jpg' for name, number in (first, second)]
        pairs.append((*files, len(fields) == 3))
    return pairs


def chips_of(path: pathlib.Path) -> np.ndarray:
    """The face chips of a photo that is aligned as LFW's are."""
    return align.align_photo(path.read_bytes(), LANDMARKS_5x2).chips


def face_encoder(name: str, pixels: dict[str, tuple[float, ...]]) -> FaceEncoder:
    """The encoder of a name in `encoders.face`, with these settings of `encoders.onnx`."""
    config = celeba.get_config().encoders
    config.face = (name,)
    config.onnx.update(pixels)
    return build_face_encoder((name,), recognisers=read_recognisers(config))


def photos_of(pairs: list[Pair]) -> list[str]:
    """The files of all pairs, sorted."""
    return sorted({file for pair in pairs for file in pair[:2]})


def distances(files: list[str], x_NxD: np.ndarray, pairs: list[Pair]) -> np.ndarray:
    """The Euclidean distance between the embeddings of each pair."""
    embedding = dict(zip(files, x_NxD, strict=True))
    return np.array([np.linalg.norm(embedding[a] - embedding[b]) for a, b, _ in pairs])


def best_threshold(distance_N: np.ndarray, same_N: np.ndarray) -> float:
    """The distance under which calling a pair one person is right most often."""
    candidates = np.sort(distance_N)
    right = [np.mean((distance_N < threshold) == same_N) for threshold in candidates]
    return float(candidates[int(np.argmax(right))])


def accuracy(distance_N: np.ndarray, same_N: np.ndarray, folds: int = 10) -> float:
    """The share of right answers, each with a threshold from the other folds."""
    right_N = np.empty(len(distance_N), bool)
    fold_N = np.random.default_rng(0).permutation(len(distance_N)) % folds
    for fold in range(folds):
        here_N = fold_N == fold
        threshold = best_threshold(distance_N[~here_N], same_N[~here_N])
        right_N[here_N] = (distance_N[here_N] < threshold) == same_N[here_N]
    return float(right_N.mean())


def cut_faces(root: pathlib.Path, files: list[str]) -> np.ndarray:
    """The chips of the faces in files of LFW; chips_NxSxHxWx3."""
    paths = [root / 'lfw-deepfunneled' / file for file in files]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return np.stack(list(tqdm(pool.map(chips_of, paths), total=len(paths), desc='faces')))


def read_arguments() -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--root', type=pathlib.Path, required=True, help='the folder of LFW')
    parser.add_argument('--face', action='append', help='dlib (default) or onnx:FILE; repeat it')
    parser.add_argument('--mean', type=float, nargs=3, default=[0.0] * 3, help='of R, G and B')
    parser.add_argument('--scale', type=float, nargs=3, default=[0.0] * 3, help='of R, G and B')
    return parser.parse_args()


def main() -> None:
    """Prints the accuracy of each encoder on all pairs."""
    arguments = read_arguments()
    pairs = read_pairs(arguments.root / 'pairs.txt')
    files = photos_of(pairs)
    chips_NxSxHxWx3 = cut_faces(arguments.root, files)
    same_N = np.array([same for _, _, same in pairs])
    pixels = {'mean': tuple(arguments.mean), 'scale': tuple(arguments.scale)}
    for name in arguments.face or ['dlib']:
        x_NxD = face_encoder(name, pixels).embed(chips_NxSxHxWx3)
        if name.startswith(ONNX):
            x_NxD = x_NxD / np.linalg.norm(x_NxD, axis=1, keepdims=True)
        right = f'{100 * accuracy(distances(files, x_NxD, pairs), same_N):.2f}%'
        print(f'{name}: {right} of {len(pairs)} pairs, {len(files)} photos')


if __name__ == '__main__':
    main()

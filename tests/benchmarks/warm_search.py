"""A search of a gallery by a sentence, warm, beside sentence-transformers and FAISS.

python -m tests.benchmarks.warm_search [FACES [REPEATS]]

Every search has another sentence. The peer encodes it, alone or with its phrases, and looks vectors
up among as many; ours also explains each phrase, and asks the next question. Then how long a search
by a sentence of a length takes that the process has not seen. Prints lines of JSON. Needs the extra
[bench].
"""

import itertools
import json
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator

import faiss
import numpy as np

import diface_jax
from diface_jax.data.phrases import split_phrases
from diface_jax.encoders.text import pooling
from diface_jax.gallery import enrollment
from diface_jax.gallery.store import PhotoLabel
from diface_jax.model import Model
from diface_jax.runtime import compilation_cache
from tests.benchmarks import text_encoder, timing

K = 10
FIRST = 9  # first searches by a text of a length
_PAUSE = 0.3  # seconds between searches, as of a person
SHORT = 'a young man with curly red hair and glasses'
LONG = ', with short gray hair and glasses, a beard and bushy eyebrows'


def descriptions() -> Iterator[str]:
    """Sentences of 9 to 14 words, no two of which are equal."""
    parts = itertools.product(
        ('young', 'older', 'smiling', 'pale', 'chubby', 'slim'),
        ('man', 'woman', 'person'),
        ('curly', 'straight', 'wavy', 'long', 'short', 'thick'),
        ('red', 'black', 'brown', 'blond', 'gray'),
        ('bushy eyebrows', 'a big nose', 'glasses', 'high cheekbones', 'bangs'),
    )
    return (
        f'a {age} {who} with {how} {what} hair and {more}' for age, who, how, what, more in parts
    )


def in_parts(text: str) -> list[str]:
    """A sentence and its phrases, which ours encodes to explain its answers."""
    return [text, *split_phrases(text)]


def filled(model: Model, folder: pathlib.Path, faces: int) -> None:
    """Enrols made-up embeddings."""
    rng = np.random.default_rng(0)
    names, labels = [f'{row:07d}' for row in range(faces)], [PhotoLabel()] * faces
    embedding_GxD = rng.standard_normal((faces, model._inference.width)).astype(np.float32)
    with model._open(folder, create=True) as store:
        enrollment.enroll_embeddings(store, names, embedding_GxD, labels, model._inference)


def main(faces: int = 1000, repeats: int = 60) -> None:
    """Prints the lines."""
    compilation_cache.keep_compiled_programs()
    model, peer = diface_jax.load(), text_encoder.load_peer()
    rng, (ours, alone, together) = np.random.default_rng(1), [descriptions() for _ in range(3)]
    index = faiss.IndexFlatIP(384)
    index.add(rng.standard_normal((faces, 384)).astype(np.float32))
    with tempfile.TemporaryDirectory() as folder:
        gallery = pathlib.Path(folder) / 'gallery'
        filled(model, gallery, faces)
        work = {
            'ours': lambda: model.search(gallery, next(ours), K),
            'sentence-transformers + FAISS': lambda: index.search(peer.encode([next(alone)]), K),
            'the same, phrases too': lambda: index.search(peer.encode(in_parts(next(together))), K),
        }
        assert len(work['ours']().results) == len(work['sentence-transformers + FAISS']()[1][0])
        timing.compare(f'a search of {faces:,} faces, warm', work, repeats, _PAUSE)
        for count in (2, 5):
            print(json.dumps(first_of_a_length(model, gallery, f'a man{LONG * count}')), flush=True)


def first_of_a_length(model: Model, gallery: pathlib.Path, text: str) -> dict[str, object]:
    """Searches in a process that has seen short texts alone; programs are kept on disk."""
    model.search(gallery, text)
    milliseconds = []
    for _ in range(FIRST):
        pooling.pooled_states.clear_cache()
        model._inference._recent = {}
        model.search(gallery, SHORT)
        start, seen = time.perf_counter(), pooling.pooled_states._cache_size()
        model.search(gallery, text)
        milliseconds.append(1e3 * (time.perf_counter() - start))
    return {
        'benchmark': f'a first search by {len(text.split())} words',
        'ms': round(statistics.median(milliseconds), 1),
        'spread': [round(min(milliseconds), 1), round(max(milliseconds), 1)],
        'new programs': pooling.pooled_states._cache_size() - seen,
    }


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))

"""How long a command takes from a cold process: a search of a gallery, the page, and --help.

python -m tests.benchmarks.cold_start PHOTOS [MODEL]

Beside it, in turn: what `face_recognition` does before it can compare faces, which is to import
dlib, read its weights and encode one photo. It understands no words and searches nothing, so it has
less to do. Prints a line of JSON: medians, quartiles and ratios (peer / ours, above 1 is faster).
"""

import json
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence

REPEATS = 5
TEXT = 'a smiling woman with curly red hair'
PROGRAM = (sys.executable, '-m', 'diface_jax.main')
# As face_recognition's api.py, whose import reads all five files of weights.
PEER = """
import sys, pathlib
import dlib, numpy as np
from PIL import Image
from diface_jax.encoders.weights import find_in_package
def path(name): return str(find_in_package('face_recognition_models', f'models/{name}.dat'))
detect = dlib.get_frontal_face_detector()
dlib.shape_predictor(path('shape_predictor_68_face_landmarks'))
landmarks = dlib.shape_predictor(path('shape_predictor_5_face_landmarks'))
dlib.cnn_face_detection_model_v1(path('mmod_human_face_detector'))
encoder = dlib.face_recognition_model_v1(path('dlib_face_recognition_resnet_model_v1'))
image = np.array(Image.open(sys.argv[1]).convert('RGB'))
faces = [landmarks(image, box) for box in detect(image, 1)]
assert faces, 'no face in the photo'
print([encoder.compute_face_descriptor(image, face, 1)[0] for face in faces])
"""


def main(photos: str, model: str | None = None) -> None:
    """Prints the line."""
    chosen = [f'--model={model}'] if model else []
    with tempfile.TemporaryDirectory() as folder:
        gallery = [f'--gallery={folder}/gallery', *chosen]
        run([*PROGRAM, '--mode=enroll', *gallery, f'--photos={photos}'])
        work: dict[str, Callable[[], float]] = {
            'search': lambda: search(gallery),
            'page': lambda: page_ready(gallery),
            'help': lambda: seconds(lambda: run([*PROGRAM, '--help'])),
            'peer': lambda: seconds(lambda: run([sys.executable, '-c', PEER, first_photo(photos)])),
        }
        for measure in work.values():
            measure()  # compiles, and fills the caches of files
        times = {name: [] for name in work}
        for _ in range(REPEATS):
            for name, measure in work.items():
                times[name].append(measure())
    print(json.dumps(summary(times)))


def summary(times: dict[str, Sequence[float]]) -> dict[str, object]:
    """Medians, quartiles and ratios."""
    median = {name: statistics.median(values) for name, values in times.items()}
    return {
        'benchmark': 'cold_start',
        'peer': 'dlib as face_recognition uses it: import, weights, one photo',
        'seconds': {name: round(value, 2) for name, value in median.items()},
        'quartiles': {
            name: [round(q, 2) for q in statistics.quantiles(values, n=4)[::2]]
            for name, values in times.items()
        },
        'ratio': {name: round(median['peer'] / median[name], 2) for name in times},
        'repeats': REPEATS,
    }


def search(gallery: Sequence[str]) -> float:
    """Seconds of a search by command."""
    return seconds(lambda: run([*PROGRAM, '--mode=search', *gallery, f'--text={TEXT}']))


def page_ready(gallery: Sequence[str]) -> float:
    """Seconds until the page answers."""
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    command = [*PROGRAM, '--mode=serve', *gallery, f'--port={port}']
    start = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            while server.poll() is None:
                try:
                    urllib.request.urlopen(f'http://127.0.0.1:{port}/').close()
                    return time.perf_counter() - start
                except OSError:
                    time.sleep(0.02)
        finally:
            server.terminate()
    raise RuntimeError('the page ended; is the extra [web] installed?')


def run(command: Sequence[str]) -> None:
    """Runs a command to its end; a search ends with 2 where nobody is a match."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 2):
        raise RuntimeError(f'{command} failed: {done.stderr[-500:]}')


def first_photo(photos: str) -> str:
    """A photo of the folder."""
    return str(min(path for path in pathlib.Path(photos).rglob('*.jpg')))


def seconds(work: Callable[[], object]) -> float:
    """Seconds of a run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == '__main__':
    main(*sys.argv[1:])

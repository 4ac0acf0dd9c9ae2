"""Reads an export with numpy and onnxruntime alone, and checks it against its example.

python read.py            # in the folder of the export
"""

import pathlib

import numpy as np
import onnxruntime

FOLDER = pathlib.Path(__file__).resolve().parent


def check_example() -> None:
    """Prints scores of the example, and how far they are from the package's."""
    example = np.load(FOLDER / 'example.npz')
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    text_to_f, embedding_to_f = (
        onnxruntime.InferenceSession(FOLDER / f'{name}.onnx', options)
        for name in ('text_to_f', 'embedding_to_f')
    )

    # Sentences become tokens by tokenizer.json (any library that reads it). Shorter ones are filled
    # up with 0, where the mask is False.
    (f_text,) = text_to_f.run(['f'], {name: example[name] for name in ('tokens', 'mask')})
    (f_photo,) = embedding_to_f.run(['f'], {'embedding': example['embedding']})

    # Features have length 1, and the score of a sentence and a face is their dot product.
    print('scores', (f_text @ f_photo.T).round(4).tolist())
    worst = max(np.abs(f_text - example['text_f']).max(), np.abs(f_photo - example['f']).max())
    print(f'largest difference from the package: {worst:.1e}')


if __name__ == '__main__':
    check_example()

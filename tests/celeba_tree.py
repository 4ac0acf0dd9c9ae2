"""A made-up data set in CelebA's layout: drawn faces with labels, for tests without photographs."""

import io
import json

import numpy as np
from PIL import Image, ImageDraw

from diface_jax.data.grammar.captions import CELEBA_40


def photo(rng):
    """A face drawn with a few colours, where CelebA's alignment has it."""
    image = Image.new('RGB', (178, 218), tuple(rng.integers(0, 255, 3).tolist()))
    draw = ImageDraw.Draw(image)
    draw.ellipse((45, 65, 133, 185), fill=tuple(rng.integers(60, 255, 3).tolist()))
    for x in (69, 108):
        draw.ellipse((x - 8, 106, x + 8, 116), fill=tuple(rng.integers(0, 120, 3).tolist()))
    draw.rectangle((72, 152, 105, 158), fill=tuple(rng.integers(0, 200, 3).tolist()))
    data = io.BytesIO()
    image.save(data, 'JPEG')
    return data.getvalue()


def make(root, people=(14, 8, 8), photos=3, seed=0, attributes=CELEBA_40):
    """Writes images, lists and descriptions below `root`; returns the file names."""
    rng = np.random.default_rng(seed)
    (root / 'img_align_celeba').mkdir(parents=True)
    files, who, split = [], [], []
    for person in range(sum(people)):
        for _ in range(photos):
            files.append(f'{len(files) + 1:06d}.jpg')
            who.append(person)
            split.append(int(np.searchsorted(np.cumsum(people), person, 'right')))
            (root / 'img_align_celeba' / files[-1]).write_bytes(photo(rng))
    labels = rng.choice([-1, 1], (len(files), len(attributes)))
    lines = [f'{f} ' + ' '.join(map(str, row)) for f, row in zip(files, labels, strict=True)]
    write = {
        'identity_CelebA.txt': [f'{f} {p}' for f, p in zip(files, who, strict=True)],
        'list_eval_partition.txt': [f'{f} {s}' for f, s in zip(files, split, strict=True)],
        'list_attr_celeba.txt': [str(len(files)), ' '.join(attributes), *lines],
        'descriptions.jsonl': [
            json.dumps({'file': f, 'description': f'Somebody drawn, number {f[:-4]}.'})
            for f in files[::2]
        ],
    }
    for name, content in write.items():
        (root / name).write_text('\n'.join(content) + '\n')
    return files

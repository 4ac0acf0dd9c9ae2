"""Recall, false faces and speed of the face detector, against dlib's HOG detector.

    python -m tests.benchmarks.face_detection --lfw=PATH --photos=PATH

PATHs hold LFW's lfw-deepfunneled/ (one face in the middle of each photo, which is shrunk, turned,
darkened, masked and put into scenes) and photographs by person, whose parts without a face make the
scenes. Prints a table (docs/detection.md).
"""

import argparse
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator

import dlib
import numpy as np
from PIL import Image, ImageDraw

from diface_jax.data.readers.lfw import LANDMARKS_5x2
from diface_jax.encoders.face import align
from diface_jax.encoders.face.photo import decode

# Left, top, right, bottom of the faces in a photo, N x 4.
Detector = Callable[[np.ndarray], np.ndarray]

SIDE = 250  # of LFW's photos
CENTRE = LANDMARKS_5x2.mean(axis=0)  # of the face, as fractions of the sides
FACE = 0.4  # side of a face's box, as a fraction of the photo's side
NEAR, SIZES = 0.35, (0.5, 2.0)  # of a hit: distance from the face, and size, in sides of the face
SCENE = 1225, 1633  # two megapixels
FACES_IN_A_SCENE = 12
SMALL = 20, 30, 40, 60  # pixels of the faces in scenes
REPEATS = 5


def ours(image_HxWx3: np.ndarray) -> np.ndarray:
    """The package's detector."""
    return np.array([face.box for face in align.detect(image_HxWx3)], float).reshape(-1, 4)


def hog(image_HxWx3: np.ndarray) -> np.ndarray:
    """dlib's HOG detector, which finds 80 pixels, in the photo enlarged twice."""
    faces = dlib.get_frontal_face_detector()(np.ascontiguousarray(image_HxWx3), 1)
    boxes = [(box.left(), box.top(), box.right(), box.bottom()) for box in faces]
    return np.array(boxes, float).reshape(-1, 4)


DETECTORS = {'MTCNN (used)': ours, 'dlib HOG': hog}


def turned(photo: Image.Image, degrees: float) -> Image.Image:
    """Turned about the face."""
    centre = tuple(CENTRE * SIDE)
    return photo.rotate(degrees, Image.Resampling.BICUBIC, center=centre, fillcolor=(90, 90, 90))


def darkened(photo: Image.Image) -> Image.Image:
    """With a tenth of the light, and noise."""
    noise = np.random.default_rng(0).normal(0, 3, (SIDE, SIDE, 3))
    dark = np.asarray(photo, float) * 0.1 + noise
    return Image.fromarray(dark.clip(0, 255).astype(np.uint8))


def masked(photo: Image.Image) -> Image.Image:
    """With a mask painted from the nose to below the chin."""
    photo = photo.copy()
    x, y = CENTRE * SIDE
    edge = [(-38, 2), (0, -6), (38, 2), (34, 40), (0, 58), (-34, 40)]
    ImageDraw.Draw(photo).polygon([(x + dx, y + dy) for dx, dy in edge], fill=(150, 190, 215))
    return photo


CONDITIONS = {
    'as it is': lambda photo: photo,
    **{f'turned by {d}': lambda photo, d=d: turned(photo, d) for d in (15, 30, 45)},
    'dark': darkened,
    'masked': masked,
}


def hit(boxes_Nx4: np.ndarray, centre_2: np.ndarray, side: float) -> bool:
    """Whether a box is that of a face with this centre and side."""
    distances_N = np.abs((boxes_Nx4[:, :2] + boxes_Nx4[:, 2:]) / 2 - centre_2).max(axis=1)
    sizes_N = np.sqrt(np.prod(boxes_Nx4[:, 2:] - boxes_Nx4[:, :2], axis=1))
    near_N = distances_N < NEAR * side
    return bool(np.any(near_N & (sizes_N > SIZES[0] * side) & (sizes_N < SIZES[1] * side)))


def backgrounds(photos: list[np.ndarray]) -> Iterator[np.ndarray]:
    """The largest part of each photo beside all that any detector takes for a face."""
    for photo in photos:
        height, width = photo.shape[:2]
        boxes = np.concatenate([find(photo) for find in DETECTORS.values()])
        if not len(boxes):
            continue
        side = np.max(boxes[:, 2:] - boxes[:, :2])
        (left, top), (right, bottom) = (
            boxes[:, :2].min(0) - side / 2,
            boxes[:, 2:].max(0) + side / 2,
        )
        left, top, right, bottom = (
            int(min(max(edge, 0), limit))
            for edge, limit in zip((left, top, right, bottom), (width, height) * 2, strict=True)
        )
        parts = photo[bottom:], photo[:top], photo[:, :left], photo[:, right:]
        part = max(parts, key=lambda part: part.shape[0] * part.shape[1])
        if min(part.shape[:2]) >= 60:
            yield part


def scenes(parts: list[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """Scenes of two megapixels, pasted from parts of photos at twice their size."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        scene = Image.new('RGB', SCENE[::-1])
        for y in range(0, SCENE[0], 300):
            for x in range(0, SCENE[1], 400):
                part = Image.fromarray(parts[rng.integers(len(parts))])
                scale = max(400 / part.width, 300 / part.height)
                size = round(part.width * scale), round(part.height * scale)
                scene.paste(part.resize(size, Image.Resampling.BICUBIC), (x, y))
        yield np.asarray(scene)


def with_faces(
    scene: np.ndarray, photos: list[Image.Image], face: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray]]:
    """A scene with faces of this many pixels pasted into it, and their centres."""
    picture, centres = Image.fromarray(scene), []
    side = round(face / FACE)
    margin = side // 6  # LFW's photos may show other people at their edges
    columns, rows = SCENE[1] // side, SCENE[0] // side
    cells = rng.choice(columns * rows, min(FACES_IN_A_SCENE, columns * rows), replace=False)
    for cell in cells:
        photo = photos[rng.integers(len(photos))]
        small = photo.resize((side, side), Image.Resampling.LANCZOS)
        corner = np.array((cell % columns, cell // columns)) * side
        inner = small.crop((margin, margin, side - margin, side - margin))
        picture.paste(inner, tuple(map(int, corner + margin)))
        centres.append(corner + CENTRE * side)
    return np.asarray(picture), centres


def recall(find: Detector, photos: list[Image.Image]) -> dict[str, float]:
    """The share of faces found, by condition."""
    shares = {}
    for name, change in CONDITIONS.items():
        hits = [hit(find(np.asarray(change(p))), CENTRE * SIDE, FACE * SIDE) for p in photos]
        shares[name] = statistics.mean(hits)
    return shares


def recall_in_scenes(
    find: Detector, photos: list[Image.Image], backdrops: list[np.ndarray]
) -> dict[str, float]:
    """The share of faces found, by their size."""
    shares = {}
    for face in SMALL:
        rng, hits = np.random.default_rng(face), []
        for backdrop in backdrops:
            scene, centres = with_faces(backdrop, photos, face, rng)
            boxes = find(scene)
            hits += [hit(boxes, centre, face) for centre in centres]
        shares[f'{face} px'] = statistics.mean(hits)
    return shares


def seconds(find: Detector, scene: np.ndarray) -> tuple[float, float]:
    """Least elapsed and processor seconds for a scene, after one run that compiles."""
    find(scene)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter(), time.process_time()
        find(scene)
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return min(t for t, _ in times), min(t for _, t in times)


def load(
    lfw: pathlib.Path, folder: pathlib.Path, count: int
) -> tuple[list[Image.Image], list[np.ndarray]]:
    """LFW's photos, and scenes without a face."""
    files = sorted((lfw / 'lfw-deepfunneled').rglob('*.jpg'))
    chosen = np.random.default_rng(0).choice(len(files), count, replace=False)
    photos = [Image.open(files[index]).convert('RGB') for index in chosen]
    others = [decode(file.read_bytes()) for file in sorted(folder.rglob('*.jpg'))]
    return photos, list(scenes(list(backgrounds(others)), 8))


def main() -> None:
    """Prints a line for each detector."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--lfw', type=pathlib.Path, required=True, help='the folder of LFW')
    parser.add_argument('--photos', type=pathlib.Path, required=True, help='other photographs')
    parser.add_argument('--count', type=int, default=200, help="how many of LFW's photos")
    arguments = parser.parse_args()
    photos, backdrops = load(arguments.lfw, arguments.photos, arguments.count)
    for name, find in DETECTORS.items():
        print(name)
        for condition, share in (
            recall(find, photos) | recall_in_scenes(find, photos, backdrops)
        ).items():
            print(f'  {condition:14}{100 * share:6.1f}%')
        false = [len(find(backdrop)) for backdrop in backdrops]
        print(f'  false faces   {statistics.mean(false) / 2:6.2f} in a megapixel')
        elapsed, processor = seconds(find, backdrops[0])
        print(f'  2 megapixels  {elapsed:6.2f} s, {processor:.2f} s of a processor')


if __name__ == '__main__':
    main()

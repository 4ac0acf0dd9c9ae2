import importlib
import io

import numpy as np
import pytest
from PIL import Image

from diface_jax.encoders.face import align
from tests import drawn_face

dlib = pytest.importorskip('dlib', reason="needs pip install 'diface_jax[faces]'")


def encode(image, format='PNG', **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    data = io.BytesIO()
    image.save(data, format, **options)
    return data.getvalue()


def scene(*faces, size=(400, 800)):
    """A grey photo with drawn faces of these (side, left, top)."""
    image = np.full((*size, 3), 120, np.uint8)
    for side, left, top in faces:
        image[top : top + side, left : left + side] = drawn_face.draw(side)
    return image


@pytest.mark.parametrize('side', [60, 150, 400, 2000])
def test_face_is_found_at_any_size_in_the_photos_own_pixels(side):
    (face,) = align.detect(drawn_face.draw(side))
    np.testing.assert_allclose(face.landmarks_5x2 / side, drawn_face.LANDMARKS_5x2, atol=0.02)
    left, top, right, bottom = np.array(face.box) / side
    assert 0.1 < left < 0.35 < 0.65 < right < 0.9
    assert 0.1 < top < 0.4 < 0.7 < bottom < 1


def test_faces_come_largest_first():
    photo = scene((150, 20, 100), (300, 180, 50), (200, 550, 100))
    lefts = [face.landmarks_5x2[:, 0].min() for face in align.detect(photo)]
    assert [180 < left < 480 for left in lefts] == [True, False, False]
    assert lefts[1] > 550
    assert lefts[2] < 180


@pytest.mark.parametrize('size', [(1, 1), (3, 2000), (64, 64), (2100, 30)])
def test_odd_sizes_without_a_face_find_nothing(size):
    assert align.detect(np.full((*size, 3), 128, np.uint8)) == []


@pytest.mark.parametrize(
    ('size', 'places'),
    [
        ((580, 2600), [(x, y) for y in (5, 460) for x in (10, 620, 1240, 1860, 2480)]),
        ((300, 5000), [(50, 100), (1390, 20), (4700, 180)]),
    ],
)
def test_every_face_of_a_large_group_and_of_a_panorama_is_found(size, places):
    photo = scene(*((110, left, top) for left, top in places), size=size)
    middle_2 = drawn_face.LANDMARKS_5x2.mean(axis=0) * 110
    corners_Nx2 = np.array(
        [face.landmarks_5x2.mean(axis=0) - middle_2 for face in align.detect(photo)]
    )
    for place in places:
        assert np.min(np.abs(corners_Nx2 - place).max(axis=1)) < 6
    assert len(corners_Nx2) == len(places)


@pytest.mark.parametrize('degrees', [-45, -30, 30, 45])
def test_chips_of_turned_faces_are_upright(degrees):
    upright = drawn_face.draw(200)
    photo = Image.fromarray(upright).rotate(degrees, Image.Resampling.BICUBIC, fillcolor='grey')
    (face,) = align.detect(np.asarray(photo))
    radians = np.deg2rad(degrees)
    turn_2x2 = np.array([(np.cos(radians), np.sin(radians)), (-np.sin(radians), np.cos(radians))])
    expected = (drawn_face.LANDMARKS_5x2 - 0.5) @ turn_2x2.T * 200 + 100
    np.testing.assert_allclose(face.landmarks_5x2, expected, atol=8)
    # A mistake of a few pixels in the landmarks moves edges, not areas.
    chip, other = (
        align.face_chips(image, landmarks)[0].astype(float)[::10, ::10]
        for image, landmarks in (
            (np.asarray(photo), face.landmarks_5x2),
            (upright, align.detect(upright)[0].landmarks_5x2),
        )
    )
    assert np.abs(chip - other).mean() < 12


def test_a_dark_photo_has_its_faces_found():
    photo = scene((150, 20, 100), (300, 180, 50))
    dark = (photo // 12).astype(np.uint8)
    for face, other in zip(align.detect(dark), align.detect(photo), strict=True):
        np.testing.assert_allclose(face.box, other.box, atol=12)


def test_faces_and_crops_come_in_one_order():
    photo = scene((90, 600, 100), (300, 20, 50))
    faces = align.detect(photo)
    boxes = [box for box, _ in align.align_every_face(photo)]
    assert boxes == [face.box for face in faces]
    assert boxes[0][0] < 300 < 600 < boxes[1][0]


@pytest.mark.parametrize(
    ('size', 'smallest'), [((80, 60), 20), ((240, 800), 30), ((4000, 3000), 40)]
)
def test_smaller_faces_are_searched_for_in_small_photos(size, smallest):
    assert align.smallest_face(*size) == smallest


def test_half_size_photos_have_their_faces_found(shared):
    folder = shared / 'data/celeba/img_align_celeba'
    files = [folder / f'{number:06d}.jpg' for number in range(1, 4000, 50)]
    photos = [align.decode(file.read_bytes()) for file in files if file.exists()]
    photos = [photo for photo in photos if photo.shape == (109, 89, 3)]
    if not photos:
        pytest.skip('no half-size photos among those of ../shared/data/celeba')
    assert np.mean([len(align.detect(photo)) > 0 for photo in photos]) > 0.9


@pytest.mark.parametrize('side', [60, 150, 400, 1500])
def test_chip_is_dlibs_own_at_whole_pixels(side):
    rng = np.random.default_rng(side)
    photo = rng.integers(0, 256, (side, side, 3), np.uint8)
    points = np.rint(drawn_face.LANDMARKS_5x2 * side + rng.normal(0, side / 50, (5, 2)))
    parts = [dlib.point(*point) for point in points.astype(int).tolist()]
    face = dlib.full_object_detection(dlib.rectangle(0, 0, side, side), parts)
    expected = [dlib.get_face_chip(photo, face, size=150, padding=p) for p in align.PADDINGS]
    np.testing.assert_array_equal(align.face_chips(photo, points)[: align.ARCFACE], expected)


@pytest.mark.parametrize('degrees', [0, 30])
def test_the_arcface_image_has_the_points_of_its_template(degrees):
    points = np.array([(38.29, 51.7), (73.53, 51.5), (56.03, 71.74), (41.55, 92.37), (70.73, 92.2)])
    radians = np.deg2rad(degrees)
    turn_2x2 = np.array([(np.cos(radians), np.sin(radians)), (-np.sin(radians), np.cos(radians))])
    in_photo = points @ turn_2x2 * 1.5 + (120, 60)
    photo = np.zeros((300, 300, 3), np.uint8)
    for x, y in np.rint(in_photo).astype(int):
        photo[y - 2 : y + 3, x - 2 : x + 3] = 255
    landmarks = drawn_face.LANDMARKS_5x2 * 150 + 50
    chips = align.face_chips(photo, landmarks, in_photo)
    (image,) = align.arcface_images(chips[None])
    assert image.shape == (112, 112, 3)
    places = []
    for x, y in points:
        rows, columns = slice(round(y) - 4, round(y) + 5), slice(round(x) - 4, round(x) + 5)
        bright = image[rows, columns, 0] / image[rows, columns, 0].sum(dtype=float)
        around = np.arange(9) - 4
        places.append(
            (bright.sum(axis=0) @ around + round(x), bright.sum(axis=1) @ around + round(y))
        )
    np.testing.assert_allclose(places, points, atol=0.7)  # whole pixels of the photo
    np.testing.assert_allclose(np.mean(places, axis=0), points.mean(axis=0), atol=0.3)
    np.testing.assert_array_equal(chips[: align.ARCFACE], align.face_chips(photo, landmarks)[:2])


def test_the_arcface_image_of_an_undetected_face_is_near_that_of_a_detected_one():
    photo = drawn_face.draw(200)
    (face,) = align.detect(photo)
    detected, canonical = (
        align.arcface_images(align.face_chips(photo, face.landmarks_5x2, points)[None])[0]
        for points in (face.points_5x2, None)
    )
    moved = np.roll(detected, 12, axis=1)
    error, error_when_moved = (
        np.abs(detected.astype(float) - other).mean() for other in (canonical, moved)
    )
    assert error < error_when_moved / 2


def test_chip_follows_landmarks_between_pixels():
    ramp = np.arange(200, dtype=np.uint8)[None, :, None].repeat(200, 0).repeat(3, 2)
    points = drawn_face.LANDMARKS_5x2 * 100 + 50
    chips = [
        align.face_chips(ramp, points + np.array((shift, 0)))[0].astype(float) for shift in (0, 0.5)
    ]
    assert np.mean(chips[1] - chips[0]) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    'points', [np.zeros((4, 2)), np.full((5, 2), np.nan), np.full((5, 2), 7.0)]
)
def test_what_are_no_landmarks_is_refused(points):
    with pytest.raises(ValueError, match=r'not five finite points|within one pixel'):
        align.face_chips(drawn_face.draw(150), points)


def test_largest_face_is_taken_and_the_others_noted():
    photo = scene((150, 20, 100), (300, 180, 50))
    aligned = align.align_photo(encode(photo))
    assert aligned.note == '2 faces: took the largest'
    expected = align.face_chips(photo, *align.detect(photo)[0][1:])
    np.testing.assert_array_equal(aligned.chips, expected)
    assert align.align_photo(encode(drawn_face.draw(200))).note == ''


def test_no_face_is_an_error_without_canonical_landmarks():
    with pytest.raises(ValueError, match='no face of 40 pixels or more'):
        align.align_photo(encode(scene()))


def in_place(side, left, top, size=(400, 800)):
    """Canonical landmarks, as fractions, that a drawn face would have there."""
    return (drawn_face.LANDMARKS_5x2 * side + (left, top)) / size[::-1]


def test_face_in_its_place_beats_a_larger_one():
    photo = scene((150, 20, 100), (300, 180, 50))
    aligned = align.align_photo(encode(photo), in_place(150, 20, 100))
    assert aligned.note == '2 faces: took the one in its place'
    smaller = align.detect(photo)[1]
    np.testing.assert_array_equal(aligned.chips, align.face_chips(photo, *smaller[1:]))


@pytest.mark.parametrize('faces', [(), ((300, 450, 50),)])
def test_canonical_landmarks_serve_where_no_face_is_in_its_place(faces):
    photo = scene(*faces)
    canonical = in_place(300, 20, 50)
    aligned = align.align_photo(encode(photo), canonical)
    assert aligned.note == 'no face in its place: canonical landmarks'
    expected = align.face_chips(photo, canonical * (800, 400) - 0.5)
    np.testing.assert_array_equal(aligned.chips, expected)


def test_faint_face_serves_only_in_its_place(monkeypatch):
    photo = scene((300, 20, 50))
    monkeypatch.setattr(align, '_LIKELY', 0.999)
    assert align.align_photo(encode(photo), in_place(300, 20, 50)).note.startswith('a faint face')
    elsewhere = align.align_photo(encode(photo), in_place(300, 450, 50))
    assert elsewhere.note == 'no face in its place: canonical landmarks'


def test_without_dlib_the_error_names_the_install(monkeypatch):
    def refuse(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, 'import_module', refuse)
    with pytest.raises(ImportError, match=r"pip install 'diface_jax\[faces\]'"):
        align.face_chips(drawn_face.draw(150), drawn_face.LANDMARKS_5x2 * 150)

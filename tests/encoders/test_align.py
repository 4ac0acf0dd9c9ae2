import importlib
import io
import itertools

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


@pytest.mark.parametrize('side', [60, 150, 400, 3000])
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


def test_detector_never_sees_more_than_a_bounded_image(monkeypatch):
    shapes = []

    class Spy:
        def run(self, image, upsampling, threshold):
            shapes.append(image.shape)
            return [], [], []

    monkeypatch.setattr(align, '_detector', Spy)
    for size in ((3000, 9000), (1500, 1500), (89, 109), (20, 4000)):
        align.detect(np.zeros((*size, 3), np.uint8))
    assert max(max(shape) for shape in shapes) == 2000
    assert (160, 196, 3) in shapes


# Drawings of 110 pixels have faces of about 60; `detect` shrinks these photos below what it finds.
@pytest.mark.parametrize(
    ('size', 'places'),
    [
        ((580, 2600), [(x, y) for y in (5, 460) for x in (10, 620, 1240, 1860, 2480)]),
        ((300, 5000), [(50, 100), (1390, 20), (4700, 180)]),
    ],
)
def test_every_face_of_a_large_group_and_of_a_panorama_is_found(size, places):
    photo = scene(*((110, left, top) for left, top in places), size=size)
    assert not align.detect(photo)
    faces, smallest = align.detect_every_scale(photo)
    assert smallest == 40
    middle_2 = drawn_face.LANDMARKS_5x2.mean(axis=0) * 110
    corners_Nx2 = np.array([face.landmarks_5x2.mean(axis=0) - middle_2 for face in faces])
    for place in places:
        assert np.min(np.abs(corners_Nx2 - place).max(axis=1)) < 6
    assert len(faces) == len(places)


def test_faces_found_before_keep_their_landmarks_beside_small_ones():
    photo = scene((300, 20, 50), (90, 600, 100))
    (large,) = align.detect(photo)
    faces, _ = align.detect_every_scale(photo)
    assert len(faces) == 2
    assert faces[0].box == large.box
    np.testing.assert_array_equal(faces[0].landmarks_5x2, large.landmarks_5x2)
    boxes = [box for box, _ in align.align_every_face(photo)]
    assert boxes == [face.box for face in faces]


@pytest.mark.parametrize(
    ('size', 'smallest'),
    [((80, 60), 40), ((4000, 3000), 40), ((8000, 6000), 80), ((40_000, 2000), 104)],
)
def test_smallest_face_grows_with_very_large_photos(size, smallest):
    assert align.smallest_face(*size) == smallest


def test_no_face_in_a_very_large_photo_says_what_was_searched_for(monkeypatch):
    monkeypatch.setattr(align, '_MAX_SEARCHED_PIXELS', 80_000)
    with pytest.raises(ValueError, match=r'no face of 160 pixels or more \(the photo is too large'):
        align.align_every_face(scene())


@pytest.mark.parametrize('length', [1, 2999, 3000, 3001, 5600, 5601, 20_000])
def test_tiles_cover_the_photo_and_overlap(length):
    spans = align._spans(length, 3000, 400)
    assert (spans[0][0], spans[-1][1]) == (0, length)
    assert all(end - start <= 3000 for start, end in spans)
    assert all(end - start == 400 for (_, end), (start, _) in itertools.pairwise(spans))


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
    np.testing.assert_array_equal(align.face_chips(photo, points), expected)


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
    expected = align.face_chips(photo, align.detect(photo)[0].landmarks_5x2)
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
    np.testing.assert_array_equal(aligned.chips, align.face_chips(photo, smaller.landmarks_5x2))


@pytest.mark.parametrize('faces', [(), ((300, 450, 50),)])
def test_canonical_landmarks_serve_where_no_face_is_in_its_place(faces):
    photo = scene(*faces)
    canonical = in_place(300, 20, 50)
    aligned = align.align_photo(encode(photo), canonical)
    assert aligned.note == 'no face in its place: canonical landmarks'
    expected = align.face_chips(photo, canonical * (800, 400) - 0.5)
    np.testing.assert_array_equal(aligned.chips, expected)


def test_faint_face_serves_only_in_its_place():
    faint = (drawn_face.draw(300) // 24 + 120).astype(np.uint8)
    photo = scene()
    photo[50:350, 20:320] = faint
    assert align.detect(photo) == []
    assert align.align_photo(encode(photo), in_place(300, 20, 50)).note.startswith('a faint face')
    elsewhere = align.align_photo(encode(photo), in_place(300, 450, 50))
    assert elsewhere.note == 'no face in its place: canonical landmarks'


def test_without_dlib_the_error_names_the_install(monkeypatch):
    def refuse(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, 'import_module', refuse)
    with pytest.raises(ImportError, match=r"pip install 'diface_jax\[faces\]'"):
        align.face_chips(drawn_face.draw(150), drawn_face.LANDMARKS_5x2 * 150)

"""Photographs as probes, alone and beside words, over an oracle that trusts small faces less."""

import json

import numpy as np
import pytest

from diface_jax.encoders.face.probe_face import ProbeFace
from diface_jax.gallery import probe_photo
from diface_jax.gallery.decision_rule import DecisionRule
from diface_jax.gallery.photo_summary import PhotoSummary
from tests.gallery import world


@pytest.fixture
def gallery(model, tmp_path):
    world.folder_of(tmp_path / 'photos', people=8, photos=2)
    model.enroll(tmp_path / 'gallery', tmp_path / 'photos', people=True)
    return tmp_path / 'gallery'


def people(answer):
    return [result.entry.person for result in answer.results]


def scores(answer):
    return [result.scored.score for result in answer.results]


def test_a_photo_alone_finds_its_person_and_needs_no_words(model, gallery):
    answer = model.search(gallery, photo=world.photo(3), k=2)
    assert people(answer) == ['person-3'] * 2
    assert answer.decision == 'match'
    assert (answer.probe.kind, answer.texts) == ('photo', ())
    assert answer.next_question is None
    assert 'phrases' not in answer.meaning
    assert [result.scored.phrases for result in answer.results] == [(), ()]
    assert answer.probe.in_words == 'The face in the photo is 8 pixels wide.'
    assert people(model.identify(gallery, photo=world.photo(5), k=1)) == ['person-5']


def test_words_and_photo_count_by_the_quality_of_the_photo(model, gallery):
    """The words say 3 and the photo shows 4."""
    good = model.search(gallery, 'person 3', photo=world.poor_photo(4, side=24))
    poor = model.search(gallery, 'person 3', photo=world.poor_photo(4, side=2))
    assert people(good)[0] == 'person-4'
    assert people(poor)[0] == 'person-3'
    assert good.probe.shares.photo == pytest.approx(0.75, abs=0.01)
    assert poor.probe.shares.photo == pytest.approx(0.2, abs=0.01)
    assert poor.probe.in_words == (
        'The photo counts for about 20%, the words for 80%: its face is 2 pixels wide.'
    )
    assert model.search(gallery, 'person 3').probe.shares is None


def test_phrases_and_the_next_question_stay_those_of_the_words(model, gallery):
    text = 'person 3, shades of 4, with a car'
    alone = model.search(gallery, text, k=16).results
    answer = model.search(gallery, text, k=16, photo=world.photo(3))
    phrases = {result.entry.id: result.scored.phrases for result in alone}
    for result in answer.results:
        assert [effect.phrase for effect in result.scored.phrases] == [
            effect.phrase for effect in phrases[result.entry.id]
        ]
        assert [effect.nats for effect in result.scored.phrases] == pytest.approx(
            [effect.nats for effect in phrases[result.entry.id]]
        )
    assert answer.unread.not_about_a_face == ('car',)
    assert answer.probe.notes == ["'car': not about a face"]
    doubtful = model.search(gallery, 'person 3 or 4', photo=world.poor_photo(5))
    assert doubtful.next_question.ask == 'Does the person wear glasses?'


def test_numbers_are_those_of_the_kind_and_the_width(model, gallery):
    rules = world.decision_rule()
    for side, texts in ((2, ()), (4, 'person 3'), (8, 'person 3')):
        answer = model.search(gallery, texts, photo=world.poor_photo(3, side=side))
        rule = rules.of_probe('text+photo' if texts else 'photo', side)
        assert answer.threshold == rule.threshold
        first = answer.results[0].scored
        assert first.log_likelihood_ratio == pytest.approx(rule.calibration.llr(first.score))
    assert [rules.of_probe('photo', side).threshold for side in (2, 4, 8)] == pytest.approx(
        [0.6, 0.55, 0.5]
    )


def test_a_blurred_photo_is_judged_as_a_smaller_one(model, gallery, monkeypatch):
    def find(image_HxWx3):
        return world.probe_face_of(image_HxWx3)._replace(detail_px=4.0)

    monkeypatch.setattr(world.Oracle, 'probe_face_of', staticmethod(find))
    answer = model.search(gallery, photo=world.photo(3))
    assert answer.threshold == world.decision_rule().of_probe('photo', 4.0).threshold
    assert answer.probe.in_words == (
        'The face in the photo is 8 pixels wide, but no sharper than one of 4 pixels.'
    )


@pytest.mark.parametrize(
    ('face_px', 'detail_px', 'size'),
    [
        (12.4, 11.0, '12 pixels wide'),
        (60.0, 9.6, '60 pixels wide, but no sharper than one of 10 pixels'),
        # Chips show no more of larger faces.
        (400.0, 90.0, '400 pixels wide'),
    ],
)
def test_a_blurred_photo_is_called_so(face_px, detail_px, size):
    assert PhotoSummary('', (0, 0, 9, 9), face_px, detail_px, 1).size == size


def test_several_people_are_searched_in_one_pass(model, gallery):
    photos = [world.photo(3), None, world.photo(5)]
    answers = model.search_many(gallery, ['person 3', 'person 4', ()], k=1, photos=photos)
    assert [people(answer) for answer in answers] == [['person-3'], ['person-4'], ['person-5']]
    assert answers[1] == model.search(gallery, 'person 4', k=1)
    assert scores(answers[2]) == scores(model.search(gallery, photo=photos[2], k=1))
    with pytest.raises(ValueError, match='2 photos for 1 descriptions'):
        model.search_many(gallery, ['person 3'], photos=photos[:2])


def test_verify_by_a_photo_and_by_both(model, tmp_path):
    (tmp_path / 'still.png').write_bytes(world.poor_photo(2, 5))
    (tmp_path / 'photo.png').write_bytes(world.photo(2))
    still, photo = tmp_path / 'still.png', tmp_path / 'photo.png'
    answer = model.verify(photo, probe_photo=still)
    assert (answer.decision, answer.probe.kind) == ('match', 'photo')
    assert model.verify(world.photo(5), probe_photo=still).decision == 'no match'
    both = model.verify(photo, 'person 2', probe_photo=still).to_json()
    assert (both['photo'], both['probe_photo']['photo']) == (str(photo), str(still))
    assert both['probe_photo'] == {
        'photo': str(still),
        'box': (0, 0, 1, 1),
        'face_px': 2.0,
        'detail_px': 2.0,
        'faces': 2,
    }
    assert both['shares']['photo'] == pytest.approx(0.2, abs=0.01)
    assert json.loads(json.dumps(both))['notes'] == [
        'the photo shows 2 faces, and the largest is taken: cut out another if it is meant'
    ]


def test_a_photo_is_read_once_for_several_searches(model, gallery):
    taken = model.probe_photo(world.photo(3))
    assert taken.picture[:2] == b'\xff\xd8'
    first = model.search(gallery, photo=taken)
    assert first == model.search(gallery, photo=taken)
    assert scores(first) == scores(model.search(gallery, photo=world.photo(3)))


def test_what_cannot_be_a_probe_is_explained(model, gallery, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match='the photo: not an image'):
        model.search(gallery, photo=b'no image')
    with pytest.raises(OSError, match='nowhere'):
        model.search(gallery, photo=tmp_path / 'nowhere.png')
    with pytest.raises(ValueError, match='nothing to search by'):
        model.search(gallery)
    with pytest.raises(ValueError, match='holds no word'):
        model.search(gallery, ' ', photo=world.photo(1))
    monkeypatch.setattr(probe_photo, 'MAX_BYTES', 10)
    with pytest.raises(ValueError, match='and a photo to search by has at most 10'):
        model.search(gallery, photo=world.photo(1))


def test_two_faces_of_like_size_are_refused():
    def find(image_HxWx3):
        return ProbeFace((0, 0, 7, 7), np.zeros((3, 150, 150, 3), np.uint8), 8.0, 8.0, 3, 0.8)

    with pytest.raises(ValueError, match='3 faces, of which two are about as large: cut out the'):
        probe_photo.read_probe_photo(world.photo(1), find)


class WithoutPhotos(world.Oracle):
    takes_photos = False


def without_rules():
    return DecisionRule(*world.decision_rule().of_texts, world.RATES)


@pytest.mark.parametrize(
    'unable', [world.model(WithoutPhotos()), world.model(make_rule=without_rules)]
)
def test_a_model_without_photographs_as_probes_refuses_them(unable, gallery):
    for ask in (
        lambda: unable.search(gallery, 'person 3', photo=world.photo(3)),
        lambda: unable.search_many(gallery, [()], photos=[world.photo(3)]),
        lambda: unable.verify(world.photo(3), probe_photo=world.photo(3)),
    ):
        with pytest.raises(ValueError, match='trained without photographs as probes: describe'):
            ask()
    assert people(unable.search(gallery, 'person 3', k=1)) == ['person-3']


def test_a_model_of_simulated_people_says_so():
    oracle = world.Oracle()
    oracle.face_encoder = [{**oracle.face_encoder[0], 'simulated': True}]
    with pytest.raises(ValueError, match='trained on simulated people'):
        world.model(oracle).probe_photo(world.photo(1))

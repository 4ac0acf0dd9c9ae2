"""The verbs, over an oracle: whoever is described is found, with a number to act on."""

import numpy as np
import pytest

import diface_jax
from diface_jax import model as models
from diface_jax.gallery import store
from diface_jax.gallery.calibration import prior_probability
from diface_jax.gallery.store import GalleryError, PhotoLabel, Store
from tests.gallery import world


@pytest.fixture
def gallery(model, tmp_path):
    world.folder_of(tmp_path / 'photos', people=20, photos=3)
    model.enroll(tmp_path / 'gallery', tmp_path / 'photos', people=True)
    return tmp_path / 'gallery'


def people(answer):
    return [found.entry.person for found in answer.results]


def test_an_oracle_ranks_first_whoever_is_described(model, gallery):
    answers = model.search_many(gallery, [f'person {who}' for who in range(20)], k=3)
    for who, answer in enumerate(answers):
        assert people(answer) == [f'person-{who}'] * 3
        assert [found.rank for found in answer.results] == [1, 2, 3]
        assert answer.decision == 'match'
        assert all(found.scored.match for found in answer.results)
    assert people(model.identify(gallery, 'person 7', k=5))[0] == 'person-7'


def test_identify_has_everybody_once_by_their_best_face(model, gallery):
    found = model.identify(gallery, 'person 3', k=20)
    assert sorted(people(found)) == sorted(f'person-{who}' for who in range(20))
    best = model.search(gallery, 'person 3', k=60).results
    for person in found.results:
        scores = [one.scored.score for one in best if one.entry.person == person.entry.person]
        assert person.scored.score == max(scores)


def test_numbers_are_those_of_the_calibration(model, gallery):
    calibration, threshold, *_ = world.decision_rule()
    answer = model.search(gallery, 'person 3', k=60, enrolled=0.3, false_matches=2.0)
    assert answer.prior == prior_probability(20, 0.3)
    for found in answer.results:
        scored = found.scored
        assert scored.log_likelihood_ratio == pytest.approx(calibration.llr(scored.score))
        assert scored.probability == calibration.probability(scored.score, answer.prior)
        assert scored.expected_false_matches == calibration.false_matches(scored.score, 60)
        passes = scored.score >= threshold and scored.expected_false_matches <= 2.0
        assert scored.match == passes
    scores = [found.scored.score for found in answer.results]
    assert scores == sorted(scores, reverse=True)


def test_no_match_when_nobody_fits(model, gallery):
    answer = model.search(gallery, 'person 29', k=5)
    assert answer.decision == 'no match'
    assert len(answer.results) == 5  # leads, none of which passes
    assert not any(found.scored.match for found in answer.results)


def test_the_probability_falls_with_the_gallery_and_so_does_passing(model, gallery, tmp_path):
    small = model.search(gallery, 'person 3', where={'person': 'person-3'})
    large = model.search(gallery, 'person 3')
    assert small.gallery['entries_searched'] == 3
    first, same = small.results[0].scored, large.results[0].scored
    assert first.score == same.score
    assert first.probability > same.probability
    assert same.expected_false_matches == pytest.approx(20 * first.expected_false_matches)


def test_filters(model, gallery):
    answer = model.search(gallery, 'person 3', where={'person': 'person-1*'}, k=100)
    assert len(answer.results) == 33  # 1 and 10 to 19
    assert not model.search(gallery, 'person 3', where={'person': 'nobody'}).results
    found = model.search(gallery, 'person 3', where={'photo': '*/person-3/0.png'})
    assert len(found.results) == 1


def test_several_sentences_about_one_person_are_fused(model, gallery, tmp_path):
    (tmp_path / 'both.png').write_bytes(world.photo(3, 4))
    only_one = model.search(gallery, ['person 3'], k=6)
    both = model.search(gallery, ['person 3', 'person 4'], k=6)
    assert set(people(only_one)) != {'person-3', 'person-4'}
    assert set(people(both)) == {'person-3', 'person-4'}
    assert both.texts == ('person 3', 'person 4')
    # Said twice counts as said once.
    twice = model.search(gallery, ['person 3', 'person 3'], k=6)
    assert [f.scored.score for f in twice.results] == pytest.approx(
        [f.scored.score for f in only_one.results]
    )


def test_a_phrase_is_worth_its_own_likelihood_ratio(model, gallery):
    result = model.search(gallery, 'somebody like 3 with shades of 4, and a hat', k=1).results[0]
    nats = {effect.phrase: effect.nats for effect in result.scored.phrases}
    assert list(nats) == ['somebody like 3', 'shades of 4', 'a hat']
    alone = model.search(gallery, 'somebody like 3', k=60)
    scored = next(other.scored for other in alone.results if other.entry == result.entry)
    assert nats['somebody like 3'] == pytest.approx(scored.log_likelihood_ratio, abs=1e-6)


def test_what_is_not_about_a_face_does_not_change_the_answer(model, gallery):
    class Distracted(world.Oracle):
        def of_texts(self, sentences):
            return super().of_texts([text.replace('car', '5') for text in sentences])

    plain = model.search(gallery, 'person 3 in a').results
    answer = world.model(Distracted()).search(gallery, 'person 3 in a car')
    assert answer.unread.not_about_a_face == ('car',)
    assert [r.scored.score for r in answer.results] == [r.scored.score for r in plain]
    assert [effect.phrase for effect in answer.results[0].scored.phrases] == ['person 3 in a car']


def test_what_says_nothing_is_no_phrase(model, gallery):
    scored = model.search(gallery, 'a person, 3, A person', k=1).results[0].scored
    assert [told.phrase for told in scored.phrases] == ['3']
    assert model.search(gallery, 'a person', k=1).results[0].scored.phrases == ()


def test_a_change_by_anybody_is_seen_by_the_next_search(model, gallery):
    assert people(model.search(gallery, 'person 5', k=1)) == ['person-5']
    store.remove_entries(gallery, {'person': 'person-5'})
    assert 'person-5' not in people(model.search(gallery, 'person 5', k=100))
    world.model().enroll_bytes(gallery, 'x.png', world.photo(5), PhotoLabel('back'))
    assert people(model.search(gallery, 'person 5', k=1)) == ['back']
    store.delete_gallery(gallery)
    model.enroll_bytes(gallery, 'x.png', world.photo(6), PhotoLabel('new'))
    assert people(model.search(gallery, 'person 5')) == ['new']


def test_equal_faces_come_in_the_order_they_were_enrolled(model, gallery):
    with Store(gallery) as opened, opened.changing():
        f_F = world.Oracle().of_photos(world.embedding(25)[None])[0]
        for name in 'zyxwvu':
            face = store.EnrolledFace(None, None, world.embedding(25), f_F)
            opened.add_embeddings([name], [face], [PhotoLabel()])
    found = model.search(gallery, 'person 25', k=6).results
    assert [one.entry.name for one in found] == list('zyxwvu')


def test_another_model_is_refused_and_told_what_to_do(model, gallery):
    other = world.model(world.Oracle('second', sign=-1.0))
    with Store(gallery) as opened:
        before = world.contents(opened)
    for use in (
        lambda: other.search(gallery, 'person 3'),
        lambda: other.enroll_bytes(gallery, 'x.png', world.photo(3)),
    ):
        with pytest.raises(GalleryError, match=r'model \(oracle, not oracle\).*no --photos'):
            use()
    with Store(gallery) as opened:
        assert world.contents(opened) == before


def test_a_new_model_needs_no_photographs(model, gallery, tmp_path):
    expected = model.search(gallery, 'person 3', k=60)
    other = world.model(world.Oracle('second', sign=-1.0))
    assert other.refresh(gallery) == 60
    found = other.search(gallery, 'person 3', k=60)
    assert people(found) == people(expected)
    with pytest.raises(GalleryError, match='another model'):
        model.search(gallery, 'person 3')


def test_a_refresh_that_fails_leaves_the_gallery_to_the_old_model(model, gallery):
    class Failing(world.Oracle):
        def of_photos(self, embedding_NxD):
            raise KeyboardInterrupt

    expected = model.search(gallery, 'person 3')
    with pytest.raises(KeyboardInterrupt):
        world.model(Failing('second')).refresh(gallery)
    assert model.search(gallery, 'person 3') == expected


def test_terms_are_said_once_a_gallery(model, tmp_path, caplog):
    class Bound(world.Oracle):
        name, terms = 'bound', 'for research only'

    bound, said = world.model(Bound('second')), 'The model bound may be used for research only.'
    for _ in range(2):
        bound.enroll_bytes(tmp_path / 'new', 'x.png', world.photo(3))
        bound.search(tmp_path / 'new', 'person 3')
        assert caplog.text.count(said) == 1
    model.enroll_bytes(tmp_path / 'old', 'x.png', world.photo(3))
    bound.refresh(tmp_path / 'old')
    bound.search(tmp_path / 'old', 'person 3')
    assert caplog.text.count(said) == 2
    with Store(tmp_path / 'old') as opened:
        made_with = opened.made_with()
    assert (made_with['model'], made_with['model_name']) == ('second', 'bound')


def test_another_face_encoder_is_refused_for_good(model, gallery):
    oracle = world.Oracle('second')
    oracle.face_encoder = [{**oracle.face_encoder[0], 'sha256': '11'}]
    for use in (
        lambda: world.model(oracle).search(gallery, 'person 3'),
        lambda: world.model(oracle).refresh(gallery),
    ):
        with pytest.raises(GalleryError, match=r'another face encoder.*new gallery'):
            use()


def test_verify(model, tmp_path):
    photo = tmp_path / 'two.png'
    photo.write_bytes(world.photo(1, 2))
    answer = model.verify(photo, 'person 2', prior=0.2)
    assert answer.decision == 'match'
    assert [face.box for face in answer.faces] == [(8, 0, 15, 7), (0, 0, 7, 7)]
    assert [face.scored.match for face in answer.faces] == [True, False]
    score = answer.faces[0].scored.score
    expected = world.decision_rule().calibration.probability(score, 0.2)
    assert answer.faces[0].scored.probability == expected
    assert model.verify(world.photo(1), 'person 2').decision == 'no match'
    with pytest.raises(ValueError, match='the photo: an empty file'):
        model.verify(b'', 'person 2')


def test_what_cannot_be_asked(model, gallery):
    for asked, why in (
        ({'k': 0}, '1 or more'),
        ({'enrolled': 1.5}, 'between 0 and 1'),
        ({'false_matches': 0.0}, 'above 0'),
        ({'false_matches': float('nan')}, 'above 0'),
    ):
        with pytest.raises(ValueError, match=why):
            model.search(gallery, 'person 3', **asked)
    assert model.search_many(gallery, []) == []


@pytest.mark.parametrize(
    ('sampling', 'why'),
    [
        (models.Sampling(0), r'sampling.num_steps must be between 1 and'),
        (models.Sampling(1, num_samples=2.5), r'sampling.num_samples must be a whole number'),
        (models.Sampling(1, eta=2.0), r'sampling.eta must be between 0 and 1'),
    ],
)
def test_a_sampling_that_is_impossible_is_refused(sampling, why, tmp_path):
    with pytest.raises(ValueError, match=why):
        diface_jax.load(tmp_path, sampling=sampling)


def test_an_empty_gallery_finds_nobody(model, tmp_path):
    (tmp_path / 'none').mkdir()
    model.enroll(tmp_path / 'gallery', tmp_path / 'none')
    answer = model.search(tmp_path / 'gallery', 'person 3')
    assert (answer.decision, answer.results, answer.prior) == ('no match', (), None)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        model.enroll(tmp_path / 'other', tmp_path / 'nowhere')
    assert not (tmp_path / 'other').exists()


def test_answers_do_not_depend_on_what_is_asked_beside(model, gallery):
    alone = model.search(gallery, 'person 3')
    beside = model.search_many(gallery, ['person 9', 'person 3', 'person 3'])
    assert beside[1] == beside[2] == alone
    assert not np.isnan([found.scored.probability for found in alone.results]).any()


def test_the_package_has_the_verb():
    assert diface_jax.load is models.load
    assert diface_jax.Sampling(10, num_samples=4) == models.Sampling(10, 4, 1.0, 0.0)
    with pytest.raises(AttributeError, match='lode'):
        diface_jax.lode  # noqa: B018


@pytest.mark.parametrize('of_probe', [(7,), (7, 400), (7, 0)])
def test_scores_in_parts_are_those_of_the_whole(of_probe, monkeypatch):
    monkeypatch.setattr(models, '_ONE_THREAD', 1 << 10)
    rng = np.random.default_rng(0)
    for faces in (0, 1, 500):
        f_KxF = rng.standard_normal((faces, 7)).astype(np.float32)
        f_FxA = rng.standard_normal(of_probe).astype(np.float32)
        score = models._dot(f_KxF, f_FxA)
        np.testing.assert_allclose(score, f_KxF.astype(float) @ f_FxA, rtol=0, atol=1e-12)

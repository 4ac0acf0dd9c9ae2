"""The Python API: a trained model that enrols photographs and searches them by descriptions.

`model = diface_jax.load()`, then `model.enroll('GALLERY', 'PHOTOS')`, then
`model.search('GALLERY', 'a young woman with wavy blond hair').results`.
A photograph of the person, however poor, can stand beside the words or in their place:
`model.search('GALLERY', 'a young woman', photo='still.jpg')`.
"""

import dataclasses
import functools
import logging
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from diface_jax.gallery import (
    conditions,
    enrollment,
    filter_choices,
    next_question,
    photo_view,
    simulated_model,
    vocabulary,
)
from diface_jax.gallery.address import Gallery, is_database
from diface_jax.gallery.calibration import prior_probability
from diface_jax.gallery.conditions import Where
from diface_jax.gallery.decision_rule import DecisionRule
from diface_jax.gallery.entries import GalleryEntry, PhotoLabel
from diface_jax.gallery.inference import InferenceModel
from diface_jax.gallery.probe_photo import ProbePhoto, read_probe_photo
from diface_jax.gallery.probe_summary import ProbeSummary
from diface_jax.gallery.query import Probe, Query, Texts, make_queries
from diface_jax.gallery.query_text import UnreadWords
from diface_jax.gallery.recogniser import require_raw_length, require_recogniser
from diface_jax.gallery.results import (
    FaceScore,
    PhraseEffect,
    SearchResult,
    SearchResults,
    VerifiedFace,
    VerifyResults,
)
from diface_jax.gallery.row_checks import GalleryError
from diface_jax.gallery.score_rule import ScoreRule
from diface_jax.gallery.search import LoadedGallery
from diface_jax.gallery.search_options import (
    DEFAULT_ENROLLED,
    DEFAULT_FALSE_MATCHES,
    DEFAULT_K,
    SearchOptions,
)
from diface_jax.gallery.store import MODEL, Store
from diface_jax.models.diface import Sampling
from diface_jax.pretrained.load_model import load_model
from diface_jax.runtime import gpu_flags, schema
from diface_jax.runtime import mesh as meshes
from diface_jax.runtime.progress_bar import ProgressBar
from diface_jax.runtime.settings import SampleSettings

if TYPE_CHECKING:
    from diface_jax.gallery.server_search import ServerGallery

Path = str | pathlib.Path
# A photograph of the person sought: a file, its bytes, or what `Model.probe_photo` returns.
Photo = Path | bytes | ProbePhoto
_log = logging.getLogger('absl')
_ONE_THREAD = 1 << 18  # multiplications that OpenBLAS does not share among threads
_NO_PROBE_PHOTOS = (
    'this model was trained without photographs as probes: describe the person in words, or give a '
    'model that was trained with them (docs/searching.md, "Words and a poor photograph")'
)


class Model:
    """A trained model with its frozen encoders. Get one from `load`.

    Args:
      inference: computes features of photographs and sentences.
      make_rule: returns the decision rule; called once, at the first search or verification.
    """

    def __init__(self, inference: InferenceModel, make_rule: Callable[[], DecisionRule]) -> None:
        self._inference, self._make_rule = inference, make_rule
        self._mesh = meshes.make_mesh()
        self._galleries: dict[Gallery, Any] = {}
        # With the state of the gallery that they are of.
        self._choices: dict[Gallery, tuple[str, dict[str, Any]]] = {}

    # --- enrolling ---

    def enroll(
        self,
        gallery: Gallery,
        photos: Path,
        people: bool = False,
        tags: Mapping[str, str] | None = None,
        exclude: Sequence[str] = (),
        follow_links: bool = False,
    ) -> enrollment.EnrollReport:
        """Enrols every face of every photo in a folder and the folders inside it.

        Args:
          gallery: its folder, or the URL of its PostgreSQL database; created when it does not
            exist.
          photos: the folder, or one photo. Photos that are enrolled already are skipped.
          people: labels the largest face of a photo with the name of its folder.
          tags: tags of all the photos, by name; searches can filter by them.
          exclude: patterns of names to leave out, in addition to hidden files, thumbnails and
            trash.
          follow_links: enters folders that are linked to.

        Returns:
          Counts of new, known and skipped files, and why files were skipped.

        Raises:
          FileNotFoundError: the photos do not exist.
          GalleryError: the gallery is of another model, or is not a gallery; says what to do.
        """
        self._require_photographs()
        photos = pathlib.Path(photos)
        if not photos.exists():  # before a gallery is created
            raise FileNotFoundError(f'no folder or file of photographs: {photos}')
        with self._open(gallery, create=True) as store:
            return enrollment.enroll_folder(
                store, photos, self._inference, people, tags, exclude, follow_links
            )

    def enroll_bytes(
        self, gallery: Gallery, name: str, data: bytes, label: PhotoLabel | None = None
    ) -> enrollment.EnrollReport:
        """Enrols a photo given as bytes. Only small crops of its faces are kept."""
        self._require_photographs()
        with self._open(gallery, create=True) as store:
            return enrollment.enroll_bytes(
                store, name, data, self._inference, label or PhotoLabel()
            )

    def enroll_embeddings(
        self,
        gallery: Gallery,
        source: Path,
        ids: Path | None = None,
        sql: str | None = None,
        recogniser: str | None = None,
    ) -> enrollment.EnrollReport:
        """Enrols raw embeddings of the same face encoder, without photographs.

        Args:
          gallery: its folder, or the URL of its PostgreSQL database; created when it does not
            exist.
          source: a file (see `embedding_files.read_embeddings`), or the URL of a PostgreSQL
            database.
          ids: for `.npy`, a text file with one id per line.
          sql: for a database, the query (see `embedding_database.read_database`).
          recogniser: the network that made the embeddings, by name or hash; None: as the file says.

        Raises:
          ImportError, OSError, ValueError: the source cannot be read, or its embeddings are of
            another width or recogniser, or scaled; says what to do.
        """
        from diface_jax.gallery import embedding_database, embedding_files  # they import pyarrow

        if is_database(source):
            rows = embedding_database.read_database(str(source), sql, self._inference.width)
        else:
            ids = None if ids is None else pathlib.Path(ids)
            rows = embedding_files.read_embeddings(pathlib.Path(source), ids, self._inference.width)
        require_recogniser(recogniser or rows.recogniser, self._inference.face_encoder)
        require_raw_length(rows.embedding_NxD, self._inference.mean_D)
        with self._open(gallery, create=True) as store:
            return enrollment.enroll_embeddings(store, *rows[:3], self._inference)

    def refresh(
        self, gallery: Gallery, index: str | None = None, storage: str | None = None
    ) -> int:
        """Updates the features of a gallery to this model, from its embeddings, without photos.

        A gallery on a server is searched with the old features meanwhile.

        Args:
          gallery: its folder, or the URL of its PostgreSQL database.
          index: on a server, 'exact' or 'hnsw' (approximate); None: as before.
          storage: on a server, 'full' (float32) or 'half' (float16); None: as before.

        Returns:
          The number of entries.

        Raises:
          GalleryError: the embeddings are of another face encoder.
        """
        with Store(gallery) as store:
            self._check_face_encoder(store)
            entries, made_with = store.count()['entries'], self._made_with(store)
            with ProgressBar(total=entries, desc='refine', unit='face') as bar:
                for done in store.refresh(self._inference.of_photos, made_with, index, storage):
                    bar.update(done)
        return entries

    # --- searching and verifying ---

    def search(
        self,
        gallery: Gallery,
        texts: Texts = (),
        k: int = DEFAULT_K,
        where: Where = (),
        enrolled: float = DEFAULT_ENROLLED,
        false_matches: float = DEFAULT_FALSE_MATCHES,
        photo: Photo | None = None,
    ) -> SearchResults:
        """The k faces of a gallery that match a description, a photograph, or both best.

        Args:
          gallery: its folder, or the URL of its PostgreSQL database.
          texts: a sentence, or several about one person; none to search by a photo alone.
          k: how many results.
          where: only entries that fit all conditions, such as {'person': 'An*'}; see
            `gallery.search_options.SearchOptions`.
          enrolled: prior probability that the person described is in the gallery.
          false_matches: a match may score as high by chance at most this often in a gallery of
            this size.
          photo: a photograph of the person, however poor: its largest face is taken.

        Returns:
          The results, best first, each with its probability, whether it is a match, and how well
          it fits each phrase of the description.

        Raises:
          GalleryError: the gallery is of another model, or is not a gallery; says what to do.
          OSError: the photo cannot be read.
          ValueError: an argument cannot be used, no word of a text is understood, no face of the
            photo is found, or the model does not take photographs as probes.
        """
        search = SearchOptions(k, where, enrolled, false_matches)
        return self._search(gallery, [self._probe(texts, photo)], search)[0]

    def search_many(
        self,
        gallery: Gallery,
        descriptions: Sequence[Texts],
        k: int = DEFAULT_K,
        where: Where = (),
        enrolled: float = DEFAULT_ENROLLED,
        false_matches: float = DEFAULT_FALSE_MATCHES,
        photos: Sequence[Photo | None] | None = None,
        people: bool = False,
    ) -> list[SearchResults]:
        """As `search`, or as `identify`, for several people, in one pass over the gallery.

        Args:
          gallery: its folder, or the URL of its PostgreSQL database.
          descriptions: the texts of each person.
          k: how many results each.
          where: as in `search`.
          enrolled: as in `search`.
          false_matches: as in `search`.
          photos: the photo of each person, or None; as many as descriptions.
          people: results are people, as in `identify`.

        Raises:
          ValueError: as of `search`, or there are not as many photos as descriptions.
        """
        photos = [None] * len(descriptions) if photos is None else photos
        if len(photos) != len(descriptions):
            raise ValueError(
                f'{len(photos)} photos for {len(descriptions)} descriptions: give one for each, '
                'None where there is none'
            )
        probes = [self._probe(*each) for each in zip(descriptions, photos, strict=True)]
        search = SearchOptions(k, where, enrolled, false_matches, people)
        return self._search(gallery, probes, search)

    def identify(
        self,
        gallery: Gallery,
        texts: Texts = (),
        k: int = DEFAULT_K,
        where: Where = (),
        enrolled: float = DEFAULT_ENROLLED,
        false_matches: float = DEFAULT_FALSE_MATCHES,
        photo: Photo | None = None,
    ) -> SearchResults:
        """As `search`, but the results are people, each by their best face.

        An entry without a person is a person of its own.
        """
        search = SearchOptions(k, where, enrolled, false_matches, people=True)
        return self._search(gallery, [self._probe(texts, photo)], search)[0]

    def verify(
        self,
        photo: Path | bytes,
        texts: Texts = (),
        prior: float = 0.5,
        probe_photo: Photo | None = None,
    ) -> VerifyResults:
        """Whether a photo shows the person of a description, of another photograph, or of both.

        Args:
          photo: the photo to be verified: a file, or its bytes.
          texts: a sentence, or several about one person; none to verify by a photo alone.
          prior: prior probability that the photo shows this person.
          probe_photo: a photograph of the person sought, however poor: its largest face is taken.

        Raises:
          OSError: a file cannot be read.
          ValueError: a file shows no face or is not a photo, no word of a text is understood, or
            the model does not take photographs as probes.
        """
        self._require_photographs()
        query = self._queries([self._probe(texts, probe_photo)])[0]
        name = '' if isinstance(photo, bytes) else str(photo)
        faces = self._faces_of(photo, name or 'the photo')
        f_NxF = self._inference.of_photos(self._inference.embed([chip for _, chip in faces]))
        scored = self._scored(query, f_NxF, prior, searched=1, false_matches=1.0)
        verified = [VerifiedFace(box, score) for (box, _), score in zip(faces, scored, strict=True)]
        verified.sort(key=lambda face: -face.scored.score)
        return VerifyResults(
            photo=name,
            probe=ProbeSummary.of(query),
            prior=prior,
            threshold=self._rule_of(query).threshold,
            faces=tuple(verified),
        )

    def probe_photo(self, photo: Path | bytes) -> ProbePhoto:
        """The largest face of a photograph, to search by it, once or several times.

        Raises:
          OSError: the file cannot be read.
          ValueError: it is not a photo, shows no face or two that are about as large, or the model
            does not take photographs as probes.
        """
        self._require_photographs()
        if not self.takes_probe_photos or not self._decision_rule.with_photo:
            raise ValueError(_NO_PROBE_PHOTOS)
        return read_probe_photo(photo, self._inference.probe_face_of)

    @property
    def takes_probe_photos(self) -> bool:
        """Whether one can search by a photograph: whether the model was trained for that."""
        return self.takes_photographs and self._inference.takes_photos

    @property
    def takes_photographs(self) -> bool:
        """Whether photographs can be enrolled and verified; False of simulated people."""
        return not simulated_model.is_simulated(self._inference.face_encoder)

    def _require_photographs(self) -> None:
        if not self.takes_photographs:
            raise ValueError(simulated_model.REFUSAL)

    def _faces_of(self, photo: Path | bytes, name: str) -> enrollment.DetectedFaces:
        try:
            data = photo if isinstance(photo, bytes) else enrollment.read_photo(pathlib.Path(photo))
        except ValueError as error:
            raise ValueError(f'{name}: {error}') from error
        faces, problem = enrollment.detect_or_explain(self._inference.faces_of, data)
        if problem:
            raise ValueError(f'{name}: {problem}')
        return faces

    def picture(self, gallery: Gallery, entry: int) -> bytes | None:
        """The small JPEG of an entry's upright chip; None if the entry has none."""
        with Store(gallery) as store:
            return store.picture(entry)

    def wide_picture(self, gallery: Gallery, entry: int) -> bytes | None:
        """The JPEG of an entry's face with its hair, at most 200 pixels a side; None without one.

        Where an older version enrolled the photo and it was not enrolled again, it is the chip.
        """
        with Store(gallery) as store:
            return store.wide_picture(entry)

    def photo(
        self, gallery: Gallery, entry: int, below: pathlib.Path | None = None
    ) -> photo_view.PhotoView:
        """The photograph that an entry's face was found in, to be shown.

        Args:
          gallery: its folder, or the URL of its PostgreSQL database.
          entry: its number.
          below: the folder that the photo must lie in, links followed; None: any.

        Raises:
          OSError: the file cannot be read.
          ValueError: there is no such entry or photo, its files hold another photo now, or they lie
            elsewhere.
        """
        with Store(gallery) as store:
            sha256, paths = store.photo_of(entry)
        return photo_view.view_photo(sha256, paths, below)

    def choices(self, gallery: Gallery) -> dict[str, Any]:
        """What the faces of a gallery can be filtered by; see `filter_choices`."""
        with self._open(gallery) as store:
            address, state = store.address, store.state()
            if self._choices.get(address, (None,))[0] != state:
                self._choices[address] = state, filter_choices.filter_choices(store.values())
        return self._choices[address][1]

    def count(self, gallery: Gallery) -> dict[str, int]:
        """Numbers of entries, people, photos and files; creates a gallery that does not exist."""
        with self._open(gallery, create=True) as store:
            return store.count()

    # --- computing results ---

    def _search(
        self, gallery: Gallery, probes: Sequence[Probe], options: SearchOptions
    ) -> list[SearchResults]:
        # Opened first: an unusable gallery is reported before anything is computed.
        with self._open(gallery) as store:
            queries = self._queries(probes)
            if not queries:
                return []
            f_QxF = np.stack([query.f_F for query in queries])
            with store.reading():
                self._check_model(store)  # it may have been brought to another one meanwhile
                least = next_question.CANDIDATES
                nearest = self._faces(store).nearest(store, f_QxF, options, least)
                info = {'path': store.location, **nearest.counts}
                return [
                    self._results_of(
                        query,
                        best.f_KxF,
                        store.entries(best.id_K[: options.k].tolist()),
                        info,
                        options,
                    )
                    for query, best in zip(queries, nearest.best, strict=True)
                ]

    def _results_of(
        self,
        query: Query,
        f_KxF: np.ndarray,
        entries: Sequence[GalleryEntry],
        gallery_info: Mapping[str, Any],
        options: SearchOptions,
    ) -> SearchResults:
        """The results of a query, from the features and entries of its best faces, best first."""
        people = gallery_info['people_searched']
        prior = prior_probability(people, options.enrolled) if people else None
        searched, allowed = gallery_info['entries_searched'], options.false_matches
        scored = self._scored(query, f_KxF[: options.k], prior, searched, allowed) if people else []
        ranked = enumerate(zip(entries, scored, strict=True), 1)
        return SearchResults(
            mode='identify' if options.people else 'search',
            probe=ProbeSummary.of(query),
            gallery=dict(gallery_info),
            where=conditions.conditions_to_json(options.where),
            prior=prior,
            threshold=self._rule_of(query).threshold,
            false_matches=options.false_matches,
            results=tuple(SearchResult(rank, entry, score) for rank, (entry, score) in ranked),
            next_question=self._next_question(query, f_KxF[: next_question.CANDIDATES]),
            enrolled=options.enrolled,
        )

    def _probe(self, texts: Texts, photo: Photo | None) -> Probe:
        if photo is None or isinstance(photo, ProbePhoto):
            return Probe(texts, photo)
        return Probe(texts, self.probe_photo(photo))

    def _queries(self, probes: Sequence[Probe]) -> list[Query]:
        taught = self._decision_rule.words if probes else frozenset()

        def check(text: str) -> UnreadWords:
            return vocabulary.check_words(text, self._inference, taught)

        return make_queries(probes, self._inference, check)

    def _rule_of(self, query: Query) -> ScoreRule:
        return self._decision_rule.of_probe(query.kind, query.detail_px)

    def _scored(
        self,
        query: Query,
        f_KxF: np.ndarray,
        prior: float,
        searched: int,
        false_matches: float,
    ) -> list[FaceScore]:
        """Score, probability and explanation of each face, given a probe."""
        calibration, threshold = self._rule_of(query)
        score_K = _dot(f_KxF, query.f_F)
        chance_K = calibration.false_matches(score_K, searched)
        llr_K = calibration.llr(score_K)
        # A phrase is text alone, whatever stands beside it.
        phrase_llr_KxP = self._decision_rule.calibration.llr(_dot(f_KxF, query.phrase_PxF.T))
        columns = (
            score_K.tolist(),
            llr_K.tolist(),
            calibration.probability(score_K, prior).tolist(),
            chance_K.tolist(),
            ((score_K >= threshold) & (chance_K <= false_matches)).tolist(),
            [tuple(map(PhraseEffect, query.phrases, llr_P)) for llr_P in phrase_llr_KxP.tolist()],
        )
        return [FaceScore(*row) for row in zip(*columns, strict=True)]

    def _next_question(self, query: Query, f_KxF: np.ndarray) -> next_question.NextQuestion | None:
        """The next question; None of a photo alone, where nobody may have seen the person."""
        if len(f_KxF) < 2 or not query.texts:
            return None
        rule = self._decision_rule
        llr_K = self._rule_of(query).calibration.llr(_dot(f_KxF, query.f_F))
        answer_llr_KxA = rule.calibration.llr(_dot(f_KxF, self._answers_AxF.T))
        return next_question.next_question(query.texts, llr_K, answer_llr_KxA, rule.rates)

    # --- computed once ---

    @functools.cached_property
    def _decision_rule(self) -> DecisionRule:
        return self._make_rule()

    @functools.cached_property
    def _answers_AxF(self) -> np.ndarray:
        return self._inference.of_texts(next_question.answer_sentences())

    def _faces(self, store: Store) -> 'LoadedGallery | ServerGallery':
        """The gallery in memory, or what is known of it; read again when it has changed."""
        faces = self._galleries.get(store.address)
        if faces is None or faces.state != store.state():
            faces = self._galleries[store.address] = self._read(store)
        return faces

    def _read(self, store: Store) -> 'LoadedGallery | ServerGallery':
        if not store.is_server:
            return LoadedGallery.read(store, self._mesh)
        from diface_jax.gallery.server_search import ServerGallery  # it needs the extra [postgres]

        return ServerGallery(store, self._mesh)

    def _open(self, gallery: Gallery, create: bool = False) -> Store:
        """Opens a gallery; raises GalleryError where it is of another model."""
        store = Store(gallery, create)
        try:
            if create and not store.made_with():
                with store.changing():
                    store.bind(**self._made_with(store))
            self._check_face_encoder(store)
            self._check_model(store)
            store.keep_to_model(self._inference.model)
        except BaseException:
            store.close()
            raise
        return store

    def _check_model(self, store: Store) -> None:
        made_with = store.made_with()
        if made_with.get(MODEL) != self._inference.model:
            raise GalleryError(
                f'{store.location} was made with another model '
                f'({made_with.get("model_name", "unnamed")}, not {self._inference.name}). Its '
                'embeddings are kept, so it can be brought to this one without its photographs: '
                f'--mode=enroll --gallery={store.location}, with the same --model and no --photos'
            )

    def _check_face_encoder(self, store: Store) -> None:
        made_with = store.made_with().get('face_encoder')
        if made_with is None:
            raise GalleryError(f'{store.location} is empty: enrol photographs with --photos=FOLDER')
        if made_with != self._inference.face_encoder:
            raise GalleryError(
                f'{store.location} holds embeddings of another face encoder ({made_with}, not '
                f'{self._inference.face_encoder}): enrol its photographs in a new gallery, with '
                '--mode=enroll --gallery=NEW --photos=FOLDER'
            )

    def _made_with(self, store: Store) -> dict[str, Any]:
        """What a gallery is made with; says the terms of a model that are new to it."""
        terms = self._inference.terms
        if terms and store.made_with().get('terms') != terms:
            _log.warning('The model %s may be used %s.', self._inference.name, terms)
        return {
            'face_encoder': self._inference.face_encoder,
            MODEL: self._inference.model,
            'model_name': self._inference.name,
            'terms': terms,
        }


def load(model: Path | None = None, sampling: Sampling | None = None) -> Model:
    """A trained model with its encoders, ready for photographs and descriptions.

    Args:
      model: folder of a model pack, name of a pack that comes with the package, or workdir of a
        training; None: the default pack.
      sampling: how descriptions become features: T~, K, guidance and eta. None: as in the
        validation of the model. Another sampling needs a workdir; its first search calibrates
        scores and the threshold s anew, on validation. Galleries do not depend on it.

    Raises:
      FileNotFoundError: there is no such model, or an encoder is not installed.
      PackError: the pack is damaged, of another application or of a newer version.
      ValueError: the installed encoders are not those the model was trained with, or the sampling
        cannot be used.
    """
    if sampling is not None:
        schema.build_section(SampleSettings, dataclasses.asdict(sampling), 'sampling')
    gpu_flags.set_gpu_flags()
    return Model(*load_model(model, sampling))


def _dot(f_KxF: np.ndarray, f_FxA: np.ndarray) -> np.ndarray:
    """In float64, as a search scores."""
    f_KxF, f_FxA = f_KxF.astype(np.float64), f_FxA.astype(np.float64)
    # In parts so small that a BLAS takes one thread: beside others' work, waiting for a second one
    # took a hundred times as long as the product.
    rows = max(1, _ONE_THREAD // max(1, f_FxA.size))
    return np.concatenate([f_KxF[i : i + rows] @ f_FxA for i in range(0, max(1, len(f_KxF)), rows)])

"""What the server answers, for /api/openapi.json. docs/searching.md explains each key."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """An object with these keys and no others."""

    model_config = ConfigDict(extra='forbid')


class ErrorAnswer(Answer):
    """Why a request was not served, and what to do."""

    error: str


class HealthAnswer(Answer):
    """Whether the server answers searches."""

    status: str


class FilterChoices(Answer):
    """What faces can be filtered by."""

    people: list[str]
    tags: dict[str, list[str]]
    first_taken: str | None
    last_taken: str | None


class GalleryAnswer(Answer):
    """What the gallery holds, and who asks."""

    entries: int
    people: int
    photos: int
    files: int
    takes_photographs: bool
    takes_probe_photos: bool
    choices: FilterChoices
    user: str


class EnrollAnswer(Answer):
    """What became of a photograph."""

    photos: int
    faces: int
    copies: int
    unchanged: int
    labelled: int
    replaced: list[str]
    problems: dict[str, str]
    ignored: dict[str, int]
    excluded: dict[str, int]
    links: list[str]
    moved: dict[str, str]
    missing: list[list[str]]
    conflicts: list[dict[str, str]]


class ProbeAnswer(Answer):
    """A photograph to search by: its key, and the face that is taken as a data URL."""

    probe: str
    picture: str
    size: str
    notes: list[str]


class PhraseAnswer(Answer):
    """How well a face fits a phrase."""

    phrase: str
    nats: float


class ResultAnswer(Answer):
    """A face, and how likely it is the person sought."""

    rank: int
    entry: int
    person: str | None
    other_people: list[str] = []
    photo: str | None
    name: str | None
    box: tuple[int, int, int, int] | None
    tags: dict[str, str]
    taken: str | None
    score: float
    log_likelihood_ratio: float
    probability: float
    expected_false_matches: float
    match: bool
    phrases: list[PhraseAnswer]
    likelihood: str


class ProbePhotoAnswer(Answer):
    """The face of the photograph that was searched by."""

    photo: str
    box: tuple[int, int, int, int]
    face_px: float
    detail_px: float
    faces: int


class QuestionAnswer(Answer):
    """What to ask the witness next."""

    ask: str
    answers: list[dict[str, str]]
    gain_bits: float


class SearchAnswer(Answer):
    """The results of a search, best first."""

    version: int = Field(alias='schema')  # pydantic has a `schema` of its own
    mode: str
    decision: str
    summary: str
    match_rule: str
    notes: list[str]
    meaning: dict[str, str]
    probe: str
    probe_in_words: str
    texts: list[str]
    probe_photo: ProbePhotoAnswer | None
    shares: dict[str, float] | None
    not_about_a_face: list[str]
    not_understood: list[str]
    not_read: list[str]
    gallery: dict[str, Any]
    where: dict[str, str | list[str]]
    prior: float | None
    threshold: float
    false_matches: float
    enrolled: float
    results: list[ResultAnswer]
    next_question: QuestionAnswer | None


class RemovedAnswer(Answer):
    """How many entries went."""

    removed: int

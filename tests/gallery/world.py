"""A world where everything about faces is known: an oracle in place of E and the model.

A photo is tiles of one colour in a row, each a face of the person of that colour. It is decoded for
real. JAX is not needed, so that a process of its own starts quickly.
"""

import functools
import io
import json

import numpy as np
from PIL import Image

from diface_jax.gallery.entries import path_text

TILE, WIDTH = 8, 32
# Persons' directions, far from each other; a face of one lies near theirs.
_WHO_PxD = np.linalg.qr(np.random.default_rng(0).standard_normal((WIDTH, WIDTH)))[0]
RATES = {'Male': 0.4, 'Young': 0.8, 'Eyeglasses': 0.1}


def photo(*people, noise=0, form='PNG', **options):
    """An encoded photo of these people, numbers below WIDTH; another noise is another photo."""
    tiles = [np.full((TILE, TILE, 3), (8 * who, 200, 8 * noise), np.uint8) for who in people]
    data = io.BytesIO()
    options = {'lossless': True, **options} if form == 'WEBP' else options
    Image.fromarray(np.concatenate(tiles, axis=1)).save(data, form, **options)
    return data.getvalue()


def faces_of(image):
    """Tiles from the left, each with its box and its pixels."""
    if image.shape[0] != TILE or image.shape[1] % TILE:
        raise ValueError('no face found')
    boxes = [(x, 0, x + TILE - 1, TILE - 1) for x in range(0, image.shape[1], TILE)]
    return [(box, image[None, :, box[0] : box[2] + 1]) for box in boxes]


def probe_face_of(image):
    """The first tile, of whatever size the tiles are."""
    from diface_jax.encoders.face.probe_face import ProbeFace

    side = image.shape[0]
    faces = image.shape[1] // side
    if not faces:
        raise ValueError('no face found')
    second = 0.5 if faces > 1 else 0.0
    box, chips = (0, 0, side - 1, side - 1), image[:, :side]
    return ProbeFace(box, chips, float(side), float(side), faces, second)


def poor_photo(*people, side=2):
    """A photo of these people, with faces as small as `side` pixels."""
    image = Image.open(io.BytesIO(photo(*people)))
    data = io.BytesIO()
    image.resize((side * len(people), side)).save(data, 'PNG')
    return data.getvalue()


def embedding(who, noise=0):
    """What the oracle's E makes of a face."""
    near = _WHO_PxD[who] + 0.01 * np.random.default_rng((who, noise)).standard_normal(WIDTH)
    return (3.0 * near).astype(np.float32)


class Oracle:
    """Knows every face, and a description that names its person ('person 7').

    It sees glasses on every other person, and nothing else of what questions ask for.
    """

    faces_of = staticmethod(faces_of)
    is_token = staticmethod(str.isascii)
    face_encoder = [{'name': 'oracle', 'sha256': '00', 'width': WIDTH}]  # noqa: RUF012
    width, mean_D = WIDTH, np.zeros(WIDTH)
    name, terms = 'oracle', ''

    def __init__(self, model='first', sign=1.0):
        self.model, self._sign = model, np.float32(sign)

    def split(self, text):
        """Reads 60 words."""
        words = text.split(' ')
        return ' '.join(words[:60]), ' '.join(words[60:])

    def embed(self, chips):
        colours = [chip.reshape(-1, 3).mean(axis=0).round().astype(int) // 8 for chip in chips]
        made = [embedding(red, blue) for red, _, blue in colours]
        return np.array(made, np.float32).reshape(-1, WIDTH)

    takes_photos = True
    probe_face_of = staticmethod(probe_face_of)

    def observe(self, chips, face_px):
        """Faces, and how far each is trusted: one of 8 pixels as far as words."""
        px_Nx1 = np.array(face_px)[:, None]
        return self.of_photos(self.embed(chips)), px_Nx1 / (px_Nx1 + TILE)

    def conditions(self, sentences):
        return self.of_texts(sentences)

    def of_probes(self, c_BxC, observation):
        photo_BxF, trust_Bx1 = observation
        if c_BxC is None:
            return photo_BxF
        f_BxF = (1 - trust_Bx1) * c_BxC + trust_Bx1 * photo_BxF
        return f_BxF / np.linalg.norm(f_BxF, axis=1, keepdims=True)

    def of_photos(self, embedding_NxD):
        length_Nx1 = np.linalg.norm(embedding_NxD, axis=1, keepdims=True)
        return self._sign * embedding_NxD / length_Nx1

    def of_texts(self, sentences):
        f_TxF = np.full((len(sentences), WIDTH), 0.01)
        for f_F, sentence in zip(f_TxF, sentences, strict=True):
            if 'glasses' in sentence:
                f_F += _WHO_PxD['without' in sentence :: 2].sum(axis=0)
            for word in sentence.replace(',', ' ').replace('.', ' ').split():
                if word.isdigit():
                    f_F += _WHO_PxD[int(word)]
        return (self._sign * f_TxF / np.linalg.norm(f_TxF, axis=1, keepdims=True)).astype(
            np.float32
        )


@functools.cache
def decision_rule():
    """As if genuine pairs scored about 0.8 and impostors 0."""
    # Imported here: they bring JAX along.
    from diface_jax.gallery.calibration import Calibration
    from diface_jax.gallery.decision_rule import PHOTO, TEXT_AND_PHOTO, DecisionRule
    from diface_jax.gallery.score_rule import ScoreRule, WidthRules

    share = (np.arange(2000) + 0.5) / 2000
    genuine = 0.8 + 0.25 * (2 * share[::10] - 1)
    of_texts = ScoreRule(Calibration.fit(genuine, 0.6 * (2 * share - 1)), 0.5)
    # Poor photographs need a higher score.
    poor = ScoreRule(of_texts.calibration._replace(centre=0.3), 0.6)
    rules = WidthRules((2.0, 8.0), (poor, of_texts))
    return DecisionRule(*of_texts, RATES, with_photo={PHOTO: rules, TEXT_AND_PHOTO: rules})


def model(oracle=None, make_rule=decision_rule):
    """The user's verbs over an oracle."""
    from diface_jax.model import Model

    return Model(oracle or Oracle(), make_rule)


def folder_of(root, people=6, photos=3):
    """A folder a person with a few photographs each; returns the files."""
    files = []
    for who in range(people):
        (root / f'person-{who}').mkdir(parents=True)
        for number in range(photos):
            files.append(root / f'person-{who}' / f'{number}.png')
            files[-1].write_bytes(photo(who, noise=number))
    return files


def contents(store):
    """All that is in a gallery, as comparable values."""
    tables = ('about', 'photo', 'file', 'entry')
    return {name: store._rows(f'SELECT * FROM {name} ORDER BY 1') for name in tables}


def described(store):
    """What conditions are about, of each entry and each copy of its photo, by its number."""
    rows = store._rows(
        'SELECT entry.id, CASE face WHEN 0 THEN coalesce(person_label, person) ELSE person END,'
        ' name, tags, path, taken FROM entry'
        ' LEFT JOIN file ON file.photo = entry.photo'
        ' LEFT JOIN photo ON photo.id = entry.photo ORDER BY entry.id, path'
    )
    for number, person, name, tags, path, taken in rows:
        values = {'person': person, 'name': name, 'entry': str(number), 'taken': taken}
        photo = None if path is None else path_text(path)
        yield number, {**json.loads(tags), **values, 'photo': photo}

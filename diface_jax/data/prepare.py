"""Prepare: photographs and labels to embeddings, sentences and conditions, on disk.

Records from a reader, faces through E, captions from the grammar, texts through the text encoder,
and all of it into an ArrayRecord data set with a data card. The slow parts are kept in shards named
after what they were made from, so that an interrupted job goes on where it was and a change of
captions does not cost the faces again.
"""

import collections
import dataclasses
import functools
import itertools
import json
import pathlib
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import ml_collections
import numpy as np
from absl import logging
from tqdm import tqdm

from diface_jax import stages
from diface_jax.data import captions, chips, prepared, readers, shards
from diface_jax.data.records import DataSet, Photo
from diface_jax.encoders.face import align, dlib_resnet
from diface_jax.encoders.text import bert

_TEXTS_A_SHARD = 4096


class Text(NamedTuple):
    """A sentence about a photo: its track, the share the grammar was allowed to say, the words."""

    track: str
    said: float
    sentence: str


class Faces(NamedTuple):
    """What E made of the photos: embeddings, whether each has one, and a note where one is due."""

    embedding_NxD: np.ndarray
    found_N: np.ndarray
    note_N: np.ndarray


def prepare(
    config: ml_collections.ConfigDict, data: ml_collections.ConfigDict, folder: pathlib.Path
) -> None:
    """Makes the prepared data set of one root, or does nothing when it is there already.

    Args:
      config: for its `captions` and `encoders`.
      data: `root`, `layout`, `shares` and `split_seed`, as the readers take them.
      folder: where it goes.

    Raises:
      SettingsDifferError: one is there, made with other settings.
      ValueError: an identity is in two splits, or no photo has a face.
    """
    source = readers.read(data.root, data.layout, tuple(data.shares), data.split_seed)
    text_encoder = bert.load(config.encoders.text or None)
    settings = stages.plain(
        {
            'data': data.to_dict() | {'root': pathlib.Path(data.root).resolve()},
            'captions': config.captions.to_dict(),
            'encoders': _encoders(text_encoder),
            'records': _fingerprint(source),
        }
    )
    card_file = folder / prepared.CARD
    if card_file.is_file():
        made = json.loads(card_file.read_text())['settings']
        stages.require_same(f'The prepared data set in {folder}', made, settings)
        logging.info('prepare: %s is there already, with the same settings', folder)
        return
    logging.info(
        'prepare: reads %d photos of %s in %s; writes %s',
        *(len(source.photos), source.name, data.root, folder),
    )
    card = _make(config, source, settings['data']['root'], text_encoder, folder)
    stages.write_json(card_file, card | {'settings': settings})
    logging.info('prepare: wrote %s; %s', folder, prepared.summary(card))


def _make(
    config: ml_collections.ConfigDict,
    source: DataSet,
    root: str,
    text_encoder: bert.TextEncoder,
    folder: pathlib.Path,
) -> dict[str, Any]:
    """Writes the rows; returns the data card."""
    faces = _embed_faces(source, root, folder / 'cache')
    if not faces.found_N.any():
        raise ValueError(f'no face was found in any photo of {source.name}: {set(faces.note_N)}')
    kept = [p for p, found in zip(source.photos, faces.found_N, strict=True) if found]
    texts = [_texts(photo, config.captions) for photo in kept]
    sentences = [text.sentence for text in itertools.chain(*texts)]
    c_TxC = _embed_texts(sentences, text_encoder, folder / 'cache')
    attributes = sorted({name for photo in kept for name in photo.labels or ()})
    rows = _rows(kept, faces.embedding_NxD[faces.found_N], texts, c_TxC, attributes)
    prepared.write(folder, rows, sorted({photo.split for photo in kept}))
    return {
        'name': source.name,
        'encoders': _encoders(text_encoder),
        'attributes': attributes,
        'splits': {name: _count(name, kept, texts) for name in prepared.SPLITS},
        'words': {
            'grammar can say': len(captions.vocabulary()),
            'sentences use': len({word for text in sentences for word in text.lower().split()}),
        },
        'no_embedding': _listed(source, faces, found=False),
        'notes': _listed(source, faces, found=True),
        'problems': [dataclasses.asdict(problem) for problem in source.problems],
    }


def _encoders(text_encoder: bert.TextEncoder) -> dict[str, Any]:
    face = {'name': dlib_resnet.NAME, 'sha256': dlib_resnet.SHA256, 'alignment': align.VERSION}
    text = {'name': text_encoder.name, 'sha256': text_encoder.sha256, 'width': text_encoder.width}
    return {'face': face | {'width': dlib_resnet.WIDTH}, 'text': text}


def _fingerprint(source: DataSet) -> str:
    """Changes when the lists do: a photo, identity, split, label or description."""
    return shards.key(
        *(f'{p.file}|{p.identity}|{p.split}|{p.labels}|{p.descriptions}' for p in source.photos)
    )


def _embed_faces(source: DataSet, root: str, cache: pathlib.Path) -> Faces:
    files = [photo.file for photo in source.photos]
    made_by = ('faces', dlib_resnet.SHA256, str(align.VERSION), root)
    make = functools.partial(_faces_of, dlib_resnet.load())
    return Faces(**chips.in_shards(source, files, cache, made_by, make))


def _faces_of(
    encoder: dlib_resnet.DlibResNet, files: Sequence[str], aligned: Sequence[chips.Chip]
) -> shards.Arrays:
    found = [chip for chip, _ in aligned if chip is not None]
    found_N = np.array([chip is not None for chip, _ in aligned])
    embedding_NxD = np.zeros((len(files), dlib_resnet.WIDTH), np.float32)
    if found:
        embedding_NxD[found_N] = dlib_resnet.embed(encoder, np.stack(found))
    return Faces(embedding_NxD, found_N, shards.strings([note for _, note in aligned]))._asdict()


def _texts(photo: Photo, config: ml_collections.ConfigDict) -> list[Text]:
    """The grammar's sentences of a photo, if it has labels, then the human track's."""
    rng = np.random.default_rng((config.seed, zlib.crc32(photo.file.encode())))
    said = list(config.said)
    if photo.split == 'train':
        said = [1.0] * config.whole + list(rng.random(config.partial))
    made = [
        Text('grammar', share, captions.caption(photo.labels, rng, share))
        for share in (said if photo.labels else ())
    ]
    return made + [Text('human', float('nan'), text) for text in photo.descriptions]


def _embed_texts(
    sentences: Sequence[str], encoder: bert.TextEncoder, cache: pathlib.Path
) -> np.ndarray:
    parts = [np.zeros((0, encoder.width), np.float32)]
    with tqdm(total=len(sentences), desc='texts', unit='text') as bar:
        for rows in shards.cut(len(sentences), _TEXTS_A_SHARD):
            name = shards.key('texts', encoder.sha256, *sentences[rows])
            make = functools.partial(lambda some: {'c': encoder.encode(some)}, sentences[rows])
            parts.append(shards.cached(cache, name, make)['c'])
            bar.update(rows.stop - rows.start)
    return np.concatenate(parts)


def _rows(
    photos: Sequence[Photo],
    embedding_NxD: np.ndarray,
    texts: Sequence[Sequence[Text]],
    c_TxC: np.ndarray,
    attributes: Sequence[str],
) -> Iterator[tuple[str, prepared.Row]]:
    """(split, row) of each photo."""
    numbers = {who: i for i, who in enumerate(sorted({p.identity for p in photos}))}
    ends = np.cumsum([len(mine) for mine in texts])
    for photo, embedding, mine, end in zip(photos, embedding_NxD, texts, ends, strict=True):
        labels = photo.labels or {}
        yield (
            photo.split,
            prepared.Row(
                file=photo.file,
                identity=numbers[photo.identity],
                embedding=embedding,
                labels=np.array([labels.get(name, -1) for name in attributes], np.int8),
                captions=[text.sentence for text in mine],
                tracks=np.array([prepared.TRACKS.index(text.track) for text in mine], np.int8),
                said=np.array([text.said for text in mine], np.float32),
                conditions=c_TxC[end - len(mine) : end],
            ),
        )


def _count(split: str, photos: Sequence[Photo], texts: Sequence[Sequence[Text]]) -> dict[str, int]:
    mine = [(p, t) for p, t in zip(photos, texts, strict=True) if p.split == split]
    tracks = collections.Counter(text.track for _, some in mine for text in some)
    return {
        'photos': len(mine),
        'identities': len({photo.identity for photo, _ in mine}),
        **{f'{track} sentences': tracks[track] for track in prepared.TRACKS},
    }


def _listed(source: DataSet, faces: Faces, found: bool) -> list[dict[str, str]]:
    rows = zip(source.photos, faces.found_N, faces.note_N, strict=True)
    return [{'file': p.file, 'why': str(note)} for p, has, note in rows if note and has == found]

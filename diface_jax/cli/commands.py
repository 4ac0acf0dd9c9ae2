"""The commands on a gallery: enroll, search, identify, verify, delete, sync and serve."""

import dataclasses
import json
import pathlib
import sqlite3
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from absl import flags

from diface_jax.gallery import (
    address,
    conditions,
    disk_sync,
    query_text,
    search_options,
    simulated_model,
    sqlite_database,
    store,
)
from diface_jax.gallery.photo_files import EXCLUDED
from diface_jax.gallery.results import (
    MATCH,
    FaceScore,
    SearchResults,
    VerifyResults,
)
from diface_jax.pretrained.find_model import DEFAULT, find_model
from diface_jax.runtime import hosts, schema
from diface_jax.runtime.settings import SampleSettings
from diface_jax.runtime.terminal import printable, printable_lines

if TYPE_CHECKING:
    from diface_jax.model import Model
    from diface_jax.web.options import ServerOptions

_CHANGING = ('enroll', 'delete', 'sync', 'serve')
DONE, NO_MATCH = 0, 2  # exit codes; 1 is an error
_LISTED = 20  # entries that are shown before they are deleted

_MODEL = flags.DEFINE_string(
    'model',
    None,
    'enroll, search, identify, verify, serve, export: the model. A folder that --mode=pack has '
    'written, the name of a pack that comes with the package, or the workdir of a training. '
    f'Default: the pack {DEFAULT}.',
)
_GALLERY = flags.DEFINE_string(
    'gallery',
    None,
    'The gallery: a folder, or postgresql://USER@HOST/DATABASE, a PostgreSQL database with '
    'pgvector (docs/postgres.md); enroll creates it.',
)
_INDEX = flags.DEFINE_enum(
    'index',
    None,
    ['exact', 'hnsw'],
    'enroll, without --photos: how a PostgreSQL gallery is searched from now on: exactly, or '
    'faster by an approximate index of pgvector.',
)
_STORAGE = flags.DEFINE_enum(
    'storage',
    None,
    ['full', 'half'],
    'enroll, without --photos: stores the features of a PostgreSQL gallery in 32 or in 16 bits.',
)
_PHOTOS = flags.DEFINE_string(
    'photos',
    None,
    'enroll: a folder of photographs, with all folders inside it, or one photograph. sync: a '
    'folder that enrolled photographs may have moved to. serve: shows photographs from below this '
    'folder alone.',
)
_PEOPLE = flags.DEFINE_bool(
    'people',
    False,
    'enroll: the largest face of a photo is the person its folder is named after. A photo '
    'in the folders of several people is found under each name.',
)
_EXCLUDE = flags.DEFINE_multi_string(
    'exclude',
    [],
    'enroll, sync: leaves out photographs and folders of this name, or with a / of this path below '
    '--photos; * and ? stand for anything, and upper and lower case are the same. May be repeated. '
    f'Always left out: {" ".join(EXCLUDED)}. To enrol such a folder, give it as --photos.',
)
_FOLLOW_LINKS = flags.DEFINE_bool(
    'follow_links', False, 'enroll, sync: enters folders that are linked to, each folder once.'
)
_REMOVE_MISSING = flags.DEFINE_bool(
    'remove_missing',
    False,
    'sync: deletes the faces of photographs that are gone from all their paths, for good. Run sync '
    'without it first and look at the list: a drive may not be mounted.',
)
_TAG = flags.DEFINE_multi_string('tag', [], 'enroll: NAME=VALUE, a tag of all these photographs.')
_EMBEDDINGS = flags.DEFINE_string(
    'embeddings',
    None,
    'enroll: embeddings of the same face encoder: a file (.npy, .npz or .parquet), or the URL of a '
    'PostgreSQL database with pgvector (postgresql://USER@HOST/DATABASE), with --sql and '
    '--recogniser.',
)
_SQL = flags.DEFINE_string(
    'sql',
    None,
    'enroll: the query for a database: columns id and embedding, and person if known; other '
    'columns become tags.',
)
_RECOGNISER = flags.DEFINE_string(
    'recogniser',
    None,
    'enroll: the network that made the embeddings, by its name or its SHA-256; embeddings of '
    'another one than the model was trained on are refused.',
)
_IDS = flags.DEFINE_string('ids', None, 'enroll: a text file with one id on each line, for .npy.')
_TEXT = flags.DEFINE_multi_string(
    'text',
    [],
    'search, identify, verify: a description. Repeat --text to describe one person in several '
    'sentences; their features are averaged. A photograph of the person may stand beside it.',
)
_QUERIES = flags.DEFINE_string(
    'queries', None, 'search: a text file with one description per line, each of another person.'
)
_PHOTO = flags.DEFINE_string(
    'photo',
    None,
    'search, identify: a photograph of the person sought, however poor, beside --text or in its '
    'place: the same as --probe_photo. verify: the photograph to be verified.',
)
_PROBE_PHOTO = flags.DEFINE_string(
    'probe_photo',
    None,
    'search, identify, verify: a photograph of the person sought, however poor (a blurred still '
    'with a face of 12 pixels), beside --text or in its place. Its largest face is taken, its '
    'quality decides how much it counts, and the answer says how much. It needs a model that was '
    'trained with photographs as probes.',
)
_K = flags.DEFINE_integer('k', search_options.DEFAULT_K, 'search, identify: how many results.')
_WHERE = flags.DEFINE_multi_string(
    'where',
    [],
    'search, identify, delete: NAME=PATTERN, only entries whose person, photo (path), taken (when '
    'the photo was taken, such as 2019-07*), name, entry (number) or tag fits; since=2019-07 and '
    'until=2019-08 bound the date. In a pattern * stands for any characters and ? for one; a value '
    'that is in the gallery exactly as written means only itself. Given several times, also with '
    'the same NAME, all must fit.',
)
_ENROLLED = flags.DEFINE_float(
    'enrolled',
    search_options.DEFAULT_ENROLLED,
    'search, identify: prior probability that the person described is in the gallery.',
)
_FALSE_MATCHES = flags.DEFINE_float(
    'false_matches',
    search_options.DEFAULT_FALSE_MATCHES,
    'search, identify: a match may score as high by chance at most this often in a gallery of this '
    'size.',
)
_PRIOR = flags.DEFINE_float(
    'prior', 0.5, 'verify: prior probability that the photo shows the person described.'
)
_SAMPLING = flags.DEFINE_string(
    'sampling',
    None,
    'search, identify, verify, serve: how descriptions become features, such as '
    'num_steps=10,num_samples=4. Left out: num_samples=1,guidance=1,eta=0. Another sampling needs '
    'a workdir as --model, and its first command calibrates scores anew. Default: as in the '
    'validation of the model.',
)
_JSON = flags.DEFINE_bool('json', False, 'Prints results as JSON (schema in docs/searching.md).')
_SHEET = flags.DEFINE_string(
    'sheet', None, 'search, identify: writes the results as a picture, PNG.'
)
_EVERYTHING = flags.DEFINE_bool(
    'everything',
    False,
    'delete: the whole gallery. Its files are overwritten with zeros and deleted; stop programs '
    'that use it first. Overwriting does not reach old blocks of SSDs and copy-on-write file '
    'systems, logs that the database deleted, snapshots and backups: keep the gallery on an '
    'encrypted disk where that matters.',
)
_YES = flags.DEFINE_bool('yes', False, 'delete: does not ask before it deletes.')
_PORT = flags.DEFINE_integer('port', 8080, 'serve: the port.', 1, 65535)
_HOST = flags.DEFINE_string(
    'host',
    '127.0.0.1',
    'serve: the address to listen on; the default is of this machine alone. Another one needs '
    '--token_file, and --tls_certificate or --proxy (docs/server.md).',
)
_SERVER_NAME = flags.DEFINE_multi_string(
    'server_name',
    [],
    'serve: a name by which browsers reach the server beside --host, such as photos.example; '
    'requests under other names are refused. May be repeated.',
)
_TOKEN_FILE = flags.DEFINE_string(
    'token_file',
    None,
    'serve: who may ask: a file with a line NAME:TOKEN, or NAME:sha256:HEX, for each person. Read '
    'at the start.',
)
_TLS_CERTIFICATE = flags.DEFINE_string(
    'tls_certificate', None, 'serve: a PEM file with the certificate, to answer by HTTPS.'
)
_TLS_KEY = flags.DEFINE_string('tls_key', None, "serve: a PEM file with the certificate's key.")
_PROXY = flags.DEFINE_string(
    'proxy',
    None,
    'serve: the IP address of a reverse proxy with TLS in front of the server. It alone is '
    'answered, and forwarded headers are believed from there alone.',
)
_AUDIT_LOG = flags.DEFINE_string(
    'audit_log',
    None,
    'serve: the file that records who asked what, when, and how many results there were, as lines '
    'of JSON. Default: GALLERY.audit.jsonl beside the gallery. none: records nothing.',
)
_RATE_LIMIT = flags.DEFINE_integer(
    'rate_limit',
    300,
    'serve: how many searches, enrolments, deletions and photographs to look at each person with a '
    'token may ask for in a minute.',
    1,
)
_OPEN = flags.DEFINE_bool(
    'open', False, 'serve: opens the page in the browser, where there is a screen.'
)


def run_gallery_command(mode: str) -> int:
    """Runs a command with the flags of this module.

    Args:
      mode: one of `modes.GALLERY`.

    Returns:
      The exit code: DONE, or NO_MATCH where no result is a match.

    Raises:
      ValueError: a flag is missing or cannot be used, or a gallery is to be changed by several
        hosts; says which.
    """
    commands = {
        'enroll': _enroll,
        'search': _search,
        'identify': _search,
        'verify': _verify,
        'serve': _serve,
    }
    if hosts.is_multihost() and mode in _CHANGING:
        raise ValueError('a gallery is changed and served by one host: leave out --distributed')
    try:
        if mode == 'delete':
            return _delete()
        if mode == 'sync':
            return _sync()
        _check(mode)
        if _takes_photographs(mode):
            simulated_model.refuse_simulated_model(find_model(_MODEL.value))
        sampling = _parse_sampling(_SAMPLING.value) if _SAMPLING.value else {}
        # Imported late: it imports JAX, which a missing flag need not wait for.
        from diface_jax import model

        chosen = model.Sampling(**sampling) if sampling else None
        return commands[mode](mode, model.load(_MODEL.value, chosen))
    except sqlite3.Error as error:  # such as a full disk; what was committed is whole
        raise ValueError(f'{address.shown_address(_GALLERY.value)}: {error}') from error


def _takes_photographs(mode: str) -> bool:
    """Whether a command is given photographs."""
    if mode == 'enroll':
        return bool(_PHOTOS.value)
    return mode == 'verify' or (mode in ('search', 'identify') and bool(_probe_photo(mode)))


def export_model(out: str | None, overwrite: bool) -> int:
    """Writes the model of --model as StableHLO and ONNX into the folder `out`; returns DONE.

    Raises:
      ValueError: `out` is not given, or the model cannot be exported.
      OSError: there is no such model, or something is at `out` already.
    """
    _need('out', out)
    # Imported late: it imports JAX.
    from diface_jax.pretrained import load_model, write_export

    inference = load_model.load_model(_MODEL.value).inference
    print(write_export.write_export(inference, pathlib.Path(out), overwrite))
    return DONE


def _check(mode: str) -> None:
    if mode != 'verify':
        _need('gallery', _GALLERY.value)
    else:
        _need('photo', _PHOTO.value)
    if mode in ('search', 'identify', 'verify'):
        _check_probe(mode)
    if mode == 'serve':
        _server_options()  # checks them before the model is loaded
    if (_INDEX.value or _STORAGE.value) and (mode != 'enroll' or _is_enrolling()):
        raise ValueError('--index and --storage go with --mode=enroll without --photos')
    if _PHOTOS.value and _EMBEDDINGS.value:
        raise ValueError('give --photos or --embeddings, one after the other')
    is_database = address.is_database(_EMBEDDINGS.value or '')
    if is_database and not (_SQL.value and _RECOGNISER.value):
        raise ValueError(
            'a database needs --sql, a query with the columns id and embedding, and --recogniser, '
            'the network that made the embeddings'
        )
    if _SQL.value and not is_database:
        raise ValueError('--sql goes with --embeddings=postgresql://USER@HOST/DATABASE')


def _is_enrolling() -> bool:
    return bool(_PHOTOS.value or _EMBEDDINGS.value)


def _check_probe(mode: str) -> None:
    """Checks what is given of the person sought."""
    photo = _probe_photo(mode)
    if _QUERIES.value and mode != 'search':
        raise ValueError('--queries goes with --mode=search')
    if _QUERIES.value and photo:
        raise ValueError('--queries are texts alone: give a photograph with --text, one by one')
    if _QUERIES.value and _TEXT.value:
        raise ValueError('give --text="..." or --queries=FILE')
    if not (_TEXT.value or _QUERIES.value or photo):
        flag = '--probe_photo' if mode == 'verify' else '--photo'
        raise ValueError(
            f'give --text="...", a photograph of the person sought ({flag}=FILE), or both'
            + (' (or --queries=FILE)' if mode == 'search' else '')
        )
    if _TEXT.value:
        query_text.check_texts(_TEXT.value)


def _probe_photo(mode: str) -> str | None:
    """The photograph of the person sought; --photo is one where no other can be meant."""
    if mode == 'verify':
        return _PROBE_PHOTO.value
    if _PHOTO.value and _PROBE_PHOTO.value:
        raise ValueError('give --photo or --probe_photo, which mean the same here')
    return _PHOTO.value or _PROBE_PHOTO.value


def _parse_sampling(text: str) -> dict[str, int | float]:
    """Fields of a `Sampling` from 'num_steps=10,num_samples=4'.

    Raises:
      ValueError: it is not of this form, or a value cannot be used.
    """
    values: dict[str, Any] = {'num_samples': 1, 'guidance': 1.0, 'eta': 0.0}
    for name, value in conditions.parse_conditions(text.split(',')):
        try:
            values[name.strip()] = json.loads(value)
        except ValueError as error:
            raise ValueError(f'--sampling: {name}={value} is not a number') from error
    if 'num_steps' not in values:
        raise ValueError('--sampling needs num_steps, such as --sampling=num_steps=10')
    return dataclasses.asdict(schema.build_section(SampleSettings, values, 'sampling'))


def _need(name: str, value: str | None) -> None:
    if not value:
        raise ValueError(f'--{name} is missing')


def _enroll(_: str, model: 'Model') -> int:
    if _EMBEDDINGS.value:
        report = model.enroll_embeddings(
            _GALLERY.value, _EMBEDDINGS.value, _IDS.value, _SQL.value, _RECOGNISER.value
        )
    elif _PHOTOS.value:
        report = model.enroll(
            _GALLERY.value,
            _PHOTOS.value,
            people=_PEOPLE.value,
            tags=conditions.parse_tags(_TAG.value),
            exclude=_EXCLUDE.value,
            follow_links=_FOLLOW_LINKS.value,
        )
    else:
        refreshed = model.refresh(_GALLERY.value, _INDEX.value, _STORAGE.value)
        _print({'refreshed': refreshed}, f'{refreshed} entries updated to this model')
        return DONE
    _print(dataclasses.asdict(report), str(report))
    return DONE


def _search(mode: str, model: 'Model') -> int:
    where = conditions.parse_conditions(_WHERE.value)
    options = _K.value, where, _ENROLLED.value, _FALSE_MATCHES.value
    if _QUERIES.value:
        descriptions = _read_queries(pathlib.Path(_QUERIES.value))
        all_results = model.search_many(_GALLERY.value, descriptions, *options)
    else:
        verb = model.identify if mode == 'identify' else model.search
        all_results = [verb(_GALLERY.value, _TEXT.value, *options, photo=_probe_photo(mode))]
    for number, results in enumerate(all_results, 1):
        is_last = number == len(all_results)
        explanations = _explanations(results) if is_last else []
        _print(results.to_json(), '\n'.join([*_search_lines(results), *explanations]))
        if _SHEET.value and hosts.is_first():
            path = pathlib.Path(_SHEET.value)
            path = path.with_stem(f'{path.stem}-{number}') if len(all_results) > 1 else path
            _write_sheet(results, model, path)
    return _exit_code(all_results)


def _read_queries(path: pathlib.Path) -> list[str]:
    """The descriptions of a text file, one per line."""
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is not a text file in UTF-8: {error}') from error
    described = [line for line in lines if line.strip()]
    if not described:
        raise ValueError(f'{path} holds no description: write one on each line')
    return described


def _write_sheet(results: SearchResults, model: 'Model', path: pathlib.Path) -> None:
    # Imported here: it needs Pillow, and searching does not.
    from diface_jax.gallery import contact_sheet

    contact_sheet.write_contact_sheet(
        results, lambda entry: model.wide_picture(_GALLERY.value, entry), path
    )


def _verify(_: str, model: 'Model') -> int:
    results = model.verify(_PHOTO.value, _TEXT.value, _PRIOR.value, _PROBE_PHOTO.value)
    lines = [f'{results.decision}: {printable(results.photo)}', *_probe_lines(results)]
    for face in results.faces:
        scored = face.scored
        lines.append(f'  face at {face.box}: {scored.likelihood}, score {scored.score:.3f}')
        lines += _phrases(scored)
    _print(results.to_json(), '\n'.join(lines))
    return _exit_code([results])


def _delete() -> int:
    _need('gallery', _GALLERY.value)
    gallery = address.gallery_address(_GALLERY.value)
    if _EVERYTHING.value == bool(_WHERE.value):
        raise ValueError('say what: --where=person=NAME, --where=photo=PATH, ..., or --everything')
    if _EVERYTHING.value:
        _confirm_everything(gallery)
        store.delete_gallery(gallery)
        shown = address.shown_address(gallery)
        _print({'deleted': shown}, f'deleted the gallery {printable(shown)}')
        return DONE
    where = conditions.parse_conditions(_WHERE.value)
    _confirm_some(gallery, where)
    gone = store.remove_entries(gallery, where)
    _print({'removed': gone}, f'removed {gone} entries')
    return DONE


def _sync() -> int:
    _need('gallery', _GALLERY.value)
    photos = pathlib.Path(_PHOTOS.value) if _PHOTOS.value else None
    report = disk_sync.sync_gallery(
        _GALLERY.value,
        photos,
        exclude=_EXCLUDE.value,
        follow_links=_FOLLOW_LINKS.value,
        remove_missing=_REMOVE_MISSING.value,
    )
    _print(dataclasses.asdict(report), str(report))
    return DONE


def _confirm_everything(gallery: address.Gallery) -> None:
    """Says how much is in a gallery, and asks; also of a gallery that cannot be read."""
    try:
        with store.Store(gallery) as opened:
            has = opened.count()
        holds = f'{has["entries"]} entries of {has["people"]} people, {has["photos"]} photos'
    except (ValueError, sqlite3.Error) as error:
        if address.is_database(gallery) or not (gallery / sqlite_database.FILE).is_file():
            raise
        holds = f'it cannot be read: {error}'
    _confirm(f'this deletes the whole gallery {address.shown_address(gallery)} ({holds})')


def _confirm_some(gallery: address.Gallery, where: conditions.Conditions) -> None:
    """Shows which entries will go, and asks."""
    with store.Store(gallery) as opened:
        shown_gallery = opened.location
        ids, unusable = opened.where(where), opened.unusable_where(where)
        entries = opened.entries(ids.tolist())
    if not entries and not unusable:
        raise ValueError(f'nothing in {shown_gallery} fits {", ".join(_WHERE.value)}')
    people = {entry.person or entry.id for entry in entries}
    photos = {entry.photo for entry in entries} - {None}
    what = f'{len(entries)} entries of {len(people)} people, {len(photos)} photos'
    if unusable:
        what += f', {len(unusable)} files without a face'
    lines = [*map(_line, entries), *(printable(store.path_text(path)) for path in unusable)]
    shown = [f'  {line}' for line in lines[:_LISTED]]
    if len(lines) > _LISTED:
        shown.append(f'  and {len(lines) - _LISTED} more')
    _confirm('\n'.join([f'this deletes from {shown_gallery}: {what}', *shown]))
    with store.Store(gallery) as opened:
        if not np.array_equal(opened.where(where), ids):
            raise ValueError(f'{shown_gallery} has changed meanwhile; give the command again')


def _confirm(what: str) -> None:
    """Shows what will be deleted on stderr, and asks on the terminal unless --yes is given.

    Raises:
      ValueError: the answer is not yes, or nobody can be asked.
    """
    print(_encodable(printable_lines(what), sys.stderr), file=sys.stderr)
    if _YES.value:
        return
    if not sys.stdin.isatty():
        raise ValueError('nothing was deleted: without a terminal to ask on, give --yes')
    print('Delete for good? [y/N] ', end='', file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ('y', 'yes'):
        raise ValueError('nothing was deleted')


def _serve(_: str, model: 'Model') -> int:
    try:
        from diface_jax.web import server
    except ModuleNotFoundError as error:
        raise ImportError(f"the page needs {error.name}: pip install 'diface_jax[web]'") from error

    server.serve(model, address.gallery_address(_GALLERY.value), _server_options())
    return DONE


def _server_options() -> 'ServerOptions':
    from diface_jax.web import options

    log = _AUDIT_LOG.value or options.default_audit_log(_GALLERY.value)
    return options.ServerOptions(
        port=_PORT.value,
        host=_HOST.value,
        server_names=tuple(_SERVER_NAME.value),
        token_file=_path(_TOKEN_FILE.value),
        tls_certificate=_path(_TLS_CERTIFICATE.value),
        tls_key=_path(_TLS_KEY.value),
        proxy=_PROXY.value,
        audit_log=None if log == options.NO_LOG else pathlib.Path(log),
        rate_limit=_RATE_LIMIT.value,
        photos=_path(_PHOTOS.value),
        open_page=_OPEN.value,
    )


def _path(text: str | None) -> pathlib.Path | None:
    return pathlib.Path(text) if text else None


def _exit_code(all_results: Sequence[SearchResults | VerifyResults]) -> int:
    return DONE if any(results.decision == MATCH for results in all_results) else NO_MATCH


def _search_lines(results: SearchResults) -> list[str]:
    """The results of a search, in the order and the words of the page."""
    lines = [f'{results.summary}: {printable(results.probe.title)}', *_probe_lines(results)]
    for result in results.results:
        kind = 'match' if result.scored.match else 'lead'
        lines.append(f'{result.rank:3} {result.scored.likelihood}, a {kind}: {_line(result.entry)}')
        lines += [
            f'      {printable(name)}: {printable(value)}'
            for name, value in result.entry.tags.items()
        ]
        lines += [f'      {_numbers(result.scored)}', *_phrases(result.scored)]
    if question := results.next_question:
        choices = ', '.join(option.say for option in question.answers)
        lines.append(f'ask next: {question.ask} ({choices})')
    return lines


def _probe_lines(results: SearchResults | VerifyResults) -> list[str]:
    """How the probe was read, and how much words and photo count."""
    return [*filter(None, [results.probe.in_words]), *results.probe.notes]


def _explanations(results: SearchResults) -> list[str]:
    """What the numbers mean, and when a result is a match."""
    if not results.results:
        return []
    meaning = results.meaning
    return [
        'how to read this:',
        f'  about 1 in N  {meaning["likelihood"]}',
        f'  by chance     {meaning["expected_false_matches"]}',
        f'  score         {meaning["score"]}',
        *([f'  phrases       {meaning["phrases"]}'] if 'phrases' in meaning else []),
        f'  {results.match_rule}',
    ]


def _line(entry: store.GalleryEntry) -> str:
    """An entry in one line: who it is, where the photo is, and its number."""
    who = ' and '.join((entry.person or entry.name or '', *entry.other_people))
    return f'{printable(who)} {printable(entry.photo or "")} (entry {entry.id})'


def _numbers(scored: FaceScore) -> str:
    return f'by chance {scored.expected_false_matches:.2g}, score {scored.score:.3f}'


def _phrases(scored: FaceScore) -> list[str]:
    effects = [f'{effect.phrase} {effect.nats:+.2f}' for effect in scored.phrases]
    return [f'      {"; ".join(effects)}'] if effects else []


def _print(content: Any, text: str) -> None:
    """Prints results on the first host, as JSON or as text."""
    if not hosts.is_first():
        return
    print(_encodable(json.dumps(content) if _JSON.value else printable_lines(text), sys.stdout))


def _encodable(text: str, stream: TextIO) -> str:
    """A text with what the stream's encoding lacks (as of a name) escaped."""
    encoding = stream.encoding or 'utf-8'
    return text.encode(encoding, 'backslashreplace').decode(encoding)

"""A contact sheet: the results of a search as one picture."""

import io
import pathlib
import textwrap
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFont, ImageOps

from diface_jax.gallery.results import SearchResult, SearchResults

_FACE, _LINE, _GAP, _COLUMNS = 150, 18, 14, 5
_LARGEST = 4096  # pixels; pictures of faces have a few hundred
_WIDTH = _COLUMNS * (_FACE + _GAP) + _GAP
_INK, _PAPER, _NO_FACE, _MATCH = '#1b1e23', '#ffffff', '#d5d9de', '#12906a'
_MISUSE = 'A description fits many people: a result is a reason to look, never evidence.'


def write_contact_sheet(
    results: SearchResults, picture: Callable[[int], bytes | None], path: pathlib.Path
) -> None:
    """Writes the sheet as a PNG.

    Args:
      results: the results of a search.
      picture: returns the JPEG of an entry, by its number, or None.
      path: of the PNG.

    Raises:
      OSError: it cannot be written there.
      ValueError: an entry's picture is damaged; says which.
    """
    head = textwrap.wrap(results.probe.title, 105)[:6]
    head += [results.summary, _MISUSE, '']
    rows = -(-len(results.results) // _COLUMNS)
    top = _GAP + len(head) * _LINE
    sheet = Image.new('RGB', (_WIDTH, top + rows * (_FACE + 4 * _LINE + _GAP)), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for i, line in enumerate(head):
        pen.text((_GAP, _GAP + i * _LINE), _drawable(line), _INK, font)
    for i, result in enumerate(results.results):
        x = _GAP + i % _COLUMNS * (_FACE + _GAP)
        y = top + i // _COLUMNS * (_FACE + 4 * _LINE + _GAP)
        sheet.paste(_face(result.entry.id, picture(result.entry.id)), (x, y))
        if result.scored.match:
            pen.rectangle((x - 3, y - 3, x + _FACE + 2, y + _FACE + 2), outline=_MATCH, width=3)
        for j, line in enumerate(_caption(result)):
            pen.text((x, y + _FACE + 4 + j * _LINE), _drawable(line), _INK, font)
    sheet.save(path, 'PNG')


def _caption(result: SearchResult) -> list[str]:
    scored, entry = result.scored, result.entry
    name = entry.person or entry.name or pathlib.PurePath(entry.photo or '').name
    return [
        f'{result.rank}. {_short(name) or f"entry {entry.id}"}',
        scored.likelihood,
        'match' if scored.match else 'lead',
    ]


def _short(name: str) -> str:
    return name if len(name) <= 18 else f'{name[:15]}...'


def _face(entry: int, data: bytes | None) -> Image.Image:
    if data is None:  # imported embeddings have none
        return Image.new('RGB', (_FACE, _FACE), _NO_FACE)
    try:
        with Image.open(io.BytesIO(data), formats=['JPEG']) as image:
            if max(image.size) > _LARGEST:
                raise ValueError(f'{image.size[0]} by {image.size[1]} pixels')
            return ImageOps.fit(image.convert('RGB'), (_FACE, _FACE))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f'the picture of entry {entry} is damaged: {error}') from error


def _drawable(line: str) -> str:
    return ''.join(letter if letter.isprintable() else '?' for letter in line)

"""The page as one text: page.html with page.css and page.js in it, and the policy that fits it."""

import base64
import hashlib
import pathlib
from typing import NamedTuple

_FOLDER = pathlib.Path(__file__).parent


class WebPage(NamedTuple):
    """The page, and its Content-Security-Policy.

    The policy allows this script and this style by their hashes and no others, so that nothing runs
    from a file name, a person or a tag.
    """

    text: str
    policy: str


def read_page() -> WebPage:
    """Puts the page together from the files beside this module."""
    text, style, script = (
        (_FOLDER / name).read_text(encoding='utf-8')
        for name in ('page.html', 'page.css', 'page.js')
    )
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    text = text.replace('<style></style>', f'<style>{style}</style>')
    return WebPage(text.replace('<script></script>', f'<script>{script}</script>'), policy)


def _hash(text: str) -> str:
    return f'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'

"""The pages, each as one text with its style and script in it, and the policy that fits it."""

import base64
import functools
import hashlib
import pathlib
from typing import NamedTuple

_FOLDER = pathlib.Path(__file__).parent


class WebPage(NamedTuple):
    """A page, and its Content-Security-Policy.

    The policy allows this script and this style by their hashes and no others, so that nothing runs
    from a file name, a person or a tag.
    """

    text: str
    policy: str


@functools.cache
def read_page() -> WebPage:
    """The page to search on, from the files beside this module."""
    text, style, script = map(_read, ('page.html', 'page.css', 'page.js'))
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    text = text.replace('<style></style>', f'<style>{style}</style>')
    return WebPage(text.replace('<script></script>', f'<script>{script}</script>'), policy)


@functools.cache
def read_login_page() -> WebPage:
    """The page to log in on, which runs no script."""
    text, style = map(_read, ('login.html', 'page.css'))
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; img-src data:; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )
    return WebPage(text.replace('<style></style>', f'<style>{style}</style>'), policy)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding='utf-8')


def _hash(text: str) -> str:
    return f'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'

"""Where a gallery is: a folder, or a PostgreSQL database."""

import pathlib
import urllib.parse

_SCHEMES = ('postgresql://', 'postgres://')

# A folder, or the URL of a database: postgresql://USER@HOST/DATABASE.
Gallery = str | pathlib.Path


def is_database(address: Gallery) -> bool:
    """Whether an address is the URL of a PostgreSQL database, and no folder or file."""
    return str(address).startswith(_SCHEMES)


def gallery_address(gallery: Gallery) -> Gallery:
    """The URL of a database as it is, or else the path of a folder."""
    return str(gallery) if is_database(gallery) else pathlib.Path(gallery)


def shown_address(address: Gallery) -> str:
    """An address to be shown: without the user's name, the password and the options of a URL."""
    if not is_database(address):
        return str(address)
    parts = urllib.parse.urlsplit(str(address))
    return f'{parts.scheme}://{parts.hostname or ""}{parts.path}'

"""Licences of the weights of frozen encoders: which are used without a question."""

from collections.abc import Sequence
from typing import NamedTuple

UNKNOWN = 'unknown'
# SPDX identifiers of licences that allow every use.
_FREE = frozenset(
    (
        *('apache-2.0', 'bsd-2-clause', 'bsd-3-clause', 'cc-by-4.0', 'cc-by-sa-4.0', 'cc0-1.0'),
        *('isc', 'mit', 'unlicense'),
    )
)


class WeightsLicence(NamedTuple):
    """The licence of an encoder's weights.

    Attributes:
      name: of the encoder.
      sha256: of its weights.
      licence: an SPDX identifier or the words of its author; UNKNOWN where nothing is said.
    """

    name: str
    sha256: str
    licence: str


def accepted_licences(weights: Sequence[WeightsLicence], accepted: str) -> list[dict[str, str]]:
    """The licences of all encoders, for the data card: those that the user accepted as such.

    Args:
      weights: of the encoders.
      accepted: the name of a licence, `encoders.accept_licence`; '' for none.

    Raises:
      ValueError: the weights of an encoder are under a licence that limits their use, or whose name
        is unknown, and the user has not accepted it.
    """
    return [
        {'name': name, 'sha256': sha256, 'licence': _accepted(name, licence, accepted)}
        for name, sha256, licence in weights
    ]


def _accepted(name: str, licence: str, accepted: str) -> str:
    if licence.lower() in _FREE:
        return licence
    if licence == UNKNOWN:
        if accepted:
            return f'{accepted}, as the user states'
        raise ValueError(
            f'the licence of the weights of {name} is unknown, because the file does not name it: '
            'read the terms it came with, then give their name, which the cards record, as '
            '--config.encoders.accept_licence=NAME'
        )
    if licence.lower() == accepted.lower():
        return f'{licence}, accepted by the user'
    raise ValueError(
        f'the weights of {name} are under the licence {licence!r}, which may not allow every use: '
        f"if it allows yours, give --config.encoders.accept_licence='{licence}'"
    )

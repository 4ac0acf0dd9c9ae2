"""What was taken from the photograph of a probe, for results."""

from typing import Any, NamedTuple

from diface_jax.encoders.face.full_width import FULL_WIDTH
from diface_jax.gallery.entries import Box

_BLURRED = 0.75  # share of a face's width from which it is called blurred


class PhotoSummary(NamedTuple):
    """What was taken from a probe's photo.

    Attributes:
      name: path of the file; '' of bytes.
      box: left, top, right, bottom of the face, in pixels.
      face_px: width of the face, in pixels (see `align.face_width`).
      detail_px: width of a sharp face that shows as much; less than `face_px` of a blurred one.
      faces: how many faces the photo shows.
    """

    name: str
    box: Box
    face_px: float
    detail_px: float
    faces: int

    @property
    def size(self) -> str:
        """How large and how sharp the face is, as the end of a sentence."""
        wide = f'{round(self.face_px)} pixels wide'
        if self.detail_px > _BLURRED * min(self.face_px, FULL_WIDTH):
            return wide
        return f'{wide}, but no sharper than one of {round(self.detail_px)} pixels'

    @property
    def title(self) -> str:
        """The file, or what stands for it."""
        return self.name or 'a photo'

    @property
    def notes(self) -> list[str]:
        """What the user should know of how the photo was read, a sentence each."""
        if self.faces == 1:
            return []
        return [
            f'the photo shows {self.faces} faces, and the largest is taken: cut out another if it '
            'is meant'
        ]

    def to_json(self) -> dict[str, Any]:
        """As the documented schema."""
        values = self._asdict()
        return {'photo': values.pop('name'), **values}

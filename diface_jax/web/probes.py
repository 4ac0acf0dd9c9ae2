"""The photographs that people search by: their faces, in memory alone."""

import collections
import hashlib
import threading

from diface_jax.gallery.probe_photo import ProbePhoto

MOST = 64  # kept, of all open pages; about 0.2 MB each


class ProbePhotos:
    """The faces of the latest photographs, each for whom it was given by."""

    def __init__(self) -> None:
        self._photos: collections.OrderedDict[tuple[str, str], ProbePhoto] = (
            collections.OrderedDict()
        )
        self._changing = threading.Lock()

    def keep(self, user: str, data: bytes, photo: ProbePhoto) -> str:
        """Keeps what was made of a photo's bytes; returns its key."""
        key = hashlib.sha256(data).hexdigest()
        with self._changing:
            self._photos[user, key] = photo
            self._photos.move_to_end((user, key))
            while len(self._photos) > MOST:
                self._photos.popitem(last=False)
        return key

    def photo(self, user: str, key: str) -> ProbePhoto | None:
        """The photo of a key; None of '', which is no photo. Raises ValueError where it is gone."""
        if not key:
            return None
        photo = self._photos.get((user, key))
        if photo is None:
            raise ValueError('the photo is no longer in memory: choose it again')
        return photo

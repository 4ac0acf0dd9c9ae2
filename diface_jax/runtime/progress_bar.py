"""A progress bar that moves every second, also while a single step takes a minute."""

import threading

from tqdm import tqdm

_SECONDS = 1.0


class ProgressBar(tqdm):
    """A tqdm bar whose elapsed time goes on between its updates, as while XLA compiles.

    A `delay` is the time until the bar is shown for the first time.
    """

    def __init__(self, *args: object, **settings: object) -> None:
        self._closed = threading.Event()
        super().__init__(*args, **settings)
        if not self.disable:
            threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self) -> None:
        while not self._closed.wait(_SECONDS):
            now = self._time()
            if now >= self.start_t + self.delay:
                self.last_print_t = now  # it is on the screen, so `close` has to clear it
                self.refresh()

    def close(self) -> None:
        """Stops the clock, and the bar."""
        self._closed.set()
        super().close()

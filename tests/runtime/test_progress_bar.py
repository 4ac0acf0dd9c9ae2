"""Bars move while their work does not."""

import io
import threading

import pytest

from diface_jax.runtime import hosts, progress_bar


class Screen(io.StringIO):
    """What is written, and an event for each time that it says something new."""

    def __init__(self):
        super().__init__()
        self.seen = threading.Semaphore(0)

    def write(self, text):
        if text.strip():
            self.seen.release()
        return super().write(text)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(progress_bar, '_SECONDS', 0.01)


def test_it_is_drawn_again_without_an_update():
    screen = Screen()
    with progress_bar.ProgressBar(total=2, desc='texts', file=screen):
        assert all(screen.seen.acquire(timeout=5) for _ in range(5))
    assert 'texts' in screen.getvalue()


def test_it_stands_still_once_it_is_closed():
    screen = Screen()
    bar = progress_bar.ProgressBar(total=2, file=screen)
    bar.close()
    before = screen.getvalue()
    threading.Event().wait(0.05)
    assert screen.getvalue() == before


def test_short_work_shows_nothing_and_long_work_its_time(monkeypatch, capsys):
    with hosts.working('fits the encoder'):
        threading.Event().wait(0.05)
    assert 'fits' not in capsys.readouterr().err
    screen = Screen()
    with progress_bar.ProgressBar(
        desc='fits', bar_format='{desc}: {elapsed}', leave=False, delay=0.02, file=screen
    ):
        assert screen.seen.acquire(timeout=5)
    assert 'fits: 00:0' in screen.getvalue()
    assert screen.getvalue().endswith('\r')

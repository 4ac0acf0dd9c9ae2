"""The page opens in a browser where there is a screen."""

import threading

import pytest

from diface_jax.web import browser

ADDRESS = 'http://127.0.0.1:8080'


@pytest.mark.parametrize(
    ('platform', 'variables', 'opens'),
    [
        ('linux', {}, False),
        ('linux', {'DISPLAY': ':0'}, True),
        ('linux', {'WAYLAND_DISPLAY': 'wayland-0'}, True),
        ('darwin', {}, True),
    ],
)
def test_it_opens_where_there_is_a_screen(monkeypatch, platform, variables, opens):
    opened, done = [], threading.Event()

    def open_page(address):
        opened.append(address)
        done.set()

    monkeypatch.setattr(browser.webbrowser, 'open', open_page)
    monkeypatch.setattr(browser.sys, 'platform', platform)
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert browser.open_in_browser(ADDRESS) == opens
    assert done.wait(5 if opens else 0) == opens
    assert opened == [ADDRESS] * opens

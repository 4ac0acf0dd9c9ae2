"""Tokens of people and sessions of browsers."""

import hashlib
import hmac

import pytest

from diface_jax.web import tokens
from tests.web.conftest import TOKEN


def test_a_session_ends_by_itself(monkeypatch):
    sessions, now = tokens.Sessions(), tokens.time.monotonic()
    secret = sessions.start('anna')
    assert sessions.user_of(secret) == 'anna'
    monkeypatch.setattr(tokens.time, 'monotonic', lambda: now + 13 * 3600)
    assert sessions.user_of(secret) is None


def test_tokens_are_compared_in_constant_time(monkeypatch):
    """All of them, each by its digest, whichever fits."""
    digests = {name: hashlib.sha256(name.encode()).digest() for name in ('anna', 'ben', 'cleo')}
    compared = []

    def compare(given, known):
        compared.append((given, known))
        return hmac.compare_digest(given, known)

    monkeypatch.setattr(tokens, 'hmac', type('hmac', (), {'compare_digest': staticmethod(compare)}))
    known_tokens = tokens.Tokens(digests)
    for token, user in (('anna', 'anna'), ('cleo', 'cleo'), ('nobody', None)):
        compared.clear()
        assert known_tokens.user_of(token) == user
        assert compared == [(hashlib.sha256(token.encode()).digest(), k) for k in digests.values()]


def test_a_token_file_may_hold_hashes(tmp_path):
    file = tmp_path / 'tokens'
    file.write_text(f'ben:sha256:{hashlib.sha256(b"short").hexdigest()}\n')
    file.chmod(0o644)  # a hash is no secret
    people = tokens.read_tokens(file)
    assert (people.user_of('short'), people.user_of('other')) == ('ben', None)


@pytest.mark.parametrize(
    ('text', 'why'),
    [
        ('', 'names nobody'),
        ('anna', 'line 1 is not of the form NAME:TOKEN'),
        (f'an na:{TOKEN}', 'line 1 is not of the form'),
        ('\nanna:short', 'line 2: a token has at least 20'),
        (f'anna:{TOKEN}\nanna:{TOKEN}', 'line 2: anna has a token already'),
    ],
)
def test_a_token_file_that_cannot_be_used_is_explained(tmp_path, text, why):
    file = tmp_path / 'tokens'
    file.write_text(text)
    with pytest.raises(ValueError, match=why):
        tokens.read_tokens(file)


def test_tokens_that_others_can_read_are_refused(token_file):
    token_file.chmod(0o640)
    with pytest.raises(ValueError, match='others can read it: chmod 600'):
        tokens.read_tokens(token_file)

"""Fixtures shared with the tests of galleries, and the server over an empty gallery."""

import shutil
import subprocess

import pytest

from tests.gallery.conftest import command, model  # noqa: F401
from tests.web.requests import LOCAL

TOKEN = 'a-token-that-nobody-can-guess'


@pytest.fixture
def page(model, tmp_path):  # noqa: F811
    """The server as it is started without options."""
    testclient = pytest.importorskip('fastapi.testclient')
    from diface_jax.web.application import application

    with testclient.TestClient(application(model, tmp_path / 'gallery'), LOCAL) as client:
        yield client


@pytest.fixture
def still_clock(monkeypatch):
    """Time does not pass for rate limits, however slow the machine is."""
    limits = pytest.importorskip('diface_jax.web.limits')
    from diface_jax.web import access, application

    for module in (access, application):
        monkeypatch.setattr(
            module, 'RateLimit', lambda per_minute: limits.RateLimit(per_minute, lambda: 0.0)
        )


@pytest.fixture
def token_file(tmp_path):
    """Anna may ask, by TOKEN."""
    file = tmp_path / 'tokens'
    file.write_text(f'# who may ask\nanna:{TOKEN}\n\n')
    file.chmod(0o600)
    return file


@pytest.fixture(scope='session')
def certificate(tmp_path_factory):
    """The options for TLS: a certificate for localhost that signs itself."""
    if not shutil.which('openssl'):
        pytest.skip('needs openssl')
    folder = tmp_path_factory.mktemp('tls')
    options = {'tls_certificate': folder / 'certificate.pem', 'tls_key': folder / 'key.pem'}
    making = ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']
    making += ['-nodes', '-days', '2', '-subj', '/CN=localhost']
    making += ['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
    making += ['-out', options['tls_certificate'], '-keyout', options['tls_key']]
    subprocess.run(making, check=True, capture_output=True)
    return options

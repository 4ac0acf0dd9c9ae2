"""Which settings of the server go together."""

import subprocess

import pytest

from diface_jax.web.options import ServerOptions, default_audit_log

TLS = {'tls_certificate': 'none.pem', 'tls_key': 'none.pem'}


@pytest.mark.parametrize(
    ('options', 'why'),
    [
        ({'host': '0.0.0.0'}, 'can be reached by others: give --token_file'),
        ({'host': 'photos.example'}, 'can be reached by others'),
        ({'host': '192.168.0.7', 'token_file': 'tokens'}, 'clear text: give --tls_certificate'),
        ({'proxy': '10.0.0.1'}, '--proxy lets others in: give --token_file'),
        ({'proxy': '10.0.0.1', 'token_file': 'tokens'}, '--server_name=NAME'),
        ({'proxy': 'nginx'}, '--proxy=nginx is no IP address'),
        ({'tls_key': 'key.pem'}, 'go together'),
        (TLS, '--tls_certificate=none.pem and --tls_key=none.pem cannot be used: .*No such file'),
        (
            {'host': '0.0.0.0', 'token_file': 'tokens', 'proxy': '10.0.0.1', 'server_names': ()},
            '--server_name',
        ),
    ],
)
def test_what_would_let_others_in_is_refused(options, why):
    with pytest.raises(ValueError, match=why):
        ServerOptions(**options)


@pytest.mark.parametrize('host', ['127.0.0.1', '127.0.0.2', 'localhost', '::1'])
def test_this_machine_needs_no_token(host):
    options = ServerOptions(host=host)
    assert host in options.names
    assert 'localhost' in options.names


def test_a_proxy_stands_for_tls():
    options = ServerOptions(
        host='0.0.0.0', token_file='tokens', proxy='10.0.0.1', server_names=('Photos.example',)
    )
    assert options.names >= {'photos.example', '127.0.0.1'}
    assert options.address == 'http://Photos.example:8080'


def test_a_wildcard_host_with_tls_needs_a_name(certificate):
    options = {'host': '0.0.0.0', 'token_file': 'tokens', **certificate}
    with pytest.raises(ValueError, match='is every address of this machine: give --server_name'):
        ServerOptions(**options)
    named = ServerOptions(**options, server_names=('photos.example',))
    assert named.address == 'https://photos.example:8080'
    assert ServerOptions(host='192.168.0.7', token_file='tokens', **certificate).names == {
        '192.168.0.7'
    }


def test_a_key_with_a_password_is_refused_without_asking(certificate, tmp_path):
    locked = tmp_path / 'locked.pem'
    command = ['openssl', 'pkey', '-in', certificate['tls_key'], '-out', locked]
    subprocess.run([*command, '-aes128', '-passout', 'pass:secret'], check=True)
    with pytest.raises(ValueError, match='without a password'):
        ServerOptions(tls_certificate=certificate['tls_certificate'], tls_key=locked)


def test_the_audit_log_lies_beside_the_gallery(tmp_path):
    assert default_audit_log(f'{tmp_path}/mine/') == tmp_path / 'mine.audit.jsonl'
    with pytest.raises(ValueError, match='needs --audit_log=FILE'):
        default_audit_log('postgresql://host/photos')


@pytest.mark.parametrize(
    ('arguments', 'why'),
    [
        (['--host=0.0.0.0'], 'can be reached by others'),
        (['--token_file=/no/file', '--audit_log=none'], '/no/file'),
    ],
)
def test_the_command_says_what_is_missing(command, tmp_path, arguments, why):
    code, said = command('serve', f'--gallery={tmp_path / "gallery"}', *arguments)
    assert code == 1
    assert why in said

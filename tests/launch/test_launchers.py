"""Every launcher: its help, its settings, and that it ends in the same command."""

import os
import pathlib
import shlex
import subprocess
import sysconfig

import pytest

from tests.launch.conftest import LAUNCH, PROGRAM

# What each needs.
SETTINGS = {
    'single_node.sh': (),
    'docker.sh': ('--storage=/mnt/diface',),
    'tpu_vm.sh': (
        *('--project=p', '--zone=z', '--accelerator_type=v6e-8', '--image=registry/p/diface'),
        '--nfs=server:/share',
    ),
    'gke.sh': ('--image=diface', '--claim=shared', '--topology=8x8'),
    'slurm.sh': ('--gpus_per_node=8', '--time=04:00:00'),
}
ON_MANY_HOSTS = ('tpu_vm.sh', 'gke.sh', 'slurm.sh')
SCRIPTS = sorted(LAUNCH.glob('*.sh'))
TOOLS = pathlib.Path(sysconfig.get_path('scripts'))


def words(line):
    """The words of a line, and of a line of shell that one of them is."""
    found = shlex.split(line)
    return found + [word for outer in found if ' -m diface_jax' in outer for word in words(outer)]


@pytest.mark.parametrize('path', SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse(path):
    subprocess.run(['bash', '-n', path], check=True)


def test_shellcheck_finds_nothing():
    subprocess.run([TOOLS / 'shellcheck', '-x', *SCRIPTS], check=True)


def test_hadolint_finds_nothing():
    subprocess.run([TOOLS / 'hadolint', LAUNCH / 'Dockerfile'], check=True)


def test_every_launcher_is_tested():
    programs = {path.name for path in SCRIPTS if os.access(path, os.X_OK)}
    assert programs - {'restart.sh', 'quickstart.sh', 'search.sh'} == set(SETTINGS)


@pytest.mark.parametrize('name', SETTINGS)
def test_it_ends_in_the_program_and_passes_arguments_through(launch, name):
    ran = launch(name, *SETTINGS[name], *PROGRAM, '--config.seed=3', '--mode=train', '--dry-run')
    assert ran.returncode == 0, ran.stderr
    if name == 'gke.sh':  # test_gke.py reads the manifest
        return
    [line] = [line for line in ran.stdout.splitlines() if 'diface_jax.main' in line]
    found = words(line.removesuffix(' || status=$?'))
    start = found.index('diface_jax.main') - 2
    expected = ['python', '-m', 'diface_jax.main', *PROGRAM, '--config.seed=3', '--mode=train']
    if name in ON_MANY_HOSTS:
        expected.append('--distributed')
    assert found[start : start + len(expected)] == expected


@pytest.mark.parametrize('name', SETTINGS)
def test_help_explains_every_setting_and_says_where_it_never_ran(launch, name):
    ran = launch(name, '--help')
    assert ran.returncode == 0
    source = (LAUNCH / name).read_text()
    [settings] = [line for line in source.splitlines() if line.startswith('read_settings')]
    for setting in settings.split('"$@"')[0].replace("'", '').split()[1:]:
        assert f'--{setting}' in ran.stdout
    assert 'never run' in ran.stdout.lower()
    assert '--dry-run' in ran.stdout


@pytest.mark.parametrize('name', SETTINGS)
def test_each_missing_setting_is_refused(launch, name):
    arguments = (*SETTINGS[name], *PROGRAM)
    for missing in arguments:
        ran = launch(name, *(given for given in arguments if given != missing), '--dry-run')
        assert ran.returncode == 2
        assert missing.split('=')[0] in ran.stderr
        assert not ran.stdout


def test_settings_from_the_environment_and_flags_before_them(launch):
    variables = {'DIFACE_GPUS_PER_NODE': '4', 'DIFACE_TIME': '01:00:00'}
    ran = launch('slurm.sh', *PROGRAM, '--time=02:00:00', '--dry-run', **variables)
    assert '#SBATCH --gpus-per-node=4' in ran.stdout
    assert '#SBATCH --time=02:00:00' in ran.stdout


@pytest.mark.parametrize(
    ('name', 'wrong'),
    [
        ('gke.sh', '--topology=64'),
        ('gke.sh', '--chips_per_host=3'),
        ('slurm.sh', '--gpus_per_node=all'),
        ('docker.sh', '--accelerator=gpu'),
        ('docker.sh', '--storage=data'),
        ('slurm.sh', '--nodes=two'),
        ('slurm.sh', '--nodes=0'),
        ('slurm.sh', '--cpus_per_task=08x'),
        ('gke.sh', '--chips_per_host=four'),
        ('tpu_vm.sh', '--poll_seconds=soon'),
        ('tpu_vm.sh', '--spot=no'),
    ],
)
def test_wrong_settings_are_refused(launch, name, wrong):
    ran = launch(name, *SETTINGS[name], *PROGRAM, wrong, '--dry-run')
    assert ran.returncode == 2
    assert wrong.split('=')[1] in ran.stderr


@pytest.mark.parametrize(('accelerator', 'flag'), [('cuda', '--gpus=all'), ('tpu', '--privileged')])
def test_docker_gives_the_container_its_devices(launch, accelerator, flag):
    settings = (*SETTINGS['docker.sh'], f'--accelerator={accelerator}')
    build, run = launch('docker.sh', *settings, *PROGRAM, '--dry-run').stdout.splitlines()
    assert f'--target={accelerator}' in build
    assert flag in run
    assert f'AS {accelerator}\n' in (LAUNCH / 'Dockerfile').read_text()


@pytest.mark.parametrize('name', ['docker.sh', 'gke.sh', 'tpu_vm.sh'])
@pytest.mark.parametrize(
    'outside',
    [
        *('--workdir=/home/me/run', '--workdir=run', '--workdir=/mnt/diface2/run'),
        *('--workdir=/mnt/diface/../run', '--gallery=/home/me/gallery'),
    ],
)
def test_output_outside_the_mounted_storage_is_refused(launch, name, outside):
    ran = launch(name, *SETTINGS[name], *PROGRAM, outside, '--dry-run')
    assert ran.returncode == 2
    assert f'{outside} is outside /mnt/diface' in ran.stderr
    assert not ran.stdout


def test_restart_explains_itself(launch):
    ran = launch('restart.sh', '--help')
    assert ran.returncode == 0
    assert 'launch/restart.sh COMMAND...' in ran.stdout
    assert '#' not in ran.stdout
    without_command = launch('restart.sh')
    assert without_command.returncode == 2
    assert 'launch/restart.sh COMMAND...' in without_command.stderr


def test_quickstart_dry_run_prints_its_commands_and_makes_nothing(launch, tmp_path):
    before = set(LAUNCH.parent.iterdir())
    ran = launch('quickstart.sh', '--dry-run', tmp_path / 'a run')
    assert ran.returncode == 0, ran.stderr
    commands = [line for line in ran.stdout.splitlines() if 'diface_jax.main' in line]
    modes = [word for line in commands for word in shlex.split(line) if word.startswith('--mode=')]
    assert modes == ['--mode=enroll', '--mode=search']
    workdir = f'{tmp_path}/a run'
    assert all(
        {f'--workdir={workdir}', f'--model={workdir}'} & set(shlex.split(line)) for line in commands
    )
    assert not (tmp_path / 'a run').exists()
    assert set(LAUNCH.parent.iterdir()) == before


def commands_of(ran, cwd):
    """The program's arguments in a dry run, a list for each time that it is run."""
    assert ran.returncode == 0, ran.stderr
    assert not (cwd / 'gallery').exists()
    lines = [line for line in ran.stdout.splitlines() if 'diface_jax.main' in line]
    return [shlex.split(line)[3:] for line in lines]


def test_search_enrols_and_opens_the_page(launch, tmp_path):
    (tmp_path / 'my photos').mkdir()
    ran = launch('search.sh', '--dry-run', 'my photos')
    gallery = f'--gallery={LAUNCH.parent}/gallery'
    assert commands_of(ran, tmp_path) == [
        [gallery, '--mode=enroll', f'--photos={tmp_path}/my photos'],
        [gallery, '--mode=serve', '--port=8080', '--open'],
    ]
    assert '.[faces,web]' in shlex.split(ran.stdout)


def test_search_in_the_terminal_with_a_model_and_gallery_of_ones_own(launch, tmp_path):
    for name in ('photos', 'pack'):
        (tmp_path / name).mkdir()
    options = ('--gallery=a gallery', '--text=a bald man', '--model=pack')
    ran = launch('search.sh', *options, 'photos', '--dry-run')
    both = [f'--gallery={tmp_path}/a gallery', f'--model={tmp_path}/pack']
    assert commands_of(ran, tmp_path) == [
        [*both, '--mode=enroll', f'--photos={tmp_path}/photos'],
        [*both, '--mode=search', '--text=a bald man'],
    ]


def test_search_keeps_the_name_of_a_pack(launch, tmp_path):
    enrol, serve = commands_of(
        launch('search.sh', '--model=celeba_lfw', '--port=9000', '--dry-run', tmp_path), tmp_path
    )
    assert '--model=celeba_lfw' in enrol
    assert {'--model=celeba_lfw', '--port=9000'} <= set(serve)


@pytest.mark.parametrize(
    ('arguments', 'says'),
    [
        ((), 'usage'),
        (('there-is-no-such',), 'there is no folder there-is-no-such'),
        (('.', '.'), 'usage'),
        (('--workdir=here', '.'), 'usage'),
    ],
)
def test_search_says_what_is_wrong(launch, arguments, says):
    ran = launch('search.sh', *arguments)
    assert ran.returncode == 1
    assert says in ran.stderr
    assert 'launch/search.sh [OPTION...] PHOTOS' in launch('search.sh', '--help').stdout

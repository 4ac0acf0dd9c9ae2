"""The JobSet that launch/gke.sh makes: its schema, and what the program depends on."""

import pytest
import yaml
from kubeflow_trainer_api.models.jobset_v1alpha2_job_set import JobsetV1alpha2JobSet
from yamllint import linter
from yamllint.config import YamlLintConfig

from tests.launch.conftest import PROGRAM
from tests.launch.test_launchers import SETTINGS


@pytest.fixture
def text(launch):
    ran = launch('gke.sh', *SETTINGS['gke.sh'], *PROGRAM, "--config.x=it's", '--dry-run')
    command, *lines, end, _ = ran.stdout.split('\n')
    assert command == "kubectl create --namespace=default --filename=- <<'END'"
    assert end == 'END'
    return '\n'.join(lines) + '\n'


@pytest.fixture
def jobset(text):
    return yaml.safe_load(text)


@pytest.fixture
def job(jobset):
    [replicated] = jobset['spec']['replicatedJobs']
    assert replicated['replicas'] == 1
    return replicated['template']['spec']


@pytest.fixture
def pod(job):
    return job['template']['spec']


def test_yamllint_finds_nothing(text):
    rules = 'extends: default\nrules: {line-length: disable}'
    assert list(linter.run(text, YamlLintConfig(rules))) == []


def test_it_is_a_jobset_by_the_schema_down_to_the_pod(jobset):
    # The models drop what they do not know, so that only a valid manifest survives them.
    assert JobsetV1alpha2JobSet.from_dict(jobset).to_dict() == jobset


@pytest.mark.parametrize('level', ['jobset', 'job', 'pod'])
def test_the_schema_knows_what_it_does_not_know(jobset, job, pod, level):
    {'jobset': jobset['spec'], 'job': job, 'pod': pod}[level]['restartpolicy'] = 'Never'
    assert JobsetV1alpha2JobSet.from_dict(jobset).to_dict() != jobset


def test_a_pod_a_host_numbered(job, pod):
    assert job['parallelism'] == job['completions'] == 64 // 4
    assert job['completionMode'] == 'Indexed'
    [container] = pod['containers']
    assert container['resources']['limits'] == {'google.com/tpu': 4}


def test_the_slice_is_chosen_by_accelerator_and_topology(pod):
    assert pod['nodeSelector'] == {
        'cloud.google.com/gke-tpu-accelerator': 'tpu-v6e-slice',
        'cloud.google.com/gke-tpu-topology': '8x8',
    }


def test_the_command_is_the_program_word_by_word(pod):
    [container] = pod['containers']
    program = ['python', '-m', 'diface_jax.main']
    assert container['command'] == [*program, *PROGRAM, "--config.x=it's", '--distributed']


def test_the_storage_is_where_the_program_looks(pod):
    [container], [volume] = pod['containers'], pod['volumes']
    assert container['volumeMounts'] == [{'name': volume['name'], 'mountPath': '/mnt/diface'}]
    assert volume['persistentVolumeClaim'] == {'claimName': 'shared'}


def test_75_or_a_lost_node_restarts_all_pods_and_nothing_else_does(jobset, job, pod):
    [container] = pod['containers']
    # Job: these, and nothing else, make it fail for the reason PodFailurePolicy.
    assert pod['restartPolicy'] == 'Never'
    assert job['backoffLimit'] == 0
    exit_code, lost_node = job['podFailurePolicy']['rules']
    assert exit_code == {
        'action': 'FailJob',
        'onExitCodes': {'containerName': container['name'], 'operator': 'In', 'values': [75]},
    }
    assert lost_node['onPodConditions'] == [{'type': 'DisruptionTarget', 'status': 'True'}]
    # JobSet: that reason restarts it, without counting; the next rule is for all others.
    policy = jobset['spec']['failurePolicy']
    restart, fail = policy['rules']
    assert policy['maxRestarts'] == 0
    assert restart['action'] == 'RestartJobSetAndIgnoreMaxRestarts'
    assert restart['onJobFailureReasons'] == ['PodFailurePolicy']
    assert fail['action'] == 'FailJobSet'
    assert 'onJobFailureReasons' not in fail


def test_there_is_time_to_save(pod):
    assert pod['terminationGracePeriodSeconds'] >= 60

#!/usr/bin/env bash
# DiFace on a TPU slice of a GKE cluster: a JobSet of one pod a host, for kubectl's current context.
#
#   launch/gke.sh --image=IMAGE --claim=CLAIM --accelerator=tpu-v6e-slice --topology=8x8 \
#     --config=configs/tpu_64.py --config.data.root=/mnt/diface/celeba --workdir=/mnt/diface/run
#
# The cluster needs JobSet (0.6 or later) and a node pool of that accelerator and topology. All
# pods start again when one exits with 75 (stopped from outside) or loses its node, and on nothing
# else: any other exit fails the JobSet. Spot nodes leave a pod less than half a minute to save.
# Logs: kubectl logs --follow job/NAME-hosts-0. To start a finished one again, or to stop one:
# kubectl delete jobset NAME; the same command then goes on from WORKDIR.
#
#   --image              made by launch/docker.sh --accelerator=tpu and pushed to your registry
#   --claim              a persistent volume claim that all hosts may write to (ReadWriteMany), with
#                        the photographs and WORKDIR; mounted at /mnt/diface
#   --accelerator        the node pool's cloud.google.com/gke-tpu-accelerator (tpu-v6e-slice)
#   --topology           its cloud.google.com/gke-tpu-topology: 1x1, 2x4, 8x8 ...
#   --chips_per_host     of its machine type: 4 for ct6e-standard-4t (4)
#   --name, --namespace  of the JobSet (diface, default)
#   --dry-run            print the command with its manifest, and run nothing
#
# A setting can also be given as DIFACE_IMAGE and so on; all else goes to the program.
# This was never run on GKE: the manifest is checked against JobSet's and Kubernetes' schemas.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$0")/common.sh"

image='' claim='' accelerator=tpu-v6e-slice topology='' chips_per_host=4 name=diface
namespace=default
read_settings 'image claim accelerator topology chips_per_host name namespace' "$@"
require image claim accelerator topology chips_per_host
[[ $topology =~ ^[0-9]+(x[0-9]+)+$ ]] || refuse "--topology=$topology is none like 2x4"
require_number 1 chips_per_host
require_output_in /mnt/diface
chips=$((${topology//x/*}))
hosts=$((chips / chips_per_host))
((hosts * chips_per_host == chips)) || refuse "$chips chips are no multiple of $chips_per_host a host"
program+=(--distributed)

# A YAML list of the program's words.
command_list() {
  local word twice="''"
  for word in "${program[@]}"; do
    printf "                    - '%s'\n" "${word//\'/$twice}"
  done
}

manifest="---
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: '$name'
  annotations:
    # The whole slice for this job.
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
spec:
  failurePolicy:
    maxRestarts: 0
    rules:
      # The reason that a match in podFailurePolicy leaves.
      - name: stopped
        action: RestartJobSetAndIgnoreMaxRestarts
        onJobFailureReasons: [PodFailurePolicy]
      - name: failed
        action: FailJobSet
  replicatedJobs:
    - name: hosts
      replicas: 1
      template:
        spec:
          parallelism: $hosts
          completions: $hosts
          completionMode: Indexed
          backoffLimit: 0
          podFailurePolicy:
            rules:
              - action: FailJob
                onExitCodes: {containerName: diface, operator: In, values: [75]}
              - action: FailJob
                onPodConditions: [{type: DisruptionTarget, status: 'True'}]
          template:
            spec:
              restartPolicy: Never
              # Time for the last checkpoint after SIGTERM.
              terminationGracePeriodSeconds: 120
              nodeSelector:
                cloud.google.com/gke-tpu-accelerator: '$accelerator'
                cloud.google.com/gke-tpu-topology: '$topology'
              containers:
                - name: diface
                  image: '$image'
                  command:
$(command_list)
                  # The TPU runtime's port, and the coordinator's of jax.distributed.
                  ports:
                    - {containerPort: 8471, protocol: TCP}
                    - {containerPort: 8482, protocol: TCP}
                  resources:
                    limits: {google.com/tpu: $chips_per_host}
                  securityContext: {privileged: true}
                  volumeMounts:
                    - {name: storage, mountPath: /mnt/diface}
              volumes:
                - name: storage
                  persistentVolumeClaim: {claimName: '$claim'}"

run_with "$manifest" kubectl create --namespace="$namespace" --filename=-

#!/usr/bin/env bash
# DiFace on a Cloud TPU slice: asks for it (a queued resource), waits, and runs on all of its hosts.
#
#   launch/tpu_vm.sh --project=PROJECT --zone=ZONE --accelerator_type=v6e-8 --image=IMAGE \
#     --nfs=SERVER:/SHARE --config=configs/tpu_8.py --config.data.root=/mnt/diface/celeba \
#     --workdir=/mnt/diface/run
#
# The same command again goes on, whatever happened. It goes on by itself when the slice was taken
# away (it deletes the request, and makes another) and when the program exits with 75 (stopped from
# outside). Any other exit ends it. The slice is kept, and paid for, until you delete it: the last
# line says how.
#
#   --project, --zone     where
#   --accelerator_type    v6e-1, v6e-8, v6e-64 ...
#   --runtime_version     of the TPU VM (v2-alpha-tpuv6e)
#   --image               made by launch/docker.sh --accelerator=tpu and pushed to your registry,
#                         which the TPU VM's service account can read
#   --nfs=SERVER:/SHARE   Filestore or another NFS share in the slice's network, with the
#                         photographs and WORKDIR; every host mounts it at /mnt/diface
#   --name                of the queued resource and of the slice (diface)
#   --spot=yes            capacity that can be taken away at any time
#   --poll_seconds        between two looks at the queue (30)
#   --dry-run             print the commands of one round, and run nothing
#
# A setting can also be given as DIFACE_PROJECT and so on; all else goes to the program.
# This was never run on Google Cloud: it follows the documentation, and tests run it with a stand-in.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$0")/common.sh"

project='' zone='' accelerator_type='' runtime_version=v2-alpha-tpuv6e image='' nfs='' name=diface
spot='' poll_seconds=30
read_settings 'project zone accelerator_type runtime_version image nfs name spot poll_seconds' "$@"
require project zone accelerator_type image nfs
require_number 0 poll_seconds
[[ $spot == yes || -z $spot ]] || refuse "--spot=$spot is not yes; leave it out for a slice that stays"
require_output_in /mnt/diface
program+=(--distributed)
where=(--project="$project" --zone="$zone")

# The state of the queued resource; nothing if there is none.
state() {
  gcloud compute tpus queued-resources list "${where[@]}" \
    --filter="name ~ '/$name\$'" --format='value(state.state)'
}

create() {
  run gcloud compute tpus queued-resources create "$name" --node-id="$name" "${where[@]}" \
    --accelerator-type="$accelerator_type" --runtime-version="$runtime_version" ${spot:+--spot}
}

# Returns once the slice is there.
acquire() {
  local now
  while true; do
    now=$(state)
    case $now in
      ACTIVE) return ;;
      '') create ;;
      SUSPENDED) gcloud compute tpus queued-resources delete "$name" "${where[@]}" --force --quiet ;;
      FAILED)
        echo "the request failed: gcloud compute tpus queued-resources describe $name" >&2
        exit 1
        ;;
    esac
    echo "waiting for $accelerator_type: ${now:-asked for}" >&2
    sleep "$poll_seconds"
  done
}

# on_every_host COMMAND: a line of shell.
on_every_host() {
  run gcloud compute tpus tpu-vm ssh "$name" "${where[@]}" --worker=all \
    --ssh-flag=-oServerAliveInterval=30 --command="$1"
}

set_up="set -e; command -v mount.nfs || sudo apt-get install -y nfs-common; \
sudo mkdir -p /mnt/diface; mountpoint -q /mnt/diface || sudo mount -t nfs $nfs /mnt/diface; \
sudo gcloud auth configure-docker ${image%%/*} --quiet; sudo docker pull $image"
# A container that outlived a broken connection saves and goes, before the next one starts.
start="sudo docker stop --time=120 diface 2>/dev/null; sudo docker run --rm --init --name=diface \
--privileged --net=host -v /mnt/diface:/mnt/diface $image $(quoted "${program[@]}")"

# One round: 0 when the program is done, else its exit code.
round() {
  on_every_host "$set_up" && on_every_host "$start"
}

if [[ $dry_run ]]; then
  create
  round
  exit
fi
while true; do
  acquire
  status=0
  round || status=$?
  [[ $status != 0 ]] || break
  sleep "$poll_seconds" # a slice that was taken away is told as such a little later
  [[ $status == 75 || $(state) != ACTIVE ]] || break
done
echo "to give the slice back: $(quoted gcloud compute tpus queued-resources delete "$name" \
  "${where[@]}" --force)" >&2
exit "$status"

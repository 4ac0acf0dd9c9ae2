#!/usr/bin/env bash
# DiFace in a container on this machine: builds the image, and runs the program in it.
#
#   launch/docker.sh --accelerator=cuda --storage=/data --config=configs/celeba.py \
#     --config.data.root=/data/celeba --workdir=/data/run
#
# It runs again when it exits with 75 (stopped from outside), and only then.
#
#   --accelerator=cpu|cuda|tpu   what the image is for (cpu)
#   --storage=FOLDER             with the photographs, WORKDIR and galleries: the container sees it
#                                under the same name, and keeps nothing that is written elsewhere
#   --image=IMAGE                what the image is called (diface:ACCELERATOR); to use it on other
#                                machines, give a name in your registry and `docker push` it
#   --dry-run                    print the commands, and run nothing
#
# A setting can also be given as DIFACE_ACCELERATOR and so on; all else goes to the program.
# This was never run with Docker itself, nor on a GPU or TPU; launch/Dockerfile says what was built.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$0")/common.sh"

accelerator=cpu storage='' image=''
read_settings 'accelerator storage image' "$@"
require storage
[[ $storage == /* ]] || refuse "--storage=$storage must be a full path"
require_output_in "$storage"
case $accelerator in
  cpu) devices=() ;;
  cuda) devices=(--gpus=all --ipc=host) ;;  # NCCL talks through shared memory
  tpu) devices=(--privileged --net=host) ;;
  *) refuse "--accelerator=$accelerator is none of cpu, cuda and tpu" ;;
esac
image=${image:-diface:$accelerator}

run docker build -f "$launch/Dockerfile" --target="$accelerator" -t "$image" "$(dirname "$launch")"
run "$launch/restart.sh" docker run --rm --init ${devices[@]+"${devices[@]}"} \
  -v "$storage:$storage" "$image" "${program[@]}"

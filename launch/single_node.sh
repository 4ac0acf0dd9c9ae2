#!/usr/bin/env bash
# DiFace on this machine, on all of its GPUs (or TPU chips, or CPU): one process sees them all.
#
#   launch/single_node.sh --config=configs/celeba.py --config.data.root=CELEBA --workdir=WORKDIR
#
# The batch is cut over the GPUs, and must divide by their number; CUDA_VISIBLE_DEVICES hides some.
# It runs again when it exits with 75 (stopped from outside), and only then.
#
#   --python=PYTHON   of the environment the project is installed in (python)
#   --dry-run         print the command, and run nothing
#
# A setting can also be given as DIFACE_PYTHON; all else goes to the program. Run on a CPU (stopped
# by SIGTERM, it went on by itself); never run on GPUs.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$0")/common.sh"

python=python
read_settings python "$@"
require python
program[0]=$python
run "$launch/restart.sh" "${program[@]}"

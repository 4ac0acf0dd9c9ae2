#!/usr/bin/env bash
# DiFace on GPU nodes of a SLURM cluster: a batch job of one process a GPU.
#
#   launch/slurm.sh --nodes=2 --gpus_per_node=8 --time=04:00:00 --config=configs/celeba.py \
#     --config.data.root=/shared/celeba --workdir=/shared/run
#
# Run it where the project is installed, in its environment; photographs and WORKDIR must be in a
# folder that all nodes share. Two minutes before its time is up the job saves, exits with 75 and
# goes back to the queue, as often as it takes; on no other exit.
#
#   --nodes           (1)
#   --gpus_per_node   0 for a CPU cluster
#   --cpus_per_task   a process: a GPU's share of its node (8)
#   --time            at most, of one turn: HH:MM:SS
#   --name            of the job, and of its log NAME-JOBID.log (diface)
#   --python          of the environment (python)
#   --dry-run         print the batch script, and submit nothing
#
# A setting can also be given as DIFACE_NODES and so on, and sbatch's own options by its variables:
# SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_QOS. All else goes to the program.
# Run with SLURM 22.05 on one node without GPUs: two processes trained; at a signal and at the time
# limit they stopped, and the job went back to the queue and on. Never run on GPUs or on several
# nodes.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$0")/common.sh"

nodes=1 gpus_per_node='' cpus_per_task=8 time='' name=diface python=python
read_settings 'nodes gpus_per_node cpus_per_task time name python' "$@"
require nodes gpus_per_node cpus_per_task time name python
require_number 1 nodes cpus_per_task
require_number 0 gpus_per_node
program[0]=$python
program+=(--distributed)

# JAX gives the task with local number i the node's GPU i, so each must see all of them: they are
# asked for by node, not by task.
script="#!/usr/bin/env bash
#SBATCH --job-name=$name
#SBATCH --output=$name-%j.log
#SBATCH --open-mode=append
#SBATCH --nodes=$nodes
#SBATCH --ntasks-per-node=$((gpus_per_node > 0 ? gpus_per_node : 1))
#SBATCH --cpus-per-task=$cpus_per_task
#SBATCH --gpus-per-node=$gpus_per_node
#SBATCH --time=$time
#SBATCH --signal=TERM@120
#SBATCH --requeue
set -uo pipefail
trap : TERM  # the program's to answer; this script waits for it
export SRUN_CPUS_PER_TASK=$cpus_per_task
status=0
# When one process has ended, the others have two minutes.
srun --wait=120 $(quoted "${program[@]}") || status=\$?
if [[ \$status == 75 ]]; then
  scontrol requeue \"\$SLURM_JOB_ID\"
fi
exit \"\$status\""
((gpus_per_node > 0)) || script=$(grep -v '^#SBATCH --gpus-per-node' <<<"$script")

run_with "$script" sbatch

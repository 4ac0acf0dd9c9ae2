#!/usr/bin/env bash
# Runs a command again for as long as it exits with 75: stopped from outside, to be gone on with.
#
#   launch/restart.sh COMMAND...
#
# Any other exit ends it, with the same code. SIGTERM and SIGINT are handed on to the command, and
# then 75 ends it too: it was this machine that was to stop.
set -euo pipefail

stopped=''
child=''
hand_on() {
  stopped=yes
  kill -s "$1" "$child" 2>/dev/null || true  # it may just have ended
}
trap 'hand_on TERM' TERM
trap 'hand_on INT' INT

while true; do
  "$@" &
  child=$!
  status=0
  wait "$child" || status=$?
  # A signal cuts `wait` short: the command is still at its last save.
  while kill -0 "$child" 2>/dev/null; do
    status=0
    wait "$child" || status=$?
  done
  if [[ $status != 75 || $stopped ]]; then
    exit "$status"
  fi
  echo 'stopped with exit code 75: the same command again' >&2
done

#!/usr/bin/env bash
# Runs a command again for as long as it exits with 75: stopped from outside, to be gone on with.
#
#   launch/restart.sh COMMAND...
#
# Any other exit ends it, with the same code. SIGTERM or Ctrl-C here is SIGTERM to the command, and
# then 75 ends it too: it was this machine, or its user, that was to stop.
set -euo pipefail

help() {
  sed -n -e 1d -e '/^#/!q' -e 's/^# \{0,1\}//p' "$0"
}

case ${1:-} in
  -h | --help)
    help
    exit
    ;;
  '' | -*)
    help >&2
    exit 2
    ;;
esac

stopped=''
interrupted=''
hand_on() {
  stopped=yes
  interrupted=yes
  kill -TERM "$child" 2>/dev/null || true # it may just have ended
}

while true; do
  "$@" &
  child=$!
  trap hand_on TERM INT
  status=0
  wait "$child" || status=$?
  # A signal cuts `wait` short, while the command is still at its last save.
  while [[ $interrupted ]]; do
    interrupted=''
    status=0
    wait "$child" || status=$?
  done
  if [[ $status != 75 || $stopped ]]; then
    exit "$status"
  fi
  echo 'stopped with exit code 75: the same command again' >&2
done

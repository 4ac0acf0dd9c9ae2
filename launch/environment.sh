# shellcheck shell=bash
# What the scripts share that install the program in .venv beside launch/, and then run it.
#
# They set dry_run, and source this.

python=${PYTHON:-python3}

# stop MESSAGE: why it cannot go on.
stop() {
  printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2
  exit 1
}

# explain: the comment at the top of the script.
explain() {
  sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0"
}

# run COMMAND...: runs it, or in a dry run prints it.
run() {
  if [ "$dry_run" ]; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

# install WHAT: into .venv of this folder, '.' or '.[EXTRAS]'.
install() {
  command -v "$python" > /dev/null || stop "no $python: install Python 3.11 or newer, or set PYTHON"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    stop "$("$python" --version) is too old: set PYTHON to Python 3.11 or newer"
  echo '== installs, into .venv'
  if [ ! -x .venv/bin/pip ]; then
    run "$python" -m venv .venv ||
      stop 'no environment could be made; on Debian and Ubuntu: apt install python3-venv'
  fi
  run .venv/bin/pip install --quiet -e "$1" ||
    stop 'pip could not install (see above): is there a network, and room on the disk? Then again'
}

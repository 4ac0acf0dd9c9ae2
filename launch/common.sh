# shellcheck shell=bash
# shellcheck disable=SC2034  # the launchers read these variables
# What the launchers share: settings, help, dry runs. Run with bash 5.2; it keeps to what 3.2 knows.
#
# A launcher gives its settings their defaults ('' is none), then calls `read_settings`.

launch=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dry_run=''
program=(python -m diface_jax.main) # the command that a launcher ends in

# read_settings 'NAME...' ARGUMENT...: each NAME from --NAME=VALUE, else from $DIFACE_NAME, else as
# it was. What is no setting is the program's.
read_settings() {
  local names=" $1 " argument setting variable
  shift
  for setting in $names; do
    variable=DIFACE_$(tr '[:lower:]' '[:upper:]' <<<"$setting")
    printf -v "$setting" %s "${!variable:-${!setting}}"
  done
  for argument in "$@"; do
    setting=${argument#--}
    setting=${setting%%=*}
    if [[ $argument == --help ]]; then
      show_help
      exit
    elif [[ $argument == --dry-run ]]; then
      dry_run=yes
    elif [[ $argument == --*=* && $names == *" $setting "* ]]; then
      printf -v "$setting" %s "${argument#*=}"
    else
      program+=("$argument")
    fi
  done
}

# The comment at the top of the launcher.
show_help() {
  sed -n -e 1d -e '/^#/!q' -e 's/^# \{0,1\}//p' "$0"
}

# refuse MESSAGE: what is wrong with the settings.
refuse() {
  printf '%s: %s; --help explains the settings\n' "$(basename "$0")" "$1" >&2
  exit 2
}

# require NAME...: settings that have no default.
require() {
  local setting
  for setting in "$@"; do
    if [[ -z ${!setting} ]]; then
      refuse "give --$setting=... (or DIFACE_$(tr '[:lower:]' '[:upper:]' <<<"$setting"))"
    fi
  done
  for setting in config workdir; do
    [[ " ${program[*]}" == *" --$setting="* ]] || refuse "give the program's --$setting=..."
  done
}

# require_number LOWEST NAME...: settings that are whole numbers, LOWEST or more.
require_number() {
  local lowest=$1 setting
  shift
  for setting in "$@"; do
    if ! [[ ${!setting} =~ ^[0-9]{1,9}$ ]] || ((10#${!setting} < lowest)); then
      refuse "--$setting=${!setting} is not a whole number of at least $lowest"
    fi
  done
}

# require_output_in FOLDER: what the program writes elsewhere is lost with its container.
require_output_in() {
  local folder=${1%/} word path
  for word in "${program[@]}"; do
    [[ $word == --workdir=* || $word == --gallery=* ]] || continue
    path=${word#*=}
    if [[ $path != "$folder" && $path != "$folder"/* || $path/ == */../* ]]; then
      refuse "$word is outside $folder, and what is written there is lost with the container"
    fi
  done
}

# run COMMAND...: runs it, or in a dry run prints it.
run() {
  if [[ $dry_run ]]; then
    quoted "$@"
  else
    "$@"
  fi
}

# run_with INPUT COMMAND...: the same, with INPUT on its standard input.
run_with() {
  local input=$1
  shift
  if [[ $dry_run ]]; then
    printf "%s <<'END'\n%s\nEND\n" "$(quoted "$@")" "$input"
  else
    "$@" <<<"$input"
  fi
}

# quoted COMMAND...: the command as a line that a shell reads back as the same words.
quoted() {
  local line
  printf -v line ' %q' "$@"
  printf '%s\n' "${line# }"
}

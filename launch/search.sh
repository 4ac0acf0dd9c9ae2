#!/usr/bin/env bash
# Search your own photographs by a description: install, enrol them, and open the page.
#
#   bash launch/search.sh [OPTION...] PHOTOS
#
# PHOTOS is a folder of photographs, with all folders inside it. It is only read.
#   --gallery=FOLDER  where the faces are kept (default: gallery/ beside launch/). Photographs of
#                     an earlier run stay in it: give each collection a gallery of its own.
#   --text=SENTENCE   search once, here in the terminal, and stop
#   --model=MODEL     a model pack, or the workdir of a training (default: the pack of the package)
#   --port=PORT       of the page, on this machine alone (default: 8080)
#   --dry-run         prints the commands, and makes nothing
#   --help            prints this text
#
# The environment is made in .venv beside launch/. Run it again at any time: what is there is not
# made again, and photographs that are new are added. PYTHON=/path/to/python3.11 names the Python to
# use. To remove all of it, delete .venv, and the gallery with
# .venv/bin/diface --mode=delete --gallery=FOLDER --everything.
set -euo pipefail

dry_run='' photos='' gallery='' text='' port=8080 model=()
# shellcheck source=SCRIPTDIR/environment.sh
source "$(dirname "$0")/environment.sh"

usage='usage: bash launch/search.sh [--gallery=FOLDER] [--text=SENTENCE] [--dry-run] PHOTOS; see --help'
for argument in "$@"; do
  case $argument in
    -h | --help)
      explain
      exit
      ;;
    --dry-run) dry_run=yes ;;
    --gallery=?*) gallery=${argument#*=} ;;
    --text=?*) text=${argument#*=} ;;
    --model=?*) model=("$argument") ;;
    --port=?*) port=${argument#*=} ;;
    -*) stop "$usage" ;;
    *)
      [ -z "$photos" ] || stop "$usage"
      photos=$argument
      ;;
  esac
done
[ "$photos" ] || stop "$usage"
[ -e "$photos" ] || stop "there is no folder $photos"

# absolute PATH: the same from any folder; it need not exist.
absolute() {
  case $1 in
    /*) printf '%s\n' "$1" ;;
    *) printf '%s/%s\n' "$PWD" "$1" ;;
  esac
}

photos=$(absolute "$photos")
[ -z "$gallery" ] || gallery=$(absolute "$gallery")
if [ ${#model[@]} -gt 0 ] && [ -e "${model[0]#*=}" ]; then
  model=("--model=$(absolute "${model[0]#*=}")")
fi
cd "$(dirname "$0")/.."
gallery=${gallery:-$PWD/gallery}

diface() {
  run .venv/bin/python -m diface_jax.main --gallery="$gallery" ${model[@]+"${model[@]}"} "$@"
}

install '.[faces,web]'
echo "== enrols $photos into $gallery"
diface --mode=enroll --photos="$photos"
if [ "$text" ]; then
  echo '== searches'
  # 2: nobody passes as a match, as is usual for a sentence.
  diface --mode=search --text="$text" || [ $? -eq 2 ]
  [ "$dry_run" ] || echo "== done in $SECONDS s"
else
  echo '== opens the page; stop it with Ctrl-C'
  diface --mode=serve --port="$port" --open
fi

#!/usr/bin/env bash
# DiFace in a few minutes, on people who do not exist: install, prepare, train, evaluate, report, search.
#
#   bash launch/quickstart.sh [--dry-run] [WORKDIR]
#
# --dry-run prints the commands, and makes nothing. --help prints this text.
# The environment is made in .venv, and all else in WORKDIR (by default quickstart/); both beside
# launch/. Run it again at any time: what is there is not made again, what was stopped goes on.
# PYTHON=/path/to/python3.11 names the Python to use.
set -euo pipefail

dry_run='' workdir=''
# shellcheck source=SCRIPTDIR/environment.sh
source "$(dirname "$0")/environment.sh"

usage='usage: bash launch/quickstart.sh [--dry-run] [WORKDIR]'
for argument in "$@"; do
  case $argument in
    -h | --help)
      explain
      exit
      ;;
    --dry-run) dry_run=yes ;;
    -*) stop "$usage" ;;
    *)
      [ -z "$workdir" ] || stop "$usage"
      workdir=$argument
      ;;
  esac
done

workdir=${workdir:-$(dirname "$0")/../quickstart}
run mkdir -p "$workdir"
[ "$dry_run" ] || workdir=$(cd "$workdir" && pwd)
cd "$(dirname "$0")/.."
text='a smiling young woman with wavy blond hair and heavy makeup'

install .

diface() {
  run .venv/bin/python -m diface_jax.main "$@"
}

echo "== prepares, trains, evaluates and reports, into $workdir"
diface --config=configs/quickstart.py --workdir="$workdir"
echo '== searches: enrolls the photos kept for testing, then looks for somebody'
# A prepared data set is named after its folder and a hash.
embeddings=("$workdir"/prepared/simulated_celeba-*/gallery.parquet)
diface --mode=enroll --model="$workdir" --gallery="$workdir/gallery" --embeddings="${embeddings[0]}"
# 2: nobody passes as a match, as is usual for a sentence.
diface --mode=search --model="$workdir" --gallery="$workdir/gallery" --k=3 --text="$text" || [ $? -eq 2 ]
[ -z "$dry_run" ] || exit 0

echo
echo "== done in $SECONDS s. Everybody here is SIMULATED: drawn from averages over CelebA, with no photograph"
echo "and nobody's data."
.venv/bin/python docs/render_tables.py --closing="$workdir/evaluation.json"
cat << END

The report: $workdir/report.html
Next:
  . .venv/bin/activate
  # search for somebody else
  python -m diface_jax.main --mode=search --model="$workdir" --gallery="$workdir/gallery" \\
    --text="a bald man with a beard"
  # the same on photographs: CelebA, in a folder CELEBA
  pip install -e '.[faces]'
  python -m diface_jax.main --config=configs/celeba.py --config.data.root=CELEBA --workdir=WORKDIR
END

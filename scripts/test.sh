#!/usr/bin/env bash
# Sets everything up and runs the tests. Options go on to pytest. Without any but --long ones,
# that is, for the whole suite, tests run side by side.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$here"
. scripts/common.sh
venv="${VENV:-$here/.venv}"

bash scripts/setup.sh all test bench

missing="$("$venv/bin/python" scripts/system_libraries.py tests)"
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086
    install_packages $missing || fail "The window's tests need system packages that are missing. Run" \
        "  $(apt_command $missing)" "and then this command again."
fi

pytest() { bash scripts/with_display.sh "$venv/bin/python" -m pytest "$@"; }

say "Running the tests"
for option in "$@"; do
    if [[ "$option" != --* ]]; then
        pytest "$@"
        exit
    fi
done
status=0
pytest -m alone "$@" || status=1
# More threads than cores wait for each other, and each process has its core. Trainings that
# windows start are of low priority, and wait long beside two busy processes.
export OMP_NUM_THREADS=1 IMPARTIAL_PATIENCE_MS=200000
pytest -m "not alone" -n logical --maxprocesses 4 --dist worksteal "$@" || status=1
exit $status

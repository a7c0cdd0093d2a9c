#!/usr/bin/env bash
# Sets everything up and runs the tests. Options go on to pytest.
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

say "Running the tests"
exec bash scripts/with_display.sh "$venv/bin/python" -m pytest "$@"

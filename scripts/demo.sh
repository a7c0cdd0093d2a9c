#!/usr/bin/env bash
# Sets everything up and runs the demo: napari opens where there is a screen; where there
# is none, pictures and a report are written. Options go on to `napari-impartial demo`.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
. "$here/scripts/common.sh"
venv="${VENV:-$here/.venv}"

headless=no
has_screen || headless=yes
for argument in "$@"; do
    [ "$argument" = --headless ] && headless=yes
done

if [ "$headless" = no ]; then
    (cd "$here" && bash scripts/setup.sh all)
    missing="$("$venv/bin/python" "$here/scripts/system_libraries.py" window)"
    if [ -n "$missing" ]; then
        # shellcheck disable=SC2086
        if ! install_packages $missing; then
            say "The window needs system libraries that are missing. To have it, run:"
            say "  $(apt_command $missing)"
            say "Going on without a window."
            headless=yes
        fi
    fi
else
    (cd "$here" && bash scripts/setup.sh)
fi

if [ "$headless" = yes ]; then
    say "No screen: running the demo headless"
    case " $* " in *" --headless "*) ;; *) set -- --headless "$@" ;; esac
else
    say "Opening napari with the demo"
fi
exec "$venv/bin/napari-impartial" demo "$@"

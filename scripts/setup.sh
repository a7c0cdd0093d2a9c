#!/usr/bin/env bash
# Makes .venv in the checkout and installs this project with the exact versions of
# constraints.txt. Usage: scripts/setup.sh EXTRA...   (all, test, bench, docs, dev)
#
# PYTHON=/path/to/python3.12 picks the interpreter; VENV=/elsewhere the place.
# Running it again does nothing unless the dependencies changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/common.sh

venv="${VENV:-.venv}"
stamp="$venv/.napari-impartial-installed"
mark="$venv/.napari-impartial-made"

# --- Is everything asked for in place already? -----------------------------------------
wanted_hash="$(cat constraints.txt setup.cfg pyproject.toml | cksum) $PWD"
installed=""
if [ -f "$stamp" ] && [ "$(sed -n 1p "$stamp")" = "$wanted_hash" ] \
    && "$venv/bin/python" -c "" 2>/dev/null; then
    installed="$(sed -n 2p "$stamp")"
    missing=""
    for extra in base "$@"; do
        case " $installed " in *" $extra "*) ;; *) missing="$missing $extra" ;; esac
    done
    if [ -z "$missing" ]; then
        exit 0
    fi
fi

# --- A Python that will do -------------------------------------------------------------
usable() { # a real interpreter of a supported version, not a broken shim
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        usable "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13."
        echo "$PYTHON"
        return
    fi
    for candidate in python3.11 python3.12 python3.13 python3 python; do
        if usable "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    fail "No Python 3.11, 3.12 or 3.13 was found. On Debian: $(apt_command python3 python3-venv)"
}

# --- A virtual environment with pip ----------------------------------------------------
make_venv() {
    local python="$1" package
    if ! "$python" -c "import ensurepip, venv" 2>/dev/null; then
        # Debian and Ubuntu keep ensurepip in a package of its own.
        package="python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
        install_packages "$package" || fail "This Python cannot make virtual environments. Run" \
            "  $(apt_command "$package")" "and then this command again."
    fi
    # What is removed has to be an environment that was made here; VENV may name anything.
    if [ -e "$venv" ] && [ -n "$(ls -A "$venv" 2>&1)" ]; then
        [ -e "$mark" ] || { [ "$venv" = .venv ] && [ -e "$venv/pyvenv.cfg" ]; } || fail \
            "$venv is there already and is no virtual environment that this script made;" \
            "name another folder (VENV=/elsewhere), or remove it yourself."
        rm -rf "$venv"
    fi
    say "Making a virtual environment in $venv with $("$python" --version 2>&1)"
    mkdir -p "$venv"
    : >"$mark"
    "$python" -m venv "$venv"
}

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python="$(find_python)"
    make_venv "$python"
    installed=""
fi

# --- The packages ----------------------------------------------------------------------
extras="$(printf '%s\n' $installed "$@" | grep -vx -e base -e '' | sort -u | paste -sd, || true)"
say "Installing napari-impartial${extras:+ with $extras} (a few minutes the first time)"
rm -f "$stamp"
quiet="-qq"
[ -t 2 ] && quiet="" # someone is watching: show what pip does
# shellcheck disable=SC2086
"$venv/bin/python" -m pip install $quiet --disable-pip-version-check --no-input \
    --root-user-action=ignore -c constraints.txt -e ".${extras:+[$extras]}" \
    || fail "pip could not install the packages; its message is above."
printf '%s\n' "$wanted_hash" "base ${extras//,/ }" >"$stamp"

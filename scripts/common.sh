# Sourced by the other scripts: messages and system packages.

say() { printf '==> %s\n' "$*" >&2; }

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

apt_command() { # the line a person would type to install these packages
    if [ "$(id -u)" = 0 ]; then
        echo "apt-get install --no-install-recommends $*"
    else
        echo "sudo apt-get install --no-install-recommends $*"
    fi
}

install_packages() { # Debian packages, where we may; never asks
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    say "Installing system packages: $*"
    export DEBIAN_FRONTEND=noninteractive
    local log
    log="$(mktemp)"
    # The lists of a fresh machine or image are missing or old.
    apt-get update -qq >"$log" 2>&1 || true
    if apt-get install -y -qq --no-install-recommends "$@" >>"$log" 2>&1; then
        rm -f "$log"
        return 0
    fi
    cat "$log" >&2
    rm -f "$log"
    return 1
}

has_screen() {
    case "$(uname -s)" in
        Linux) [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] ;;
        Darwin) [ -z "${SSH_CONNECTION:-}" ] ;;
        *) true ;;
    esac
}

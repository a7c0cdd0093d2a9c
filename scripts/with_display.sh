#!/usr/bin/env bash
# Runs a command on a virtual screen, so that it needs none and no window pops up on a
# real one. Without Xvfb (macOS, Windows) the command runs on the screen there is.
set -euo pipefail
if command -v xvfb-run >/dev/null; then
    # A desktop may say "wayland"; the virtual screen speaks X11 only. Rendering in
    # software makes every machine draw the same.
    unset WAYLAND_DISPLAY
    export QT_QPA_PLATFORM=xcb LIBGL_ALWAYS_SOFTWARE=1
    exec xvfb-run -a -s "-screen 0 1920x1080x24" "$@"
fi
exec "$@"

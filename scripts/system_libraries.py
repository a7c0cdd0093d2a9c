"""Print the Debian packages that a Qt window still needs on this machine.

Usage: ``python scripts/system_libraries.py {window,tests}``. Prints nothing where all is
there, and on systems other than Linux. The libraries are looked for by loading them, so
that it works on any distribution and however they were installed.
"""

from __future__ import annotations

import ctypes
import shutil
import sys
from pathlib import Path

LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libOpenGL.so.0": "libopengl0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
}
PROGRAMS = {"Xvfb": "xvfb", "xvfb-run": "xvfb", "xauth": "xauth"}
DRIVER_PATTERNS = ("lib*/*/dri/swrast_dri.so", "lib*/dri/swrast_dri.so", "lib*/*/libgallium-*.so")


def missing_packages(purpose: str) -> list[str]:
    """Return the packages still missing for a `window`, or for the `tests` (with Xvfb)."""
    if not sys.platform.startswith("linux"):
        return []
    packages = [package for library, package in LIBRARIES.items() if not _loads(library)]
    if purpose == "tests":
        packages += [package for program, package in PROGRAMS.items() if not shutil.which(program)]
        # Mesa's software renderer; opened by libGL at run time, so not in its needs.
        if not any(found for pattern in DRIVER_PATTERNS for found in Path("/usr").glob(pattern)):
            packages.append("libgl1-mesa-dri")
    return sorted(set(packages))


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    print(" ".join(missing_packages(sys.argv[1])))

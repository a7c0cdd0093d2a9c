"""Test for a screen that napari can open a window on, without opening one."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import time

# A Qt that finds no screen aborts its whole process, so it is tried in another one.
_PROBE = "from qtpy.QtWidgets import QApplication; QApplication([])"
_PROBE_SECONDS = 60
_LAUNCH = (
    "import sys; from napari_impartial.gui.plugin.launch import main; sys.exit(main(sample={!r}))"
)
# A window that was open for so long has been seen, however its process ended.
_SEEN_SECONDS = 60


def why_headless(args: argparse.Namespace) -> str | None:
    """Return why no window is to be opened, or None if one can be.

    Parameters
    ----------
    args : argparse.Namespace
        With `headless`.
    """
    if args.headless:
        return "--headless was given"
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return "there is no screen (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    for package in ("napari", "qtpy"):
        if not _installed(package):
            return f"{package} is not installed (pip install 'napari-impartial[all]')"
    return _probe()


def _installed(module: str) -> bool:
    """Tell whether a module can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _probe() -> str | None:
    """Start Qt in another process; return why it failed, or None."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "Qt does not start here"
    if done.returncode == 0:
        return None
    return "Qt cannot open a window here" + _last_words(done.stderr)


def open_window(sample: str) -> str | None:
    """Open napari with a sample and the dock widget, and wait until it is closed.

    Parameters
    ----------
    sample : str
        Key of the sample.

    Returns
    -------
    str or None
        Why it could not be opened, or None if it was.
    """
    # In a process of its own: the command line shares no code with the window.
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-P", "-c", _LAUNCH.format(sample)],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode == 0 or time.monotonic() - started > _SEEN_SECONDS:
        return None
    return "napari could not open its window" + _last_words(done.stderr)


def _last_words(text: str) -> str:
    """Return the last line of an error output, in brackets."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f" ({lines[-1]})" if lines else ""

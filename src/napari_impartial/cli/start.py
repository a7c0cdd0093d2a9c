"""Start of the command ``napari-impartial``: Ctrl-C ends it silently from the first moment.

Until :mod:`.main` is loaded, which takes some hundredths of a second, nobody is there to
catch a KeyboardInterrupt, and Python would print how far it had come.
"""

import signal

_before = signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> int:
    """Run the command line and return the exit status; see :func:`.main.main`."""
    from .main import main as run

    # There Python's own handler is put back.
    return run()

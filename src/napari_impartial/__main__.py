"""``python -m napari_impartial``: the same as the command ``napari-impartial``."""

import os
import sys

# Python puts the current folder first: a file numpy.py beside the images must not be imported.
if not sys.flags.safe_path and sys.path and sys.path[0] == os.getcwd():
    del sys.path[0]

from .cli.start import main

if __name__ == "__main__":
    sys.exit(main())

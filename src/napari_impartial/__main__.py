"""``python -m napari_impartial``: the same as the command ``napari-impartial``."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())

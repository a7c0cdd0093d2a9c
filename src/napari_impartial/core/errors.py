"""The errors whose message is meant for the person at the keyboard."""


class ImPartialError(ValueError):
    """Something in the input is wrong and the user can mend it.

    The message is one plain sentence that says what is wrong and what to do. The
    command line prints it on stderr and ends with status 2; napari shows it as a
    notification. Any other exception is a fault of the program.
    """


class ModelFileError(ImPartialError):
    """A model file is truncated, foreign, or of a newer format."""

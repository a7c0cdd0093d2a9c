"""The errors and notes whose words are meant for the person at the keyboard."""

from __future__ import annotations

import unicodedata
import warnings

# What is longer than this without a space is a name out of a file, or a path; and a whole
# message is to be read at a glance.
_LONGEST_WORD, _LONGEST = 240, 2000
# Kinds of characters that move the cursor, hide, or turn round what follows them.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def printable(text: str) -> str:
    r"""Return text with all that a terminal would obey written out, such as ``\x1b``.

    Line ends and tabs stay. Names in files are whatever somebody wrote there: an escape in
    one could clear the screen, or show other words than were printed.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in _UNSEEN
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def shortened(text: str, longest: int = _LONGEST_WORD) -> str:
    """Return text with its middle left out where it is longer than `longest` characters."""
    if len(text) <= longest:
        return text
    head = (longest - 5) // 2
    return f"{text[:head]} ... {text[head + 5 - longest :]}"


def message(text: str) -> str:
    """Return one line that can be shown: printable, with long names shortened."""
    words = (shortened(printable(word)) for word in text[: 100 * _LONGEST].split())
    return shortened(" ".join(words), _LONGEST)


class ImPartialError(ValueError):
    """Something in the input is wrong and the user can mend it.

    The message is one plain sentence that says what is wrong and what to do. The
    command line prints it on stderr and ends with status 2; napari shows it as a
    notification. Any other exception is a fault of the program.
    """

    def __init__(self, text: object = "") -> None:
        super().__init__(message(str(text)))


class ModelFileError(ImPartialError):
    """A model file is truncated, foreign, or of a newer format."""


class ImPartialWarning(UserWarning):
    """Something was left out, or taken one way of two, and the result may be right.

    The command line prints it on stderr and goes on; napari shows it as a notification.
    """


def note(text: str) -> None:
    """Say something to the user that is no reason to stop."""
    warnings.warn(message(text), ImPartialWarning, stacklevel=3)

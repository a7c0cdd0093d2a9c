"""The command ``napari-impartial``: reads the command line and hands over to a command."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from napari_impartial import __version__
from napari_impartial.core.errors import ImPartialError, ImPartialWarning, printable
from napari_impartial.core.torch_env import wait_passively

from .options import Parser, add_json
from .output import to_json_for, writable_output, write_line
from .progress import cleaned_up

PROGRAM = "napari-impartial"
DEBUG_VARIABLE = "NAPARI_IMPARTIAL_DEBUG"

# Each command, and the part of the package that its module is in.
COMMANDS = {
    "demo": "cli",
    "train": "cli",
    "predict": "cli",
    "evaluate": "cli",
    "validate": "cli",
    "simulate": "experiments",
    "convert": "experiments",
    "benchmark": "experiments",
    "refine": "experiments",
    "info": "cli",
    "export": "cli",
}

DESCRIPTION = """\
Segment cells from a few scribbles: train a small network on strokes painted in a few
cells, get every cell outlined and a heatmap of where the model is unsure.

The usual way:
  napari-impartial train image.tif --scribbles scribbles.tif --model cells.impartial
  napari-impartial predict image.tif other.tif --model cells.impartial --out results
  napari-impartial evaluate --pred results/image_instances.tif --truth truth.tif

`napari-impartial demo` shows the whole loop on sample data."""


def _module(command: str) -> ModuleType:
    """Return the command's module; all are light until they run."""
    return importlib.import_module(f"napari_impartial.{COMMANDS[command]}.{command}")


def build_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(
        prog=PROGRAM,
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = _module(name)
        summary, _, rest = str(module.__doc__).partition("\n")
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary}\n{rest}".rstrip(),
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(command)
        add_json(command)
    return parser


def describe_error(error: BaseException) -> tuple[int, str]:
    """Return exit status and one line for an exception.

    Status 2 means that the person at the keyboard can mend it, 130 that they stopped
    the program, 1 that the program is at fault.
    """
    if isinstance(error, KeyboardInterrupt):
        return 128 + getattr(error, "signal", signal.SIGINT), "stopped."
    if isinstance(error, ImPartialError):
        return 2, str(error)
    if isinstance(error, FileNotFoundError) and error.filename:
        return 2, f"There is no file or folder {error.filename}."
    if isinstance(error, OSError):
        from napari_impartial.core.atomic_write import reason

        place = f" ({error.filename})" if error.filename else ""
        words = reason(error)
        return 2, f"{words[:1].upper()}{words[1:]}{place}."
    # torch reports exhausted memory, the CPU's and the GPU's, as a RuntimeError
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and any(words in str(error) for words in ("out of memory", "can't allocate memory"))
    ):
        return 2, "There is not enough memory; try smaller images, patches or tiles."
    return 1, (
        f"internal error: {type(error).__name__}: {error} "
        f"(set {DEBUG_VARIABLE}=1 for the details, and please report it)"
    )


def silence() -> None:
    """Keep libraries' notes off stderr: one line a failure is all that scripts get to see."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ImPartialWarning)
    logging.getLogger().addHandler(logging.NullHandler())


@contextmanager
def notes_on_stderr(prefix: str) -> Iterator[None]:
    """Print the program's own notes in one line each, once."""
    usual, said = warnings.showwarning, set()

    def show(message: Warning | str, category: type[Warning], *args: Any, **kwargs: Any) -> None:
        if not issubclass(category, ImPartialWarning):
            usual(message, category, *args, **kwargs)
        elif str(message) not in said:
            said.add(str(message))
            write_line(f"{prefix}: note: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process by default.
    """
    debug = bool(os.environ.get(DEBUG_VARIABLE))
    if not debug:
        silence()
    wait_passively(os.environ)
    prefix = PROGRAM
    try:
        with writable_output(), cleaned_up():
            try:
                args = build_parser().parse_args(argv)
            except SystemExit:
                # Of help that was asked for, or a wrong argument.
                unwritten = _flushed()
                if unwritten is None:
                    raise
                return unwritten
            prefix = f"{PROGRAM} {args.command}"
            module = _module(args.command)
            with notes_on_stderr(prefix):
                result = module.run(args)
            status = int(result.pop("exit_status", 0))
            text = module.describe(result)
            # Tables stay readable with --json too: only the last line is for programs.
            if not args.json or getattr(module, "ALWAYS_DESCRIBE", False):
                print(printable(text))
            if args.json:
                print(to_json_for(sys.stdout, result))
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; keep Python from flushing into the void.
        _drop_output()
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        status, message = describe_error(error)
        write_line(f"{prefix}: {message}")
        if isinstance(error, OSError):
            _drop_output()  # what cannot be written would be told a second time
        else:
            _flushed()
    return status


def _flushed() -> int | None:
    """Write what is still to be printed; return the exit status if that cannot be."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        return 0
    except (OSError, ValueError) as error:
        write_line(f"{PROGRAM}: {describe_error(error)[1]}")
        # Or Python would tell it a second time, in its own words.
        _drop_output()
        return 2
    return None


def _drop_output() -> None:
    """Let what is still to be printed go nowhere."""
    if sys.stdout is None:
        return
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())

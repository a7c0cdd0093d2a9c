"""Show the card of a model: what it was trained on and how.

Reads only the card; no weights are loaded.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

EPILOG = """\
example:
  napari-impartial info cells.impartial
  napari-impartial info cells.impartial --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="A model file.")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Return the card's content."""
    from napari_impartial.core.network.model_card import read_card

    card = read_card(args.model)
    content = {f.name: getattr(card, f.name) for f in dataclasses.fields(card)}
    return {"file": args.model, **content}


def _value(value: Any) -> str:
    """Return a card's entry in words."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ", ".join(f"{k} {_value(v)}" for k, v in dataclasses.asdict(value).items())
    if isinstance(value, tuple | list):
        return ", ".join(str(item) for item in value)
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def describe(result: dict[str, Any]) -> str:
    """Return the card as lines of name and value; the history by its length."""
    shown = {name.replace("_", " "): value for name, value in result.items() if name != "history"}
    width = max(len(name) for name in shown)
    lines = [f"{name.ljust(width)}  {_value(value)}" for name, value in shown.items()]
    lines.append(f"{'history'.ljust(width)}  {len(result['history'])} entries (see --json)")
    return "\n".join(lines)

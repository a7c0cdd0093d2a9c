"""The README and the documentation say what is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from napari_impartial.cli.main import COMMANDS, build_parser

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "docs").glob("*/*.md"))


def blocks(language: str) -> list[Any]:
    """Fenced blocks of a language in all pages, named after page and number."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for number, code in enumerate(re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)):
            found.append(pytest.param(code, id=f"{page.relative_to(ROOT)}-{number}"))
    return found


@pytest.mark.parametrize("code", blocks("python"))
def test_python_example_runs(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    # The reader gives it seconds; here it is about whether it runs at all.
    short = re.sub(r"time_budget_s=[\d.]+", "time_budget_s=1.5", code)
    names: dict[str, Any] = {}
    exec(compile(short, "example", "exec"), names)
    if "cells" in names:
        assert names["cells"].shape == names["image"].shape
        assert names["cells"].dtype == "int32"


def test_readme_has_a_python_example_that_trains() -> None:
    code = "".join(param.values[0] for param in blocks("python") if "README" in str(param.id))
    assert "api.train(" in code


def commands() -> list[Any]:
    """Every `napari-impartial ...` line of the pages' shell blocks."""
    found = []
    for param in blocks("sh"):
        text = param.values[0].replace("\\\n", " ")
        for line in text.splitlines():
            line = line.split(" #")[0].split("|")[0].strip()
            if line.startswith("napari-impartial "):
                found.append(pytest.param(line, id=f"{param.id}: {line[:60]}"))
    return found


@pytest.mark.parametrize("line", commands())
def test_command_of_the_pages_is_understood(line: str) -> None:
    arguments = shlex.split(line)[1:]
    args = build_parser().parse_args(arguments)
    assert args.command in COMMANDS


def test_pages_show_commands() -> None:
    shown = {shlex.split(param.values[0])[1] for param in commands()}
    assert {"train", "predict", "evaluate", "benchmark", "refine", "info"} <= shown


def test_links_and_pictures_of_the_pages_exist() -> None:
    missing = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" not in target and not target.startswith("#"):
                path = page.parent / target.split("#")[0]
                if not path.exists():
                    missing.append(f"{page.relative_to(ROOT)}: {target}")
    assert not missing


def test_scripts_of_the_readme_exist_and_can_be_run() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    scripts = re.findall(r"^(scripts/\S+)", text, re.M)
    assert scripts == ["scripts/demo.sh", "scripts/test.sh"]
    assert all((ROOT / script).stat().st_mode & 0o100 for script in scripts)

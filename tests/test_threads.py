"""How threads wait is said in one place, before torch is imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from napari_impartial.core.torch_env import wait_passively

# What the environment holds at the moment at which torch is asked for.
PROBE = """
import os, sys
class Probe:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"), flush=True)
            sys.exit(9)
sys.meta_path.insert(0, Probe())
from napari_impartial.cli.main import main
main(["info", "missing.impartial"])
from napari_impartial.core.training import fit as training
"""


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_the_command_says_it_before_torch_is_imported(given: str | None, expected: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if given:
        environment["OMP_WAIT_POLICY"] = given
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert done.returncode == 9, done.stderr
    assert done.stdout.split() == [expected]


def test_what_the_user_has_said_stays() -> None:
    environment = {"OMP_WAIT_POLICY": "ACTIVE"}
    wait_passively(environment)
    assert environment == {"OMP_WAIT_POLICY": "ACTIVE"}

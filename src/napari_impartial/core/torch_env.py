"""Environment of torch's threads; to be set before torch is imported."""

from __future__ import annotations

from collections.abc import MutableMapping


def wait_passively(environment: MutableMapping[str, str]) -> None:
    """Have threads that wait give their core away, unless the user has said how they wait.

    By default they wait by spinning. Two programs with torch that share the cores, or one
    at low priority beside a busy one, then wait for each other's turn: steps take two to
    three times as long, and up to forty times with two programs on two cores.

    Parameters
    ----------
    environment : mutable mapping
        ``os.environ`` before torch is imported, or the environment of a child process.
    """
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")

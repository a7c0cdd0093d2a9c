"""Build the wheel and the source archive, the same bytes from the same commit, and check them.

Usage: ``python scripts/build.py [--out dist]``, in an environment with ``build`` and, to check
what would be shown of them, ``twine``. The dates in the archives are the last commit's
(or SOURCE_DATE_EPOCH).
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST_SDIST = 6_000_000
# The first of January 1980, in UTC: archives know no earlier date.
EARLIEST = 315_532_800
# What must be there for the program to work once installed.
WANTED = ("napari.yaml", "py.typed", "data/warm_start.safetensors", "gui/dock_widget.py")


def main() -> int:
    """Build, make reproducible, check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="Folder (default dist).")
    parser.add_argument(
        "--no-isolation", action="store_true", help="Build with the setuptools that is here."
    )
    args = parser.parse_args()
    date = commit_date()
    command = [sys.executable, "-P", "-m", "build", "--outdir", str(args.out), str(ROOT)]
    if args.no_isolation:
        command.append("--no-isolation")
    os.umask(0o022)
    subprocess.run(command, check=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(date)})
    (sdist,) = args.out.glob("*.tar.gz")
    (wheel,) = args.out.glob("*.whl")
    settle(sdist, date)
    check(sdist, wheel)
    if importlib.util.find_spec("twine") is not None:
        twine = [sys.executable, "-P", "-m", "twine", "check", "--strict"]
        subprocess.run([*twine, str(sdist), str(wheel)], check=True)
    return 0


def commit_date() -> int:
    """Return the date of the last commit, in seconds; or what SOURCE_DATE_EPOCH says."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    try:
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return EARLIEST  # of a source archive


def settle(sdist: Path, date: int) -> None:
    """Pack a source archive anew: files in order, one date, nobody's name."""
    with tarfile.open(sdist) as archive:
        members = sorted(archive.getmembers(), key=lambda member: member.name)
        contents = {m.name: archive.extractfile(m) for m in members}
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as again:
            for member in members:
                member.mtime, member.uid, member.gid = date, 0, 0
                member.uname = member.gname = ""
                member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
                member.pax_headers = {}
                again.addfile(member, contents[member.name])
    with (
        open(sdist, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=date) as packed,
    ):
        packed.write(plain.getvalue())


def check(sdist: Path, wheel: Path) -> None:
    """Refuse packages that lack something, or hold what is too large."""
    size = sdist.stat().st_size
    assert size <= LARGEST_SDIST, f"{sdist.name} has {size} bytes"
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as packed:
        installed = set(packed.namelist())
    for name in WANTED:
        assert f"src/napari_impartial/{name}" in names, f"{name} is not in {sdist.name}"
        assert f"napari_impartial/{name}" in installed, f"{name} is not in {wheel.name}"
    sources = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "napari_impartial").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sources <= installed, f"not in the wheel: {sorted(sources - installed)}"
    assert {"LICENSE", "README.md", "tests/conftest.py", "constraints.txt"} <= names
    assert not any(name.startswith(("tests", "benchmarks", "docs")) for name in installed)


if __name__ == "__main__":
    sys.exit(main())

"""Messages of libraries about a file, collected so that they are heeded and not lost."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def complaints_of(library: str) -> Iterator[list[str]]:
    """Collect what a library says through its logger, and print none of it."""
    found: list[str] = []

    class Collect(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            found.append(record.getMessage())
            return False

    collect = Collect()
    logger = logging.getLogger(library)
    logger.addFilter(collect)
    try:
        yield found
    finally:
        logger.removeFilter(collect)

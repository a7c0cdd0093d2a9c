"""Estimate of the time that a training will still take."""

from __future__ import annotations

import collections
import time

from napari_impartial.core.training.preview_budget import LONGEST_REST_S

# The pace is that of the last seconds; a shorter while says nothing.
_SEEN_S, _TELLING_S = LONGEST_REST_S + 2.0, 2.0
# Reports come several times a second, beside a moving hand one after each rest; after a longer
# silence it was paused, say.
_SILENCE_S = 1.5 * LONGEST_REST_S


class TimeLeft:
    """Follows a training that rests now and then, beside a moving hand.

    Rests are not counted as training: of what is left of it, each second may take several.
    """

    def __init__(self) -> None:
        self._seen: collections.deque[tuple[float, float]] = collections.deque()

    def note(self, trained_s: float, remaining_s: float, now: float | None = None) -> float:
        """Return the seconds until the end.

        Parameters
        ----------
        trained_s, remaining_s
            Seconds of training, without rests, so far and to come.
        now
            Seconds of any clock that goes on; defaults to one.
        """
        now = time.monotonic() if now is None else now
        if self._seen and (now - self._seen[-1][0] > _SILENCE_S or trained_s < self._seen[-1][1]):
            self._seen.clear()
        self._seen.append((now, trained_s))
        # The last one before that while is kept: between two steps beside a moving hand there may
        # be as long a rest.
        while len(self._seen) > 1 and now - self._seen[1][0] > _SEEN_S:
            self._seen.popleft()
        passed, trained = now - self._seen[0][0], trained_s - self._seen[0][1]
        if passed < _TELLING_S or trained <= 0:
            return remaining_s
        return remaining_s * max(passed / trained, 1.0)

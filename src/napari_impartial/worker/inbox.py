"""Requests of the window, read on a thread of their own and sorted."""

from __future__ import annotations

import collections
import math
import os
import queue
import threading
from multiprocessing.connection import Connection

from napari_impartial.core.training.messages import Command, NewScribbles, Preview, Stop

from . import messages
from .pace import Pace


class Inbox:
    """Reads the pipe on a thread of its own; ends the process when the window is gone.

    Attributes
    ----------
    jobs : queue
        Jobs in the order in which they were asked for.
    cancelled : set of int
        Numbers of jobs that are not wanted any more.
    pace : Pace
        Follows the user's hand.
    """

    def __init__(self, connection: Connection) -> None:
        self.jobs: queue.SimpleQueue[messages.Job] = queue.SimpleQueue()
        self.cancelled: set[int] = set()
        self.pace = Pace()
        self._connection = connection
        self._commands: collections.deque[tuple[int, Command]] = collections.deque()
        self._running = threading.Event()
        self._running.set()
        self._parent = os.getppid()
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def rest(self, worked_s: float, most_s: float = math.inf) -> None:
        """Rest as :class:`Pace` has it, unless a command waits to be done."""
        if not self._commands:
            self.pace.rest(worked_s, most_s)

    def next_command(self, job: int) -> Command | None:
        """Return the next command to training, or None; waits while it is paused.

        A stroke, or a look at the field in view, is no wish to go on: while training is
        paused it waits, too. Of several of a kind in a row only the last counts, unless
        one brings images, which come once.
        """
        while not self._running.wait(0.1):
            pass
        found: Command | None = None
        while self._commands:
            addressee, command = self._commands[0]
            if addressee == job and found is not None and not _replaces(command, found):
                break
            self._commands.popleft()
            if addressee == job:
                found = command
        return found

    def _read(self) -> None:
        try:
            while True:
                # Another plugin may have forked with our pipe open, and then its end
                # would never be reported: look who the parent is, too.
                while not self._connection.poll(1.0):
                    if os.name == "posix" and os.getppid() != self._parent:
                        os._exit(0)
                self._sort(messages.receive(self._connection))
        except (EOFError, OSError):
            os._exit(0)

    def _sort(self, request: messages.Request) -> None:
        match request:
            case messages.ToTraining(job, command):
                self._commands.append((job, command))
                if isinstance(command, Preview) and command.new_field:
                    self.pace.look()
                if isinstance(command, Stop):
                    self._running.set()
                    self.pace.give_way(False)
            case messages.Pause(_, paused):
                if paused:
                    self._running.clear()
                else:
                    self._running.set()
            case messages.GiveWay(_, wanted):
                self.pace.give_way(wanted)
            case messages.Cancel(job):
                self.cancelled.add(job)
            case _:
                self._running.set()
                self.jobs.put(request)


def _replaces(command: Command, before: Command) -> bool:
    """Return whether nothing is lost where a command is done in place of the one before it."""
    brings_images = isinstance(before, NewScribbles) and bool(before.images)
    return type(command) is type(before) and not brings_images

"""Reads a saved session with all that is in it, on any thread; no window, no layers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.review.annotation import from_bytes
from napari_impartial.core.review.round_changes import PackedLabels

from .folder import SessionFolder, Stored
from .locations import OpenSession, SessionInUseError
from .saved_state import Part, SavedImage, SavedSession, from_content


def open_and_read(path: Path) -> tuple[SavedSession, OpenSession | None]:
    """Read the session in a folder, which is opened first; may run on any thread.

    Returns
    -------
    SavedSession, OpenSession or None
        What was read with :func:`read`; its folder, None if that cannot be written.

    Raises
    ------
    ImPartialError
        If there is no session, or one that is damaged, of a newer format or in use.
    """
    # Before a lock is put there: a folder of somebody else's stays as it is.
    folder = SessionFolder(path)
    folder.read([])
    opened = None
    try:
        opened = OpenSession(path)
        folder = opened.folder
    except SessionInUseError:
        raise
    except ImPartialError:
        # It cannot be written, but it can be read: the session goes on elsewhere.
        pass
    try:
        # Anew: until it was locked, another window may have written it.
        return read(folder), opened
    except Exception:
        if opened is not None:
            opened.abandon()
        raise


def read(folder: SessionFolder) -> SavedSession:
    """Read a session with all its arrays; may run on any thread.

    An array that cannot be read is replaced by the error, so that one damaged file does
    not keep the rest back.

    Raises
    ------
    ImPartialError
        If there is no session, or one that is damaged or of a newer format.
    """
    losses: list[str] = []
    saved = from_content(SavedSession, folder.read(losses), losses)
    saved.losses = losses
    holders: list[Any] = [*saved.layers, *saved.loose]
    for image in saved.images:
        holders += [part for part in (image.scribbles, image.instances) if part is not None]
    for holder in holders:
        holder.data = _loaded(holder.data)
    for plane in (plane for image in saved.images for plane in image.planes):
        plane.prediction = _loaded(plane.prediction)
        plane.review = _loaded(plane.review, from_bytes)
        plane.suggested_on = _loaded(plane.suggested_on)
        plane.objects = _loaded(plane.objects)
        plane.doubt = _loaded(plane.doubt)
        for one in plane.dismissed:
            one.foreground = _loaded(one.foreground)
    for mask in (mask for one in saved.rounds for mask in one.masks):
        mask.labels = _loaded(mask.labels, PackedLabels.pack)
    # What it says twice, or of what it does not have, is dropped and told among the losses.
    _check_images(saved)
    _check_rounds(saved)
    saved.model = _checked(folder, saved.model)
    for training in saved.rounds:
        training.model = _checked(folder, training.model)
    return saved


def _check_images(saved: SavedSession) -> None:
    primaries: set[int] = set()
    for i, image in enumerate(saved.images, 1):
        if image == SavedImage():
            # Nothing of it could be read, which has been told.
            continue
        parts = (image.scribbles, image.instances)
        name = next((f"'{one.name}'" for one in parts if one), f"image {i}")
        if not image.layers or any(not 0 <= n < len(saved.layers) for n in image.layers):
            saved.losses.append(
                f"The image of {name}, or a channel of it, is lost: the session does not have "
                "the layers that it says."
            )
            image.layers = []
        elif image.layers[0] in primaries:
            saved.losses.append(
                f"The results beside {name} are lost: the session says that they are of the same "
                "image as others."
            )
            image.layers = []
        elif image.names and len(image.names) != len(image.channels) + len(image.layers) - 1:
            saved.losses.append(f"The names of the channels of {name} are lost.")
            image.names = []
        primaries.update(image.layers[:1])
        image.planes = _each_once(
            image.planes, lambda plane: tuple(plane.at), f"a plane of {name}", saved.losses
        )


def _check_rounds(saved: SavedSession) -> None:
    numbers: set[int] = set()
    for one in saved.rounds:
        if one.number < 1 or one.number in numbers:
            now = max(0, *numbers, *(each.number for each in saved.rounds)) + 1
            saved.losses.append(
                f"A round has no number of its own in the session; it is round {now} now."
            )
            one.number = now
        numbers.add(one.number)
    saved.rounds.sort(key=lambda one: one.number)
    for one in saved.rounds:
        masks = [mask for mask in one.masks if 0 <= mask.image < len(saved.images)]
        if len(masks) < len(one.masks):
            saved.losses.append(f"Objects of round {one.number} in an unknown image are lost.")
        one.masks = _each_once(
            masks,
            lambda mask: (mask.image, *mask.at),
            f"the objects of round {one.number}",
            saved.losses,
        )
    current = [one for one in saved.rounds if one.current]
    for one in current[1:]:
        saved.losses.append(f"The session says of round {one.number}, too, that it is the present.")
        one.current = False
    if saved.model is None and current and current[0].model is not None:
        saved.losses.append(f"The present model is lost; that of round {current[0].number} is it.")
        saved.model = current[0].model


def _each_once(
    parts: list[Part], key: Callable[[Part], Hashable], what: str, losses: list[str]
) -> list[Part]:
    """Return the parts without those whose key an earlier one has."""
    found: dict[Hashable, Part] = {}
    for part in parts:
        if found.setdefault(key(part), part) is not part:
            losses.append(f"What the session says a second time of {what} is lost.")
    return list(found.values())


def _loaded(value: Any, convert: Callable[[Any], Any] | None = None) -> Any:
    if value is None:
        return None
    if not isinstance(value, Stored):
        return ImPartialError("its array is not named.")
    try:
        return value.load(convert)
    except ImPartialError as error:
        return error
    except Exception as error:  # whatever a damaged file makes of it, the rest comes back
        return ImPartialError(f"it is damaged ({type(error).__name__}).")


def _checked(folder: SessionFolder, model: Any) -> Path | ImPartialError | None:
    """Return a model's file if it is whole; here, on a thread, it may take its time."""
    if not isinstance(model, Path):
        return model if isinstance(model, ImPartialError) else None
    try:
        return folder.check_file(model)
    except ImPartialError as error:
        return error

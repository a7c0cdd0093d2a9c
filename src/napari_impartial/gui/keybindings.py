"""The keys of the window: what they do, in one table.

napari 0.9 reads the ``keybindings`` of a plugin's manifest and does nothing with them, so
:class:`BoundKeys` binds them to the viewer while the dock is open. The commands of the
manifest, which napari's command palette lists, do the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app_model.types import KeyBinding

if TYPE_CHECKING:
    import napari


@dataclass(frozen=True)
class Key:
    """A key.

    Attributes
    ----------
    action
        Method of :class:`.key_actions.KeyActions`; also the last part of the command's
        name in the manifest.
    key
        As napari writes it.
    words
        What it does.
    note
        Where it does something else.
    """

    action: str
    key: str
    words: str
    note: str = ""


KEYS = (
    Key("brush_background", "Q", "Paint background"),
    Key("brush_cell", "W", "Paint cells"),
    Key("brush_cell_2", "Shift+W", "Paint cells of the second kind"),
    Key("brush_cell_3", "Shift+E", "Paint cells of the third kind"),
    Key("brush_cell_4", "Shift+R", "Paint cells of the fourth kind"),
    Key("brush_cell_5", "Shift+T", "Paint cells of the fifth kind"),
    Key(
        "eraser",
        "E",
        "Take strokes away",
        note="with another labels layer selected, napari takes its own eraser for that layer",
    ),
    Key("train", "T", "Train, or stop what is being trained"),
    Key("smaller_brush", "[", "Smaller brush"),
    Key("larger_brush", "]", "Larger brush"),
    Key("toggle_image", "I", "Show or hide the image"),
    Key("toggle_scribbles", "S", "Show or hide the scribbles"),
    Key("toggle_result", "R", "Show or hide the results"),
    Key("toggle_heatmap", "H", "Show or hide the heatmap alone"),
    Key("next_place", "N", "Go to the next suggestion"),
    Key("previous_place", "Shift+N", "Go to the suggestion before"),
    Key("looks_fine", "K", "This place looks fine: suggest it no more"),
    Key("accept", "A", "Accept the objects selected in the table"),
    Key("reject", "D", "Reject the objects selected in the table"),
    Key("undo_decision", "U", "Take back the last decision about objects or places"),
    Key("verdict_right", "Y", "Is it good enough?: the outline is right, or no cell is missed"),
    Key("verdict_0", "0", "Is it good enough?: not a cell, or no cell is missed"),
    Key(
        "verdict_1",
        "1",
        "Is it good enough?: one cell, with a wrong outline or missed",
        note="with a layer selected, napari chooses a tool of that layer; the same for 2 and 3",
    ),
    Key("verdict_2", "2", "Is it good enough?: two cells in one outline, or missed"),
    Key("verdict_3", "3", "Is it good enough?: three cells in one outline, or missed"),
    Key("next_image", ".", "Work on the next image"),
    Key("previous_image", ",", "Work on the image before"),
)

BRUSHES = {
    1: "brush_background",
    2: "brush_cell",
    **{label: f"brush_cell_{label - 1}" for label in range(3, 7)},
}
"""Action that takes the brush of each label in hand."""


def key_of(action: str) -> str:
    """Return the key of an action, as napari writes it."""
    return next(key.key for key in KEYS if key.action == action)


def key_hint(action: str) -> str:
    """Return the sentence that tooltips end with."""
    note = next(key.note for key in KEYS if key.action == action)
    return f"Key: {key_of(action)}; {note}." if note else f"Key: {key_of(action)}."


def with_key(label: str, action: str) -> str:
    """Return a button's label, followed by the key that does the same."""
    return f"{label}  ({key_of(action)})"


class BoundKeys:
    """Our keys, bound to one viewer.

    Parameters
    ----------
    viewer
        Keys of a layer that is selected come before those of the viewer.
    actions
        Has a method for each key (:class:`.key_actions.KeyActions`).
    """

    def __init__(self, viewer: napari.Viewer, actions: object) -> None:
        self._viewer = viewer
        self._bound: dict[KeyBinding, Callable[[], None]] = {}
        for key in KEYS:
            binding, act = KeyBinding.from_str(key.key), getattr(actions, key.action)
            self._bound[binding] = act
            viewer.bind_key(binding, lambda _, act=act: act(), overwrite=True)

    def act(self, pressed: KeyBinding) -> bool:
        """Do what a key does; False where it is none of ours."""
        act = self._bound.get(pressed)
        if act is None:
            return False
        act()
        return True

    def let_go(self) -> None:
        """Take the keys away again."""
        for binding in self._bound:
            self._viewer.bind_key(binding, None, overwrite=True)
        self._bound.clear()

"""Our keys in napari's shortcut editor, and bound to the viewers that have a dock.

The editor lists what is in napari's action manager and rebinds it there. What a user chooses
is kept in a file of ours: napari would keep it among its own settings, and warn at each start,
when this plugin is not loaded yet, of an action that does not exist.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from app_model.types import KeyBinding
from napari.settings import get_settings
from napari.utils.action_manager import action_manager
from napari.utils.key_bindings import KeymapProvider, coerce_keybinding

from napari_impartial.core.errors import ImPartialError
from napari_impartial.io.kept_keys import load_keys, save_keys

from . import notifications
from .keybindings import KEYS

if TYPE_CHECKING:
    import napari

PREFIX = "napari-impartial:"
"""Before the names of our actions in napari's action manager."""


class _Listed(KeymapProvider):
    """Class that the action manager binds our keys to.

    The docks bind them to their own viewers, so that each acts on its own images.
    """


class Shortcuts:
    """The keys of each action now."""

    def __init__(self) -> None:
        self._now: dict[str, list[KeyBinding]] = {key.action: [] for key in KEYS}
        action_manager.events.shortcut_changed.connect(self._on_changed)
        chosen = load_keys()
        for key in KEYS:
            name = PREFIX + key.action
            action_manager.register_action(name, _in_front(key.action), _words(key.words), _Listed)
            for text in chosen.get(key.action, [key.key]):
                with suppress(ValueError):  # written by hand, and no key
                    action_manager.bind_shortcut(name, coerce_keybinding(text))

    def of(self, action: str) -> list[KeyBinding]:
        """Return the keys of an action."""
        return list(self._now[action])

    def watch_settings(self) -> None:
        """Take what the editor leaves in napari's settings over into our own file."""
        get_settings().shortcuts.events.shortcuts.connect(self._keep)

    def _on_changed(self, event: Any) -> None:
        action = event.name.removeprefix(PREFIX)
        if event.name != PREFIX + action or action not in self._now:
            return
        if event.shortcut:
            self._now[action].append(coerce_keybinding(event.shortcut))
        else:  # napari takes away all keys of an action, and then binds those that it has now
            self._now[action].clear()

    def _keep(self, event: Any = None) -> None:
        settings = get_settings().shortcuts
        others = {
            name: keys for name, keys in settings.shortcuts.items() if not name.startswith(PREFIX)
        }
        if len(others) == len(settings.shortcuts):
            return
        shipped = {key.action: [str(coerce_keybinding(key.key))] for key in KEYS}
        now = {action: [str(key) for key in keys] for action, keys in self._now.items()}
        try:
            save_keys({action: keys for action, keys in now.items() if keys != shipped[action]})
        except ImPartialError as error:
            notifications.show_warning(str(error))
        settings.shortcuts = others


@cache
def shortcuts() -> Shortcuts:
    """Return the program's shortcuts; the first call tells napari of them."""
    return Shortcuts()


def key_hint(action: str) -> str:
    """Return the sentence that tooltips end with: the key that an action has now."""
    key = next(key for key in KEYS if key.action == action)
    now = " or ".join(str(one) for one in shortcuts().of(action)) or "none"
    return f"Key: {now}; {key.note}." if key.note else f"Key: {now}."


def with_key(label: str, action: str) -> str:
    """Return a button's label, followed by the key that does the same now."""
    now = shortcuts().of(action)
    return f"{label}  ({now[0]})" if now else label


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
        self._viewer, self._actions = viewer, actions
        self._bound: dict[KeyBinding, Callable[[], None]] = {}
        shortcuts().watch_settings()
        # After the shortcuts themselves, which were made before.
        action_manager.events.shortcut_changed.connect(self._on_changed)
        self._bind()

    def act(self, pressed: KeyBinding) -> bool:
        """Do what a key does; False where it is none of ours."""
        act = self._bound.get(pressed)
        if act is None:
            return False
        act()
        return True

    def let_go(self) -> None:
        """Take the keys away again."""
        action_manager.events.shortcut_changed.disconnect(self._on_changed)
        self._unbind()

    def _on_changed(self, event: Any) -> None:
        if event.name.startswith(PREFIX):
            self._unbind()
            self._bind()

    def _bind(self) -> None:
        for key in KEYS:
            act = getattr(self._actions, key.action)
            for binding in shortcuts().of(key.action):
                self._bound[binding] = act
                self._viewer.bind_key(binding, lambda _, act=act: act(), overwrite=True)

    def _unbind(self) -> None:
        for binding in self._bound:
            self._viewer.bind_key(binding, None, overwrite=True)
        self._bound.clear()


def _words(words: str) -> str:
    return f"ImPartial: {words[0].lower()}{words[1:]}"


def _in_front(action: str) -> Callable[[], None]:
    """Return a command that does what a key does, in the viewer in front."""

    def command() -> None:
        from .plugin.commands import act

        act(action)

    command.__name__ = f"impartial_{action}"
    return command

"""Step 3: train, watch, pause, stop, begin anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from napari_impartial.core.config import PRESETS, TrainingConfig, parameters
from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.training.messages import TrainingProgress
from napari_impartial.gui.keybindings import key_hint, with_key
from napari_impartial.gui.widgets.collapsible_step import Step, stacked
from napari_impartial.gui.widgets.config_form import labelled
from napari_impartial.gui.widgets.keyboard_focus import set_enabled
from napari_impartial.gui.widgets.loss_plot import LossCurves
from napari_impartial.gui.widgets.parts import fill, make_button, make_choice, named
from napari_impartial.gui.widgets.text_labels import Wrapped, duration, explained, line
from napari_impartial.session.session import Activity

_BEGIN_TIP = "Learn from the strokes."
_GO_ON_TIP = "Go on learning, from what is known and from the strokes as they are now."
_LIVE_TIP = (
    "Learn from strokes as they come, until this is switched off: the outlines in view follow "
    "them. Train then finishes with a training of the time that is set in step 3."
)

_NUCLEI_TIP = (
    "Channel that shows a nucleus in each cell: training learns to part cells that touch between "
    "their nuclei, also where nothing is painted. Not used while Paper is chosen."
)


@dataclass(frozen=True)
class TrainingChoice:
    """Choices for the next training."""

    preset: str
    time_budget_s: float
    device: str
    nuclear_channel: str = ""


class TrainPanel(QWidget):
    """Preset, time and device; buttons; progress and curves.

    Signals
    -------
    valueChanged
        :class:`TrainingChoice`.
    train_wanted, start_over_wanted
        Go on from what is known; begin anew.
    live_wanted
        Whether training should follow the strokes from now on.
    pause_wanted
        True to pause, False to go on.
    stop_wanted
        Stop and use what has been learned so far; give up what is being predicted.

    Attributes
    ----------
    at_hand, progress : QWidget
        Train, Stop and Live; and the progress. They stand where they are always seen.
    needs : Wrapped
        For what training still needs.
    curves : LossCurves
    """

    valueChanged = Signal(object)
    train_wanted = Signal(object)
    start_over_wanted = Signal(object)
    live_wanted = Signal(bool)
    pause_wanted = Signal(bool)
    stop_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._described = parameters(TrainingConfig)
        told = self._described
        self._preset = make_choice("preset_combo", told["preset"].tooltip, told["preset"].label)
        for preset in PRESETS.values():
            self._preset.addItem(preset.label, preset.name)
            self._preset.setItemData(
                self._preset.count() - 1, preset.tooltip, Qt.ItemDataRole.ToolTipRole
            )
        self._time = self._make_time()
        # As wide as it has to be, whatever devices are called.
        self._device = make_choice("device_combo", told["device"].tooltip, told["device"].label, 1)
        for name in self._described["device"].choices or ():
            self._device.addItem(name, name)
        nuclei = told["nuclear_channel"]
        self._nuclei = make_choice("nuclear_channel_combo", _NUCLEI_TIP, nuclei.label, 1)
        self._channels: tuple[str, ...] = ()
        self._offer_channels("")
        self._stopping = self._live_now = False
        # How much of the training's time is left, in words; empty before one knows.
        self.time_left = ""
        self._make_buttons()
        tip = "How far the training, or the prediction, has come."
        self.progress = self._bar = named(QProgressBar(self), "progress_bar", tip, "Progress")
        self._bar.setRange(0, 1000)
        self._bar.setTextVisible(False)
        self._bar.setFixedHeight(8)
        self._left = line(
            "time_left_label",
            "How much of its time the training has left; afterwards, how it went.",
        )
        self.needs = Wrapped()
        self.curves = LossCurves()
        self._lay_out()
        self._preset.currentIndexChanged.connect(self._on_preset)
        self._time.valueChanged.connect(lambda _: self.valueChanged.emit(self.value()))
        self._device.currentIndexChanged.connect(lambda _: self.valueChanged.emit(self.value()))
        self._nuclei.currentIndexChanged.connect(lambda _: self.valueChanged.emit(self.value()))
        self.setValue(
            TrainingChoice("balanced", PRESETS["balanced"].training.time_budget_s, "auto")
        )
        self.set_state(Activity.IDLE, can_train=False, knows_more=False)

    def value(self) -> TrainingChoice:
        """Return what is chosen."""
        return TrainingChoice(
            self._preset.currentData(),
            self._time.value(),
            self._device.currentData(),
            self._nuclei.currentData(),
        )

    def setValue(self, choice: TrainingChoice) -> None:
        """Choose."""
        with QSignalBlocker(self._preset):
            self._preset.setCurrentIndex(self._preset.findData(choice.preset))
        self._preset.setToolTip(self._preset.currentData(Qt.ItemDataRole.ToolTipRole))
        self._time.setValue(choice.time_budget_s)
        self._device.setCurrentIndex(self._device.findData(choice.device))
        self._offer_channels(choice.nuclear_channel)
        self._enable_nuclei()

    def restore(self, values: dict[str, Any]) -> None:
        """Choose what a saved session has; a device that this machine lacks stays as it is.

        Raises
        ------
        ImPartialError
            If that cannot be chosen.
        """
        known = {f.name: values[f.name] for f in fields(TrainingChoice) if f.name in values}
        choice = replace(self.value(), **known)
        if choice.preset not in PRESETS or not isinstance(choice.nuclear_channel, str):
            raise ImPartialError(f"{choice.preset!r}, {choice.nuclear_channel!r} cannot be chosen.")
        if self._device.findData(choice.device) < 0:
            choice = replace(choice, device=self.value().device)
        self.setValue(choice)

    def set_channels(self, names: Sequence[str]) -> None:
        """Offer the channels of the image in front as those that may show nuclei.

        One that was chosen stays so where the image has none of that name, and says it.
        """
        if self._channels != tuple(names):
            self._channels = tuple(names)
            self._offer_channels(self._nuclei.currentData())

    def _offer_channels(self, chosen: str) -> None:
        with QSignalBlocker(self._nuclei):
            self._nuclei.clear()
            self._nuclei.addItem("none", "")
            for name in self._channels:
                self._nuclei.addItem(name, name)
            if self._nuclei.findData(chosen) < 0:
                lacking = " (not in this image)" if self._channels else ""
                self._nuclei.addItem(chosen + lacking, chosen)
            self._nuclei.setCurrentIndex(self._nuclei.findData(chosen))

    def set_devices(self, devices: tuple[tuple[str, str], ...]) -> None:
        """Offer the devices that the machine has, with what they are; `auto` is the first."""
        before = self._device.currentData()
        with QSignalBlocker(self._device):
            self._device.clear()
            # On a small screen there is room for the first word of what a device is.
            for name, of, text in (
                ("auto", f"auto: {devices[0][0]}", devices[0][1]),
                *((name, name, text) for name, text in devices),
            ):
                self._device.addItem(f"{of} ({text.split(', ')[0]})", name)
                tip = f"{self._described['device'].tooltip} {of}: {text}."
                self._device.setItemData(self._device.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
            self._device.setCurrentIndex(max(0, self._device.findData(before)))
        self._device.setToolTip(self._device.currentData(Qt.ItemDataRole.ToolTipRole))

    def set_state(
        self, activity: Activity, can_train: bool, knows_more: bool, live: bool = False
    ) -> None:
        """Enable what can work.

        Parameters
        ----------
        activity
            What is going on.
        can_train
            Whether there is anything to learn from.
        knows_more
            Whether training would go on from a model.
        live
            Whether training follows the strokes: Train ends that with a last training.
        """
        training = activity in (Activity.TRAINING, Activity.PAUSED)
        predicting = activity is Activity.PREDICTING
        idle = activity is Activity.IDLE
        set_enabled(self._train, can_train and (idle or (live and training)))
        tip = _GO_ON_TIP if knows_more else _BEGIN_TIP
        self._train.setToolTip(f"{tip} {key_hint('train')}")
        set_enabled(self._start_over, idle and can_train and knows_more)
        self._live_now = live
        with QSignalBlocker(self._live):
            self._live.setChecked(live)
        set_enabled(self._pause, training)
        set_enabled(self._stop, training or predicting)
        with QSignalBlocker(self._pause):
            self._pause.setChecked(activity is Activity.PAUSED)
        self._pause.setText("Resume" if activity is Activity.PAUSED else "Pause")
        for editor in (self._preset, self._time, self._device):
            editor.setEnabled(not training)
        self._enable_nuclei()
        # News that was under way when Stop was pressed is no news any more.
        self._stopping = activity is Activity.STOPPING
        if self._stopping:
            self._left.setText("Stopping...")
        elif activity is Activity.PAUSED:
            self._left.setText("Paused.")

    def press(self) -> None:
        """Do what the key does: train, or stop what is being trained."""
        if self._stop.isEnabled():
            self._stop.click()
        else:
            self._train.click()

    def begin(self) -> None:
        """Empty curves and progress for a new training."""
        self.curves.clear_points()
        self._bar.setValue(0)
        self.time_left = ""
        self._left.setText("Starting...")

    def show_progress(self, progress: TrainingProgress) -> None:
        """Show how the running training stands."""
        self.curves.add(progress)
        if self._live_now:
            # There is no end to come nearer to.
            self.time_left = ""
            if not self._stopping:
                self._left.setText(f"Live for {duration(max(1.0, progress.elapsed_s))}.")
            return
        self._bar.setValue(round(1000 * progress.fraction))
        self.time_left = duration(progress.remaining_s)
        if not self._stopping:
            self._left.setText(f"{self.time_left} left")

    def show_fraction(self, fraction: float, text: str) -> None:
        """Show the progress of something else."""
        self._bar.setValue(round(1000 * fraction))
        self._left.setText(text)

    def end(self, text: str) -> None:
        """Say how it ended."""
        self._bar.setValue(0)
        self._left.setText(text)

    def _make_time(self) -> QDoubleSpinBox:
        described = self._described["time_budget_s"]
        tip, label = described.tooltip, described.label
        box = named(QDoubleSpinBox(), "time_budget_spin", tip, label)
        box.setRange(described.minimum or 0.0, described.maximum or 1e9)
        box.setDecimals(0)
        box.setSingleStep(5)
        box.setSuffix(f" {described.unit}")
        return box

    def _make_buttons(self) -> None:
        self._train = make_button(
            with_key("Train", "train"),
            "train_button",
            _BEGIN_TIP,
            lambda: self.train_wanted.emit(self.value()),
        )
        self._start_over = make_button(
            "Start over",
            "start_over_button",
            "Forget what was learned so far, and learn anew from all strokes that there are now. "
            "The rounds so far can be gone back to.",
            lambda: self.start_over_wanted.emit(self.value()),
        )
        self._live = make_button("Live", "live_button", _LIVE_TIP, checkable=True)
        tip = "Hold training; the time stands still."
        self._pause = make_button("Pause", "pause_button", tip, checkable=True)
        self._stop = make_button(
            "Stop",
            "stop_button",
            "End training now and use what has been learned so far; or give a prediction up.",
            self.stop_wanted.emit,
        )
        self._live.toggled.connect(self.live_wanted)
        self._pause.toggled.connect(self.pause_wanted)

    def _lay_out(self) -> None:
        form, further = QFormLayout(), QFormLayout()
        for name, editor in (("preset", self._preset), ("time_budget_s", self._time)):
            form.addRow(labelled(self._described[name]), editor)
        nuclei = self._described["nuclear_channel"].label
        further.addRow(explained(nuclei, _NUCLEI_TIP), self._nuclei)
        further.addRow(labelled(self._described["device"]), self._device)
        self.at_hand = QWidget(self)
        always = (self._train, 3), (self._stop, 2), (self._live, 2)
        fill(QHBoxLayout(self.at_hand), *always, margins=(0, 0, 0, 0), spacing=3)
        seldom = QWidget()
        seldom.setLayout(further)
        further.setContentsMargins(0, 0, 0, 0)
        self._advanced = Step("Advanced", stacked(seldom, self.curves))
        self._advanced.set_open(False)
        buttons = fill(QHBoxLayout(), self._start_over, self._pause)
        # All text that comes and goes is below the buttons, so that none moves away from under
        # the pointer.
        parts = (form, buttons, self.needs, self._left, self._advanced)
        fill(QVBoxLayout(self), *parts, margins=(4, 0, 4, 0)).addStretch(1)

    def _enable_nuclei(self) -> None:
        learns = PRESETS[self._preset.currentData()].training.implied_labels
        self._nuclei.setEnabled(learns and self._preset.isEnabled())

    def _on_preset(self, _: int) -> None:
        preset = PRESETS[self._preset.currentData()]
        self._preset.setToolTip(self._preset.currentData(Qt.ItemDataRole.ToolTipRole))
        self._time.setValue(preset.training.time_budget_s)
        self._enable_nuclei()
        self.valueChanged.emit(self.value())

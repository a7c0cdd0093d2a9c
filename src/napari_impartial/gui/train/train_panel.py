"""Step 3: train, watch, pause, stop, go on."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_impartial.core.config import PRESETS, TrainingConfig, parameters
from napari_impartial.core.training.messages import TrainingProgress
from napari_impartial.core.training.speed import Speed, duration
from napari_impartial.gui.widgets.config_form import labelled
from napari_impartial.gui.widgets.keyboard_focus import set_enabled
from napari_impartial.gui.widgets.loss_plot import LossCurves
from napari_impartial.gui.widgets.text_labels import Wrapped, line
from napari_impartial.session.session import Activity

from .time_left import TimeLeft


@dataclass(frozen=True)
class TrainingChoice:
    """What the user chose for the next training."""

    preset: str
    time_budget_s: float
    device: str


class TrainPanel(QWidget):
    """Preset, time and device; buttons; progress and curves.

    Signals
    -------
    valueChanged
        :class:`TrainingChoice`.
    train_wanted, continue_wanted
        Train from scratch; go on from the current model.
    pause_wanted
        True to pause, False to go on.
    stop_wanted
        Stop and use what has been learned so far.
    device_chosen
        Name of the device that the user chose.

    Attributes
    ----------
    needs : Wrapped
        For what training still needs.
    curves : LossCurves
    """

    valueChanged = Signal(object)
    train_wanted = Signal(object)
    continue_wanted = Signal(object)
    pause_wanted = Signal(bool)
    stop_wanted = Signal()
    device_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._described = parameters(TrainingConfig)
        self._preset = QComboBox()
        self._preset.setObjectName("preset_combo")
        for preset in PRESETS.values():
            self._preset.addItem(preset.label, preset.name)
            self._preset.setItemData(
                self._preset.count() - 1, preset.tooltip, Qt.ItemDataRole.ToolTipRole
            )
        self._time = self._make_time()
        self._device = QComboBox()
        self._device.setObjectName("device_combo")
        for name in self._described["device"].choices or ():
            self._device.addItem(name, name)
        self._speed: Speed | None = None
        self._stopping = False
        self._time_left = TimeLeft()
        # How long the running training will still take, in words; empty before one knows.
        self.time_left = ""
        self._expected = line(
            "expectation_label",
            "What this machine does in the time budget, by the last training or a measurement.",
        )
        self._expected.hide()
        self._make_buttons()
        self._bar = QProgressBar()
        self._bar.setObjectName("progress_bar")
        self._bar.setRange(0, 1000)
        self._bar.setAccessibleName("Progress")
        self._bar.setToolTip("How far the training, or the prediction, has come.")
        self._bar.setTextVisible(False)
        self._bar.setFixedHeight(12)
        self._left = line(
            "time_left_label", "How long it will still take; afterwards, how the training went."
        )
        self.needs = Wrapped()
        self.curves = LossCurves()
        self._lay_out()
        self._preset.currentIndexChanged.connect(self._on_preset)
        self._time.valueChanged.connect(self._on_time)
        self._device.currentIndexChanged.connect(self._on_device)
        self.setValue(
            TrainingChoice("balanced", PRESETS["balanced"].training.time_budget_s, "auto")
        )
        self.set_state(Activity.IDLE, can_train=False, can_continue=False)

    def value(self) -> TrainingChoice:
        """Return what is chosen."""
        return TrainingChoice(
            self._preset.currentData(), self._time.value(), self._device.currentData()
        )

    def setValue(self, choice: TrainingChoice) -> None:
        """Choose."""
        with QSignalBlocker(self._preset):
            self._preset.setCurrentIndex(self._preset.findData(choice.preset))
        self._preset.setToolTip(self._preset.currentData(Qt.ItemDataRole.ToolTipRole))
        self._time.setValue(choice.time_budget_s)
        self._device.setCurrentIndex(self._device.findData(choice.device))

    def restore(self, values: dict[str, Any]) -> None:
        """Choose what a saved session has; what is not known or not offered stays as it is."""
        known = {f.name: values[f.name] for f in fields(TrainingChoice) if f.name in values}
        choice = replace(self.value(), **known)
        if choice.preset not in PRESETS or self._device.findData(choice.device) < 0:
            choice = replace(self.value(), time_budget_s=choice.time_budget_s)
        self.setValue(choice)

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

    def set_speed(self, speed: Speed) -> None:
        """Tell times as they are on this machine."""
        self._speed = speed
        for i, preset in enumerate(PRESETS.values()):
            seconds = preset.training.time_budget_s
            self._preset.setItemText(i, f"{preset.label}: about {duration(seconds)}")
            tip = f"{preset.tooltip} {speed.expect(preset.name, seconds)}"
            self._preset.setItemData(i, tip, Qt.ItemDataRole.ToolTipRole)
        self._preset.setToolTip(self._preset.currentData(Qt.ItemDataRole.ToolTipRole))
        rate = speed.step_rate(self._preset.currentData())
        self._device.setToolTip(
            f"{self._described['device'].tooltip} Measured: {speed.device} does about "
            f"{rate:.2g} steps of training a second."
        )
        self._show_expected()

    def set_state(self, activity: Activity, can_train: bool, can_continue: bool) -> None:
        """Enable what can work."""
        training = activity in (Activity.TRAINING, Activity.PAUSED)
        idle = activity is Activity.IDLE
        set_enabled(self._train, idle and can_train)
        set_enabled(self._continue, idle and can_train and can_continue)
        set_enabled(self._pause, training)
        set_enabled(self._stop, training)
        with QSignalBlocker(self._pause):
            self._pause.setChecked(activity is Activity.PAUSED)
        self._pause.setText("Resume" if activity is Activity.PAUSED else "Pause")
        for editor in (self._preset, self._time, self._device):
            editor.setEnabled(not training)
        # News that was under way when Stop was pressed is no news any more.
        self._stopping = activity is Activity.STOPPING
        if self._stopping:
            self._left.setText("Stopping...")
        elif activity is Activity.PAUSED:
            self._left.setText("Paused.")

    def can_continue(self) -> bool:
        """Whether training can go on from the present weights."""
        return self._continue.isEnabled()

    def begin(self) -> None:
        """Empty curves and progress for a new training."""
        self.curves.clear_points()
        self._bar.setValue(0)
        self.time_left = ""
        self._left.setText("Starting...")

    def show_progress(self, progress: TrainingProgress) -> None:
        """Show how the running training stands."""
        self.curves.add(progress)
        self._bar.setValue(round(1000 * progress.fraction))
        left_s = self._time_left.note(progress.elapsed_s, progress.remaining_s)
        self.time_left = duration(left_s)
        if not self._stopping:
            self._left.setText(f"{self.time_left} left, {progress.step} steps")

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
        box = QDoubleSpinBox()
        box.setObjectName("time_budget_spin")
        box.setRange(described.minimum or 0.0, described.maximum or 1e9)
        box.setDecimals(0)
        box.setSingleStep(5)
        box.setSuffix(f" {described.unit}")
        box.setToolTip(described.tooltip)
        box.setAccessibleName(described.label)
        return box

    def _make_buttons(self) -> None:
        def button(text: str, name: str, tip: str) -> QPushButton:
            made = QPushButton(text)
            made.setObjectName(name)
            made.setToolTip(tip)
            return made

        self._train = button("Train", "train_button", "Learn from the scribbles, from scratch.")
        self._continue = button(
            "Continue",
            "continue_button",
            "Learn on from the current model, with the scribbles as they are now.",
        )
        self._pause = button("Pause", "pause_button", "Hold training; the time stands still.")
        self._pause.setCheckable(True)
        self._stop = button(
            "Stop", "stop_button", "End training now and use what has been learned so far."
        )
        self._train.clicked.connect(lambda: self.train_wanted.emit(self.value()))
        self._continue.clicked.connect(lambda: self.continue_wanted.emit(self.value()))
        self._pause.toggled.connect(self.pause_wanted)
        self._stop.clicked.connect(self.stop_wanted)

    def _lay_out(self) -> None:
        form = QFormLayout()
        for name, editor in (
            ("preset", self._preset),
            ("time_budget_s", self._time),
            ("device", self._device),
        ):
            form.addRow(labelled(self._described[name]), editor)
            editor.setAccessibleName(self._described[name].label)
            if not editor.toolTip():
                editor.setToolTip(self._described[name].tooltip)
        self._device.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        buttons = QGridLayout()
        for place, part in enumerate((self._train, self._continue, self._pause, self._stop)):
            buttons.addWidget(part, place // 2, place % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 4, 0)
        layout.addLayout(form)
        layout.addLayout(buttons)
        # All text that comes and goes is below the buttons, so that none moves away from under
        # the pointer.
        layout.addWidget(self.needs)
        layout.addWidget(self._expected)
        layout.addWidget(self._bar)
        layout.addWidget(self._left)
        layout.addWidget(self.curves)

    def _show_expected(self) -> None:
        speed = self._speed
        text = "" if speed is None else speed.expect(self._preset.currentData(), self._time.value())
        self._expected.setText(text)
        self._expected.setVisible(bool(text))

    def _on_time(self, _: float) -> None:
        self._show_expected()
        self.valueChanged.emit(self.value())

    def _on_device(self, _: int) -> None:
        self.device_chosen.emit(self._device.currentData())
        self.valueChanged.emit(self.value())

    def _on_preset(self, _: int) -> None:
        preset = PRESETS[self._preset.currentData()]
        self._preset.setToolTip(self._preset.currentData(Qt.ItemDataRole.ToolTipRole))
        self._time.setValue(preset.training.time_budget_s)
        self.valueChanged.emit(self.value())

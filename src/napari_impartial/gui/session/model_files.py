"""Save and load models, and the command that does without the window."""

from __future__ import annotations

import contextlib
import filecmp
import shutil
from dataclasses import replace
from pathlib import Path

from qtpy.QtWidgets import QApplication

from napari_impartial.core.errors import ImPartialError
from napari_impartial.core.network.model_card import copy_with_card, read_card
from napari_impartial.gui import notifications
from napari_impartial.gui.layers.workspace import Workspace
from napari_impartial.gui.result.prediction import ResultControl
from napari_impartial.gui.train.training import TrainingControl
from napari_impartial.worker.client import TrainingProcess

from .autosave import SessionStore
from .headless_command import prediction_command, training_command

MODEL_NAME = "model.impartial"


class ModelControl:
    """Actions on the session's model."""

    def __init__(
        self,
        workspace: Workspace,
        process: TrainingProcess,
        results: ResultControl,
        training: TrainingControl,
        store: SessionStore,
    ) -> None:
        self._workspace = workspace
        self._session = workspace.session
        self._process = process
        self._results = results
        self._training = training
        self._store = store
        # The file that the current model came from; None where it was trained here.
        self._loaded: Path | None = None
        # Our copies of loaded models, and the files that they were loaded from.
        self._origins: dict[Path, Path] = {}
        # A loaded model that training went on from is no round's, but has to be kept, too.
        store.keep_part("went_on_from", self._went_on_from, lambda _: None)
        store.restored.connect(self._forget)

    def save(self, path: Path) -> None:
        """Write the current model to a file, whole or not at all."""
        if self._session.model_path is None:
            notifications.show_warning("There is no model to save yet.")
            return
        try:
            card = self._session.named_card()
            assert card is not None
            copy_with_card(self._session.model_path, path, card)
        except ImPartialError as error:
            notifications.show_error(str(error))
            return
        notifications.show_info(f"{path.name} was written to {path.parent}.")

    def load(self, path: Path) -> None:
        """Take over a model from a file, and predict the image in view if it fits."""
        try:
            card = read_card(path)
            # A copy, so that it does not matter what becomes of the file.
            own = self._process.new_model_path()
            shutil.copyfile(path, own)
        except (ImPartialError, OSError) as error:
            notifications.show_error(str(error))
            return
        self._loaded, self._training.done = path, None
        self._origins[own] = path
        self._session.set_model(own, card)
        # What is suggested is another model's now, and has to say so.
        self._results.suggestions.refresh()
        record = self._session.record
        slide = record is not None and record.is_slide
        # Nobody waits for all of a slide who only takes a model over.
        missing = (
            self._session.missing_for_slide(record.key)
            if slide and record is not None
            else self._session.missing_for_prediction()
        )
        if not missing and not slide:
            self._results.predict()
        elif missing and record is not None:
            notifications.show_warning(missing)

    def copy_command(self) -> None:
        """Put the command that does the same without a window on the clipboard."""
        card, clipboard = self._session.card, QApplication.clipboard()
        if card is None or clipboard is None:
            return
        done, advice = self._training.done, ""
        if done is not None and done.init is not None:
            init, advice = self._lasting(done.init)
            if init is None:
                notifications.show_warning(advice)
                return
            done = replace(done, init=init)
        model = str(self._loaded or MODEL_NAME) if done is None else MODEL_NAME
        predicted = [
            self._workspace.sources[record.key]
            for record in self._session.images.values()
            if any(plane.prediction is not None for plane in record.planes.values())
            and not self._session.missing_for_prediction(record.key)
        ]
        config = replace(card.prediction, device=self._session.device)
        try:
            parts = [] if done is None else [training_command(done, model)]
            if predicted:
                instances = self._session.instance_config
                parts.append(prediction_command(predicted, config, instances, model, card))
        except ImPartialError as error:
            notifications.show_warning(str(error))
            return
        clipboard.setText("\n".join(part.text for part in parts))
        saves = dict.fromkeys(pair for part in parts for pair in part.to_save)
        files = "; ".join(f"'{layer}' as {file}" for layer, file in saves)
        notifications.show_info(
            "The command is on the clipboard."
            + (f" Before running it, save these layers where you run it: {files}." if files else "")
            + advice
        )

    def _went_on_from(self) -> Path | None:
        done = self._training.done
        return None if done is None else done.init

    def _forget(self, _: object) -> None:
        """Leave what was done in another session."""
        self._loaded, self._training.done = None, None

    def _lasting(self, model: Path) -> tuple[Path | None, str]:
        """Return a file with a model that outlasts the window, and what to say of it.

        Models in use lie in a folder that goes with the window.
        """
        origin = self._origins.get(model)
        with contextlib.suppress(OSError):
            if origin is not None and filecmp.cmp(model, origin, shallow=False):
                return origin.absolute(), ""
        copy = self._store.copy_of(model)
        if copy is None:
            self._store.save()
            return None, (
                "The model that training went on from is being saved with the session; press "
                "Copy command again in a moment."
            )
        if self._store.is_automatic:
            return copy, (
                " It goes on from a model that lies with this session, which newer sessions "
                "displace: to keep it, press Save session, and then Copy command again."
            )
        return copy, ""

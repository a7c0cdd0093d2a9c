"""The log of decisions, without a window."""

from __future__ import annotations

from napari_impartial.session.undo import DecisionLog


class Layer:
    """Something that is painted on."""


def test_strokes_that_were_forgotten_are_not_undone() -> None:
    log, layer = DecisionLog(), Layer()
    assert log.undo_stroke(layer), "painted before the log was there"
    log.note_stroke(layer)
    log.forget_strokes(layer)
    assert not log.undo_stroke(layer), "the layer has it in its history still"
    assert not log.redo_stroke(layer)
    log.note_stroke(layer)
    assert log.undo_stroke(layer)
    assert log.redo_stroke(layer)
    assert log.undo_stroke(layer)
    assert not log.undo_stroke(layer)
    assert log.undo_stroke(Layer()), "another layer"

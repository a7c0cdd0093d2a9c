"""How well a round foretold the strokes that were painted after it."""

from __future__ import annotations

from collections.abc import Sequence

from napari_impartial.core.review.round_changes import NewStrokes, unseen_score

from .session import Session, TrainingItem


def score_round(session: Session, items: Sequence[TrainingItem]) -> None:
    """Let the round in force be judged by strokes that it has not learned from.

    Parameters
    ----------
    session
        Its present round gets the score, if there is one.
    items
        What is about to be learned from. Only planes that the round predicted, and of which
        it is known what it learned, tell anything.
    """
    now = session.round
    if now is None or not now.learned:
        return
    strokes = []
    for item in items:
        record = session.images.get(item.key)
        plane = None if record is None else record.planes.get(item.plane)
        if plane is None or plane.prediction is None or not session.is_current(plane):
            continue
        labels, probability = item.scribbles.labels, plane.prediction.probability
        learned = now.learned.get((item.key, item.plane))
        shapes = {
            labels.shape,
            probability.shape[1:],
            (learned if learned is not None else labels).shape,
        }
        if len(shapes) == 1:
            strokes.append(NewStrokes(labels, learned, probability))
    score = unseen_score(strokes)
    now.unseen = now.unseen if score is None else score

"""The line that says what is going on, or what comes next."""

from __future__ import annotations

from collections.abc import Sequence

from .session import Activity, Session
from .suggestion_control import Place

_BUSY = {
    Activity.TRAINING: "Training. Go on painting: new strokes join in.",
    Activity.PAUSED: "Training is paused.",
    Activity.STOPPING: "Stopping: keeping the best so far...",
    Activity.PREDICTING: "Predicting...",
}


def status(session: Session, places: Sequence[Place], waiting: str = "") -> str:
    """Say how a session stands.

    Parameters
    ----------
    session
        The session.
    places
        What is suggested, things that are done included.
    waiting
        Which strokes the running training cannot take.
    """
    if session.activity is Activity.TRAINING and session.record is None:
        return "Training. Choose an image to go on painting."
    if waiting and session.activity in (Activity.TRAINING, Activity.PAUSED):
        paused = session.activity is Activity.PAUSED
        return f"{_BUSY[Activity.PAUSED] if paused else 'Training.'} {waiting}"
    if session.busy:
        return _BUSY[session.activity]
    if missing := session.missing_for_training():
        return missing
    if session.card is None:
        return "Press Train."
    if missing := session.missing_for_prediction():
        return missing
    return _what_to_do(session, places)


def _what_to_do(session: Session, places: Sequence[Place]) -> str:
    if any(not place.done for place in places):
        return "Ready. Follow the suggestions, paint there, and press Continue."
    if places:
        return (
            "All suggestions are done. Press Continue to learn from new strokes, or look through "
            "the objects."
        )
    plane = session.plane
    if plane is None or plane.prediction is None:
        what = "plane" if session.plane_index else "image"
        return f"Press Predict to see what the model makes of this {what}."
    return (
        "No suggestions are left. Look through the objects; paint where they are wrong, and "
        "press Continue."
    )

"""Status texts: the present activity, the next step, and how up to date results are."""

from __future__ import annotations

from collections.abc import Sequence

from napari_impartial.core.review.round_changes import makers

from .session import Activity, Session
from .suggested_places import Place, place_words

_BUSY = {
    Activity.TRAINING: "Training{left}. Go on painting: new strokes join in.",
    Activity.PAUSED: "Training is paused.",
    Activity.STOPPING: "Stopping: finishing with what has been learned so far...",
    Activity.PREDICTING: "Predicting...",
}

_ON_SLIDE = "On a slide, the brush takes a field of what is in view, to paint on."


def status(
    session: Session,
    places: Sequence[Place],
    waiting: str = "",
    left: str = "",
    live: bool = False,
    current: Place | None = None,
    fine_key: str = "",
) -> str:
    """Say how a session stands.

    Parameters
    ----------
    session
        The session.
    places
        What is suggested, things that are done included.
    waiting
        Which strokes the running training cannot take.
    left
        How long the running training will still take, where that is known.
    live
        Whether training follows the strokes, or will as soon as there are enough.
    current
        The place that was gone to, while there is something to do there.
    fine_key
        That says of it that nothing has to be done.
    """
    left = f", {left} left" if left else ""
    doing = "Live" if live else f"Training{left}"
    if session.activity is Activity.TRAINING and session.record is None:
        return f"{doing}. Choose an image to go on painting."
    if waiting and session.activity in (Activity.TRAINING, Activity.PAUSED):
        paused = session.activity is Activity.PAUSED
        return f"{_BUSY[Activity.PAUSED] if paused else f'{doing}.'} {waiting}"
    if current is not None and session.activity in (Activity.IDLE, Activity.TRAINING):
        return place_words(current, len(places), fine_key)
    if live and session.activity is Activity.TRAINING:
        return "Live: paint, and the outlines follow. Train finishes; Live again ends it."
    if session.busy:
        return _BUSY[session.activity].format(left=left)
    slide = session.record is not None and session.record.is_slide
    if missing := session.missing_for_training():
        return f"{missing} {_ON_SLIDE}" if slide and session.record else missing
    if session.card is None:
        return "Press Train."
    if slide and session.record is not None:
        on_disk, name = session.record.on_disk, session.record.name
        if on_disk is None:
            return f"{_ON_SLIDE} Predict all, in step 4, does the whole of '{name}'."
        return "Ready. Next place takes a field where the model is unsure; paint there, and Train."
    if missing := session.missing_for_prediction():
        record = session.record
        if record is not None and record.annotated:
            return (
                "Press Train. It begins anew: the model that is there is for other channels than "
                f"'{record.name}' has."
            )
        return missing
    return _what_to_do(session, places)


def _what_to_do(session: Session, places: Sequence[Place]) -> str:
    if any(not place.done for place in places):
        return "Ready. Next place goes where the model is unsure; paint there, and press Train."
    if places:
        return (
            "All places are done. Press Train to learn from new strokes, or look through the "
            "objects."
        )
    plane = session.plane
    if plane is None or plane.prediction is None:
        what = "plane" if session.plane_index else "image"
        return f"Press Predict to see what the model makes of this {what}."
    return (
        "There is no place that the model is unsure of. Look through the objects; paint where "
        "they are wrong, and press Train."
    )


def stale_results(session: Session) -> str:
    """Say that results are of another than the present model; empty if none are, or soon not."""
    if session.busy:
        return ""
    stale = [
        plane
        for key, record in session.images.items()
        if not session.missing_for_prediction(key)
        for plane in record.planes.values()
        if session.rounds.is_stale(plane)
    ]
    if not stale:
        return ""
    n = len(stale)
    shown = session.plane
    if shown is not None and session.rounds.is_stale(shown):
        whose = f"What is shown was predicted by {makers([shown.predicted_by])}"
        if n == 1:
            return f"{whose}. Predict renews it."
        return f"{whose}. Predict renews it; Predict all renews all {n} such results."
    results = "1 result is" if n == 1 else f"{n} results are"
    return f"{results} of {makers(one.predicted_by for one in stale)}. Predict all renews all."


def no_suggestions(session: Session) -> str:
    """Say why there are no suggestions."""
    # Objects come last: without them suggestions are still being looked for.
    predicted = [
        plane
        for record in session.images.values()
        for plane in record.planes.values()
        if plane.prediction is not None and plane.instances is not None
    ]
    if not predicted:
        return "Suggestions come with a result."
    current = [plane.prediction for plane in predicted if not session.rounds.is_stale(plane)]
    if not current:
        return "Suggestions of the present model come with its first result: press Predict."
    if any(prediction is not None and prediction.n_samples == 0 for prediction in current):
        return (
            "No suggestions: the model is sure of all that is not annotated. But it was asked "
            "in a way that hardly shows doubt: look through the objects."
        )
    return (
        "No suggestions: the model is sure of all that is neither annotated nor found fine. "
        "Look through the objects."
    )

"""Names of the classes: one owner, no two alike."""

from __future__ import annotations

import pytest

from napari_impartial.core.errors import ImPartialError
from napari_impartial.session.class_names import ClassNames


def test_classes_have_usual_names_until_they_get_others() -> None:
    names, told = ClassNames(), []
    names.changed.connect(lambda: told.append(True))
    assert [names.of(label) for label in (1, 2, 3)] == ["Background", "Cell", "Cell 2"]
    assert names.given(3) == ("", "")
    names.give(3, "  B   cell ")
    assert (names.kinds(3), names.given(3)) == (("Cell", "B cell"), ("", "B cell"))
    assert names.card(3) == ("background", "Cell", "B cell")
    names.give(3, "B cell")
    assert len(told) == 1
    names.give(3, "")
    assert (names.of(3), len(told)) == ("Cell 2", 2)


@pytest.mark.parametrize("name", ["background", "CELL", "cell 3", "twelfth"])
def test_no_two_classes_are_called_the_same(name: str) -> None:
    names = ClassNames()
    names.give(12, "Twelfth")
    with pytest.raises(ImPartialError, match="Another class is called"):
        names.give(3, name)
    assert names.of(3) == "Cell 2"


def test_names_of_a_model_go_with_it_and_those_of_the_user_stay() -> None:
    names = ClassNames()
    names.follow_model(("Tumour", "Lymphocyte"))
    assert names.kinds(3) == ("Tumour", "Lymphocyte")
    names.follow_model(("Neuron", "Glia"))
    assert names.kinds(3) == ("Neuron", "Glia")
    names.give(2, "Stroma")
    names.follow_model(("foreground 1", "stroma", "Gland"))
    assert names.kinds(4) == ("Stroma", "Cell 2", "Gland")
    names.give(4, "")
    assert names.card(4) == ("background", "Stroma", "Cell 2", "Cell 3")
    names.clear()
    assert names.kinds(4) == ("Cell", "Cell 2", "Cell 3")


@pytest.mark.parametrize(
    "damaged",
    [
        None, 3, [], {"x": "y"}, {"3": 4}, {"1": "no"}, {"²": "a"}, {"3000000": "a"}, {"3": "=1"},
        {"3": "n" * 99},
    ],
)  # fmt: skip
def test_damaged_names_of_a_session_are_left_out(damaged: object) -> None:
    names = ClassNames()
    with pytest.raises(ImPartialError, match="cannot be a class's name"):
        names.restore(damaged)
    assert names.save() == {}


def test_names_are_saved_and_restored() -> None:
    names, others = ClassNames(), ClassNames()
    names.give(3, "Tumour")
    names.give(2, "Cell 2")
    names.give(4, "Ki-67+ µm")
    others.give(3, "gone")
    others.restore(names.save())
    assert others.kinds(4) == names.kinds(4) == ("Cell 2", "Tumour", "Ki-67+ µm")
    with pytest.raises(ImPartialError, match="3: 'a' cannot be"):
        others.restore({"2": "A", "3": "a"})
    assert others.kinds(3) == ("A", "Cell 2")

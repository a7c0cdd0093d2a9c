"""Names of the classes: one owner, no two alike."""

from __future__ import annotations

import pytest

from napari_impartial.core.errors import ImPartialError
from napari_impartial.session.class_names import LONGEST, ClassNames


def test_classes_have_usual_names_until_they_get_others() -> None:
    names, told = ClassNames(), []
    names.changed.connect(lambda: told.append(True))
    assert [names.of(label) for label in (1, 2, 3)] == ["Background", "Cell", "Cell 2"]
    assert names.given(3) == ("", "")
    names.give(3, "  B   cell ")
    assert (names.kinds(3), names.given(3)) == (("Cell", "B cell"), ("", "B cell"))
    names.give(3, "B cell")
    assert len(told) == 1
    names.give(3, "")
    assert (names.of(3), len(told)) == ("Cell 2", 2)
    names.give(2, "n" * 500)
    assert len(names.of(2)) == LONGEST


@pytest.mark.parametrize("name", ["background", "CELL", "cell 3"])
def test_no_two_classes_are_called_the_same(name: str) -> None:
    names = ClassNames()
    with pytest.raises(ImPartialError, match="Another class is called"):
        names.give(3, name)
    assert names.of(3) == "Cell 2"


def test_a_models_names_are_taken_over_but_not_made_up_ones_nor_over_the_users() -> None:
    names = ClassNames()
    names.adopt(("foreground 1", "Tumour"))
    assert names.kinds(3) == ("Cell", "Tumour")
    names.give(2, "Stroma")
    names.adopt(("Gland", "Other", "stroma"))
    assert names.kinds(4) == ("Stroma", "Tumour", "Cell 3")


@pytest.mark.parametrize("damaged", [None, 3, [], {"x": "y"}, {"3": 4}, {"1": "no"}, {"²": "a"}])
def test_damaged_names_of_a_session_are_left_out(damaged: object) -> None:
    names = ClassNames()
    names.restore(damaged)
    assert names.save() == {}


def test_names_are_saved_and_restored() -> None:
    names, others = ClassNames(), ClassNames()
    names.give(2, "Tumour")
    names.give(4, "Ki-67+ µm")
    others.give(3, "gone")
    others.restore(names.save())
    assert others.save() == {"2": "Tumour", "4": "Ki-67+ µm"}

"""Channels are found by name, whatever their order, and a mismatch is said in one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from napari_impartial.core.data.channels import is_generic, join_channels, match_channels
from napari_impartial.core.data.image import from_array
from napari_impartial.core.errors import ImPartialError


@pytest.mark.parametrize(
    ("have", "want", "places"),
    [
        (("DAPI", "CD8"), ("DAPI", "CD8"), (0, 1)),
        (("CD8", "CD3", "DAPI"), ("DAPI", "CD8"), (2, 0)),
        (("cd8 ", "Dapi"), ("DAPI", "CD8"), (1, 0)),
        (("dapi", "DAPI"), ("DAPI", "dapi"), (1, 0)),
        (("channel 1", "channel 2"), ("DAPI", "CD8"), (0, 1)),
        (("DAPI", "CD8"), ("red", "green"), (0, 1)),
        (("channel 1",), ("channel 3",), (0,)),
        # a name of their own for some is a name
        (("channel 1", "DAPI"), ("DAPI",), (1,)),
    ],
)
def test_channels_are_found(
    have: tuple[str, ...], want: tuple[str, ...], places: tuple[int, ...]
) -> None:
    assert match_channels(have, want, "b", "the model was trained on") == places


@pytest.mark.parametrize(
    ("have", "want", "words"),
    [
        (("DAPI", "CD3"), ("DAPI", "CD8"), "b has no channel CD8; it has 2 channels (DAPI, CD3)"),
        (("DAPI",), ("DAPI", "CD8", "CD4"), "no channel CD8 and CD4; it has 1 channel (DAPI)"),
        (("channel 1",), ("DAPI", "CD8"), "b has 1 channel (channel 1), but the model"),
        (("DAPI", "CD8"), ("channel 1",), "the model was trained on 1 channel (channel 1); try."),
    ],
)
def test_a_mismatch_is_one_sentence(
    have: tuple[str, ...], want: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ImPartialError) as caught:
        match_channels(have, want, "b", "the model was trained on", "try")
    text = str(caught.value)
    assert words in text
    assert text.count(". ") == 0
    assert text.endswith("try.")


def test_channels_picked_one_by_one_are_taken_in_order() -> None:
    assert match_channels(("A", "B"), ("DAPI", "CD8"), "b", "x", by_name=False) == (0, 1)


def test_what_names_nothing() -> None:
    assert is_generic(("Red", "channel 12"))
    assert not is_generic(("channel 1", "DAPI"))


def test_images_become_channels() -> None:
    first = from_array(np.zeros((2, 4, 5)), "CYX", name="a", pixel_size=(2.0, 2.0))
    second = from_array(np.ones((4, 5)), "YX", name="b")
    joined = join_channels([first, second])
    assert joined.channel_names == ("channel 1", "channel 2", "channel 3")
    assert (joined.name, joined.pixel_size) == ("a", (2.0, 2.0))
    assert joined.channels[:, 0, 0].tolist() == [0, 0, 1]
    assert join_channels([first], ("x", "x")).channel_names == ("x", "x (2)")
    with pytest.raises(ImPartialError, match="one for each"):
        join_channels([first, second], ("x",))
    with pytest.raises(ImPartialError, match="'c' is 4 x 6 pixels and 'a' 4 x 5"):
        join_channels([first, from_array(np.ones((4, 6)), "YX", name="c")])

"""Axes, types, channels and normalization."""

from __future__ import annotations

import numpy as np
import pytest

from napari_impartial.core.data.image import (
    Image,
    check_axes,
    from_array,
    guess_axes,
    normalize,
    planes,
)
from napari_impartial.core.errors import ImPartialError, ImPartialWarning


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((5, 7), "YX"),
        ((1, 1), "YX"),
        ((2, 400, 400), "CYX"),
        ((60, 100, 120), "CYX"),
        ((128, 200, 200), "CYX"),
        ((200, 150, 140), "ZYX"),
        ((512, 512, 3), "YXC"),
        ((512, 400, 4), "YXC"),
        ((256, 256, 2), "YXC"),
        ((300, 300, 60), "YXC"),
        ((3, 64, 64), "CYX"),
        ((4, 4, 4), "CYX"),
        ((1, 51, 120, 122), "CZYX"),
        ((51, 2, 120, 122), "ZCYX"),
        ((5, 5, 120, 122), "ZCYX"),
        ((9, 120, 122, 3), "ZYXC"),
        ((1250, 256, 256, 2), "ZYXC"),
        ((2, 3, 4, 50, 60), "TZCYX"),
        ((2, 3, 50, 60, 3), "TZYXC"),
    ],
)
def test_guess_axes(shape: tuple[int, ...], axes: str) -> None:
    assert guess_axes(shape) == axes


def test_the_type_decides_for_tiny_colour_pictures() -> None:
    assert guess_axes((3, 3, 3), np.uint8) == "YXC"
    assert guess_axes((3, 3, 3), np.float32) == "CYX"


@pytest.mark.parametrize("shape", [(), (5,), (1, 2, 3, 4, 5, 6)])
def test_guess_axes_refuses_other_numbers_of_axes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImPartialError, match="two to five axes"):
        guess_axes(shape)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("CQX", "unknown letter 'Q'"),
        ("YYX", "repeat"),
        ("CZY", "lack Y or X"),
        ("YX", "name 2 axes but the array has 3"),
        ("ZCYX", "name 4 axes but the array has 3"),
        ("", "lack Y or X"),
    ],
)
def test_wrong_axes(axes: str, message: str) -> None:
    with pytest.raises(ImPartialError, match=message):
        planes(np.zeros((2, 5, 6)), axes)


def test_axes_may_be_small_letters() -> None:
    assert check_axes("cyx", 3) == "CYX"


def test_channels_first_whatever_the_order() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    for axes, order in (("CYX", (0, 1, 2)), ("YXC", (2, 0, 1)), ("XCY", (1, 2, 0))):
        image = from_array(array, axes)
        np.testing.assert_array_equal(image.channels, array.transpose(order))
        assert image.channels.dtype == np.float32
        assert image.channels.flags.c_contiguous
        assert image.shape == image.channels.shape[1:]


@pytest.mark.parametrize("axes", ["TZCYX", "ZTCYX", "CTZYX", "YXZTC"])
def test_stacks_become_planes_by_time_then_slice(axes: str) -> None:
    lengths = dict(zip("TZCYX", (2, 3, 4, 5, 6), strict=True))
    canonical = np.arange(720).reshape(2, 3, 4, 5, 6)
    array = canonical.transpose(["TZCYX".index(letter) for letter in axes])
    assert array.shape == tuple(lengths[letter] for letter in axes)
    images = planes(array, axes, name="stack")
    assert len(images) == 6
    for i, image in enumerate(images):
        np.testing.assert_array_equal(image.channels, canonical[i // 3, i % 3])
    names = {image.name for image in images}
    assert len(names) == 6
    assert images[4].name in ("stack [t=1, z=1]", "stack [z=1, t=1]")


def test_axes_of_length_one_leave_the_name_alone() -> None:
    (image,) = planes(np.zeros((1, 1, 2, 5, 6)), "TZCYX", name="cells")
    assert image.name == "cells"


def test_from_array_refuses_stacks() -> None:
    with pytest.raises(ImPartialError, match="stack of 3 planes"):
        from_array(np.zeros((3, 5, 6)), "ZYX")
    assert from_array(np.zeros((1, 5, 6)), "ZYX").n_channels == 1


@pytest.mark.parametrize(
    "dtype",
    ["bool", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">u2", ">f4"],
)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 3), (2, 9, 11)])
def test_every_type_and_size(dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.arange(np.prod(shape)) % 2).reshape(shape).astype(dtype)
    image = from_array(array)
    np.testing.assert_array_equal(image.channels.reshape(shape), array.astype(np.float32))
    out = normalize(image)
    assert out.dtype == np.float32
    assert out.shape == image.channels.shape
    assert np.isfinite(out).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 5)), "empty"),
        (np.zeros((2, 0, 5)), "empty"),
        (np.zeros((4, 4), complex), "complex"),
        (np.zeros((4, 4), "U3"), "not numbers"),
        (np.zeros((4, 4), object), "not numbers"),
        ([[1, 2], [3]], "differ in length"),
        (3.0, "two to five axes"),
    ],
)
def test_what_is_no_image(array: object, message: str) -> None:
    with pytest.raises(ImPartialError, match=message) as caught:
        planes(array)
    assert "\n" not in str(caught.value)


def test_lists_are_arrays() -> None:
    np.testing.assert_array_equal(from_array([[1, 2], [3, 4]]).channels, [[[1, 2], [3, 4]]])


def test_an_image_is_a_copy() -> None:
    array = np.zeros((1, 4, 4), np.float32)
    image = from_array(array)
    array[:] = 5
    assert not image.channels.any()


def test_colour_is_what_somebody_said_is_colour() -> None:
    colour = np.random.default_rng(0).integers(0, 255, (8, 9, 4)).astype(np.uint8)
    # four stains, for all that the array says; none is dropped
    stains = from_array(colour)
    assert stains.channel_names == ("channel 1", "channel 2", "channel 3", "channel 4")
    np.testing.assert_array_equal(stains.channels, np.moveaxis(colour, -1, 0))
    image = from_array(colour[..., :3], colour=True)
    assert image.channel_names == ("red", "green", "blue")
    assert from_array(colour, colour=True).channel_names == ("red", "green", "blue", "channel 4")
    assert from_array(colour, channel_names="abcd").channel_names == ("a", "b", "c", "d")


def test_names_are_distinct_and_never_blank() -> None:
    image = from_array(np.zeros((4, 5, 6)), channel_names=["DAPI", "DAPI", " ", "DAPI"])
    assert image.channel_names == ("DAPI", "DAPI (2)", "channel 3", "DAPI (3)")


@pytest.mark.parametrize("dtype", [np.float64, np.uint8, complex])
def test_intensities_are_of_one_type(dtype: type) -> None:
    with pytest.raises(ImPartialError, match="from_array"):
        Image(np.zeros((1, 5, 6), dtype), ("a",))


def test_an_image_is_made_of_an_array() -> None:
    with pytest.raises(ImPartialError, match="not a list; make it with from_array"):
        Image([[[1.0]]], ("a",))  # type: ignore[arg-type]


def test_wrong_number_of_names() -> None:
    with pytest.raises(ImPartialError, match="2 channels but 3 channel names"):
        from_array(np.zeros((2, 5, 6)), channel_names=["a", "b", "c"])
    with pytest.raises(ImPartialError, match="2 channels but 1 channel names"):
        Image(np.zeros((2, 5, 6), np.float32), ("a",))


def test_select_by_name_and_position() -> None:
    array = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    image = from_array(array, channel_names=["a", "2", "c"], pixel_size=(0.5, 0.25))
    picked = image.select(["c", 0])
    assert picked.channel_names == ("c", "a")
    np.testing.assert_array_equal(picked.channels, array[[2, 0]])
    assert picked.pixel_size == (0.5, 0.25)
    # a name goes before a position, and text may be a position
    assert image.select(["2"]).channel_names == ("2",)
    assert image.select(["1"]).channel_names == ("2",)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["d"], "no channel 'd'; it has a, b"),
        ([2], "no channel 2"),
        ([-1], "no channel -1"),
        ([], "at least one"),
        (["a", 0], "twice"),
    ],
)
def test_select_what_is_not_there(keys: list[str | int], message: str) -> None:
    image = from_array(np.zeros((2, 4, 5)), channel_names=["a", "b"])
    with pytest.raises(ImPartialError, match=message):
        image.select(keys)


def test_normalize_exactly() -> None:
    values = np.arange(101, dtype=np.float32).reshape(1, 1, 101)
    image = Image(values, ("ramp",))
    expected = (values - 1) / 97
    np.testing.assert_allclose(normalize(image), expected, atol=1e-6)
    np.testing.assert_allclose(normalize(image, 0, 100), values / 100, atol=1e-6)


def test_normalize_scales_each_channel_by_itself() -> None:
    rng = np.random.default_rng(0)
    base = rng.gamma(2, 1, (64, 64))
    image = from_array(np.stack([base, 1000 * base + 7, -base]))
    out = normalize(image)
    np.testing.assert_allclose(out[1], out[0], atol=1e-4)
    for channel in out[:2]:
        low, high = np.percentile(channel, (1, 98))
        assert abs(low) < 1e-5
        assert abs(high - 1) < 1e-5
    assert out.max() > 1.2, "values beyond the percentile are kept"


def test_constant_and_unmeasured_channels_become_zero() -> None:
    array = np.stack([np.full((5, 6), 3.0), np.full((5, 6), np.nan), np.full((5, 6), np.inf)])
    assert not normalize(from_array(array)).any()


def test_nan_and_infinity_do_not_count() -> None:
    array = np.random.default_rng(1).random((1, 40, 40))
    plain = normalize(from_array(array))
    holes = np.zeros(array.shape, bool)
    holes[0, ::9, ::7] = True
    holed = np.where(holes, np.nan, array)
    holed[0, 0, 0], holed[0, 0, 7] = np.inf, -np.inf
    image = from_array(holed)
    assert not np.isinf(image.channels).any()
    out = normalize(image)
    assert not out[holes].any()
    np.testing.assert_allclose(out[~holes], plain[~holes], atol=0.02)


@pytest.mark.parametrize("scale", [1e300, 1e37, 1e-37, 1e-300, 1e-315])
def test_huge_and_tiny_values_normalize_like_ordinary_ones(scale: float) -> None:
    base = np.random.default_rng(2).random((2, 30, 31)) + 0.1
    out = normalize(from_array(base * scale))
    np.testing.assert_allclose(out, normalize(from_array(base)), atol=1e-4)


def test_single_huge_value_leaves_the_rest_alone() -> None:
    base = np.random.default_rng(3).random((1, 50, 50))
    hot = base.copy()
    hot[0, 4, 5] = 1e300
    out = normalize(from_array(hot))
    expected = normalize(from_array(base))
    assert np.isfinite(out).all()
    assert out[0, 4, 5] == out.max() == 1000
    hot_pixel = np.zeros(base.shape, bool)
    hot_pixel[0, 4, 5] = True
    np.testing.assert_allclose(out[~hot_pixel], expected[~hot_pixel], atol=0.01)


def test_sparse_marker_is_not_lost() -> None:
    array = np.zeros((1, 100, 100))
    array[0, :5, :10] = np.linspace(50, 100, 10)
    out = normalize(from_array(array))
    assert out[0, 50, 50] == 0
    assert 0.4 < out[0, 2, 0] < 0.6
    assert out[0, 2, 9] >= 0.99


def test_percentiles_of_large_images_come_from_a_repeatable_sample() -> None:
    rng = np.random.default_rng(4)
    image = Image(rng.normal(100, 10, (1, 2100, 2100)).astype(np.float32), ("large",))
    out = normalize(image)
    np.testing.assert_array_equal(out, normalize(image))
    low, high = np.percentile(out, (1, 98))
    assert abs(low) < 0.01
    assert abs(high - 1) < 0.01


@pytest.mark.parametrize(("low", "high"), [(98, 1), (5, 5), (-1, 98), (1, 101), (np.nan, 98)])
def test_percentiles_out_of_order(low: float, high: float) -> None:
    with pytest.raises(ImPartialError, match="out of order"):
        normalize(from_array(np.zeros((4, 4))), low, high)


def test_lazy_arrays_are_read_plane_by_plane() -> None:
    class Lazy:
        """Records what is read of it."""

        ndim, dtype, shape = 3, np.dtype(np.uint8), (3, 4, 5)

        def __init__(self) -> None:
            self.asked: list[object] = []

        def __getitem__(self, index: tuple[object, ...]) -> np.ndarray:
            self.asked.append(index[0])
            return np.full((4, 5), index[0], np.uint8)

    lazy = Lazy()
    images = planes(lazy, "ZYX")
    assert lazy.asked == [0, 1, 2]
    assert [image.channels.max() for image in images] == [0, 1, 2]


def test_what_a_mask_hides_is_missing() -> None:
    values = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    masked = np.ma.masked_equal(values, 7)
    image = from_array(masked, "CYX")
    assert np.isnan(image.channels[0, 1, 3])
    assert np.isnan(image.channels).sum() == 1
    np.testing.assert_array_equal(np.nan_to_num(image.channels, nan=7), values)
    stack = planes(masked, "ZYX")
    assert [int(np.isnan(one.channels).sum()) for one in stack] == [1, 0]
    nothing_hidden = np.ma.array(values)
    np.testing.assert_array_equal(from_array(nothing_hidden, "CYX").channels, values)
    with pytest.raises(ImPartialError, match="make it with from_array"):
        Image(np.ma.array(np.zeros((1, 4, 4), np.float32)), ("a",))


@pytest.mark.parametrize(
    "values",
    [
        np.int64(10**9) + np.arange(64),
        np.float64(1e6) + np.arange(64) / 100,
        np.int32(2**28) + np.arange(64),
    ],
)
def test_a_small_range_far_from_zero_is_told(values: np.ndarray) -> None:
    with pytest.warns(ImPartialWarning, match="few of them apart; subtract what they have in"):
        from_array(values.reshape(8, 8), "YX")
    # as float32 there is nothing to lose, and nothing is lost without the offset or of a wide range
    from_array(values.reshape(8, 8).astype(np.float32), "YX")
    from_array((values - values.min()).reshape(8, 8), "YX")
    from_array((values * np.linspace(0, 1, 64)).reshape(8, 8), "YX")

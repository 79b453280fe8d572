import numpy as np
import pytest

from closefit.mask_stack import MaskStack, check, deflate, inflate

SIZES_WH = [(1, 1), (7, 3), (8, 8), (33, 21), (64, 48)]


def pictures(size_wh: tuple[int, int], count: int = 6) -> np.ndarray:
    """Empty, full, a single pixel, and noise of several densities."""
    generator = np.random.default_rng(sum(size_wh))
    masks = (
        generator.random((count, size_wh[1], size_wh[0])) < np.linspace(0, 1, count)[:, None, None]
    )
    masks[0], masks[1], masks[2] = False, True, False
    masks[2].flat[-1] = True
    return masks


def stack_of(masks: np.ndarray, axes: tuple[int, ...] = (-1,)) -> MaskStack:
    height, width = masks.shape[-2:]
    return MaskStack.of(
        (deflate(mask) for mask in masks.reshape(-1, height, width)), (width, height), axes
    )


@pytest.mark.parametrize("size_wh", SIZES_WH)
def test_a_stack_gives_back_its_masks(size_wh: tuple[int, int]) -> None:
    masks = pictures(size_wh)
    stack = stack_of(masks)
    stack.check()
    assert len(stack) == len(masks)
    np.testing.assert_array_equal(stack[:], masks)
    np.testing.assert_array_equal(stack.shown, masks.any(axis=(1, 2)))
    for mask in masks:
        np.testing.assert_array_equal(inflate(deflate(mask), mask.shape), mask)


def test_a_stack_is_indexed_as_an_array_is() -> None:
    masks = pictures((33, 21), 12).reshape(6, 2, 21, 33)
    stack = stack_of(masks, (-1, 2))
    chosen = np.arange(6) % 2 == 0
    for key in (3, -1, slice(1, 4), (2, 1), (slice(None), 1), [4, 0], chosen, slice(0, 0)):
        np.testing.assert_array_equal(stack[key], masks[key])
    np.testing.assert_array_equal(stack.shown, masks.any(axis=(2, 3)))
    with pytest.raises(IndexError):
        stack[6]


def test_a_stack_of_nothing() -> None:
    stack = MaskStack.of([], (64, 48), (-1, 2))
    stack.check()
    assert stack[:].shape == (0, 2, 48, 64)
    assert not stack.shown.any()


def test_dropped_masks_are_empty_and_the_others_stay() -> None:
    masks = pictures((33, 21))
    dropped = np.arange(6) % 3 == 1
    stack = stack_of(masks).without(dropped)
    np.testing.assert_array_equal(stack[:], masks & ~dropped[:, None, None])
    np.testing.assert_array_equal(stack.shown, masks.any(axis=(1, 2)) & ~dropped)


def test_bytes_follow_the_outline_not_the_size_of_the_picture() -> None:
    """2000 masks of 720p, which are 230 MB as bits, from a stream that holds one at a time."""
    row, column = np.mgrid[:720, :1280]

    def ellipse(frame: int) -> np.ndarray:
        across, down = (column - 300 - frame / 4) / 120, (row - 360) / 300
        return across**2 + down**2 < 1

    different = [deflate(ellipse(frame)) for frame in range(0, 2000, 100)]
    stack = MaskStack.of((different[frame // 100] for frame in range(2000)), (1280, 720))
    assert stack.joined.nbytes + stack.ends.nbytes < 6e6
    np.testing.assert_array_equal(stack[1250], ellipse(1200))


MASK = np.tri(21, 33, dtype=bool)
OTHER_SIZE = np.tri(21, 48, dtype=bool)


@pytest.mark.parametrize(
    "damaged",
    [
        b"garbage",
        deflate(MASK)[:-1],
        deflate(MASK) + b"more",
        deflate(OTHER_SIZE),
        deflate(MASK[:20]),
        deflate(MASK)[:-4] + b"0000",
    ],
    ids=["garbage", "cut short", "too long", "too large", "too small", "a wrong checksum"],
)
def test_bytes_that_are_no_mask_are_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="these bytes are"):
        inflate(damaged, MASK.shape)
    with pytest.raises(ValueError, match="these bytes are"):
        MaskStack.of([deflate(MASK), damaged], (33, 21)).check()


def test_no_more_is_inflated_than_a_mask_has() -> None:
    """A few kB can claim to be gigabytes."""
    bomb = deflate(np.ones((30_000, 30_000), dtype=bool))
    with pytest.raises(ValueError, match="another size"):
        inflate(bomb, MASK.shape)


@pytest.mark.parametrize("ends", [[9, 3], [3, 9], [-1, 8], [3, 10]])
def test_ends_that_do_not_fit_are_refused(ends: list[int]) -> None:
    joined = np.zeros(8, dtype=np.uint8)
    with pytest.raises(ValueError, match="end where there are none"):
        check(joined, np.array(ends), np.array([64, 64]))

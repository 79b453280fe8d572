import numpy as np
import pytest
from PIL import Image as Pillow

from closefit.perception.detectors.regions import Region

SIZE_WH = (160, 120)
WHOLE = (0, 0, *SIZE_WH)


def picture() -> np.ndarray:
    """Smooth colours, different everywhere."""
    row, column = np.mgrid[: SIZE_WH[1], : SIZE_WH[0]]
    waves = [np.sin(column / 17 + row / 29), np.cos(row / 13), np.sin((column - row) / 23)]
    return (127 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)


def test_an_upright_region_of_its_own_size_is_the_picture_itself() -> None:
    region = Region(centre_x=80.0, centre_y=60.0, side=64.0)
    crop = region.cut(Pillow.fromarray(picture()), 64, WHOLE)
    np.testing.assert_array_equal(crop, picture()[28:92, 48:112])


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_region_sees_a_turned_picture(quarters: int) -> None:
    region = Region(80.0, 60.0, 64.0, angle_rad=quarters * np.pi / 2)
    crop = region.cut(Pillow.fromarray(picture()), 64, WHOLE)
    np.testing.assert_allclose(
        crop.astype(int), np.rot90(picture()[28:92, 48:112], quarters).astype(int), atol=1
    )


def test_points_of_the_crop_go_where_their_pixels_came_from() -> None:
    region = Region(70.0, 50.0, 80.0, angle_rad=0.3)
    spot = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), dtype=np.uint8)
    spot[40:43, 90:93] = 255  # centre (91.5, 41.5)
    crop = region.cut(Pillow.fromarray(spot), 256, WHOLE)[..., 0].astype(float)
    rows, columns = np.mgrid[:256, :256] + 0.5
    seen = np.array([(crop * columns).sum(), (crop * rows).sum()]) / crop.sum()
    matrix = region.to_picture(256)
    np.testing.assert_allclose(matrix[:, :2] @ seen + matrix[:, 2], (91.5, 41.5), atol=0.1)


def test_what_was_cut_out_can_be_put_back() -> None:
    image = picture()
    region = Region(80.0, 60.0, 70.0, angle_rad=0.5)
    crop = region.cut(Pillow.fromarray(image), 256, WHOLE)[..., 0].astype(np.float64)
    back = region.paste_back(crop, SIZE_WH, fill=-1.0)
    inside = back >= 0
    assert 0.8 * 70**2 < inside.sum() < 1.05 * 70**2
    far_inside = np.zeros_like(inside)
    far_inside[40:80, 60:100] = True
    assert np.abs(back - image[..., 0])[far_inside & inside].max() < 3


def test_only_the_window_is_shown() -> None:
    white = Pillow.fromarray(np.full((SIZE_WH[1], SIZE_WH[0], 3), 255, dtype=np.uint8))
    crop = Region(80.0, 60.0, 100.0).cut(white, 100, (50, 30, 90, 70))
    assert (crop[22:58, 22:58] == 255).all()  # the window, in the region's own pixels
    assert (crop[:18] == 0).all()
    assert (crop[:, 62:] == 0).all()


def test_a_region_around_a_box() -> None:
    region = Region.around(np.array([10.0, 20.0, 30.0, 80.0]), margin=1.5)
    assert (region.centre_x, region.centre_y, region.side) == (20.0, 50.0, 90.0)

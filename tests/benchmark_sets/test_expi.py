"""ExPI: the reader on a miniature in the documented layout."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from closefit.benchmark import expi
from closefit.benchmark.sequences import Options
from closefit.body.skeleton import JOINT_INDEX
from closefit.boundary.refusals import RefusedError
from closefit.errors import ConfigError
from tests.benchmark_sets.conftest import FRAMES, Footage
from tests.benchmark_sets.test_harmony4d import dot, middle_of
from tests.benchmark_sets.worlds import camera, pixels, to_world

CAMERA = 20
BEND = (30.0, 50.0)
"""Far more than a real lens has: the pictures are small, and the unit is 1000 pixels."""


def bent(uv: np.ndarray, centre: np.ndarray) -> np.ndarray:
    d = (uv - centre) / 1000.0
    square = (d**2).sum(-1, keepdims=True)
    return centre + 1000.0 * d * (1 - BEND[0] * square - BEND[1] * square**2)


def write(root: Path, footage: Footage, bend: tuple[float, float] = BEND) -> Path:
    """One action, whose pictures show a dot where the camera sees a wrist; as they are, unbent."""
    folder = root / "acro1" / "a-frame1"
    (folder / f"cam{CAMERA}").mkdir(parents=True)
    R, t = camera(6)
    truth, K = footage.truth, footage.truth["K"]
    world = to_world(truth["joints3d"], R, t)
    markers = np.full((FRAMES, 2, 18, 3), 9.0)
    for name, number in expi.JOINTS.items():
        markers[:, :, number] = world[:, :, JOINT_INDEX[name]]
    rows = [",".join(f"{value:.9g}" for value in row.ravel() * 1000.0) for row in markers]
    header = ",".join(f"c{number}" for number in range(108))
    (folder / "mocap_cleaned.tsv").write_text("\n".join([header, *rows]) + "\n")
    centre = K[:2, 2]

    def text(array: np.ndarray) -> str:
        return "".join(f"{value:.12g} " for value in np.ravel(array))

    P = K @ np.c_[R, t]
    own = (
        f"<Camera><P>{text(P)}</P><K>{text(K)}</K><R>{text(R)}</R><T>{text(t)}</T>"
        f'<Distortion Cx="{centre[0]}" Cy="{centre[1]}" K1="{bend[0]}" K2="{bend[1]}"/></Camera>'
    )
    other = "<Camera><P/><K/><R/><T/></Camera>"
    xml = f"<Cameras>{other * (CAMERA - 1)}{own}{other}</Cameras>"
    (folder / "calib-new.xml").write_text(xml)
    wrist = truth["joints2d"][:, 0, JOINT_INDEX["left_wrist"]]
    for number in range(FRAMES):
        picture = dot(bent(wrist[number], centre)) if any(bend) else footage.pictures[number]
        path = folder / f"cam{CAMERA}" / f"img-{number:06}.jpg"
        Image.fromarray(picture).save(path, quality=98)
    return folder


def only(root: Path, **options: str):
    (entry,) = expi.find(root, Options(**options)).entries
    return entry.read()


def test_joints_and_pictures_fit_each_other(tmp_path: Path, footage: Footage) -> None:
    write(tmp_path, footage)
    assert expi.find(tmp_path, Options()).missing == ["acro2"]
    found = only(tmp_path)
    chosen = [JOINT_INDEX[name] for name in expi.JOINTS]
    true = footage.truth["joints2d"][:, :, chosen]
    seen = pixels(found.truth.joints, found.K)
    np.testing.assert_allclose(seen, true, atol=1e-2)
    wrist = true[:, 0, list(expi.JOINTS).index("left_wrist")]
    centre = footage.truth["K"][:2, 2]
    assert np.abs(bent(wrist, centre) - wrist).max() > 0.2
    for number, picture in enumerate(found.pictures()):
        np.testing.assert_allclose(middle_of(picture), wrist[number], atol=0.1)


def test_what_is_missing_or_damaged_is_named(tmp_path: Path, footage: Footage) -> None:
    folder = write(tmp_path, footage)
    (folder / f"cam{CAMERA}" / "img-000004.jpg").unlink()
    path = folder / "mocap_cleaned.tsv"
    content = path.read_text()
    header, first, *rest = content.splitlines()
    cells = first.split(",")
    cells[12:15] = ["", "", ""]  # person 0's left shoulder
    path.write_text("\n".join([header, ",".join(cells), *rest]))
    found = only(tmp_path)
    assert "pictures of frames 4 " in found.problems[0]
    assert np.argwhere(~found.truth.valid).tolist() == [[0, 0]]
    for text in ("", header, f"{header}\n1,2,3", content.replace(",", "\t"), f"{header}\nx{first}"):
        path.write_text(text)
        with pytest.raises(RefusedError):
            only(tmp_path)
    path.write_text(content)
    with pytest.raises(RefusedError, match="no camera"):
        only(tmp_path, view="44")
    with pytest.raises(RefusedError):
        only(tmp_path, view="1")
    calibration = folder / "calib-new.xml"
    good = calibration.read_text()
    for text in ("<Cameras>", '<!DOCTYPE a [<!ENTITY b "c">]>' + good, good.replace("<K>", "<Z>")):
        calibration.write_text(text)
        with pytest.raises(RefusedError):
            only(tmp_path)
    with pytest.raises(ConfigError, match="not one of"):
        expi.find(tmp_path, Options(split="acro3"))

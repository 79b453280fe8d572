from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from closefit.body.model import Body
from closefit.body.skeleton import JOINT_INDEX
from closefit.errors import InputError
from closefit.learning.motions.reading import read_motion
from closefit.records import PairMotion
from tests.unit.learning.motions.conftest import MakeMotion

UNIT_M = 0.0254 / 0.45

BONES = {
    # bone: (parent, joint whose rotation it has or None, where it ends)
    "lowerback": ("root", "spine1", "spine2"),
    "upperback": ("lowerback", "spine2", "spine3"),
    "thorax": ("upperback", "spine3", "neck"),
    "lowerneck": ("thorax", "neck", "head"),
    "head": ("lowerneck", "head", (0.0, 0.1, 0.02)),
} | {
    f"{s}{bone}": (parent if parent in ("root", "thorax") else s + parent, *rest)
    for s, side in (("l", "left"), ("r", "right"))
    for bone, parent, *rest in (
        ("hipjoint", "root", None, f"{side}_hip"),
        ("femur", "hipjoint", f"{side}_hip", f"{side}_knee"),
        ("tibia", "femur", f"{side}_knee", f"{side}_ankle"),
        ("foot", "tibia", f"{side}_ankle", f"{side}_foot"),
        ("toes", "foot", f"{side}_foot", (0.0, 0.0, 0.05)),
        ("clavicle", "thorax", f"{side}_collar", f"{side}_shoulder"),
        ("humerus", "clavicle", f"{side}_shoulder", f"{side}_elbow"),
        ("radius", "humerus", f"{side}_elbow", "middle of the forearm"),
        ("wrist", "radius", None, f"{side}_wrist"),
        ("hand", "wrist", f"{side}_wrist", f"{side}_hand"),
        ("fingers", "hand", None, (0.05 if s == "l" else -0.05, 0.0, 0.0)),
    )
}


def axes_of(bone: str) -> np.ndarray:
    """Angles of the bone's own axes: any, as they only define what the motion's angles refer to."""
    return np.random.default_rng(len(bone) + ord(bone[0])).uniform(-90, 90, 3).round(3)


def write_acclaim(folder: Path, motion: PairMotion, body: Body) -> Path:
    """Write a skeleton and motion by the rules of the format."""
    joints = body.joints_template.numpy().astype(np.float64)
    ends = {"root": np.zeros(3)}
    lines = [
        ":units", "  length 0.45", "  angle deg", ":root", "  order TX TY TZ RX RY RZ",
        "  axis XYZ", "  position 0 0 0", "  orientation 0 0 0", ":bonedata",
    ]  # fmt: skip
    for bone, (parent, joint, end) in BONES.items():
        start = ends[parent]
        if end == "middle of the forearm":
            side = "left" if bone[0] == "l" else "right"
            ends[bone] = 0.5 * (start + joints[JOINT_INDEX[f"{side}_wrist"]])
        else:
            ends[bone] = joints[JOINT_INDEX[end]] if isinstance(end, str) else start + end
        step = (ends[bone] - start) / UNIT_M
        lines += [
            "  begin", f"    name {bone}",
            "    direction " + " ".join(f"{x:.9f}" for x in step / np.linalg.norm(step)),
            f"    length {np.linalg.norm(step):.9f}",
            "    axis " + " ".join(f"{x:.3f}" for x in axes_of(bone)) + " XYZ",
            *(["    dof rx ry rz"] if joint else []), "  end",
        ]  # fmt: skip
    lines += [":hierarchy", "  begin"]
    for name in ("root", *BONES):
        children = [bone for bone, (parent, _, _) in BONES.items() if parent == name]
        lines += [f"    {name} {' '.join(children)}"] if children else []
    (folder / "07.asf").write_text("\n".join([*lines, "  end"]) + "\n")
    rows = [":FULLY-SPECIFIED", ":DEGREES"]
    for frame, rotations in enumerate(motion.rotations[:, 0].astype(np.float64)):
        turn = Rotation.from_matrix(rotations[0]).as_euler("xyz", degrees=True)
        place = motion.pelvis_m[frame, 0] / UNIT_M
        rows += [str(frame + 1), "root " + " ".join(f"{x:.7f}" for x in (*place, *turn))]
        for bone, (_, joint, _) in BONES.items():
            if joint:
                axes = Rotation.from_euler("xyz", axes_of(bone), degrees=True)
                local = Rotation.from_matrix(rotations[JOINT_INDEX[joint]])
                angles = (axes.inv() * local * axes).as_euler("xyz", degrees=True)
                rows.append(f"{bone} " + " ".join(f"{x:.7f}" for x in angles))
    path = folder / "07_01.amc"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_motion_comes_back(tmp_path: Path, make_motion: MakeMotion, body: Body) -> None:
    truth = make_motion(people=1, frames=20)
    (result,) = read_motion(write_acclaim(tmp_path, truth, body), body)
    assert float(result.fps) == 120.0
    assert np.abs(result.rotations - truth.rotations).max() < 1e-4
    assert np.abs(result.betas).max() < 0.01
    moved = result.pelvis_m - truth.pelvis_m
    assert np.abs(moved[..., [0, 2]]).max() < 1e-3
    assert np.ptp(moved[..., 1]) < 1e-3


def test_skeleton_must_be_there(tmp_path: Path, make_motion: MakeMotion, body: Body) -> None:
    path = write_acclaim(tmp_path, make_motion(people=1, frames=2), body)
    (tmp_path / "07.asf").unlink()
    with pytest.raises(InputError, match=r"no skeleton for `.*07_01.amc`: `07.asf`"):
        read_motion(path, body)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\n3\n", "\n4\n", "frame `4` follows frame 2"),
        ("lfemur ", "lfemur 1.0 ", "bone `lfemur` has 4 values"),
        ("lfemur", "tail", "tail"),
        ("root ", "root x", "instead of numbers|something else than numbers|7 values"),
        ("root ", "root nan ", "has 7 values"),
    ],
)
def test_damaged_motion_is_refused(
    tmp_path: Path, make_motion: MakeMotion, body: Body, old: str, new: str, message: str
) -> None:
    path = write_acclaim(tmp_path, make_motion(people=1, frames=4), body)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=rf"`.*07_01.amc` cannot be used: .*({message})"):
        read_motion(path, body)

"""`scene.usdc`: both people skinned and animated, with the camera that filmed them, as USD.

Y up, metres, floor at height zero, as `scene.glb`; one time code per frame. Each person is a
`SkelRoot` with a skeleton, its animation and a skinned mesh, in which all joints that the body has
for a vertex count. The prim `/scene` lists contacts in its custom data, in time codes. SMPL's
pose-dependent corrections cannot be expressed and are left out.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from closefit.body.skeleton import PARENTS
from closefit.config import JointNames
from closefit.exporters.contacts import Touch
from closefit.exporters.gltf import (
    NEAR_M,
    SceneCamera,
    SkinnedPerson,
    continuous_quats,
    linear_light,
)
from closefit.exporters.joint_names import joint_names
from closefit.exporters.scene import SceneMotion
from closefit.storage.artifacts import atomic_write

FOCAL_MM = 35.0
"""Any: field of view and aspect follow from the apertures."""

FAR_M = 1000.0


def write_usd(
    path: Path,
    people: tuple[SkinnedPerson, SkinnedPerson],
    motion: SceneMotion,
    fps: float,
    camera: SceneCamera,
    style: JointNames = "smpl",
    markers: Sequence[Touch] = (),
) -> None:
    """Write both people and their motion, all or nothing; the file name ends in `.usdc`.

    Needs the package `usd-core`.
    """
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetTimeCodesPerSecond(fps)
    stage.SetFramesPerSecond(fps)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(len(motion.pelvis) - 1)
    stage.SetMetadata("documentation", "closefit")
    scene = UsdGeom.Xform.Define(stage, "/scene").GetPrim()
    stage.SetDefaultPrim(scene)
    for key, values in _markers(markers).items():
        scene.SetCustomDataByKey(f"contacts:{key}", values)
    for person, skin in enumerate(people):
        rotations, pelvis = motion.rotations[:, person], motion.pelvis[:, person]
        _add_person(stage, f"/scene/person_{person}", skin, rotations, pelvis, style)
    _add_camera(stage, camera)
    with tempfile.TemporaryDirectory() as folder, atomic_write(path) as file:
        exported = Path(folder, path.name)  # USD writes to names, not to open files
        stage.GetRootLayer().Export(str(exported))
        file.write(exported.read_bytes())


def _add_person(
    stage: Any,
    root: str,
    person: SkinnedPerson,
    rotations: Float[np.ndarray, "frame 24 3 3"],
    pelvis: Float[np.ndarray, "frame 3"],
    style: JointNames,
) -> None:
    from pxr import Gf, Tf, UsdSkel, Vt

    UsdSkel.Root.Define(stage, root)
    names = [Tf.MakeValidIdentifier(name) for name in joint_names(style)]
    joints: list[str] = []
    for name, parent in zip(names, PARENTS, strict=True):
        joints.append(name if parent < 0 else f"{joints[parent]}/{name}")
    bones = person.joints - np.where(
        np.array(PARENTS)[:, None] < 0, 0.0, person.joints[list(PARENTS)]
    )
    skeleton = UsdSkel.Skeleton.Define(stage, f"{root}/skeleton")
    skeleton.CreateJointsAttr(joints)
    for attribute, places in (
        (skeleton.CreateBindTransformsAttr(), person.joints),
        (skeleton.CreateRestTransformsAttr(), bones),
    ):
        matrices = [Gf.Matrix4d().SetTranslate(Gf.Vec3d(*place)) for place in places.tolist()]
        attribute.Set(Vt.Matrix4dArray(matrices))
    animation = UsdSkel.Animation.Define(stage, f"{root}/skeleton/motion")
    animation.CreateJointsAttr(joints)
    animation.CreateScalesAttr([Gf.Vec3h(1.0)] * len(joints))
    turns, moves = animation.CreateRotationsAttr(), animation.CreateTranslationsAttr()
    for frame, quats in enumerate(continuous_quats(rotations).astype(float).tolist()):
        turns.Set(Vt.QuatfArray([Gf.Quatf(w, x, y, z) for x, y, z, w in quats]), frame)
        local = bones.astype(np.float32)
        local[0] = pelvis[frame]
        moves.Set(Vt.Vec3fArray.FromNumpy(local), frame)
    binding = UsdSkel.BindingAPI.Apply(skeleton.GetPrim())
    binding.CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    _add_body(stage, f"{root}/body", person, skeleton)


def _add_body(stage: Any, path: str, person: SkinnedPerson, skeleton: Any) -> None:
    from pxr import Gf, UsdGeom, UsdSkel, Vt

    mesh = UsdGeom.Mesh.Define(stage, path)
    points = Vt.Vec3fArray.FromNumpy(person.vertices.astype(np.float32))
    mesh.CreatePointsAttr(points)
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(person.faces), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(person.faces.astype(np.int32).ravel()))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateExtentAttr(UsdGeom.PointBased.ComputeExtent(points))
    colours = mesh.CreateDisplayColorPrimvar(UsdGeom.Tokens.vertex)
    colours.Set(Vt.Vec3fArray.FromNumpy(linear_light(person.colours).astype(np.float32)))
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1.0))
    joints, weights = _influences(person.weights)
    count = joints.shape[1]
    binding.CreateJointIndicesPrimvar(False, count).Set(Vt.IntArray.FromNumpy(joints.ravel()))
    binding.CreateJointWeightsPrimvar(False, count).Set(Vt.FloatArray.FromNumpy(weights.ravel()))


def _influences(
    weights: Float[np.ndarray, "vertex 24"],
) -> tuple[Int[np.ndarray, "vertex influence"], Float[np.ndarray, "vertex influence"]]:
    """Joints and weights of each vertex, as many as the vertex with most joints has."""
    count = int((weights > 0).sum(axis=1).max())
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :count]
    kept = np.take_along_axis(weights, joints, axis=1)
    return np.where(kept > 0, joints, 0).astype(np.int32), kept.astype(np.float32)


def _add_camera(stage: Any, camera: SceneCamera) -> None:
    """Add the camera of the video; apertures and focal length are tenths of a scene unit in USD."""
    from pxr import Gf, UsdGeom

    lens = UsdGeom.Camera.Define(stage, "/scene/camera")
    height = 2.0 * FOCAL_MM * float(np.tan(0.5 * camera.fov_y_rad))
    lens.CreateFocalLengthAttr(FOCAL_MM)
    lens.CreateVerticalApertureAttr(height)
    lens.CreateHorizontalApertureAttr(height * camera.aspect)
    right, down = camera.principal_offset
    # The window of the film moves the other way; its offset counts upwards.
    lens.CreateHorizontalApertureOffsetAttr(-right * height)
    lens.CreateVerticalApertureOffsetAttr(down * height)
    lens.CreateClippingRangeAttr(Gf.Vec2f(NEAR_M, FAR_M))
    stand, place = lens.AddTransformOp(), np.eye(4)
    place[:3, 3] = camera.place
    for frame, turn in enumerate(camera.turns.reshape(-1, 3, 3)):
        place[:3, :3] = turn
        # USD's matrices act on rows.
        matrix = Gf.Matrix4d(place.T.tolist())
        _ = stand.Set(matrix) if camera.zoom is None else stand.Set(matrix, frame)
    if camera.zoom is not None:
        for frame, zoom in enumerate(camera.zoom.tolist()):
            lens.GetFocalLengthAttr().Set(FOCAL_MM * zoom, frame)


def _markers(markers: Sequence[Touch]) -> dict[str, Any]:
    """Contacts as arrays of equal length."""
    from pxr import Vt

    return {
        "first_frame": Vt.IntArray([touch.first_frame for touch in markers]),
        "last_frame": Vt.IntArray([touch.last_frame for touch in markers]),
        "person_0": Vt.StringArray([touch.part_0 for touch in markers]),
        "person_1": Vt.StringArray([touch.part_1 for touch in markers]),
        "distance_mm": Vt.DoubleArray([touch.distance_mm for touch in markers]),
        "penetration_mm": Vt.DoubleArray([touch.penetration_mm for touch in markers]),
    }

import numpy as np
import pytest
import roma
import torch

from closefit.body.model import Body
from closefit.body.skeleton import MIRROR, NUM_JOINTS, PARENTS
from closefit.errors import WeightsDamagedError, WeightsMissingError


def random_pose(*batch: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return roma.random_rotmat((*batch, NUM_JOINTS), dtype=dtype)


def identity_pose(*batch: int) -> torch.Tensor:
    return torch.eye(3).expand(*batch, NUM_JOINTS, 3, 3)


def stature_m(vertices: torch.Tensor) -> torch.Tensor:
    return vertices[..., 1].amax(-1) - vertices[..., 1].amin(-1)


def mirror_vertices(body: Body) -> torch.Tensor:
    flipped = body.v_template * torch.tensor([-1.0, 1.0, 1.0])
    nearest = [
        torch.cdist(flipped[start : start + 2000], body.v_template).argmin(-1)
        for start in range(0, body.num_vertices, 2000)
    ]
    return torch.cat(nearest)


def slow_pose(
    body: Body, rotations: torch.Tensor, betas: torch.Tensor, transl: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Skin one body with 4x4 matrices, joint by joint and vertex by vertex."""
    rest = body.rest(betas)
    vertices = rest.vertices
    if body.posedirs is not None:
        feature = (rotations[1:] - torch.eye(3, dtype=rotations.dtype)).reshape(-1)
        vertices = vertices + torch.einsum("vcp,p->vc", body.posedirs, feature)
    world: list[torch.Tensor] = []
    for joint, parent in enumerate(PARENTS):
        local = torch.eye(4, dtype=rotations.dtype)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = rest.joints[joint] - (rest.joints[parent] if parent >= 0 else 0.0)
        world.append(local if parent < 0 else world[parent] @ local)
    matrices = torch.stack(world)
    skinned = []
    for vertex, weights in zip(vertices, body.weights, strict=True):
        local = torch.cat([vertex - rest.joints, torch.ones(NUM_JOINTS, 1).to(vertex)], dim=-1)
        moved = (matrices @ local[..., None])[:, :3, 0]
        skinned.append((weights[:, None] * moved).sum(0))
    return torch.stack(skinned) + transl, matrices[:, :3, 3] + transl


def test_identity_pose_is_the_shaped_rest_body(body: Body) -> None:
    betas = torch.randn(2, 10)
    posed = body.pose(identity_pose(2), betas, torch.zeros(3))
    rest = body.rest(betas)
    torch.testing.assert_close(posed.vertices, rest.vertices, atol=1e-6, rtol=0)
    torch.testing.assert_close(posed.joints, rest.joints, atol=1e-6, rtol=0)


def test_pose_agrees_with_slow_reference(tiny_body: Body) -> None:
    rotations = random_pose(dtype=torch.float64)
    betas, transl = torch.randn(10).double(), torch.randn(3).double()
    vertices, joints = slow_pose(tiny_body, rotations, betas, transl)
    posed = tiny_body.pose(rotations, betas, transl)
    torch.testing.assert_close(posed.vertices, vertices)
    torch.testing.assert_close(posed.joints, joints)


def test_turning_and_moving_the_root_moves_the_body_rigidly(body: Body) -> None:
    rotations, betas = random_pose(3), torch.randn(3, 10)
    transl, turn, shift = torch.randn(3, 3), roma.random_rotmat(), torch.tensor([0.3, -1.0, 4.0])
    before = body.pose(rotations, betas, transl)
    pelvis = body.rest(betas).joints[:, 0]
    turned = torch.cat([turn @ rotations[:, :1], rotations[:, 1:]], dim=1)
    after = body.pose(turned, betas, (pelvis + transl) @ turn.T - pelvis + shift)
    torch.testing.assert_close(after.vertices, before.vertices @ turn.T + shift, atol=1e-5, rtol=0)
    torch.testing.assert_close(after.joints, before.joints @ turn.T + shift, atol=1e-5, rtol=0)


def test_transl_places_the_pelvis(tiny_body: Body) -> None:
    rotations = random_pose(4, dtype=torch.float64)
    betas, transl = torch.randn(4, 10).double(), torch.randn(4, 3).double()
    pelvis = tiny_body.rest(betas).joints[:, 0]
    posed = tiny_body.pose(rotations, betas, transl)
    torch.testing.assert_close(posed.joints[:, 0], pelvis + transl)


def test_free_body_has_its_pelvis_at_the_origin(body: Body) -> None:
    assert body.rest(torch.randn(5, 10)).joints[:, 0].abs().max() < 1e-6


def test_joints_are_the_joints_of_pose(tiny_body: Body) -> None:
    rotations = random_pose(5, 2, dtype=torch.float64)
    betas, transl = torch.randn(2, 10).double(), torch.randn(5, 2, 3).double()
    torch.testing.assert_close(
        tiny_body.joints(rotations, betas, transl),
        tiny_body.pose(rotations, betas, transl).joints,
    )


def test_transforms_carry_each_joints_own_frame(tiny_body: Body) -> None:
    rotations = random_pose(2, dtype=torch.float64)
    posed = tiny_body.pose(rotations, torch.zeros(10).double(), torch.zeros(3).double())
    torch.testing.assert_close(posed.transforms[..., :3, 3], posed.joints)
    parents = torch.tensor(PARENTS[1:])
    relative = posed.transforms[:, parents, :3, :3].mT @ posed.transforms[:, 1:, :3, :3]
    torch.testing.assert_close(relative, rotations[:, 1:])
    expected_row = torch.tensor([0.0, 0.0, 0.0, 1.0]).double().expand(2, NUM_JOINTS, 4)
    torch.testing.assert_close(posed.transforms[..., 3, :], expected_row)


@pytest.mark.parametrize(
    ("rotations_batch", "betas_batch", "transl_batch"),
    [((3, 2), (2,), (3, 2)), ((3, 2), (1, 2), (2,)), ((), (4,), ()), ((1, 2), (3, 1), (3, 2))],
)
def test_broadcasting_equals_expanding(
    tiny_body: Body,
    rotations_batch: tuple[int, ...],
    betas_batch: tuple[int, ...],
    transl_batch: tuple[int, ...],
) -> None:
    rotations = random_pose(*rotations_batch, dtype=torch.float64)
    betas = torch.randn(*betas_batch, 10).double()
    transl = torch.randn(*transl_batch, 3).double()
    batch = torch.broadcast_shapes(rotations_batch, betas_batch, transl_batch)
    lean = tiny_body.pose(rotations, betas, transl)
    full = tiny_body.pose(
        rotations.expand(*batch, NUM_JOINTS, 3, 3).clone(),
        betas.expand(*batch, 10).clone(),
        transl.expand(*batch, 3).clone(),
    )
    assert lean.vertices.shape == (*batch, 7, 3)
    torch.testing.assert_close(lean.vertices, full.vertices)
    torch.testing.assert_close(lean.joints, full.joints)
    torch.testing.assert_close(lean.transforms, full.transforms)


def test_subset_poses_the_same_vertices(body: Body) -> None:
    chosen = torch.tensor([881, 5, 12006])
    rotations, betas, transl = random_pose(3), torch.randn(10), torch.randn(3, 3)
    some = body.subset(chosen).pose(rotations, betas, transl)
    every = body.pose(rotations, betas, transl)
    torch.testing.assert_close(some.vertices, every.vertices[:, chosen])
    torch.testing.assert_close(some.joints, every.joints)


def test_an_empty_subset_still_has_joints(body: Body) -> None:
    nothing = body.subset(torch.zeros(0, dtype=torch.int64))
    posed = nothing.pose(random_pose(3, 2), torch.randn(2, 10), torch.zeros(3))
    assert posed.vertices.shape == (3, 2, 0, 3)
    assert posed.joints.shape == (3, 2, NUM_JOINTS, 3)


def test_gradients(tiny_body: Body) -> None:
    inputs = (
        random_pose(2, dtype=torch.float64).requires_grad_(),
        torch.randn(10).double().requires_grad_(),
        torch.randn(2, 3).double().requires_grad_(),
    )

    def outputs(*values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        posed = tiny_body.pose(*values)
        return posed.vertices, posed.transforms, tiny_body.joints(*values)

    assert torch.autograd.gradcheck(outputs, inputs, fast_mode=True)


def test_skin_weights_sum_to_one(body: Body) -> None:
    torch.testing.assert_close(body.weights.sum(-1), torch.ones(body.num_vertices))
    assert body.weights.min() >= 0


def test_free_body_is_mirror_symmetric(body: Body) -> None:
    betas = torch.randn(10)
    flip = torch.tensor([-1.0, 1.0, 1.0])
    mirror = mirror_vertices(body)
    assert torch.equal(mirror[mirror], torch.arange(body.num_vertices))
    rest = body.rest(betas)
    torch.testing.assert_close(rest.vertices[mirror] * flip, rest.vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(rest.joints[list(MIRROR)] * flip, rest.joints, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        body.weights[mirror][:, list(MIRROR)], body.weights, atol=1e-6, rtol=0
    )


def test_mirrored_pose_gives_the_mirrored_body(body: Body) -> None:
    rotations, betas = random_pose(), torch.randn(10)
    flip = torch.tensor([-1.0, 1.0, 1.0])
    mirrored = torch.diag(flip) @ rotations[list(MIRROR)] @ torch.diag(flip)
    posed = body.pose(rotations, betas, torch.zeros(3)).vertices
    other = body.pose(mirrored, betas, torch.zeros(3)).vertices
    torch.testing.assert_close(other[mirror_vertices(body)] * flip, posed, atol=1e-5, rtol=0)


def test_average_adult_has_an_ordinary_build(body: Body) -> None:
    rest = body.rest(torch.zeros(10))
    assert 1.65 < stature_m(rest.vertices) < 1.75
    assert 0.28 < (rest.joints[16] - rest.joints[17]).norm() < 0.42  # shoulders apart
    assert 0.35 < (rest.joints[1] - rest.joints[4]).norm() < 0.45  # thigh
    assert rest.joints[20, 0] > rest.joints[18, 0] > rest.joints[16, 0] > 0  # left arm along +x
    assert rest.vertices[body.landmarks["nose"], 2] > rest.vertices[body.landmarks["left_ear"], 2]


def test_first_beta_is_size_and_one_unit_is_a_tenth_of_a_metre(body: Body) -> None:
    betas = torch.zeros(3, 10)
    betas[:, 0] = torch.tensor([-1.0, 0.0, 1.0])
    small, average, large = stature_m(body.rest(betas).vertices)
    assert 0.07 < large - average < 0.14
    assert 0.07 < average - small < 0.14


def test_surface_is_closed_and_points_outward(body: Body) -> None:
    corners = body.v_template.double()[body.faces]
    volume_m3 = torch.linalg.det(corners).sum() / 6
    assert 0.05 < volume_m3 < 0.08
    edges = torch.cat([body.faces[:, [0, 1]], body.faces[:, [1, 2]], body.faces[:, [2, 0]]])
    forward = {tuple(edge) for edge in edges.tolist()}
    assert all((end, start) in forward for start, end in forward)


def test_texture_coordinates_cover_every_face(body: Body) -> None:
    assert body.faces_uv.shape == body.faces.shape
    assert body.faces_uv.max() < len(body.uv)
    assert body.uv.min() >= 0
    assert body.uv.max() <= 1


def test_to_changes_type_of_floating_tensors_only(body: Body) -> None:
    double = body.to(dtype=torch.float64)
    assert double.v_template.dtype == torch.float64
    assert double.faces.dtype == torch.int64
    assert double.landmarks == body.landmarks
    assert body.to("cpu").v_template.dtype == torch.float32


def test_load_reports_a_missing_file(tmp_path) -> None:
    with pytest.raises(WeightsMissingError, match="no body model at") as caught:
        Body.load(tmp_path / "none.npz")
    assert "download-weights" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x93NUMPY", b"text"])
def test_load_refuses_files_of_other_kinds(tmp_path, content: bytes) -> None:
    path = tmp_path / "body.npz"
    path.write_bytes(content)
    with pytest.raises(WeightsDamagedError, match="damaged, or no"):
        Body.load(path)


def write_changed(body_file, path, **changes: np.ndarray | None) -> None:
    arrays = dict(np.load(body_file)) | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights": None}, "it has no `weights`"),
        ({"shapedirs": np.zeros((5, 3, 10))}, "`shapedirs` has shape"),
        ({"parents": np.zeros(24, int)}, "its skeleton is not SMPL's"),
        ({"v_template": np.full((13718, 3), np.nan)}, "values that are not numbers"),
        ({"faces": np.full((4, 3), 99999)}, "vertices that do not exist"),
    ],
)
def test_load_names_what_is_wrong(tmp_path, body_file, changes, reason: str) -> None:
    path = tmp_path / "body.npz"
    write_changed(body_file, path, **changes)
    with pytest.raises(WeightsDamagedError, match=reason):
        Body.load(path)


def test_load_refuses_a_truncated_file(tmp_path, body_file) -> None:
    path = tmp_path / "body.npz"
    path.write_bytes(body_file.read_bytes()[:100_000])
    with pytest.raises(WeightsDamagedError, match="damaged"):
        Body.load(path)


def test_truth_body_of_the_shared_clips_reproduces_their_joints(shared) -> None:
    body = Body.load(shared / "clips/synth/body.npz")
    with np.load(shared / "clips/synth/dev_01/truth.npz") as truth:
        rotations, betas = torch.tensor(truth["rotations"]), torch.tensor(truth["betas"])
        pelvis, joints = torch.tensor(truth["transl"]), torch.tensor(truth["joints3d"])
    transl = pelvis - body.rest(betas).joints[:, 0]
    torch.testing.assert_close(body.joints(rotations, betas, transl), joints, atol=1e-5, rtol=0)

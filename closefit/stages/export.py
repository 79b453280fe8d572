"""Stage `export`: files for people and programs (design: a results folder)."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float

from closefit.body.model import Body
from closefit.exporters.appearance import rest_gaussians, vertex_colours
from closefit.exporters.contact_file import implausible_contacts, write_contacts
from closefit.exporters.contacts import Contacts, Touch, touches, write_contact_table
from closefit.exporters.filming import seen_by
from closefit.exporters.meshes import remove_meshes, write_meshes
from closefit.exporters.motion_files import Footage, posed_chunks, write_motion_files
from closefit.exporters.overlay import OverlayFrame, OverlayScene, draw_overlay
from closefit.exporters.ply import write_ply
from closefit.exporters.preview_gif import best_stretch, write_preview_gif
from closefit.exporters.report.film import film_options
from closefit.exporters.report.page import write_report
from closefit.exporters.reprojection import reprojected_keypoints
from closefit.exporters.scene import scene_from_camera
from closefit.exporters.timeline import write_timeline
from closefit.exporters.unseen import fade_unseen, trust_in_skin
from closefit.geometry.camera_path import CameraPath
from closefit.quality.contact_probability import judged
from closefit.quality.measuring import measure
from closefit.quality.score import good_frames, judge
from closefit.records import Motion, OptimizedMotion, Track
from closefit.stages.inputs import clip_pictures, load_body, read_camera
from closefit.storage.job import Job
from closefit.storage.run_record import ExportFigures, Verdict
from closefit.storage.workspace import NUM_PEOPLE
from closefit.tracking.steadying import camera_path
from closefit.video import write

SURE_CONFIDENCE = 0.5
"""The reported reprojection error is over keypoints detected with more confidence."""


def run(job: Job) -> None:
    """Write every result file next to the artifacts."""
    track, motion = job.load(Track), job.load(OptimizedMotion)
    body = load_body(job)
    camera = camera_path(track, motion.K)
    result = measure(body, track, motion, camera, job.progress("contacts"))
    measured = judged(result.contacts, motion.joints, motion.confidence)
    found = touches(measured)
    quality = judge(result, body, diverged=str(motion.status) == "diverged")
    _write_motion_files(job, body, track, motion, camera, found, quality.frames)
    _write_contacts(job, measured, found, track, motion)
    for path in (job.workspace.overlay, job.workspace.film, job.workspace.preview_gif):
        path.unlink(missing_ok=True)
    if job.config.export.overlay:
        _write_overlay(job, body, track, motion, camera, measured)
    remove_meshes(job.workspace)
    if job.config.export.meshes is not None:
        write_meshes(job.workspace, body, motion, job.config.export.meshes, job.progress("meshes"))
    job.report(
        ExportFigures(
            penetration_mean_mm=round(float(measured.mean_depth_mm.mean()), 4),
            penetration_max_mm=round(float(measured.max_depth_mm.max()), 2),
            contact_frames=int(measured.touching.sum()),
            valid_share=round(float(motion.valid.mean()), 4),
            reprojection_error_px=_reprojection_error_px(body, track, seen_by(motion, camera)),
            implausible=implausible_contacts(measured),
            contact_s=round(int(measured.touching.sum()) / float(track.fps), 3),
            confidence=[round(float(mean), 3) for mean in motion.confidence.mean(axis=0)],
        )
    )
    job.judge(
        Verdict(
            score=round(quality.score, 4),
            reasons=list(quality.reasons),
            good_frames=good_frames(quality.frames, float(track.fps)),
        )
    )
    if camera.moves:
        job.report({"camera_turn_deg": round(float(camera.turned_deg.max()), 2)})
    run = job.workspace.read_run()
    figures = run.get("quality", {}) | job.verdict | {"export": job.quality}
    write_report(job.workspace, run | {"quality": figures})


def _write_motion_files(
    job: Job,
    body: Body,
    track: Track,
    motion: OptimizedMotion,
    camera: CameraPath,
    found: list[Touch],
    score: Float[np.ndarray, " frame"],
) -> None:
    """Write everything that holds motion or appearance but needs no posed mesh."""
    rest = body.rest(torch.from_numpy(motion.betas).to(body.v_template)).vertices.cpu().numpy()
    size_wh = int(track.size_wh[0]), int(track.size_wh[1])
    colours, trust = [], None
    if motion.gaussian_face.shape[1]:
        trust = trust_in_skin(body, seen_by(motion, camera), size_wh)
    for person in range(NUM_PEOPLE):
        gaussians = rest_gaussians(body, motion, person)
        if trust is not None:
            corners = body.faces.cpu().numpy()[motion.gaussian_face[person]]
            gaussians = fade_unseen(gaussians, trust[person][corners].mean(axis=1))
        write_ply(job.workspace.gaussians(person), gaussians)
        colours.append(vertex_colours(rest[person], gaussians, person))
    arrays = {
        "seen": track.seen,
        "filled": track.filled,
        "guessed": ~(track.seen | track.filled),
        "identity_confidence": track.identity_confidence,
        "score": score,
    }
    if job.config.camera.file is not None:
        arrays |= {"K": camera.K, **read_camera(job.config.camera, job.video, len(motion.K)).pose}
    focal_log_sigma = (
        job.workspace.read_run().get("quality", {}).get("init", {}).get("focal_log_sigma")
    )
    if focal_log_sigma is not None:
        arrays["focal_log_sigma"] = np.array(focal_log_sigma)
    footage = Footage(track.time_s, float(track.fps), size_wh, arrays, camera)
    write_motion_files(
        job.workspace,
        body,
        motion,
        footage,
        colours,
        style=job.config.export.joint_names,
        markers=found,
        usd=job.config.export.usd,
    )


def _write_contacts(
    job: Job, measured: Contacts, found: list[Touch], track: Track, motion: Motion
) -> None:
    workspace = job.workspace
    T_scene_camera = scene_from_camera(motion.floor)
    write_contacts(workspace.contacts, measured, track.time_s, float(track.fps), T_scene_camera)
    write_contact_table(workspace.contact_table, found, track.time_s)
    write_timeline(workspace.timeline, found, track.time_s, motion.confidence, motion.valid)


def _write_overlay(
    job: Job, body: Body, track: Track, motion: Motion, camera: CameraPath, measured: Contacts
) -> None:
    workspace, fps = job.workspace, float(track.fps)
    scene = _overlay_scene(job, body, track, motion)
    pictures = draw_overlay(
        scene, _overlay_frames(job, body, track, motion, camera, scene, measured)
    )
    film = film_options(len(measured.gap_m), fps, scene.camera_views_xywh)
    write(workspace.overlay, pictures, fps, also=(workspace.film, film))
    stretch = best_stretch(measured.touching, measured.gap_m, fps)
    view = scene.overlay_xywh
    write_preview_gif(workspace.preview_gif, workspace.overlay, view, stretch, fps)


def _overlay_scene(job: Job, body: Body, track: Track, motion: Motion) -> OverlayScene:
    T_scene_camera = scene_from_camera(motion.floor)
    joints = motion.joints.astype(np.float64) @ T_scene_camera[:3, :3].T + T_scene_camera[:3, 3]
    width, height = (int(side) for side in track.size_wh)
    return OverlayScene(
        faces=body.faces.cpu().numpy(),
        T_scene_camera=T_scene_camera,
        joints=joints,
        size_wh=(width, height),
        panel_height_px=job.config.export.panel_height_px,
        layout=job.config.export.overlay_layout,
    )


def _overlay_frames(
    job: Job,
    body: Body,
    track: Track,
    motion: Motion,
    camera: CameraPath,
    scene: OverlayScene,
    measured: Contacts,
) -> Iterator[OverlayFrame]:
    """The frames of the clip at panel size with the bodies and contacts that belong to them."""
    images = clip_pictures(job.video, track, scene.panel_wh)
    on_frame = job.progress("overlay")
    bodies = (body_pair for _, chunk in posed_chunks(body, motion) for body_pair in chunk)
    for number, (image, vertices) in enumerate(zip(images, bodies, strict=False)):
        parts = np.isfinite(measured.distance_m[number])
        yield OverlayFrame(
            number=number,
            time_s=float(track.time_s[number] - track.time_s[0]),
            image=image,
            vertices=vertices.cpu().numpy(),
            K=camera.K[number],
            R=camera.R[number] if camera.moves else None,
            valid=motion.valid[number],
            contacts=measured.place_m[number][parts].astype(np.float64),
            depths_mm=measured.depth_mm[number][parts],
        )
        on_frame(number + 1, len(motion.transl))


def _reprojection_error_px(body: Body, track: Track, motion: Motion) -> float | None:
    """Mean distance in source pixels between the body's keypoints and surely detected ones."""
    projected = reprojected_keypoints(body, motion, str(track.keypoint_set))
    error = np.linalg.norm(projected - track.keypoints[..., :2], axis=-1)
    sure = (track.keypoints[..., 2] > SURE_CONFIDENCE) & motion.valid[..., None]
    return round(float(error[sure].mean()), 3) if sure.any() else None

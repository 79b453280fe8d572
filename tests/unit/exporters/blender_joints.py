"""Run by a Python with `bpy`: imports scene and BVH as docs/animators.md states.

    python blender_joints.py FOLDER FPS FRAMES RESULT

Writes JSON: by file and person the heads of the bones in Blender's world, (frame, bone, 3), with
the bones' names; the frames of the first and the last key; and the parent of each object.
"""

import json
import sys
from pathlib import Path

import bpy


def heads(armature: bpy.types.Object, first: int, frames: int) -> dict[str, object]:
    """Read where the joints are in every frame."""
    scene, found = bpy.context.scene, []
    for frame in range(first, first + frames):
        scene.frame_set(frame)
        move = armature.matrix_world
        found.append([list(move @ bone.head) for bone in armature.pose.bones])
    keys = [float(key) for key in armature.animation_data.action.frame_range]
    return {"names": [bone.name for bone in armature.pose.bones], "heads": found, "keys": keys}


def main(folder: Path, fps: float, frames: int, result_file: Path) -> None:
    """Import the files of a folder."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    render = bpy.context.scene.render
    # The importer multiplies by the base, by which everything else in Blender divides.
    render.fps, render.fps_base = round(fps), fps / round(fps)
    bpy.ops.import_scene.gltf(filepath=str(folder / "scene.glb"))
    render.fps_base = round(fps) / fps
    people = sorted((o for o in bpy.data.objects if o.type == "ARMATURE"), key=lambda o: o.name)
    parents = {o.name: o.parent.name if o.parent else None for o in bpy.data.objects}
    result = {
        "parents": parents,
        "lens_rad": [camera.angle_y for camera in bpy.data.cameras],
        "glb": [heads(armature, 0, frames) for armature in people],
        "bvh": [],
    }
    for person in range(2):
        known = set(bpy.data.objects)
        bpy.ops.import_anim.bvh(filepath=str(folder / f"person_{person}.bvh"))
        (armature,) = set(bpy.data.objects) - known
        result["bvh"].append(heads(armature, 1, frames))
    result_file.write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))

"""`report.html` in a real browser, from disk, without a network."""

import base64
import io
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pygltflib as gl
import pytest
from PIL import Image

from closefit import video
from closefit.exporters.report.film import film_options
from closefit.exporters.report.page import thinned_scene, write_report
from closefit.palette import PERSON_COLOURS
from closefit.storage.workspace import Workspace
from tests.browser.conftest import BIT_PX, FPS, FRAMES, HEIGHT, WIDTH, facts, numbered_sheet

READY = "() => document.documentElement.dataset.ready"
SHOWN = "Number(document.documentElement.dataset.frame)"

FRAME_IN_THE_VIDEO = f"""async () => {{
  const video = document.getElementById("video");
  while (video.seeking || wanted !== null || video.readyState < 2)
    await new Promise((done) => setTimeout(done, 20));
  await new Promise((done) => setTimeout(done, 60));
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  const brush = canvas.getContext("2d");
  brush.drawImage(video, 0, 0);
  const scale = video.videoWidth / {2 * WIDTH};
  const places = [0, 1, 2, 3, 4, 5].map((bit) => Math.round(({BIT_PX} * bit + 20) * scale));
  const red = (place) => brush.getImageData(place, Math.round(130 * scale), 1, 1).data[0];
  return places.reduce((sum, place, bit) => sum + (red(place) > 128 ? 1 << bit : 0), 0);
}}"""


@pytest.fixture(scope="module")
def page(browser, folder: Workspace):
    context = browser.new_context(offline=True, viewport={"width": 800, "height": 600})
    page = context.new_page()
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(folder.report.as_uri())
    page.wait_for_function(READY)
    yield page
    context.close()


def scene_of(page, frame: int) -> np.ndarray:
    """Pixels of the 3D view in a frame, as floats; black where it is empty."""
    page.locator("#scrub").fill(str(frame))
    return drawn(page)[0]


def drawn(page, then: str = "") -> tuple[np.ndarray, int]:
    """The picture of the 3D view as it is, or after a line of script, and its triangles."""
    url, triangles = page.evaluate(
        f"({then} stage.draw(), [stage.canvas.toDataURL(), stage.renderer.info.render.triangles])"
    )
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))).astype(float)
    return picture[..., :3] * (picture[..., 3:] > 250), triangles


def test_the_page_asks_for_nothing_and_reports_no_error(page, folder: Workspace) -> None:
    assert page.said == []
    assert {url.split(":")[0] for url in page.asked} <= {"file", "blob", "data"}
    assert [url for url in page.asked if url.startswith("file:")] == [folder.report.as_uri()]
    blocked = page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', (e) => e.name)")
    assert blocked == "TypeError"
    assert any("Content Security Policy" in text for text in page.said)
    page.said.clear()


@pytest.mark.parametrize("frame", [17, 3, FRAMES - 1, 0])
def test_scrubbing_moves_the_video_to_the_frame(page, frame: int) -> None:
    page.locator("#scrub").fill(str(frame))
    assert page.evaluate(SHOWN) == frame
    assert page.evaluate(FRAME_IN_THE_VIDEO) == frame


@pytest.mark.parametrize("frame", [2, 12])
def test_the_scene_shows_the_frame_as_the_camera_saw_it(page, motion, frame: int) -> None:
    page.check("[name=view][value=video]")
    picture = scene_of(page, frame)
    height, width, _ = picture.shape
    scale = min(width / WIDTH, height / HEIGHT)
    length = np.maximum(np.linalg.norm(picture, axis=-1), 1.0)
    for person in range(2):
        spine = motion.joints[frame, person, 3]
        expected = width / 2 + scale * motion.K[0, 0, 0] * spine[0] / spine[2]
        hue = PERSON_COLOURS[person] / np.linalg.norm(PERSON_COLOURS[person])
        columns = np.nonzero((picture @ hue / length > 0.97) & (length > 60))[1]
        assert len(columns) > 500
        assert columns.mean() == pytest.approx(expected, abs=0.02 * width)


def test_contacts_are_lit_while_they_last(page, folder: Workspace) -> None:
    page.check("[name=view][value=video]")
    last = json.loads(folder.contacts.read_text())["frames_in_contact"][-1][1]

    def yellow(frame: int) -> int:
        red, green, blue = np.moveaxis(scene_of(page, frame), -1, 0)
        return int(((red - blue > 90) & (green - blue > 70) & (red - green < 60)).sum())

    assert yellow(0) == 0
    assert yellow(last) > 50
    page.uncheck("#lit")
    assert yellow(last) == 0
    page.check("#lit")


def test_a_click_in_the_timeline_goes_there(page) -> None:
    track = page.locator(".row .track").first
    track.click(position={"x": track.bounding_box()["width"] * 16.5 / FRAMES, "y": 1})
    assert page.evaluate(SHOWN) == 16
    assert page.evaluate(FRAME_IN_THE_VIDEO) == 16


def test_hovering_gives_distance_or_penetration(page, folder: Workspace) -> None:
    contact = json.loads(folder.contacts.read_text())["contacts"][0]
    frame = contact["frames"][0][0]
    track = page.locator(".row.pair .track").first
    along = track.bounding_box()["width"] * (frame + 0.5) / FRAMES
    track.hover(position={"x": along, "y": 1})
    text = page.locator("#tip").inner_text()
    assert f"frame {frame}" in text
    assert "mm" in text
    assert f"{contact['person_0']} / {contact['person_1']}" in text


def test_keys_step_jump_and_play(page) -> None:
    page.locator("body").press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert page.evaluate(SHOWN) == 11
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    page.wait_for_function(f"() => {SHOWN} > 5")
    page.keyboard.press("Space")
    stopped = page.evaluate(SHOWN)
    assert page.evaluate(FRAME_IN_THE_VIDEO) == stopped
    assert page.locator("#play").get_attribute("aria-label") == "Play"


def test_a_bar_is_reached_and_followed_with_the_keyboard(page, folder: Workspace) -> None:
    first = json.loads(folder.contacts.read_text())["frames_in_contact"][0][0]
    page.locator("body").press("Home")
    page.locator("#timeline .bar[tabindex='0']").focus()
    page.keyboard.press("Enter")
    assert page.evaluate(SHOWN) == first
    page.keyboard.press("ArrowDown")
    assert "inside" in page.evaluate("document.activeElement.getAttribute('aria-label')")


def test_words_name_what_is_doubtful_and_the_command_hides_folders(page) -> None:
    text = page.locator("body").inner_text()
    assert "Person 1 was not found in 4 of 24 frames" in text
    assert "closefit run dance.mp4 --out DIR --preset draft --set camera.focal_px=300.0" in text
    assert "somebody" not in page.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_axe_finds_nothing_serious(browser, folder, node_modules, scheme: str, width: int) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(folder.report.as_uri())
    page.wait_for_function(READY)
    page.evaluate((node_modules / "axe-core" / "axe.min.js").read_text())
    found = page.evaluate("axe.run()")["violations"]
    assert [entry["id"] for entry in found if entry["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#scrub").press("End")
    boxes = page.evaluate(
        "[...document.querySelectorAll('#player > *')].map((e) => [e.offsetLeft, e.offsetTop,"
        " e.offsetLeft + e.scrollWidth, e.offsetTop + e.offsetHeight])"
    )
    for (x0, y0, x1, y1), (x2, y2, x3, y3) in itertools.combinations(boxes, 2):
        assert x1 <= x2 or x3 <= x0 or y1 <= y2 or y3 <= y0
    smallest = page.evaluate(
        "Math.min(...[...document.querySelectorAll('body *')].filter((e) => e.textContent.trim())"
        ".map((e) => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 12
    context.close()


def test_without_webgl_the_rest_works(browser, folder: Workspace) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script(
        "const get = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...more) {"
        "  return kind.startsWith('webgl') ? null : get.call(this, kind, ...more); };"
    )
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(folder.report.as_uri())
    page.wait_for_function(READY)
    assert "no WebGL" in page.locator("#stage-missing").inner_text()
    page.locator("#scrub").fill("9")
    assert page.evaluate(FRAME_IN_THE_VIDEO) == 9
    assert errors == []
    context.close()


def with_noise(folder: Workspace, root: Path, part: str) -> Workspace:
    """A copy of the folder whose page has noise in the place of a part."""
    copy = copied(folder, root)
    text = copy.report.read_text()
    start = text.index(">", text.index(f'id="{part}"')) + 1
    noise = base64.b64encode(bytes(range(256))).decode()
    copy.report.write_text(text[:start] + noise + text[text.index("</script>", start) :])
    return copy


def test_a_scene_that_cannot_be_read_leaves_the_rest(browser, folder, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(with_noise(folder, tmp_path, "scene-bytes").report.as_uri())
    page.wait_for_function(READY)
    assert "cannot be drawn" in page.locator("#stage-missing").inner_text()
    page.locator("#scrub").fill("9")
    assert page.evaluate(FRAME_IN_THE_VIDEO) == 9
    page.close()


def test_a_video_that_cannot_be_decoded_is_named(browser, folder, tmp_path: Path) -> None:
    copy = with_noise(folder, tmp_path, "film-bytes")
    page = browser.new_page()
    page.goto(copy.report.as_uri())
    page.wait_for_function(READY)
    page.wait_for_selector("#film-missing:visible")
    assert "cannot play the video" in page.locator("#film-missing").inner_text()
    assert page.locator("#film-choice").is_hidden()
    page.locator("body").press("Space")
    page.wait_for_function(f"() => {SHOWN} == {FRAMES - 1}", timeout=10_000)
    page.close()


def test_without_a_gpu_movement_has_fewer_triangles_of_the_same_outline(page) -> None:
    page.check("[name=view][value=orbit]")
    coarse, few = drawn(page, "show(7),")
    page.wait_for_function(f"() => stage.renderer.info.render.triangles > {4 * few}")
    fine, _ = drawn(page)
    coarse, fine = coarse.any(-1), fine.any(-1)
    assert (coarse & fine).sum() > 0.95 * (coarse | fine).sum()


def test_without_an_overlay_the_page_plays_the_scene(browser, folder, tmp_path: Path) -> None:
    bare = Workspace(tmp_path)
    for path in (folder.motion, folder.contacts, folder.glb):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_report(bare, {})
    context = browser.new_context()
    page = context.new_page()
    page.goto(bare.report.as_uri())
    page.wait_for_function(READY)
    assert page.locator("#film-missing").is_visible()
    page.locator("body").press("Space")
    page.wait_for_function(f"() => {SHOWN} == {FRAMES - 1}", timeout=10_000)
    context.close()


def test_a_film_of_one_view_is_shown_whole(browser, folder: Workspace, tmp_path: Path) -> None:
    """With `export.overlay_layout=single` the film has no input beside the bodies."""
    single = copied(folder, tmp_path)
    film = film_options(FRAMES, FPS)
    sheets = (numbered_sheet(number)[:HEIGHT, :WIDTH] for number in range(FRAMES))
    video.write(single.overlay, sheets, FPS, also=(single.film, film))
    write_report(single, facts())
    page = browser.new_page()
    page.goto(single.report.as_uri())
    page.wait_for_function(READY)
    page.wait_for_function("() => video.readyState > 1 && video.style.width")
    assert page.locator("#film-choice").is_hidden()
    assert page.evaluate("video.style.width") == "100%"
    shown, room = page.locator("#video").bounding_box(), page.locator("#film").bounding_box()
    assert shown["width"] / shown["height"] == pytest.approx(WIDTH / HEIGHT, rel=0.01)
    assert room["x"] - 1 <= shown["x"]
    assert shown["x"] + shown["width"] <= room["x"] + room["width"] + 1
    page.close()


def test_twenty_minutes_are_thinned_out_and_the_page_says_so(
    browser, folder: Workspace, tmp_path: Path
) -> None:
    frames = 20 * 60 * 25
    long = copied(folder, tmp_path)
    with np.load(folder.motion) as archive:
        arrays = dict(archive)
    again = np.arange(frames) % FRAMES
    for name, array in arrays.items():
        if array.shape[:1] == (FRAMES,) and name != "joint_names":
            arrays[name] = array[again]
    np.savez(long.motion, **arrays | {"time_s": np.arange(frames) / FPS})
    contacts = json.loads(folder.contacts.read_text())
    contacts["num_frames"] = frames
    for name, values in contacts["per_frame"].items():
        contacts["per_frame"][name] = np.resize(values, frames).tolist()
    lasting = contacts["contacts"][0]
    lasting |= {"frames": [[0, frames - 1]], "num_frames": frames}
    lasting["distance_mm"] = (np.arange(frames) / 1000).tolist()
    lasting["penetration_mm"] = np.zeros(frames).tolist()
    lasting["probability"] = np.full(frames, 0.6).tolist()
    lasting["place_m"] = np.resize(lasting["place_m"], (frames, 3)).tolist()
    long.contacts.write_text(json.dumps(contacts))
    long.glb.write_bytes(looped(folder.glb, frames))
    long.overlay.unlink()
    write_report(long, facts())
    assert long.report.stat().st_size < 20e6
    page = browser.new_page()
    page.goto(long.report.as_uri())
    page.wait_for_function(READY)
    assert "This page shows one frame in 17." in page.locator("#summary").inner_text()
    page.locator("body").press("End")
    assert page.evaluate(SHOWN) == frames // 17 * 17
    assert page.locator("#clock").inner_text().startswith(f"{frames // 17 * 17 / FPS:.2f} s")
    page.wait_for_function("() => $('now').textContent.includes('(30.0 mm apart, 60 % probable)')")
    assert page.evaluate("data.contacts[0].place_m.length") == frames // 17 + 1
    assert np.ptp(scene_of(page, 3)) > 0
    page.close()


def looped(path: Path, frames: int) -> bytes:
    """The scene with its animation repeated to so many frames."""
    scene = gl.GLTF2.load_from_bytes(path.read_bytes())
    blob = bytearray(scene.binary_blob())
    for sampler in scene.animations[0].samplers:
        for number in (sampler.input, sampler.output):
            accessor = scene.accessors[number]
            view = scene.bufferViews[accessor.bufferView]
            keys = np.frombuffer(bytes(blob), np.float32, view.byteLength // 4, view.byteOffset)
            keys = keys.reshape(FRAMES, -1)[np.arange(frames) % FRAMES]
            if accessor.type == "SCALAR":
                keys = (np.arange(frames, dtype=np.float32) / FPS)[:, None]
                accessor.max = [float(keys.max())]
            accessor.count, accessor.bufferView = frames, len(scene.bufferViews)
            scene.bufferViews.append(
                gl.BufferView(buffer=0, byteOffset=len(blob), byteLength=keys.nbytes)
            )
            blob += keys.tobytes()
    scene.buffers[0].byteLength = len(blob)
    scene.set_binary_blob(bytes(blob))
    return b"".join(scene.save_to_bytes())


def copied(folder: Workspace, root: Path) -> Workspace:
    """The folder's files at another place."""
    shutil.copytree(folder.root, root, dirs_exist_ok=True)
    return Workspace(root)


def test_the_command_writes_the_same_page_again(folder: Workspace, tmp_path: Path) -> None:
    copied(folder, tmp_path).report.unlink()
    (tmp_path / "run.json").write_text(json.dumps(facts()))
    command = [sys.executable, "-c", "from closefit.cli.main import main; main()", "report"]
    done = subprocess.run([*command, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").read_bytes() == folder.report.read_bytes()
    (tmp_path / "motion.npz").unlink()
    refused = subprocess.run([*command, tmp_path], capture_output=True, text=True)
    assert refused.returncode == 6
    assert "motion.npz" in refused.stderr
    assert "closefit stage export" in refused.stderr


def test_a_long_clip_keeps_one_key_in_several(folder: Workspace, node_modules, tmp_path) -> None:
    thin = tmp_path / "thin.glb"
    thin.write_bytes(thinned_scene(folder.glb, 4))
    assert findings(thin, node_modules)["messages"] == []
    assert len(thin.read_bytes()) < len(folder.glb.read_bytes())


def test_the_validator_finds_nothing_in_the_scene(folder: Workspace, node_modules) -> None:
    assert findings(folder.glb, node_modules)["messages"] == []


def findings(path: Path, node_modules: Path) -> dict:
    script = node_modules.parent / "validate.mjs"
    done = subprocess.run(["node", script, path], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)

// The page of one result: everything follows `frame`, the number of a shown frame.
"use strict";
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const frames = data.times_s.length;
const BARS_SHOWN = 12;

let frame = 0;
let playing = false;

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function bytes(id) {
  const text = atob($(id).textContent);
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

// ---------------------------------------------------------------- the clock

const video = $("video");
const hasVideo = $("film-bytes") !== null;
let wanted = null; // where the video has to go once it has finished seeking

function show(number, fromVideo = false) {
  frame = Math.max(0, Math.min(frames - 1, number));
  const source = frame * data.stride;
  $("scrub").value = frame;
  $("clock").textContent = `${data.times_s[frame].toFixed(2)} s · frame ${source}`;
  $("scrub").setAttribute("aria-valuetext", `frame ${source}, ${data.times_s[frame].toFixed(2)} seconds`);
  $("timeline").style.setProperty("--at", (frame + 0.5) / frames);
  document.documentElement.dataset.frame = source;
  showTouches(source);
  if (hasVideo && !fromVideo) seek();
  stage?.pose(frame);
}

function seek() {
  const time = (frame + 0.5) / data.fps;
  if (video.seeking || video.readyState === 0) wanted = time;
  else video.currentTime = time;
}

function play(on) {
  playing = on;
  $("play").textContent = on ? "❚❚" : "▶";
  $("play").setAttribute("aria-label", on ? "Pause" : "Play");
  if (on && frame === frames - 1) show(0);
  if (hasVideo && on) video.play();
  else if (hasVideo) { video.pause(); show(frame); }
  else if (on) runWithoutVideo(performance.now() - (1000 * frame) / data.fps / speed());
}

const speed = () => Number($("speed").value);

function runWithoutVideo(since) {
  if (!playing) return;
  const next = Math.floor(((performance.now() - since) / 1000) * data.fps * speed());
  if (next >= frames) { show(frames - 1); play(false); return; }
  if (next !== frame) show(next);
  requestAnimationFrame(() => runWithoutVideo(since));
}

function followVideo(_, facts) {
  if (playing) show(Math.floor((facts?.mediaTime ?? video.currentTime) * data.fps + 0.01), true);
  video.requestVideoFrameCallback ? video.requestVideoFrameCallback(followVideo) : requestAnimationFrame(followVideo);
}

function setUpVideo() {
  if (!hasVideo) { video.hidden = true; $("film-missing").hidden = false; $("film-choice").hidden = true; return; }
  const arrange = () => {
    const box = $("film").getBoundingClientRect();
    const aspect = video.videoWidth / 2 / (video.videoHeight || 1) || 1;
    const width = Math.min(box.width, box.height * aspect);
    const bodies = document.querySelector("[name=film]:checked").value === "bodies";
    Object.assign(video.style, {
      width: `${2 * width}px`, height: `${width / aspect}px`, left: `${(box.width - width) / 2 - (bodies ? width : 0)}px`,
      right: "auto", margin: "auto 0", clipPath: bodies ? "inset(0 0 0 50%)" : "inset(0 50% 0 0)",
    });
  };
  video.addEventListener("loadedmetadata", () => { arrange(); seek(); });
  video.addEventListener("seeked", () => {
    if (wanted !== null) { video.currentTime = wanted; wanted = null; }
  });
  video.addEventListener("ended", () => { if (playing) play(false); });
  new ResizeObserver(arrange).observe($("film"));
  $("film-choice").addEventListener("change", arrange);
  video.src = URL.createObjectURL(new Blob([bytes("film-bytes")], { type: "video/mp4" }));
  followVideo();
}

// ---------------------------------------------------------------- the 3D view

let stage = null;
const MAX_SPOTS = 16;

const SPOT_HEAD = `varying vec3 vPlace; uniform vec4 spots[${MAX_SPOTS}]; uniform vec3 spotColour;\n`;
const SPOT_BODY = `
  float glow = 0.0;
  for (int i = 0; i < ${MAX_SPOTS}; i++)
    glow = max(glow, 1.0 - smoothstep(0.55 * spots[i].w, spots[i].w, distance(vPlace, spots[i].xyz)));
  diffuseColor.rgb = mix(diffuseColor.rgb, spotColour, glow);
`;

class Stage {
  constructor(gltf) {
    this.canvas = $("canvas");
    this.renderer = new THREE.WebGLRenderer({ canvas: this.canvas, antialias: true, alpha: true });
    this.scene = new THREE.Scene();
    this.scene.add(gltf.scene, new THREE.HemisphereLight(0xffffff, 0x8a8a80, 1.9));
    const sun = new THREE.DirectionalLight(0xffffff, 1.7);
    sun.position.set(-1.5, 3, 2);
    this.scene.add(sun);
    this.uniforms = {
      spots: { value: new Float32Array(4 * MAX_SPOTS) },
      spotColour: { value: new THREE.Color(data.colours.depths[0]) },
    };
    this.meshes = [0, 1].map((person) => this.dress(gltf.scene, person));
    this.mixer = new THREE.AnimationMixer(gltf.scene);
    this.mixer.clipAction(gltf.animations[0]).play();
    this.length = gltf.animations[0].duration;
    this.film = gltf.cameras[0];
    this.camera = new THREE.PerspectiveCamera(40, 1, 0.05, 100);
    this.controls = new THREE.OrbitControls(this.camera, this.canvas);
    this.controls.addEventListener("change", () => this.draw());
    this.controls.addEventListener("start", () => this.choose("orbit"));
    const [x, y, z] = data.middle_m;
    this.middle = new THREE.Vector3(x, y, z);
    const grid = new THREE.GridHelper(6, 6, 0x888880, 0x888880);
    grid.position.set(Math.round(x), 0, Math.round(z));
    grid.material.transparent = true;
    grid.material.opacity = 0.45;
    this.scene.add(grid);
    new ResizeObserver(() => this.resize()).observe($("stage"));
    this.view("orbit");
    this.resize();
  }

  dress(scene, person) {
    let mesh = null;
    scene.traverse((node) => { if (node.isSkinnedMesh && node.skeleton && node.name.startsWith(`person_${person}`)) mesh = node; });
    mesh.frustumCulled = false;
    mesh.material = new THREE.MeshStandardMaterial({ roughness: 0.75, color: data.colours.people[person] });
    mesh.material.onBeforeCompile = (shader) => {
      Object.assign(shader.uniforms, this.uniforms);
      shader.vertexShader = "varying vec3 vPlace;\n" + shader.vertexShader.replace(
        "#include <project_vertex>", "#include <project_vertex>\n  vPlace = (modelMatrix * vec4(transformed, 1.0)).xyz;");
      shader.fragmentShader = SPOT_HEAD + shader.fragmentShader.replace(
        "#include <color_fragment>", "#include <color_fragment>\n" + SPOT_BODY);
    };
    return mesh;
  }

  clothe(on) {
    this.meshes.forEach((mesh, person) => {
      mesh.material.vertexColors = on;
      mesh.material.color.set(on ? "#ffffff" : data.colours.people[person]);
      mesh.material.needsUpdate = true;
    });
    this.draw();
  }

  pose(number) {
    this.mixer.setTime(Math.min(data.times_s[number] - data.times_s[0], this.length - 1e-4));
    const spots = this.uniforms.spots.value.fill(0);
    const places = $("lit").checked ? touching(number * data.stride).slice(0, MAX_SPOTS) : [];
    places.forEach(({ place }, i) => spots.set([...place, data.spot_m], 4 * i));
    this.draw();
  }

  choose(name) {
    document.querySelector(`[name=view][value=${name}]`).checked = true;
    this.fov = 40;
    this.camera.up.set(0, 1, 0);
  }

  view(name) {
    this.choose(name);
    const far = data.reach_m * 2.2;
    const from = { orbit: [0.55, 0.3, 1], side: [1, 0.05, 0], top: [0, 1, 0.001] }[name];
    if (name === "video") {
      this.film.updateWorldMatrix(true, false);
      const ahead = new THREE.Vector3(0, 0, -1).transformDirection(this.film.matrixWorld);
      this.camera.position.setFromMatrixPosition(this.film.matrixWorld);
      this.camera.up.set(0, 1, 0).transformDirection(this.film.matrixWorld);
      const depth = this.middle.clone().sub(this.camera.position).dot(ahead);
      this.controls.target.copy(this.camera.position).addScaledVector(ahead, depth);
      this.fov = null;
    } else {
      this.controls.target.copy(this.middle);
      this.camera.position.copy(this.middle).addScaledVector(new THREE.Vector3(...from).normalize(), far);
    }
    this.resize();
    this.controls.update();
  }

  resize() {
    const { width, height } = $("stage").getBoundingClientRect();
    if (!width || !height) return;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    const wide = Math.max(1, this.film.aspect / this.camera.aspect); // the whole picture fits in
    const half = Math.tan((this.film.fov * Math.PI) / 360) * wide;
    this.camera.fov = this.fov ?? (Math.atan(half) * 360) / Math.PI;
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  draw() { this.renderer.render(this.scene, this.camera); }
}

async function setUpStage() {
  const works = document.createElement("canvas").getContext("webgl2") !== null;
  if (!works) { $("canvas").hidden = true; $("stage-missing").hidden = false; $("cameras").disabled = true; return; }
  const unzipped = new Blob([bytes("scene-bytes")]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(unzipped).arrayBuffer();
  const gltf = await new THREE.GLTFLoader().parseAsync(buffer, "");
  stage = new Stage(gltf);
  $("cameras").addEventListener("change", (event) => stage.view(event.target.value));
  $("clothes").addEventListener("change", (event) => stage.clothe(event.target.checked));
  $("lit").addEventListener("change", () => stage.pose(frame));
  show(frame);
}

// ---------------------------------------------------------------- contacts

for (const contact of data.contacts) {
  contact.at = new Map();
  let entry = 0;
  for (const [first, last] of contact.frames)
    for (let number = first; number <= last; number++) contact.at.set(number, entry++);
}

function touching(source) {
  return data.contacts.filter((contact) => contact.at.has(source)).map((contact) => {
    const entry = contact.at.get(source);
    return {
      name: `${contact.person_0} / ${contact.person_1}`, distance: contact.distance_mm?.[entry],
      depth: contact.penetration_mm?.[entry], place: contact.place_m?.[entry] ?? [0, -100, 0],
    };
  }).sort((a, b) => b.depth - a.depth);
}

const howNear = ({ distance, depth }) => depth > 0 ? `${depth.toFixed(1)} mm inside` : `${(distance ?? 0).toFixed(1)} mm apart`;

function showTouches(source) {
  const found = touching(source);
  const named = found.slice(0, 4).map((touch) => `${touch.name} (${howNear(touch)})`);
  const more = found.length > 4 ? ` and ${found.length - 4} more` : "";
  $("now").textContent = found.length ? `Touching now: ${named.join(", ")}${more}` : "No contact in this frame";
}

// ---------------------------------------------------------------- the timeline

const allFrames = data.num_frames;
const depthClass = (depth) => `depth${data.depth_steps_mm.filter((step) => depth >= step).length}`;
const seconds = (source) => (data.times_s[Math.min(Math.round(source / data.stride), frames - 1)]).toFixed(2);

function addRow(label, className = "") {
  const row = make("div", `row ${className}`);
  row.append(make("span", "", label), make("div", "track"));
  const track = row.lastChild;
  track.addEventListener("click", (event) => {
    const box = track.getBoundingClientRect();
    show(Math.floor(((event.clientX - box.left) / box.width) * frames));
  });
  track.addEventListener("pointermove", (event) => {
    const box = track.getBoundingClientRect();
    const number = Math.max(0, Math.min(frames - 1, Math.floor(((event.clientX - box.left) / box.width) * frames)));
    tip(event, `${label}: ${track.tell?.(number) ?? ""} at ${data.times_s[number].toFixed(2)} s, frame ${number * data.stride}`);
  });
  track.addEventListener("pointerleave", () => { $("tip").hidden = true; });
  $("timeline").append(row);
  return track;
}

function tip(event, text) {
  $("tip").hidden = false;
  $("tip").textContent = text;
  $("tip").style.left = `${Math.min(event.clientX + 14, innerWidth - 230)}px`;
  $("tip").style.top = `${event.clientY + 16}px`;
}

function addBar(track, first, last, className, label) {
  const bar = make("button", `bar ${className}`);
  bar.type = "button";
  bar.tabIndex = -1;
  bar.setAttribute("aria-label", `${label}, ${seconds(first)} to ${seconds(last)} s`);
  bar.style.left = `${(100 * first) / allFrames}%`;
  bar.style.width = `${(100 * (last + 1 - first)) / allFrames}%`;
  bar.addEventListener("click", (event) => { if (event.detail === 0) { event.stopPropagation(); show(Math.ceil(first / data.stride)); } });
  track.append(bar);
}

function addCurve(track, values, className) {
  const points = values.map((value, i) => `L${i} ${1 - value}L${i + 1} ${1 - value}`).join("");
  track.insertAdjacentHTML("beforeend",
    `<svg viewBox="0 -0.02 ${frames} 1.04" preserveAspectRatio="none" aria-hidden="true"><path class="${className}" d="M0 1${points}L${frames} 1Z"/></svg>`);
}

function addContactRow(contact) {
  const label = `${contact.person_0} / ${contact.person_1}`;
  const track = addRow(label, "pair");
  track.tell = (number) => {
    const touch = touching(number * data.stride).find(({ name }) => name === label);
    return touch ? howNear(touch) : "no contact";
  };
  contact.frames.forEach(([first, last]) => {
    const start = contact.at.get(first);
    const depth = Math.max(0, ...(contact.penetration_mm ?? [contact.max_penetration_mm]).slice(start, start + last - first + 1));
    addBar(track, first, last, depthClass(depth), `${label}: at most ${depth.toFixed(1)} mm inside`);
  });
}

function setUpTimeline() {
  const any = addRow("any contact", "group");
  any.tell = (number) => (touching(number * data.stride).length ? "touching" : "no contact");
  data.frames_in_contact.forEach(([first, last]) => addBar(any, first, last, "depth0", "The two touch"));
  data.contacts.forEach(addContactRow);
  for (const { label, kind, className, values, runs, words } of data.rows) {
    const track = addRow(label, kind === "runs" ? "" : "group");
    if (values) { addCurve(track, values, className); track.tell = (number) => values[number].toFixed(2); }
    runs?.forEach(([first, last, style, word]) => addBar(track, first, last, style, word ?? label));
    if (words) track.tell = (number) => words[number];
    else if (runs) track.tell = (number) => {
      const source = number * data.stride;
      return runs.find(([first, last]) => first <= source && source <= last)?.[3] ?? "no";
    };
  }
  $("timeline").append(make("div"));
  $("timeline").lastChild.id = "cursor";
  foldRows();
  moveBetweenBars();
}

function foldRows() {
  const hidden = [...document.querySelectorAll(".row.pair")].slice(BARS_SHOWN);
  let open = false;
  const fold = () => {
    hidden.forEach((row) => { row.hidden = !open; });
    $("more").textContent = open ? "Show fewer rows" : `Show ${hidden.length} more pairs of body parts`;
    $("more").setAttribute("aria-expanded", open);
  };
  $("more").hidden = hidden.length === 0;
  $("more").addEventListener("click", () => { open = !open; fold(); });
  fold();
}

function moveBetweenBars() {
  const first = document.querySelector("#timeline .bar");
  if (first) first.tabIndex = 0;
  $("timeline").addEventListener("keydown", (event) => {
    const bars = [...document.querySelectorAll("#timeline .row:not([hidden]) .bar")];
    const at = bars.indexOf(document.activeElement);
    if (at < 0) return;
    const row = (bar) => bar.closest(".row");
    const next = {
      ArrowRight: () => bars[at + 1], ArrowLeft: () => bars[at - 1],
      ArrowDown: () => bars.slice(at).find((bar) => row(bar) !== row(bars[at])),
      ArrowUp: () => bars.slice(0, at).reverse().find((bar) => row(bar) !== row(bars[at])),
    }[event.key]?.();
    if (!(event.key.startsWith("Arrow"))) return;
    event.preventDefault();
    event.stopPropagation();
    if (!next) return;
    bars[at].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}

// ---------------------------------------------------------------- words and figures

function setUpWords() {
  for (const { label, value, note } of data.figures) {
    const entry = make("div");
    entry.append(make("dt", "", label), make("dd", "", value));
    if (note) entry.lastChild.append(make("small", "", note));
    $("figures").append(entry);
  }
  for (const [text, advice] of data.doubts) {
    const item = make("li");
    item.append(make("b", "", text[0].toUpperCase() + text.slice(1)), ". What to do: ");
    advice.split("`").forEach((part, i) => item.append(i % 2 ? make("code", "", part) : part));
    item.append(".");
    $("doubts").lastElementChild.append(item);
  }
  $("doubts").hidden = data.doubts.length === 0;
  $("version").textContent = data.version;
  $("command").textContent = data.command;
  $("licences").textContent = data.licences.length ? `Models and their licences: ${data.licences.join("; ")}.` : "";
  $("table").addEventListener("toggle", fillTable, { once: true });
}

function fillTable() {
  const table = make("table");
  const head = table.createTHead().insertRow();
  for (const title of ["start s", "end s", "person 0", "person 1", "deepest mm"]) {
    head.append(make("th", "", title));
    head.lastChild.scope = "col";
  }
  const body = table.createTBody();
  for (const contact of data.contacts)
    for (const [first, last] of contact.frames) {
      const start = contact.at.get(first);
      const depth = Math.max(0, ...(contact.penetration_mm ?? []).slice(start, start + last - first + 1));
      const cells = [seconds(first), seconds(last), contact.person_0, contact.person_1, depth.toFixed(1)];
      const row = body.insertRow();
      cells.forEach((cell) => { row.insertCell().textContent = cell; });
    }
  $("table").lastElementChild.append(table);
}

function setUpControls() {
  data.colours.people.forEach((colour, i) => document.documentElement.style.setProperty(`--person-${i}`, colour));
  data.colours.depths.forEach((colour, i) => document.documentElement.style.setProperty(`--depth-${i}`, colour));
  $("scrub").max = frames - 1;
  $("scrub").addEventListener("input", (event) => { if (playing) play(false); show(Number(event.target.value)); });
  $("play").addEventListener("click", () => play(!playing));
  $("back").addEventListener("click", () => show(frame - 1));
  $("next").addEventListener("click", () => show(frame + 1));
  $("speed").addEventListener("change", () => { video.playbackRate = speed(); if (playing && !hasVideo) { play(false); play(true); } });
  const dark = () => document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  $("theme").setAttribute("aria-pressed", dark());
  $("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    $("theme").setAttribute("aria-pressed", dark());
  });
  document.addEventListener("keydown", onKey);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, [type=radio]")) return;
  const leap = event.shiftKey ? 10 : 1;
  const keys = {
    ArrowLeft: () => show(frame - leap), ArrowRight: () => show(frame + leap), Home: () => show(0), End: () => show(frames - 1),
    "+": () => changeSpeed(1), "-": () => changeSpeed(-1),
  };
  ["video", "orbit", "side", "top"].forEach((name, i) => { keys[i + 1] = () => stage?.view(name); });
  if (!event.target.matches("button, summary, [type=checkbox]")) keys[" "] = () => play(!playing);
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
}

function changeSpeed(by) {
  const select = $("speed");
  select.selectedIndex = Math.max(0, Math.min(select.length - 1, select.selectedIndex + by));
  select.dispatchEvent(new Event("change"));
}

setUpControls();
setUpWords();
setUpTimeline();
setUpVideo();
show(0);
setUpStage().catch(() => { $("stage-missing").hidden = false; $("canvas").hidden = true; })
  .finally(() => { document.documentElement.dataset.ready = "yes"; });

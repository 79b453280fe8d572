// The 3D view.

let stage = null;
const SUN = "normalize(vec3(-1.5, 3.0, 2.0))";
const COARSE_M = 0.04, REST_MS = 200;

// Light, colour and contact of each vertex; a pixel only mixes those of its triangle. Bodies are so fine that
// this looks the same, and a browser that draws with the processor is three times as fast.
const SKIN_VERTEX = `
  attribute float glow;
  uniform vec3 tint, lit;
  uniform float clothed;
  varying vec3 shade;
  void main() {
    vec3 up = normalize(normal);
    float light = mix(0.16, 0.6, 0.5 + 0.5 * up.y) + 0.54 * max(dot(up, ${SUN}), 0.0);
    shade = pow(light * mix(mix(tint, color.rgb, clothed), lit, glow), vec3(1.0 / 2.2));
    gl_Position = projectionMatrix * viewMatrix * vec4(position, 1.0);
  }`;
const SKIN_PIXEL = "varying vec3 shade; void main() { gl_FragColor = vec4(shade, 1.0); }";

// The skin of a person, moved here and not by the GPU: a browser that draws with the processor would move
// each vertex again for every triangle around it.
class Skin {
  constructor(skinned) {
    this.skeleton = skinned.skeleton;
    this.rest = skinned.geometry.attributes;
    this.fine = { triangles: skinned.geometry.index, vertices: Uint32Array.from({ length: this.rest.position.count }, (_, i) => i) };
    this.geometry = new THREE.BufferGeometry().setAttribute("color", this.rest.color);
    this.show(this.fine);
    for (const [name, size] of [["position", 3], ["normal", 3], ["glow", 1]]) {
      const values = new Float32Array(size * this.rest.position.count);
      this.geometry.setAttribute(name, new THREE.BufferAttribute(values, size).setUsage(THREE.DynamicDrawUsage));
    }
    skinned.removeFromParent();
  }

  show(surface) {
    this.surface = surface;
    this.geometry.setIndex(surface.triangles);
  }

  // Go where the joints are; skin around the places of contacts is lit.
  follow(places) {
    this.skeleton.update();
    const bones = this.rest.skinIndex.array, weights = this.rest.skinWeight.array, m = this.skeleton.boneMatrices;
    const from = this.rest.position.array, fromNormal = this.rest.normal.array;
    const { position, normal } = this.geometry.attributes, to = position.array, toNormal = normal.array;
    for (const vertex of this.surface.vertices) {
      const i = 3 * vertex;
      let xx = 0, xy = 0, xz = 0, yx = 0, yy = 0, yz = 0, zx = 0, zy = 0, zz = 0, tx = 0, ty = 0, tz = 0;
      for (let k = 4 * vertex; k < 4 * vertex + 4; k++) {
        const w = weights[k], b = 16 * bones[k];
        if (w === 0) continue;
        xx += w * m[b]; xy += w * m[b + 1]; xz += w * m[b + 2];
        yx += w * m[b + 4]; yy += w * m[b + 5]; yz += w * m[b + 6];
        zx += w * m[b + 8]; zy += w * m[b + 9]; zz += w * m[b + 10];
        tx += w * m[b + 12]; ty += w * m[b + 13]; tz += w * m[b + 14];
      }
      let x = from[i], y = from[i + 1], z = from[i + 2];
      to[i] = xx * x + yx * y + zx * z + tx;
      to[i + 1] = xy * x + yy * y + zy * z + ty;
      to[i + 2] = xz * x + yz * y + zz * z + tz;
      x = fromNormal[i]; y = fromNormal[i + 1]; z = fromNormal[i + 2];
      toNormal[i] = xx * x + yx * y + zx * z;
      toNormal[i + 1] = xy * x + yy * y + zy * z;
      toNormal[i + 2] = xz * x + yz * y + zz * z;
    }
    position.needsUpdate = normal.needsUpdate = true;
    this.light(places);
  }

  light(places) {
    const { position, glow } = this.geometry.attributes, points = position.array;
    const inner = 0.55 * data.spot_m, whole = data.spot_m - inner;
    glow.array.fill(0);
    for (const [x, y, z] of places)
      for (const vertex of this.surface.vertices) {
        const i = 3 * vertex;
        const near = (data.spot_m - Math.hypot(points[i] - x, points[i + 1] - y, points[i + 2] - z)) / whole;
        if (near > glow.array[vertex]) glow.array[vertex] = Math.min(near, 1);
      }
    glow.needsUpdate = true;
  }
}

// A surface of fewer triangles over some of the same vertices: those of one bone in one cell of a grid become the
// one that is nearest to the middle of the cell.
function coarser({ position, skinIndex, skinWeight }, triangles) {
  const best = new Map(), cellOf = [];
  for (let vertex = 0; vertex < position.count; vertex++) {
    const weights = skinWeight.array.subarray(4 * vertex, 4 * vertex + 4);
    const cell = [skinIndex.array[4 * vertex + weights.indexOf(Math.max(...weights))]];
    let off = 0;
    for (let axis = 0; axis < 3; axis++) {
      const place = position.array[3 * vertex + axis] / COARSE_M;
      cell.push(Math.round(place));
      off += (place - Math.round(place)) ** 2;
    }
    cellOf.push(cell.join());
    if (off < (best.get(cellOf[vertex])?.off ?? Infinity)) best.set(cellOf[vertex], { vertex, off });
  }
  const kept = [];
  for (let i = 0; i < triangles.count; i += 3) {
    const [a, b, c] = [0, 1, 2].map((corner) => best.get(cellOf[triangles.array[i + corner]]).vertex);
    if (a !== b && b !== c && c !== a) kept.push(a, b, c);
  }
  const vertices = Uint32Array.from(best.values(), ({ vertex }) => vertex);
  return { triangles: new THREE.BufferAttribute(Uint32Array.from(kept), 1), vertices };
}

function skinOf(scene, person) {
  let found = null;
  scene.traverse((node) => { if (node.isSkinnedMesh && node.name.startsWith(`person_${person}`)) found = node; });
  return found;
}

class Stage {
  constructor(gltf, quick) {
    this.canvas = $("canvas");
    this.renderer = new THREE.WebGLRenderer({ canvas: this.canvas, antialias: quick, alpha: true });
    this.renderer.setPixelRatio(quick ? Math.min(devicePixelRatio, 2) : 1);
    this.scene = new THREE.Scene();
    this.scene.add(gltf.scene);
    this.root = gltf.scene;
    this.skins = [0, 1].map((person) => new Skin(skinOf(gltf.scene, person)));
    if (!quick) this.skins.forEach((skin) => { skin.coarse = coarser(skin.rest, skin.fine.triangles); });
    this.quick = quick;
    this.meshes = this.skins.map((skin, person) => this.dress(skin, person));
    this.mixer = new THREE.AnimationMixer(gltf.scene);
    this.mixer.clipAction(gltf.animations[0]).play();
    this.length = gltf.animations[0].duration;
    this.film = gltf.cameras[0];
    this.camera = new THREE.PerspectiveCamera(40, 1, 0.05, 100);
    this.controls = new THREE.OrbitControls(this.camera, this.canvas);
    this.controls.addEventListener("change", () => this.redraw());
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
  }

  dress(skin, person) {
    const uniforms = {
      tint: { value: new THREE.Color(data.colours.people[person]) },
      lit: { value: new THREE.Color(data.colours.depths[0]) },
      clothed: { value: 0 },
    };
    const shaders = { vertexShader: SKIN_VERTEX, fragmentShader: SKIN_PIXEL };
    const mesh = new THREE.Mesh(skin.geometry, new THREE.ShaderMaterial({ uniforms, vertexColors: true, ...shaders }));
    mesh.frustumCulled = false;
    this.scene.add(mesh);
    return mesh;
  }

  clothe(on) {
    this.meshes.forEach((mesh) => { mesh.material.uniforms.clothed.value = on ? 1 : 0; });
    this.redraw();
  }

  pose(number) {
    this.frame = number;
    this.stale = true;
    this.redraw();
  }

  move() {
    this.stale = false;
    this.mixer.setTime(Math.min(data.times_s[this.frame] - data.times_s[0], this.length - 1e-4));
    this.root.updateMatrixWorld();
    if (data.camera_moves && this.shown === "video") {
      this.lookThroughFilm();
      this.controls.update();
    }
    const places = $("lit").checked ? touching(this.frame * data.stride).map(({ place }) => place) : [];
    this.skins.forEach((skin) => skin.follow(places));
  }

  choose(name) {
    document.querySelector(`[name=view][value=${name}]`).checked = true;
    this.shown = name;
    this.fov = 40;
    this.camera.up.set(0, 1, 0);
  }

  view(name) {
    this.choose(name);
    this.resize();
    const from = { orbit: [0.55, 0.3, 1], side: [1, 0.05, 0], top: [0, 1, 0.001] }[name];
    if (name === "video") {
      this.lookThroughFilm();
      this.fov = null;
    } else {
      const [x, y, z] = data.half_m, round = Math.hypot(x, z), tan = Math.tan((this.fov * Math.PI) / 360);
      const [wide, high, deep] = name === "top" ? [x, z, y] : [round, y, round];
      const far = Math.max(high, wide / this.camera.aspect) / tan + deep / 2; // all of the motion fits in
      this.controls.target.copy(this.middle);
      this.camera.position.copy(this.middle).addScaledVector(new THREE.Vector3(...from).normalize(), far);
    }
    this.resize();
    this.controls.update();
  }

  // Put the viewer's camera where the one of the video is, which may turn.
  lookThroughFilm() {
    this.film.updateWorldMatrix(true, false);
    const ahead = new THREE.Vector3(0, 0, -1).transformDirection(this.film.matrixWorld);
    this.camera.position.setFromMatrixPosition(this.film.matrixWorld);
    this.camera.up.set(0, 1, 0).transformDirection(this.film.matrixWorld);
    const depth = this.middle.clone().sub(this.camera.position).dot(ahead);
    this.controls.target.copy(this.camera.position).addScaledVector(ahead, depth);
  }

  resize() {
    const { width, height } = $("stage").getBoundingClientRect();
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    const wide = Math.max(1, this.film.aspect / this.camera.aspect); // the whole picture fits in
    const half = Math.tan((this.film.fov * Math.PI) / 360) * wide;
    this.camera.fov = this.fov ?? (Math.atan(half) * 360) / Math.PI;
    this.camera.updateProjectionMatrix();
    this.draw(); // at once: a canvas of another size is empty
  }

  // However often something changes between two pictures of the browser, it is drawn once; where the processor
  // draws, with fewer triangles until nothing has changed for a moment.
  redraw() {
    if (!this.quick) {
      this.detail("coarse");
      clearTimeout(this.rest);
      this.rest = setTimeout(() => { this.detail("fine"); this.draw(); }, REST_MS);
    }
    this.due ??= requestAnimationFrame(() => this.draw());
  }

  detail(name) {
    if (this.skins[0].surface === this.skins[0][name]) return;
    this.skins.forEach((skin) => skin.show(skin[name]));
    this.stale = true;
  }

  draw() {
    cancelAnimationFrame(this.due);
    this.due = null;
    if (this.stale) this.move();
    this.renderer.render(this.scene, this.camera);
  }
}

function goWithoutStage(reason) {
  stage = null;
  $("canvas").hidden = true;
  $("cameras").disabled = true;
  $("stage-missing").hidden = false;
  $("stage-missing").textContent = `${reason} Video, timeline and figures work without it.`;
}

async function setUpStage() {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (gl === null) { goWithoutStage("This browser has no WebGL: no 3D view."); return; }
  const unzipped = new Blob([bytes("scene-bytes")]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(unzipped).arrayBuffer();
  const gltf = await new THREE.GLTFLoader().parseAsync(buffer, "");
  const drawnBy = gl.getParameter(gl.getExtension("WEBGL_debug_renderer_info")?.UNMASKED_RENDERER_WEBGL ?? gl.RENDERER);
  stage = new Stage(gltf, !/swiftshader|llvmpipe|softpipe|basic render/i.test(drawnBy)); // these are processors
  $("cameras").addEventListener("change", (event) => stage.view(event.target.value));
  $("clothes").addEventListener("change", (event) => stage.clothe(event.target.checked));
  $("lit").addEventListener("change", () => stage.pose(frame));
  show(frame);
  stage.draw();
}


// The 3D view.

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


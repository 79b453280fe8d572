export {
  AnimationMixer, BufferAttribute, BufferGeometry, Color, DynamicDrawUsage, GridHelper, Mesh, PerspectiveCamera, Scene,
  ShaderMaterial, Vector3, WebGLRenderer,
} from "three";
export { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";

export {
  AmbientLight, AnimationMixer, BufferAttribute, Color, DirectionalLight, GridHelper, HemisphereLight, Group,
  MeshStandardMaterial, PerspectiveCamera, Scene, Vector3, WebGLRenderer,
} from "three";
export { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";

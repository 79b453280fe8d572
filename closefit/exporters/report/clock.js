// The page of one result: everything follows `frame`, the number of a shown frame.
"use strict";
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const frames = data.times_s.length;
const BARS_SHOWN = 12;

let frame = 0;
let playing = false;
let words = null; // the timer of those that change with the frame

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
let hasVideo = $("film-bytes") !== null; // false, too, once the browser has refused it
let wanted = null; // where the video has to go once it has finished seeking, and rested
let seekingSince = 0, resting = false;
const CALM_MS = 100; // words that change more often cannot be read

function show(number, fromVideo = false) {
  frame = Math.max(0, Math.min(frames - 1, number));
  const source = frame * data.stride;
  $("scrub").value = frame;
  $("clock").textContent = `${data.times_s[frame].toFixed(2)} s · frame ${source}`;
  $("scrub").setAttribute("aria-valuetext", `frame ${source}, ${data.times_s[frame].toFixed(2)} seconds`);
  $("cursor").style.setProperty("--at", (frame + 0.5) / frames);
  document.documentElement.dataset.frame = source;
  words ??= setTimeout(() => { words = null; showTouches(frame * data.stride); }, CALM_MS);
  if (hasVideo && !fromVideo) seek();
  stage?.pose(frame);
}

function seek() {
  const time = (frame + 0.5) / data.fps;
  if (video.seeking || resting || video.readyState === 0) wanted = time;
  else seekNow(time);
}

function seekNow(time) {
  wanted = null;
  seekingSince = performance.now();
  video.currentTime = time;
}

// Decoding takes at most a fifth of the time, so that the 3D view keeps up with the handle.
function rest() {
  resting = true;
  setTimeout(() => { resting = false; if (wanted !== null) seekNow(wanted); }, 4 * (performance.now() - seekingSince));
}

function play(on) {
  playing = on;
  $("play").textContent = on ? "❚❚" : "▶";
  $("play").setAttribute("aria-label", on ? "Pause" : "Play");
  if (on && frame === frames - 1) show(0);
  if (hasVideo && on) { if (wanted !== null) seekNow(wanted); video.play(); }
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

function goWithoutVideo(reason) {
  hasVideo = false;
  video.hidden = $("film-choice").hidden = true;
  $("film-missing").hidden = false;
  $("film-missing").textContent = reason;
  if (playing) { playing = false; play(true); }
}

function setUpVideo() {
  if (!hasVideo) { goWithoutVideo("There is no video in this report: it was written without an overlay."); return; }
  const arrange = () => {
    if (!hasVideo) return;
    const box = $("film").getBoundingClientRect();
    const whole = video.videoWidth / (video.videoHeight || 1) || 1;
    const pair = Math.abs(whole / data.aspect - 2) < 0.1; // input and bodies beside each other
    const aspect = pair ? whole / 2 : whole;
    const width = Math.min(box.width, box.height * aspect);
    const bodies = pair && document.querySelector("[name=film]:checked").value === "bodies";
    Object.assign($("window").style, { width: `${width}px`, height: `${width / aspect}px` });
    Object.assign(video.style, { width: pair ? "200%" : "100%", left: bodies ? "-100%" : "0" });
    $("film-choice").hidden = !pair;
  };
  video.addEventListener("loadedmetadata", () => { arrange(); seek(); });
  video.addEventListener("seeked", rest);
  video.addEventListener("ended", () => { if (playing) { frame = frames - 1; play(false); } });
  video.addEventListener("error", () => {
    if (video.src.startsWith("blob:")) video.src = `data:video/mp4;base64,${$("film-bytes").textContent}`; // WebKit, from disk
    else goWithoutVideo(
      "This browser cannot play the video (H.264). The 3D view and the timeline work without it; overlay.mp4 opens in other programs.");
  });
  new ResizeObserver(arrange).observe($("film"));
  $("film-choice").addEventListener("change", arrange);
  video.src = URL.createObjectURL(new Blob([bytes("film-bytes")], { type: "video/mp4" }));
  followVideo();
}


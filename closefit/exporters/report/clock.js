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
    const whole = video.videoWidth / (video.videoHeight || 1) || 1;
    const pair = Math.abs(whole / data.aspect - 2) < 0.1; // input and bodies beside each other
    const aspect = pair ? whole / 2 : whole;
    const width = Math.min(box.width, box.height * aspect);
    const bodies = pair && document.querySelector("[name=film]:checked").value === "bodies";
    const cut = bodies ? "inset(0 0 0 50%)" : "inset(0 50% 0 0)";
    Object.assign(video.style, {
      width: `${pair ? 2 * width : width}px`, height: `${width / aspect}px`, left: `${(box.width - width) / 2 - (bodies ? width : 0)}px`,
      right: "auto", margin: "auto 0", clipPath: pair ? cut : "none",
    });
    $("film-choice").hidden = !pair;
  };
  video.addEventListener("loadedmetadata", () => { arrange(); seek(); });
  video.addEventListener("seeked", () => {
    if (wanted !== null) { video.currentTime = wanted; wanted = null; }
  });
  video.addEventListener("ended", () => { if (playing) { frame = frames - 1; play(false); } });
  new ResizeObserver(arrange).observe($("film"));
  $("film-choice").addEventListener("change", arrange);
  video.src = URL.createObjectURL(new Blob([bytes("film-bytes")], { type: "video/mp4" }));
  followVideo();
}


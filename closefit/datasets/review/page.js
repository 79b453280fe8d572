// One clip after the other: shows it, takes keys, sends decisions. A decision that could not be
// recorded leaves its clip on the screen.
"use strict";
const $ = (id) => document.getElementById(id);

let reviewer = "";
let clip = null; // what is shown
let past = []; // keys of clips that were left, the latest last
let first = null, last = null, identity = false; // of what to keep
let busy = false;
let film = null, coming = null; // the video that is shown, and that of the next clip, loading

function make(tag, text) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  return element;
}

async function ask(path, content) {
  if (busy) return;
  const leaving = path === "/api/review" || path === "/api/skip" ? clip.key : null;
  busy = true;
  try {
    const answer = await fetch(path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ reviewer, ...content }),
    });
    const found = await answer.json();
    if (!answer.ok) return complain(`${found.error}\n${found.hint ?? ""}`);
    if (leaving) past.push(leaving);
    show(found);
  } catch {
    complain("There is no answer: has `closefit dataset review` ended? Start it again, then press the key again.");
  } finally { busy = false; }
}

function complain(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

// ---------------------------------------------------------------- what is shown

function show({ clip: next, upcoming, counts }) {
  clip = next;
  complain(clip?.problem ?? "");
  closeReport();
  $("counts").textContent = `${counts.mine} of ${counts.clips} reviewed by you: ${counts.accepted} accepted, `
    + `${counts.rejected} rejected; ${counts.reviewed} by anybody`;
  $("views").hidden = $("facts").hidden = clip === null;
  if (clip === null) { putFilm(null); $("name").textContent = "All clips are reviewed."; }
  else describe();
  document.documentElement.dataset.clip = clip?.name ?? "";
  if (clip !== null) putFilm(clip);
  prepare(upcoming);
}

function describe() {
  ({ first = null, last = null, identity = false } = clip.mine ?? {});
  $("note").value = clip.mine?.note ?? "";
  const part = clip.part_s.some((time) => time !== null) ? `, ${clip.part_s.map((time) => time ?? "").join("-")} s` : "";
  const origin = [clip.video + part, clip.source, clip.licence].filter(Boolean).join(" · ");
  $("name").textContent = clip.name;
  $("name").title = origin;
  $("verdict").textContent = clip.mine ? `your verdict: ${clip.mine.verdict}` : "";
  $("score").textContent = clip.score === null ? "no quality score" : `score ${clip.score.toFixed(2)}` +
    (clip.good ? ` · good: frames ${clip.good[0]} to ${clip.good[1]}` : "");
  $("doubts").replaceChildren(...[...clip.reasons, ...clip.doubts].map((text) => make("li", text)));
  const rows = [["source", origin], ...clip.figures].map(([label, value]) => {
    const row = make("div");
    row.append(make("dt", label), make("dd", value));
    return row;
  });
  $("figures").replaceChildren(...rows);
  drawTrim();
}

// ---------------------------------------------------------------- the film

const address = (of, file) => `/clips/${of.key}/${file}`;

function newFilm(of) {
  const video = make("video");
  Object.assign(video, { muted: true, loop: true, playsInline: true, preload: "auto", src: address(of, "film.mp4") });
  video.dataset.key = of.key;
  const follow = (_, facts) => { video.presented = facts.mediaTime; video.requestVideoFrameCallback(follow); };
  video.requestVideoFrameCallback?.(follow);
  return video;
}

function prepare(upcoming) {
  if (coming && coming !== film && coming.dataset.key !== upcoming?.key) drop(coming);
  if (!upcoming?.has_film) { coming = null; return; }
  if (coming?.dataset.key === upcoming.key) return;
  coming = newFilm(upcoming);
  coming.hidden = true;
  $("film").append(coming);
}

function drop(video) {
  video.removeAttribute("src");
  video.load();
  video.remove();
}

function putFilm(of) {
  if (film) drop(film);
  film = null;
  if (of?.has_film) {
    film = coming?.dataset.key === of.key ? coming : newFilm(of);
    film.hidden = false;
    if (!film.isConnected) $("film").append(film);
    if (film === coming) coming = null;
    film.setAttribute("aria-label", "Input, and the bodies over it");
    film.play().catch(() => {}); // a film that cannot be shown is reported by the clock
  }
  drawTime();
}

// While it plays, a slow machine shows an earlier picture than that of the time.
const time = () => (film.paused ? film.currentTime : film.presented ?? film.currentTime);
const shown = () => (film ? Math.floor(time() * clip.fps / clip.stride + 0.01) * clip.stride : 0);
const frame = () => Math.max(0, Math.min(clip.frames - 1, shown()));

function step(by) {
  if (!film) return;
  film.pause();
  const wanted = Math.max(0, Math.min(clip.frames - 1, frame() + by * clip.stride));
  film.currentTime = (wanted / clip.stride + 0.5) * clip.stride / clip.fps;
}

function drawTime() {
  if (clip === null) return;
  const failed = film === null || film.error;
  $("clock").textContent = failed ? "There is no film of this result." :
    `frame ${frame()} of ${clip.frames} · ${(frame() / clip.fps).toFixed(2)} s`;
  $("at").style.left = `${100 * (frame() + 0.5) / clip.frames}%`;
}

function drawTrim() {
  const from = first ?? 0, until = last ?? clip.frames - 1;
  $("kept").style.left = `${100 * from / clip.frames}%`;
  $("kept").style.right = `${100 * (1 - (until + 1) / clip.frames)}%`;
  const all = first === null && last === null;
  const words = [all ? "" : `keeps frames ${from} to ${until}`, identity ? "mixed up" : "", clip.mine?.verdict ? `your verdict: ${clip.mine.verdict}` : ""];
  $("verdict").textContent = words.filter(Boolean).join(" · ");
}

setInterval(drawTime, 40);

// ---------------------------------------------------------------- the report

function openReport() {
  if (!clip.has_report) { complain("There is no report of this result: `closefit report` writes it."); return; }
  film?.pause();
  $("report").src = address(clip, "report.html");
  $("report").hidden = false;
  $("film").hidden = true;
  $("report").focus();
}

function closeReport() {
  if ($("report").hidden) return;
  $("report").hidden = true;
  $("report").removeAttribute("src");
  $("film").hidden = false;
  $("report").blur();
  window.focus();
}

addEventListener("message", (event) => {
  if (event.source === $("report").contentWindow && event.data === "closefit: back") closeReport();
});

// ---------------------------------------------------------------- keys

function decide(verdict) {
  return ask("/api/review", { clip: clip.key, result: clip.result, verdict, first, last, identity, note: $("note").value });
}

function trim(from, until) {
  first = from;
  last = until;
  drawTrim();
}

const keys = {
  a: () => decide("accept"),
  r: () => decide("reject"),
  u: () => decide(null),
  s: () => ask("/api/skip", { clip: clip.key }),
  i: () => { identity = !identity; drawTrim(); },
  n: () => $("note").focus(),
  o: openReport,
  c: () => trim(null, null),
  g: () => { if (clip.good) trim(...clip.good); },
  "[": () => trim(frame(), last !== null && last < frame() ? null : last),
  "]": () => trim(first !== null && first > frame() ? null : first, frame()),
  " ": () => { if (film?.paused) film.play().catch(() => {}); else film?.pause(); },
  Escape: closeReport,
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || $("desk").hidden) return;
  if (event.target.matches("input")) {
    if (event.key === "Enter" || event.key === "Escape") { event.preventDefault(); event.target.blur(); }
    return;
  }
  if (event.key.toLowerCase() === "b" && past.length) {
    event.preventDefault();
    if (!busy) ask("/api/clip", { clip: past.pop() });
    return;
  }
  if (clip === null || (event.repeat && !event.key.startsWith("Arrow"))) return;
  const by = event.shiftKey ? 10 : 1;
  const press = event.key === "ArrowLeft" ? () => step(-by) : event.key === "ArrowRight" ? () => step(by)
    : keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!press) return;
  event.preventDefault();
  if (!busy) press();
}

function begin(name) {
  reviewer = name.trim();
  if (!reviewer) return;
  $("welcome").hidden = true;
  $("desk").hidden = false;
  document.activeElement?.blur();
  ask("/api/next", {});
}

document.addEventListener("keydown", onKey);
$("report").addEventListener("load", () => { if (!$("report").hidden) $("report").contentWindow.focus(); });
$("welcome").addEventListener("submit", (event) => { event.preventDefault(); begin($("reviewer").value); });
$("reviewer").focus();
begin(new URLSearchParams(location.search).get("reviewer") ?? "");

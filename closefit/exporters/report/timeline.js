// Contacts now, and the timeline of all of them.

for (const contact of data.contacts) { // with an entry for each shown frame
  contact.at = new Map();
  for (const [first, last] of contact.frames)
    for (let number = Math.ceil(first / data.stride) * data.stride; number <= last; number += data.stride)
      contact.at.set(number, contact.at.size);
}

function touching(source) {
  return data.contacts.filter((contact) => contact.at.has(source)).map((contact) => {
    const entry = contact.at.get(source);
    return {
      name: `${contact.person_0} / ${contact.person_1}`, distance: contact.distance_mm[entry],
      depth: contact.penetration_mm[entry], place: contact.place_m[entry],
      probability: contact.probability[entry],
    };
  }).sort((a, b) => b.depth - a.depth);
}

const howNear = ({ distance, depth, probability }) =>
  `${depth > 0 ? `${depth.toFixed(1)} mm inside` : `${distance.toFixed(1)} mm apart`}, ${Math.round(100 * probability)} % probable`;

function showTouches(source) {
  const found = touching(source);
  const named = found.slice(0, 4).map((touch) => `${touch.name} (${howNear(touch)})`);
  const more = found.length > 4 ? ` and ${found.length - 4} more` : "";
  $("now").textContent = found.length ? `Touching now: ${named.join(", ")}${more}` : "No contact in this frame";
}

// ---- the timeline

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
    if (!track.tell) return;
    const box = track.getBoundingClientRect();
    const number = Math.max(0, Math.min(frames - 1, Math.floor(((event.clientX - box.left) / box.width) * frames)));
    tip(event, `${label}: ${track.tell(number)} at ${data.times_s[number].toFixed(2)} s, frame ${number * data.stride}`);
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
  contact.frames.forEach(([first, last], i) => {
    const depth = contact.deepest_mm[i];
    addBar(track, first, last, depthClass(depth), `${label}: at most ${depth.toFixed(1)} mm inside`);
  });
}

// Seconds above the rows: about eight round ones.
function addScale() {
  const [start, end] = [data.times_s[0], data.times_s[frames - 1] + 1 / data.fps];
  const span = end - start, power = 10 ** Math.floor(Math.log10(span / 8));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => span / size <= 8);
  const track = addRow("seconds", "scale");
  for (let second = Math.ceil(start / step) * step; second < end - step / 4; second += step) {
    const tick = make("span", "", String(Number(second.toFixed(3))));
    tick.style.left = `${(100 * (second - start)) / span}%`;
    track.append(tick);
  }
}

function setUpTimeline() {
  addScale();
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
  $("timeline").insertAdjacentHTML("beforeend", `<div id="tracks"><div id="cursor"></div></div>`);
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


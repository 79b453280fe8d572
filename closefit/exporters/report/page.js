// Words, figures and controls; starts the page.

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
    contact.frames.forEach(([first, last], i) => {
      const depth = contact.deepest_mm[i].toFixed(1);
      const cells = [seconds(first), seconds(last), contact.person_0, contact.person_1, depth];
      const row = body.insertRow();
      cells.forEach((cell) => { row.insertCell().textContent = cell; });
    });
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
    Escape: () => parent.postMessage("closefit: back", "*"), // to `closefit dataset review`
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
setUpStage().catch(() => goWithoutStage("The 3D view cannot be drawn."))
  .finally(() => { document.documentElement.dataset.ready = "yes"; });

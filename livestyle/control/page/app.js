import { adviceFor, isTrouble } from "./advice.js";
import { Brush } from "./brush.js";
import { Compare } from "./compare.js";
import { commandOf, fetchCommands, listKeys } from "./keys.js";
import { Link } from "./link.js";
import { showLooks } from "./looks.js";
import { Mixer, toggleStyle } from "./mixer.js";
import { Pad } from "./pad.js";
import { Pictures, drawWhole } from "./pictures.js";
import { Plot } from "./plot.js";
import { Presets } from "./presets.js";
import { Regions } from "./regions.js";
import { Shots } from "./shots.js";
import { bindSlider, percent, setText, showSlider } from "./sliders.js";
import { Wall } from "./wall.js";

const $ = (id) => document.getElementById(id);
const state = {
  controls: null, styles: [], thumbnails: [], commands: [], first: "", second: "", mixing: false, message: "", painted: "",
};

/** starry_night -> Starry night */
const nameOf = (style) => style.charAt(0).toUpperCase() + style.slice(1).replaceAll("_", " ");
const seconds = (value) => (value ? `${value.toFixed(1)} s` : "at once");
const number = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits) : "–");

// ---- messages

let messageTimer = 0;

function say(text, kind = "error") {
  const line = $("message");
  line.textContent = text;
  line.dataset.kind = kind;
  line.classList.add("shown");
  clearTimeout(messageTimer);
  messageTimer = setTimeout(() => line.classList.remove("shown"), 6000);
}

// ---- preview

const painted = new Pictures("painted", (bitmap) => {
  const isOther = $("preview").width !== bitmap.width || $("preview").height !== bitmap.height;
  drawWhole($("preview"), bitmap);
  if (isOther) showPreviewFacts();
});

function showPreviewFacts() {
  const { width, height } = $("preview");
  const isThere = width > 0 && link.isUp;
  $("frame").classList.toggle("live", isThere);
  setText($("veil"), link.isUp ? "Waiting for the first picture…" : "Reconnecting…");
  const shown = `${width} × ${height}`;
  const painted = state.painted.replace("x", " × ");
  setText($("hud-size"), !width ? "–" : painted && painted !== shown ? `${painted} → ${shown}` : shown);
  if (!width) return;
  $("frame").style.setProperty("--shape", `${width} / ${height}`);
  $("frame").style.setProperty("--ratio", String(width / height));
}

// ---- styles

function buildStyles() {
  const cards = state.styles.map((style, index) => {
    const card = document.createElement("button");
    card.type = "button";
    card.className = "style";
    card.dataset.style = style;
    card.title = style;
    const art = document.createElement("span");
    art.className = "art";
    if (state.thumbnails.includes(style)) {
      const picture = document.createElement("img");
      picture.src = `/thumbnails/${encodeURIComponent(style)}`;
      picture.alt = "";
      art.append(picture);
    } else {
      art.style.setProperty("--hue", String((index * 137 + 28) % 360)); // golden angle: neighbours differ
    }
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = nameOf(style);
    card.append(art, name);
    if (index < 9) {
      const key = document.createElement("kbd");
      key.textContent = String(index + 1);
      key.setAttribute("aria-hidden", "true");
      card.append(key);
      card.setAttribute("aria-keyshortcuts", String(index + 1));
    }
    card.addEventListener("click", (event) => chooseStyle(event, style));
    return card;
  });
  $("styles").replaceChildren(...cards);
}

/** A tap on a style, on its card or on the wall. */
function chooseStyle(event, style) {
  giveBackKeys(event);
  if (state.mixing) {
    const command = toggleStyle(state.controls.mix, style);
    if (command) link.send(command);
    return;
  }
  if (style === state.second) state.second = "";
  state.first = style;
  link.send(`style ${style}`);
}

/** After a click with the mouse, Space and the arrows are shortcuts again; keyboard users keep their focus. */
function giveBackKeys(event) {
  if (event.detail > 0) event.currentTarget.blur();
}

function showStyles(mix) {
  const weights = new Map(mix);
  for (const card of $("styles").children) {
    const weight = weights.get(card.dataset.style) ?? 0;
    const pressed = weight > 0.999 ? "true" : weight > 0 ? "mixed" : "false";
    if (card.getAttribute("aria-pressed") !== pressed) card.setAttribute("aria-pressed", pressed);
    card.style.setProperty("--weight", String(weight));
  }
}

// ---- blend: the page keeps the pair, so that the slider does not jump when it reaches an end

function successor(style) {
  return state.styles[(state.styles.indexOf(style) + 1) % state.styles.length];
}

function followMix(mix) {
  const names = mix.map(([name]) => name);
  const isPair = names.every((name) => name === state.first || name === state.second);
  if (isPair && state.first && state.second) return;
  if (mix.length > 1) [state.first, state.second] = names;
  else {
    state.first = names[0];
    if (!state.second || state.second === state.first) state.second = successor(state.first);
  }
}

function showBlend(mix) {
  const isMixer = state.mixing || mix.length > 2;
  $("mixer").hidden = !isMixer;
  $("blend-row").hidden = isMixer || state.styles.length < 2;
  $("mixing").setAttribute("aria-pressed", String(state.mixing));
  mixer.show(isMixer ? mix : []);
  pad.show(isMixer ? mix : [], state.thumbnails);
  followMix(mix);
  const select = $("second");
  const wanted = state.styles.filter((style) => style !== state.first);
  if ([...select.options].map((option) => option.value).join("\n") !== wanted.join("\n")) {
    select.replaceChildren(...wanted.map((style) => new Option(nameOf(style), style)));
  }
  select.value = state.second;
  const weight = new Map(mix).get(state.second) ?? 0;
  showSlider($("blend"), Math.round(weight * 100), `${percent(weight * 100)} ${nameOf(state.second)}`);
  setText($("blend-value"), percent(Number($("blend").value)));
}

function blendCommand(share) {
  if (share <= 0) return `style ${state.first}`;
  if (share >= 100) return `style ${state.second}`;
  return `style ${state.first}:${((100 - share) / 100).toFixed(2)},${state.second}:${(share / 100).toFixed(2)}`;
}

// ---- the rest of the state

function showSwitches(controls) {
  const values = {
    coherence: controls.coherence, "keep-colors": controls.keep_colors, freeze: controls.paused, bypass: controls.bypass,
  };
  for (const [id, value] of Object.entries(values)) $(id).setAttribute("aria-pressed", String(value));
  $("badge-frozen").hidden = !controls.paused;
  $("badge-before").hidden = !controls.bypass;
}

function fillRows(body, rows) {
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach(([name, value, share, color], index) => {
    const row = body.rows[index] ?? body.insertRow();
    while (row.cells.length < 2) row.insertCell();
    setText(row.cells[0], name);
    setText(row.cells[1], value);
    row.style.setProperty("--share", String(share ?? 0));
    row.style.setProperty("--swatch", color || "var(--soft)");
  });
}

function showFlow(report) {
  const sinks = Object.entries(report.sinks ?? {});
  const entries = [...(report.source ? [["source", report.source]] : []), ...sinks];
  const list = $("flow");
  while (list.children.length > entries.length) list.lastElementChild.remove();
  entries.forEach(([name, text], index) => {
    let item = list.children[index];
    if (!item) {
      item = document.createElement("div");
      item.append(document.createElement("dt"), document.createElement("dd"), document.createElement("dd"));
      item.lastElementChild.className = "advice";
      list.append(item);
    }
    const [term, status, advice] = item.children;
    setText(term, name);
    setText(status, String(text));
    setText(advice, adviceFor(name, String(text)));
    item.classList.toggle("trouble", isTrouble(String(text)));
  });
}

function showReport(report) {
  setText($("hud-fps"), number(report.fps, 1));
  setText($("hud-latency"), number(report.latency_ms?.p50, 0));
  $("hud").title = `95 % of the frames within ${number(report.latency_ms?.p95, 0)} ms`;
  showFlow(report);
  if (report.message && report.message !== state.message) say(String(report.message), "info");
  state.message = report.message ?? "";
  state.painted = report.painting?.size ?? "";
  plot.add(report);
  if (!$("details").open) return;
  plot.draw();
  const stages = Object.entries(report.stages_ms ?? {});
  const longest = Math.max(1, ...stages.map(([, time]) => time.p50 ?? 0));
  fillRows($("stages"), stages.map(([name, time]) => [
    name, `${number(time.p50, 1)} (${number(time.p95, 1)}) ms`, (time.p50 ?? 0) / longest, plot.colorOf(name),
  ]));
  const counters = ["frames_in", "frames_out", "dropped", "repeated", "switches", "reconnects"];
  fillRows($("counters"), counters.filter((name) => name in report).map((name) => [
    name.replaceAll("_", " "), Number(report[name]).toLocaleString("en"),
  ]));
}

/** Buttons of what the server can do. */
function showParts({ page = {}, shots: taken = [] }) {
  $("wall-open").hidden = !page.wall;
  $("compare").hidden = !page.source;
  $("paint").hidden = !page.mask;
  shots.show(taken, page);
}

/** Pictures come only while somebody can see them. */
function followVisibility() {
  if (document.hidden) painted.stop();
  else painted.start();
  wall.follow(link.isUp);
  compare.follow(link.isUp);
}

function show(message) {
  const thumbnails = message.thumbnails ?? [];
  const isNew = [...message.styles, "", ...thumbnails].join("\n") !== [...state.styles, "", ...state.thumbnails].join("\n");
  Object.assign(state, { controls: message.controls, styles: message.styles, thumbnails });
  if (isNew) buildStyles();
  const { controls, report } = message;
  showStyles(controls.mix);
  showLooks(message, (event, command) => {
    giveBackKeys(event);
    link.send(command);
  });
  showBlend(controls.mix);
  showSlider($("strength"), Math.round(controls.strength * 100), percent(controls.strength * 100));
  setText($("strength-value"), percent(Number($("strength").value)));
  showSlider($("morph"), controls.morph, seconds(controls.morph));
  setText($("morph-value"), seconds(Number($("morph").value)));
  regions.show(message.masks, message.styles, controls.regions);
  presets.show(message.presets);
  brush.show(message.styles, controls.regions, controls.style);
  wall.show(message.styles, controls.mix);
  showParts(message);
  showSwitches(controls);
  showReport(report);
  showPreviewFacts();
  setText($("link-text"), controls.stopping ? "stopping" : "live");
}

const link = new Link({
  state: show,
  error: say,
  up: async () => {
    document.body.dataset.link = "up";
    followVisibility();
    state.commands = (await fetchCommands()) ?? state.commands;
    listKeys($("keys"), state.commands);
  },
  down: () => {
    document.body.dataset.link = "down";
    setText($("link-text"), "reconnecting…");
    showPreviewFacts();
  },
});

const pad = new Pad($("pad"), link, nameOf);
const plot = new Plot($("plot"));
const shots = new Shots(say);
const wall = new Wall({ button: $("wall-open"), view: $("view"), list: $("wall") }, chooseStyle, nameOf);
const compare = new Compare({
  button: $("compare"), canvas: $("source"), slider: $("cut"), badge: $("badge-source"), frame: $("frame"),
});
const brush = new Brush(
  {
    button: $("paint"), bar: $("brush-bar"), canvas: $("brush"), style: $("brush-style"), size: $("brush-size"),
    erase: $("brush-erase"), clear: $("brush-clear"), preview: $("preview"),
  },
  link, nameOf, say,
);
const mixer = new Mixer($("mixer"), link, nameOf);
const regions = new Regions(
  { part: $("region-part"), style: $("region-style"), add: $("region-add"), list: $("region-list") }, link, nameOf,
);

const presets = new Presets(
  { open: $("preset-open"), form: $("preset-form"), name: $("preset-name"), save: $("preset-save"), list: $("preset-list") },
  say, giveBackKeys,
);

// ---- what the user does

bindSlider($("blend"), $("blend-value"), link, blendCommand);
bindSlider($("strength"), $("strength-value"), link, (value) => `strength ${(value / 100).toFixed(2)}`);
bindSlider($("morph"), $("morph-value"), link, (value) => `morph ${value}`, seconds);

$("mixing").addEventListener("click", (event) => {
  giveBackKeys(event);
  state.mixing = !state.mixing;
  if (!state.mixing && state.controls.mix.length > 2) link.send(`style ${state.controls.style}`);
  showBlend(state.controls.mix);
});

$("second").addEventListener("change", (event) => {
  state.second = event.target.value;
  const share = Number($("blend").value);
  if (share > 0) link.send(blendCommand(share));
  event.target.blur();
});

for (const id of ["coherence", "keep-colors", "freeze", "bypass"]) {
  $(id).addEventListener("click", (event) => {
    giveBackKeys(event);
    link.send(`${id} ${event.currentTarget.getAttribute("aria-pressed") === "true" ? "off" : "on"}`);
  });
}

$("snapshot").addEventListener("click", (event) => {
  giveBackKeys(event);
  run("snapshot");
  shots.takePicture(true);
});

$("fullscreen").addEventListener("click", (event) => {
  giveBackKeys(event);
  if (document.fullscreenElement) document.exitFullscreen();
  else $("frame").requestFullscreen?.().catch(() => say("this browser allows no full screen here"));
});

function run(command) {
  if (command === "quit") $("quit").showModal();
  else if (link.send(command) && command === "snapshot") say("Taking a snapshot", "info");
}

document.addEventListener("keydown", (event) => {
  const command = commandOf(event, state.commands, state.styles.length);
  if (!command) return;
  event.preventDefault();
  run(command);
});

document.addEventListener("visibilitychange", followVisibility);

$("help-open").addEventListener("click", () => $("help").showModal());
$("help-close").addEventListener("click", () => $("help").close());
$("quit-no").addEventListener("click", () => $("quit").close());
$("quit-yes").addEventListener("click", () => {
  $("quit").close();
  link.send("quit");
});

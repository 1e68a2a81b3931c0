import { Link } from "./link.js";
import { Pictures, drawWhole } from "./pictures.js";

const COUNT = 3; // seconds from the shutter to the picture
const BEAT = 1000; // ms of each
const SHOWN = 45000; // ms that a picture and its code stay
const ALIVE = 3000; // ms between two words to the server that somebody is there

const $ = (id) => document.getElementById(id);
const state = { styles: "", controls: null, kiosk: null, told: -ALIVE, pin: "" };

/** starry_night -> Starry night */
const nameOf = (style) => style.charAt(0).toUpperCase() + style.slice(1).replaceAll("_", " ");

// ---- the picture

const painted = new Pictures("painted", (bitmap) => {
  drawWhole($("preview"), bitmap);
  $("preview").parentElement.classList.add("live");
});

// ---- the state from the server: it alone says which phase it is

function buildStyles(message) {
  const cards = message.styles.map((style) => {
    const card = document.createElement("button");
    card.type = "button";
    card.className = "style";
    card.dataset.style = style;
    const art = document.createElement(message.thumbnails.includes(style) ? "img" : "span");
    art.className = "art";
    if (art.tagName === "IMG") Object.assign(art, { src: `/thumbnails/${encodeURIComponent(style)}`, alt: "", draggable: false });
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = nameOf(style);
    card.append(art, name);
    card.addEventListener("click", () => link.send(`style ${style}`));
    return card;
  });
  $("styles").replaceChildren(...cards);
}

function showStyle(controls) {
  const isNew = controls.style !== state.controls?.style;
  for (const card of $("styles").children) {
    const isChosen = card.dataset.style === controls.style;
    card.setAttribute("aria-pressed", String(isChosen));
    if (isChosen && isNew) card.scrollIntoView({ inline: "center", block: "nearest", behavior: "smooth" });
  }
  $("now").textContent = nameOf(controls.style);
}

function showPhase(kiosk) {
  const phase = kiosk.phase === "attract" ? "attract" : "guest";
  if (document.body.dataset.phase !== phase) {
    document.body.dataset.phase = phase;
    if (phase === "attract") forget();
  }
  $("lock").hidden = !kiosk.pin;
  const isEnding = kiosk.left !== null && kiosk.left < kiosk.warning && phase === "guest";
  $("still").hidden = !isEnding;
  if (isEnding) $("still").textContent = `Still there? Touch the screen – ${Math.ceil(kiosk.left)}`;
}

/** Nothing of one guest is left for the next. */
function forget() {
  closeShot();
  closePin();
  $("styles").scrollLeft = 0;
}

const link = new Link({
  up() {
    document.body.dataset.link = "up";
    painted.start();
  },
  down() {
    document.body.dataset.link = "down";
  },
  state(message) {
    if (!message.kiosk) {
      location.replace("/"); // livestyle runs again, and not as a kiosk
      return;
    }
    const styles = JSON.stringify([message.styles, message.thumbnails]);
    if (styles !== state.styles) buildStyles(message);
    showStyle(message.controls);
    showPhase(message.kiosk);
    Object.assign(state, { styles, controls: message.controls, kiosk: message.kiosk });
  },
  error() {
    // guests can do nothing about it
  },
});

// ---- somebody is there

async function post(path, body) {
  const answer = await fetch(path, { method: "POST", body: body === undefined ? null : JSON.stringify(body) });
  return { ok: answer.ok, ...(await answer.json()) };
}

function tellPresence() {
  if (performance.now() - state.told < ALIVE) return;
  state.told = performance.now();
  post("/api/kiosk/begin").catch(() => {
    state.told = -ALIVE;
  });
}

$("attract").addEventListener("click", () => {
  state.told = -ALIVE;
  tellPresence();
});
document.addEventListener("pointerdown", () => {
  if (document.body.dataset.phase === "guest") tellPresence();
});

// ---- a picture

let shotTimer = 0;
const pause = (time) => new Promise((done) => setTimeout(done, time));

async function takePicture() {
  $("shutter").disabled = true;
  try {
    for (let left = COUNT; left > 0; left -= 1) {
      $("count").textContent = String(left);
      await pause(BEAT);
    }
    $("count").textContent = "";
    const shot = await post("/api/pictures");
    if (shot.ok && document.body.dataset.phase === "guest") showShot(shot.id);
  } catch {
    // the connection is down, and the page says so
  } finally {
    $("count").textContent = "";
    $("shutter").disabled = false;
  }
}

function showShot(id) {
  $("shot-picture").src = `/shots/${id}`;
  $("shot-code").hidden = false;
  $("shot-text").textContent = "Scan it with your phone, in the same Wi-Fi.";
  $("shot-code").src = `/shots/${id}/qr.svg`;
  $("shot").hidden = false;
  clearTimeout(shotTimer);
  shotTimer = setTimeout(closeShot, SHOWN);
}

/** The server gives no code where no phone can reach it. */
$("shot-code").addEventListener("error", () => {
  if (!$("shot-code").hasAttribute("src")) return;
  $("shot-code").hidden = true;
  $("shot-text").textContent = "Ask the people here for your picture.";
});

function closeShot() {
  clearTimeout(shotTimer);
  $("shot").hidden = true;
  for (const id of ["shot-picture", "shot-code"]) $(id).removeAttribute("src");
}

$("shutter").addEventListener("click", takePicture);
$("again").addEventListener("click", closeShot);

// ---- the operator's PIN: the server compares it and counts the tries

function showDigits() {
  $("dots").textContent = "•".repeat(state.pin.length) || "\u00a0";
}

function openPin() {
  state.pin = "";
  $("wrong").textContent = "\u00a0";
  showDigits();
  $("pin").showModal();
}

function closePin() {
  state.pin = "";
  if ($("pin").open) $("pin").close();
}

async function enterPin() {
  const pin = state.pin;
  state.pin = "";
  showDigits();
  try {
    const answer = await post("/api/kiosk/unlock", { pin });
    if (answer.ok) location.assign(answer.settings);
    else $("wrong").textContent = answer.error;
  } catch {
    $("wrong").textContent = "livestyle is not there";
  }
}

function pressKey(key) {
  if (key === "✓") return enterPin();
  state.pin = key === "⌫" ? state.pin.slice(0, -1) : (state.pin + key).slice(0, 12);
  return showDigits();
}

for (const key of ["1", "2", "3", "4", "5", "6", "7", "8", "9", "⌫", "0", "✓"]) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = key;
  button.dataset.key = key;
  if (key === "✓") button.className = "ok";
  if (key === "⌫") button.setAttribute("aria-label", "Delete a digit");
  if (key === "✓") button.setAttribute("aria-label", "Unlock");
  button.addEventListener("click", () => pressKey(key));
  $("keys").append(button);
}
$("lock").addEventListener("click", openPin);
$("pin-close").addEventListener("click", closePin);

// ---- no way out: shortcuts, menus, zoom and dragging

const FREE_KEYS = new Set(["Tab", "Enter", " ", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Escape"]);

addEventListener("keydown", (event) => {
  if ($("pin").open && /^[0-9]$/.test(event.key) && !event.ctrlKey) pressKey(event.key);
  else if ($("pin").open && event.key === "Backspace") pressKey("⌫");
  if (event.ctrlKey || event.altKey || event.metaKey || !FREE_KEYS.has(event.key)) event.preventDefault();
  if (document.body.dataset.phase === "guest") tellPresence();
}, true);
for (const kind of ["contextmenu", "dragstart", "selectstart"]) addEventListener(kind, (event) => event.preventDefault());
addEventListener("wheel", (event) => {
  if (event.ctrlKey) event.preventDefault();
}, { passive: false });

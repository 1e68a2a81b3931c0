// Keys of the page: the same table as the terminal's, fetched from the server, so that both always agree.

const BROWSER_NAMES = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", " ": "space" };
const LABELS = { left: "←", right: "→", up: "↑", down: "↓", space: "Space" };
const ARROWS = new Set(["left", "right", "up", "down"]);

/** The table of commands, or null while the server is away. */
export async function fetchCommands() {
  try {
    const answer = await fetch("/api/commands");
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

/** Fill a <dl> with what each key does. */
export function listKeys(list, commands) {
  list.replaceChildren();
  for (const command of commands) {
    const keys = command.keys.filter((key) => key !== "ctrl-c");
    if (!keys.length) continue;
    const term = document.createElement("dt");
    const labels = keys.length > 3 ? [keys[0], "–", keys[keys.length - 1]] : keys;
    for (const label of labels) {
      const key = document.createElement(label === "–" ? "span" : "kbd");
      key.textContent = LABELS[label] ?? label.toUpperCase();
      term.append(key);
    }
    const what = document.createElement("dd");
    what.textContent = command.summary;
    list.append(term, what);
  }
}

/** The command line that a key press asks for, or "" when it belongs to the browser or to the focused control. */
export function commandOf(event, commands, styleCount) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return "";
  const key = BROWSER_NAMES[event.key] ?? event.key.toLowerCase();
  if (event.repeat && !ARROWS.has(key)) return "";
  const focused = event.target;
  if (focused.matches?.("select, textarea, input:not([type=range])")) return "";
  if (focused.matches?.("input[type=range]") && ARROWS.has(key)) return "";
  if (focused.matches?.("button, a, summary") && key === "space") return "";
  const command = commands.find((entry) => entry.keys.includes(key));
  if (!command) return "";
  if (command.name !== "style") return command.name;
  return Number(key) <= styleCount ? `style ${key}` : "";
}

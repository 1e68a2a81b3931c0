// Snapshots and clips that the server keeps for a while: taking them, a row of them, and a dialog with the way to a phone.

const $ = (id) => document.getElementById(id);
const sizeOf = (bytes) => (bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1000))} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

export class Shots {
  constructor(say) {
    Object.assign(this, { say, shown: "", hasPhones: false });
    $("shot-close").addEventListener("click", () => $("shot").close());
    $("shot").addEventListener("close", () => $("shot-view").replaceChildren()); // a clip plays no longer
    $("clip").addEventListener("click", () => this.takeClip());
  }

  show(shots, page) {
    this.hasPhones = page.phones;
    $("clip").hidden = !page.clips;
    const ids = shots.map((shot) => shot.id).join("\n");
    if (ids === this.shown) return;
    this.shown = ids;
    $("shots").hidden = !shots.length;
    $("shots").replaceChildren(...shots.toReversed().map((shot) => this.make(shot)));
  }

  make(shot) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "taken" });
    button.dataset.kind = shot.kind;
    const what = shot.kind === "clip" ? "Clip" : "Snapshot";
    button.setAttribute("aria-label", `${what}, ${sizeOf(shot.bytes)}: show, save or fetch with a phone`);
    const isClip = shot.kind === "clip";
    const picture = document.createElement(isClip ? "video" : "img");
    Object.assign(picture, isClip ? { src: `/shots/${shot.id}`, muted: true, preload: "metadata" } : { src: `/shots/${shot.id}`, alt: "" });
    button.append(picture);
    button.addEventListener("click", () => this.open(shot));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }

  open(shot) {
    const isClip = shot.kind === "clip";
    const address = `/shots/${shot.id}`;
    $("shot-title").textContent = `${isClip ? "Clip" : "Snapshot"}, ${sizeOf(shot.bytes)}`;
    const view = document.createElement(isClip ? "video" : "img");
    Object.assign(view, isClip ? { src: address, controls: true, loop: true, muted: true, autoplay: true } : { src: address, alt: "The snapshot" });
    $("shot-view").replaceChildren(view);
    $("shot-save").href = address;
    $("shot-save").download = `livestyle.${isClip ? "mp4" : "png"}`;
    $("shot-code").hidden = !this.hasPhones;
    if (this.hasPhones) $("shot-code").src = `${address}/qr.svg`;
    $("shot-hint").textContent = this.hasPhones
      ? "Point a phone of the same network at the code. Only the newest few are kept, until livestyle stops."
      : "Only the newest few are kept, until livestyle stops. Started with --lan, livestyle shows a code here that a phone can fetch them by.";
    $("shot").showModal();
  }

  async take(address) {
    try {
      const answer = await fetch(address, { method: "POST" });
      const shot = await answer.json();
      if (answer.ok) return shot;
      this.say(shot.error);
    } catch {
      this.say("livestyle is not there: the page connects again by itself");
    }
    return null;
  }

  async takePicture(isShown) {
    const shot = await this.take("/api/pictures");
    if (shot && isShown) this.open(shot);
  }

  async takeClip() {
    const button = $("clip");
    const label = button.textContent;
    button.disabled = true;
    button.textContent = "Recording…";
    const shot = await this.take("/api/clips");
    button.disabled = false;
    button.textContent = label;
    if (shot) this.open(shot);
  }
}

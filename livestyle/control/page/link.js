// The connection to livestyle: one WebSocket that comes back by itself.

const SILENCE = 3000; // ms without a state (four are sent each second) after which the connection counts as dead
const RETRY = [300, 600, 1200, 2500]; // ms before each new attempt; the last one repeats

export class Link {
  /** `handlers`: up(), down(), state(object), error(text). */
  constructor(handlers) {
    this.handlers = handlers;
    this.attempt = 0;
    this.heard = 0;
    this.isUp = false;
    this.open();
    setInterval(() => this.check(), 1000);
    document.addEventListener("visibilitychange", () => this.check());
  }

  open() {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
    this.socket = socket;
    this.heard = performance.now();
    socket.onmessage = (event) => {
      if (socket !== this.socket) return;
      this.heard = performance.now();
      const message = JSON.parse(event.data);
      if ("error" in message) this.handlers.error(message.error);
      else this.hear(message);
    };
    socket.onclose = () => {
      if (socket === this.socket) this.lose();
    };
  }

  hear(state) {
    this.attempt = 0;
    if (!this.isUp) {
      this.isUp = true;
      this.handlers.up();
    }
    this.handlers.state(state);
  }

  lose() {
    this.socket = null;
    if (this.isUp) {
      this.isUp = false;
      this.handlers.down();
    }
    setTimeout(() => this.open(), RETRY[Math.min(this.attempt, RETRY.length - 1)]);
    this.attempt += 1;
  }

  /** A computer that slept keeps a socket that is open and silent. Hidden pages get their timers late: no verdict. */
  check() {
    if (!this.socket || document.hidden || performance.now() - this.heard < SILENCE) return;
    const dead = this.socket;
    this.lose();
    dead.close();
  }

  /** True when the command left; it may still be refused, which `error` reports. */
  send(command) {
    if (!this.isUp || this.socket?.readyState !== WebSocket.OPEN) {
      this.handlers.error("livestyle is not there: the page connects again by itself");
      return false;
    }
    this.socket.send(JSON.stringify({ command }));
    return true;
  }
}

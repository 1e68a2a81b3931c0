// Live pictures on a canvas: JPEG files over a socket, which hears of each that was drawn and never sends far ahead.

const RETRY = 700; // ms before a lost socket is opened again

export class Pictures {
  /** `kind` is painted, source or wall; `draw(bitmap)` shows one and may keep nothing of it. */
  constructor(kind, draw) {
    Object.assign(this, { kind, draw, socket: null, wanted: false });
  }

  start() {
    if (this.wanted) return;
    this.wanted = true;
    this.open();
  }

  stop() {
    this.wanted = false;
    this.socket?.close();
    this.socket = null;
  }

  open() {
    if (!this.wanted) return;
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/pictures/${this.kind}`);
    socket.binaryType = "blob";
    this.socket = socket;
    socket.onmessage = async ({ data }) => {
      try {
        const bitmap = await createImageBitmap(data);
        if (socket === this.socket) this.draw(bitmap);
        bitmap.close();
      } finally {
        if (socket.readyState === WebSocket.OPEN) socket.send("");
      }
    };
    socket.onclose = () => {
      if (socket !== this.socket) return;
      this.socket = null;
      setTimeout(() => this.open(), RETRY);
    };
  }
}

/** Fill a canvas with a picture, in the picture's own size. */
export function drawWhole(canvas, bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
}

// A player's line to the server: it can break, stay broken, and be listened to.

import { once } from "node:events";
import { connect, createServer } from "node:net";

export class Link {
  #server;
  #sockets = new Set();
  #down = [];
  #broken = false;

  static async to(server) {
    const link = new Link();
    link.#server = createServer((near) => link.#join(near, server.port)).listen(0, "127.0.0.1");
    await once(link.#server, "listening");
    return link;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  /** Breaks every connection without a goodbye. New ones work. */
  drop() {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  /** Breaks every connection, and new ones, until mended. */
  break() {
    this.#broken = true;
    this.drop();
  }

  mend() {
    this.#broken = false;
  }

  /** Whether the server ever sent this text. Frames to clients are not masked, so text is plain. */
  heard(text) {
    return Buffer.concat(this.#down).includes(text);
  }

  close() {
    this.drop();
    this.#server.close();
  }

  #join(near, port) {
    if (this.#broken) {
      near.destroy();
      return;
    }
    const far = connect(port, "127.0.0.1");
    for (const socket of [near, far]) {
      this.#sockets.add(socket);
      // A broken line is what this is for; the ends notice by themselves.
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    far.on("data", (bytes) => this.#down.push(bytes));
    near.pipe(far);
    far.pipe(near);
  }
}

/**
 * A bad line in front of a server: a TCP relay on a free port of 127.0.0.1 that delays and loses.
 *
 *   client -> [each way: delay, now and then a packet lost] -> server
 *
 * TCP hides loss: what is lost is sent again, and everything behind it waits. So a lost packet is modelled as what both
 * ends see of it, a pause: the piece comes `again` milliseconds later than it would have, and nothing overtakes it. A
 * piece is what one read of the socket gave, which for frames of a few dozen bytes is a packet.
 */
import { connect, createServer } from "node:net";

/** The least time after which Linux sends a packet again that nothing was heard of. */
const AGAIN_MS = 200;

export class Relay {
  #sockets = new Set();
  /** Pieces that went through, and those of them that were late for being lost. */
  pieces = 0;
  lost = 0;

  /** `delay` in milliseconds each way; `loss` is the part of pieces lost; `chance` answers 0 to below 1. */
  static async to(port, { delay, loss, chance }) {
    const relay = new Relay();
    relay.server = createServer((client) => {
      const server = connect({ port, host: "127.0.0.1" });
      relay.#carry(client, server, delay, loss, chance);
      relay.#carry(server, client, delay, loss, chance);
    });
    await new Promise((resolve) => relay.server.listen(0, "127.0.0.1", resolve));
    relay.url = `http://127.0.0.1:${relay.server.address().port}`;
    return relay;
  }

  async end() {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  #carry(from, to, delay, loss, chance) {
    this.#sockets.add(from);
    from.setNoDelay(true);
    let last = 0;
    const later = (extra, act) => {
      last = Math.max(last, performance.now() + delay + extra);
      setTimeout(act, last - performance.now());
    };
    from.on("data", (piece) => {
      const lost = chance() < loss;
      this.pieces += 1;
      if (lost) this.lost += 1;
      later(lost ? AGAIN_MS : 0, () => to.writable && to.write(piece));
    });
    from.on("end", () => later(0, () => to.end()));
    from.on("error", () => to.destroy());
    from.on("close", () => {
      this.#sockets.delete(from);
      later(0, () => to.destroy());
    });
  }
}

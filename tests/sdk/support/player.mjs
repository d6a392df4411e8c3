// A player as a test sees one: an SDK's room, with everything that happened to it.

import { soon, until } from "./until.mjs";

const players = new Set();

/** Takes every player's connection away for good, so that a failed test does not keep the process waiting. */
export function sendEveryoneHome() {
  for (const { room } of players) {
    if (room.reconnection) room.reconnection.enabled = false;
    room.connection.close();
  }
  players.clear();
}

export class Player {
  received = [];
  errors = [];
  drops = [];
  returns = 0;
  left = undefined;

  constructor(room) {
    this.room = room;
    players.add(this);
    room.onMessage("*", (type, payload) => this.received.push([type, payload]));
    room.onError((code, message) => this.errors.push([code, message]));
    room.onLeave((code, reason) => (this.left = [code, reason]));
    room.onDrop?.((code) => this.drops.push(code));
    room.onReconnect?.(() => (this.returns += 1));
    // A client that comes back at once, however young its room is: the tests are short.
    if (room.reconnection) room.reconnection.minUptime = 0;
  }

  get state() {
    return this.room.state;
  }

  get id() {
    return this.room.sessionId;
  }

  send(type, payload) {
    this.room.send(type, payload);
  }

  /** Waits for a state that fits. */
  async sees(what, fits) {
    await until(`${this.id} sees ${what}`, () => this.room.state !== undefined && fits(this.room.state)).catch((error) => {
      error.message += `\nstate: ${JSON.stringify(this.room.state)}\nleft: ${this.left} errors: ${JSON.stringify(this.errors)}`;
      throw error;
    });
  }

  /** Waits for a message of this type, takes it out and returns its payload. */
  async hears(type) {
    const at = () => this.received.findIndex(([kind]) => kind === type);
    await until(`${this.id} hears ${type}`, () => at() >= 0);
    return this.received.splice(at(), 1)[0][1];
  }

  /** Waits for an ERROR frame, takes it out and returns [code, message]. */
  async refused() {
    await until(`${this.id} is refused something`, () => this.errors.length > 0);
    return this.errors.shift();
  }

  /** Waits until the SDK has given the room up; returns the close code. */
  async gone() {
    await until(`${this.id} leaves`, () => this.left);
    return this.left[0];
  }

  /** Waits until the SDK is back by itself for the n-th time. */
  async isBack(times = 1) {
    await until(`${this.id} is back`, () => this.returns >= times);
  }

  async leave() {
    players.delete(this);
    if (this.left) return this.left[0];
    return soon("the server lets the player go", this.room.leave());
  }
}

/** The rejection of a promise that must not succeed. */
export async function refusal(promise) {
  try {
    await soon("the server says no", promise);
  } catch (error) {
    return error;
  }
  throw new Error("the server said yes");
}

/**
 * One place in an arena, as pilot or watcher, through the official SDK; `seat.ts` tells of the link's life.
 *
 * Keys go out as numbered inputs, one per step, when the room announced an input type; the number of the last one it
 * took comes back with every patch. Those that may fire tell the server which moment we draw. To a room without inputs,
 * keys go out as messages when they change.
 */
import type { InputHandle, Room } from "@colyseus/sdk";
import { type Link, client, giveUp, goesOn, hold, takeBack } from "../seat";
import { type Arena, read } from "./arena";
import { BEHIND_STEPS } from "./past";
import { type Controls, RELEASED, STEP_MS, sameControls } from "./rules";

const ROOM = "spaaace";

export interface Listener {
  /** A patch arrived: the state, and the number of the last input of ours in it (null: not counted). */
  heard(arena: Arena, consumed: number | null): void;
  /** The link changed. */
  link(link: Link): void;
  refused(code: number, message?: string): void;
  ended(code: number): void;
}

export interface Options {
  name: string;
  mode?: "play" | "watch";
}

/** What the creator of an arena decides. */
export interface Wishes extends Options {
  /** Joined by its link only. */
  private: boolean;
  bots: number;
}

/** Most bots of an arena. */
export const MOST_BOTS = 20;

export class Flight {
  link: Link = "live";
  listener: Listener | null = null;
  #room: Room;
  #input: InputHandle | null;
  #seq = 0;
  #last: Controls = RELEASED;

  private constructor(room: Room) {
    this.#room = room;
    this.#input = inputOf(room);
    hold(room);
    room.onStateChange((state) => {
      const arena = read(state);
      goesOn(room, ROOM, arena.players.has(room.sessionId));
      this.listener?.heard(arena, this.#input ? this.#input.lastProcessed : null);
    });
    room.onDrop(() => this.#linkIs("reconnecting"));
    room.onReconnect(() => {
      this.#last = RELEASED;
      this.#linkIs("live");
    });
    room.onError((code, message) => {
      if (this.link === "live") this.listener?.refused(code, message);
    });
    room.onLeave((code) => {
      this.link = "ended";
      this.listener?.ended(code);
    });
  }

  /** Into whichever arena is open. */
  static async enter(options: Options): Promise<Flight> {
    return new Flight(await (await client()).joinOrCreate(ROOM, options));
  }

  /** Into an arena of one's own. */
  static async create(wishes: Wishes): Promise<Flight> {
    return new Flight(await (await client()).create(ROOM, wishes));
  }

  static async join(id: string, options: Options): Promise<Flight> {
    return new Flight(await (await client()).joinById(id, options));
  }

  /** Back into the seat this browser had; null when it had none. `takeBack` says what `byForce` is. */
  static async resume(id: string, byForce = false): Promise<Flight | null> {
    const room = await takeBack(id, byForce);
    return room && new Flight(room);
  }

  get id(): string {
    return this.#room.roomId;
  }

  get session(): string {
    return this.#room.sessionId;
  }

  /** The state as it is now. */
  get arena(): Arena {
    return read(this.#room.state);
  }

  /** Sends the keys of one step. Answers the number they went out with; 0: not sent. */
  steer(keys: Controls): number {
    if (this.link !== "live") return 0;
    if (this.#input) {
      Object.assign(this.#input.data, keys);
      return this.#input.send();
    }
    if (!sameControls(keys, this.#last)) this.#room.send("controls", { up: keys.up, left: keys.left, right: keys.right, fire: keys.fire });
    this.#last = { ...keys };
    return (this.#seq += 1);
  }

  /** Asks for a ship: the first one of a watcher, or another one. */
  spawn(name: string): void {
    if (this.link === "live") this.#room.send("spawn", { name });
  }

  /** Milliseconds to the server and back. */
  ping(answer: (milliseconds: number) => void): void {
    if (this.link === "live") this.#room.ping(answer);
  }

  /** Gives the place up. */
  async leave(): Promise<void> {
    this.listener = null;
    await giveUp(this.#room, this.link);
  }

  #linkIs(link: Link): void {
    if (this.link === link) return;
    this.link = link;
    this.listener?.link(link);
  }
}

function inputOf(room: Room): InputHandle | null {
  try {
    return room.input({ mode: "reliable", renderDelay: BEHIND_STEPS * STEP_MS, allowRewind: (keys: Controls) => keys.fire });
  } catch {
    // The room announced no input type.
    return null;
  }
}

/**
 * One seat (or one place to watch) in a room, through the official SDK.
 *
 *   live -> drop -> reconnecting -> live        the SDK retries by itself, also over a server restart
 *                        |
 *                        +-> ended             no seat any more, or no answer for about two minutes
 *
 * The reconnection token outlives a reload of the page in the tab's session storage, never in the address.
 */
import { Client, type Room } from "@colyseus/sdk";
import { type Game, read } from "./model";

const ROOM = "tic_tac_toe";

export type Link = "live" | "reconnecting" | "ended";

export interface Listener {
  /** The state or the link changed. */
  changed(): void;
  /** The room refused something; nothing else happened. */
  refused(code: number, message?: string): void;
  /** The room is over for us, with the close code. */
  ended(code: number): void;
}

export interface Options {
  name: string;
  mode?: "quick" | "private" | "computer" | "watch";
  level?: string;
}

const client = () => new Client(location.origin);
const key = (id: string) => `everplay.seat.${id}`;

export class Table {
  link: Link = "live";
  game: Game | null = null;
  /** Set by the view that shows this table. */
  listener: Listener | null = null;
  /** How often the connection came back: the countdown starts over with it. */
  returns = 0;
  #room: Room;

  private constructor(room: Room) {
    this.#room = room;
    // A game is worth more patience than the SDK's defaults: from the first second on, at most 1 s between
    // two attempts, for about two minutes. The server keeps a seat for 60 s after it is up again.
    room.reconnection.minUptime = 0;
    room.reconnection.maxDelay = 1000;
    room.reconnection.maxRetries = 120;
    // What was clicked while away must not be played later, on another board.
    room.reconnection.maxEnqueuedMessages = 0;
    this.#remember();

    room.onStateChange((state) => {
      this.game = read(state);
      this.listener?.changed();
    });
    room.onDrop(() => this.#linkIs("reconnecting"));
    room.onReconnect(() => {
      this.returns += 1;
      // The SDK has the new token only after this event.
      queueMicrotask(() => this.#remember());
      this.#linkIs("live");
    });
    room.onError((code, message) => {
      // Attempts to reconnect that fail are reported here as well; the link says it already.
      if (this.link === "live" && code >= 500) this.listener?.refused(code, message);
    });
    room.onLeave((code) => {
      // A lost seat may still be there for a later try by hand; any other end is final.
      if (code !== 4003) forget(room.roomId);
      this.link = "ended";
      this.listener?.ended(code);
    });
    this.game = read(room.state);
  }

  static async quick(options: Options): Promise<Table> {
    return new Table(await client().joinOrCreate(ROOM, { ...options, mode: "quick" }));
  }

  static async create(options: Options): Promise<Table> {
    return new Table(await client().create(ROOM, options));
  }

  static async join(id: string, options: Options): Promise<Table> {
    return new Table(await client().joinById(id, options));
  }

  /** Back into the seat this tab had; null when it had none or lost it. */
  static async resume(id: string): Promise<Table | null> {
    const token = sessionStorage.getItem(key(id));
    if (!token) return null;
    try {
      return new Table(await client().reconnect(token));
    } catch (error) {
      // Only a server that answered can say that the seat is gone.
      if (typeof (error as { code?: unknown }).code === "number") forget(id);
      throw error;
    }
  }

  get id(): string {
    return this.#room.roomId;
  }

  get session(): string {
    return this.#room.sessionId;
  }

  play(cell: number): void {
    this.#send("move", { cell });
  }

  forfeit(): void {
    this.#send("forfeit");
  }

  rematch(): void {
    this.#send("rematch");
  }

  /** Gives the seat up. */
  async leave(): Promise<void> {
    forget(this.id);
    this.listener = null;
    this.#room.reconnection.enabled = false;
    if (this.link === "live") await this.#room.leave().catch(() => undefined);
  }

  #send(type: string, payload?: unknown): void {
    if (this.link === "live") this.#room.send(type, payload);
  }

  #remember(): void {
    sessionStorage.setItem(key(this.id), this.#room.reconnectionToken);
  }

  #linkIs(link: Link): void {
    if (this.link === link) return;
    this.link = link;
    this.listener?.changed();
  }
}

export const hasSeat = (id: string): boolean => sessionStorage.getItem(key(id)) !== null;

function forget(id: string): void {
  sessionStorage.removeItem(key(id));
}

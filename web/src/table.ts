/** One seat (or one place to watch) at a table, through the official SDK; `seat.ts` tells of the link's life. */
import type { Room } from "@colyseus/sdk";
import { type Game, me, read } from "./model";
import { type Link, client, giveUp, goesOn, hold, takeBack } from "./seat";

const ROOM = "tic_tac_toe";

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

export class Table {
  link: Link = "live";
  game: Game | null = null;
  /** Set by the view that shows this table. */
  listener: Listener | null = null;
  /** Found by the ranked search: the opponent is known, nobody else is invited. */
  ranked = false;
  /** How often the connection came back: the countdown starts over with it. */
  returns = 0;
  #room: Room;

  private constructor(room: Room) {
    this.#room = room;
    hold(room);
    room.onStateChange((state) => {
      this.#read(state);
      this.listener?.changed();
    });
    room.onDrop(() => this.#linkIs("reconnecting"));
    room.onReconnect(() => {
      this.returns += 1;
      this.#linkIs("live");
    });
    room.onError((code, message) => {
      // Attempts to reconnect that fail are reported here as well; the link says it already.
      if (this.link === "live" && code >= 500) this.listener?.refused(code, message);
    });
    room.onLeave((code) => {
      this.link = "ended";
      this.listener?.ended(code);
    });
    this.#read(room.state);
  }

  static async quick(options: Options): Promise<Table> {
    return new Table(await (await client()).joinOrCreate(ROOM, { ...options, mode: "quick" }));
  }

  static async create(options: Options): Promise<Table> {
    return new Table(await (await client()).create(ROOM, options));
  }

  static async join(id: string, options: Options): Promise<Table> {
    return new Table(await (await client()).joinById(id, options));
  }

  /** Into the seat that the ranked search reserved. */
  static async seated(reservation: unknown): Promise<Table> {
    const sdk = await client();
    const table = new Table(await sdk.consumeSeatReservation(reservation as Parameters<typeof sdk.consumeSeatReservation>[0]));
    table.ranked = true;
    return table;
  }

  /** Back into the seat this browser had; null when it had none or lost it. `takeBack` says what `byForce` is. */
  static async resume(id: string, byForce = false): Promise<Table | null> {
    const room = await takeBack(id, byForce);
    return room && new Table(room);
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
    this.listener = null;
    await giveUp(this.#room, this.link);
  }

  #read(state: unknown): void {
    this.game = read(state);
    if (this.game) goesOn(this.#room, ROOM, this.game.phase !== "finished" && me(this.game, this.session) !== undefined);
  }

  #send(type: string, payload?: unknown): void {
    if (this.link === "live") this.#room.send(type, payload);
  }

  #linkIs(link: Link): void {
    if (this.link === link) return;
    this.link = link;
    this.listener?.changed();
  }
}

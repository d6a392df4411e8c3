/** One's place in the waiting line, through the official SDK; `seat.ts` tells of the link's life. */
import type { Room } from "@colyseus/sdk";
import { type Link, Elsewhere, client, giveUp, goesOn, hasSeat, hold, leftBehind, takeBack } from "../seat";
import { type LineState, type Standing, read } from "./model";

const ROOM = "line";
/** The line this tab was in last. */
const LAST = "everplay.line";

export interface Listener {
  changed(): void;
  refused(code: number, message?: string): void;
  ended(code: number): void;
}

export interface Wishes {
  name: string;
  /** Sees the line without being in it. */
  watch: boolean;
}

export class LineLink {
  link: Link = "live";
  state: LineState | null = null;
  /** As last told; null at a table and before the first word. */
  standing: Standing | null = null;
  listener: Listener | null = null;
  #room: Room;

  private constructor(room: Room) {
    this.#room = room;
    hold(room);
    sessionStorage.setItem(LAST, room.roomId);
    room.onStateChange((state) => {
      this.state = read(state);
      goesOn(room, ROOM, this.state?.players.has(room.sessionId) ?? false);
      if (!this.state?.players.get(room.sessionId)?.waiting) this.standing = null;
      this.listener?.changed();
    });
    room.onMessage("place", (place: Standing) => {
      this.standing = place;
      this.listener?.changed();
    });
    room.onMessage("*", () => undefined);
    room.onDrop(() => this.#linkIs("reconnecting"));
    room.onReconnect(() => this.#linkIs("live"));
    room.onError((code, message) => {
      if (this.link === "live") this.listener?.refused(code, message);
    });
    room.onLeave((code) => {
      this.link = "ended";
      this.listener?.ended(code);
    });
    this.state = read(room.state);
  }

  /** Into the line that is open, as one of those who wait or only to see it. */
  static async enter(wishes: Wishes): Promise<LineLink> {
    return new LineLink(await (await client()).joinOrCreate(ROOM, wishes));
  }

  /** Back to the place that this tab or one that has ended had; null when there is none, or another tab has it. */
  static async resume(): Promise<LineLink | null> {
    const last = sessionStorage.getItem(LAST);
    const id = last && hasSeat(last) ? last : (await leftBehind()).find(({ kind }) => kind === ROOM)?.room;
    if (!id) return null;
    try {
      const room = await takeBack(id);
      return room && new LineLink(room);
    } catch (error) {
      if (hasSeat(id) && !(error instanceof Elsewhere)) throw error;
      return null;
    }
  }

  get id(): string {
    return this.#room.roomId;
  }

  get session(): string {
    return this.#room.sessionId;
  }

  /** A watcher takes a place. */
  async stepIn(name: string): Promise<void> {
    await this.#room.request("enter", {});
    this.#send("name", { name });
  }

  /** Gives the place up and goes on watching. */
  stepOut(): void {
    this.#send("stepOut");
  }

  play(cell: number): void {
    this.#send("move", { cell });
  }

  forfeit(): void {
    this.#send("forfeit");
  }

  async leave(): Promise<void> {
    this.listener = null;
    await giveUp(this.#room, this.link);
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

/**
 * A seat of this tab: how patiently it is waited for, and how it is found again.
 *
 *   live -> drop -> reconnecting -> live        the SDK retries by itself, also over a server restart
 *                        |
 *                        +-> ended             no seat any more, or no answer for about two minutes
 *
 * The reconnection token outlives a reload of the page in the tab's session storage, never in the address. While there is
 * something to come back to, `kept.ts` keeps it beyond the tab as well.
 */
import type { Client, Room } from "@colyseus/sdk";
import { freshToken, user } from "./account/session";
import * as kept from "./kept";

export type Link = "live" | "reconnecting" | "ended";

/** Another tab sits there: the seat is taken over only by somebody who says so. */
export class Elsewhere extends Error {}

/** The SDK, which the pages without a room do without. */
export const sdk = () => import("@colyseus/sdk");

/** Rooms as seen by whoever is signed in: the SDK finds the token where the session keeps it. */
export async function client(): Promise<Client> {
  const [{ Client }] = await Promise.all([sdk(), freshToken()]);
  return new Client(location.origin);
}

const key = (id: string) => `everplay.seat.${id}`;
const who = () => user()?.id ?? null;
/** So often a seat that is held is marked as such. */
const MARK_MS = 20_000;

/** Seats of this tab that are kept beyond it: what marks them, and the timer that does. */
const going = new Map<string, { mark: () => void; timer: ReturnType<typeof setInterval> }>();
/** What lets go of the seats of this tab. */
const holds = new Map<string, () => void>();

/** Holds on to the room's seat, over drops and reloads, until the seat is given up or gone. */
export function hold(room: Room): void {
  // A game is worth more patience than the SDK's defaults: from the first second on, at most 1 s between
  // two attempts, for about two minutes. The server keeps a seat for 60 s after it is up again.
  room.reconnection.minUptime = 0;
  room.reconnection.maxDelay = 1000;
  room.reconnection.maxRetries = 120;
  // What was done while away must not be played later, in another position.
  room.reconnection.maxEnqueuedMessages = 0;
  sessionStorage.setItem(key(room.roomId), room.reconnectionToken);
  holds.get(room.roomId)?.();
  holds.set(room.roomId, kept.hold(room.roomId));
  // The SDK has the new token only after this event.
  room.onReconnect(() => queueMicrotask(() => {
    if (!holds.has(room.roomId)) return;
    sessionStorage.setItem(key(room.roomId), room.reconnectionToken);
    going.get(room.roomId)?.mark();
  }));
  room.onLeave((code) => {
    // A lost seat may still be there for a later try by hand; one that another tab took is that tab's; any other end is final.
    if (code === 4003 || code === 4103) letGo(room.roomId, code === 4103);
    else forget(room.roomId);
  });
}

/** Says whether there is something to come back to in the room, should this tab end. */
export function goesOn(room: Room, kind: kept.Kind, on: boolean): void {
  const id = room.roomId;
  if (on === going.has(id) || (on && !holds.has(id))) return;
  if (!on) {
    stopMarks(id);
    return kept.drop(id);
  }
  const mark = () => kept.keep({ room: id, kind, token: room.reconnectionToken, who: who(), at: Date.now() });
  mark();
  going.set(id, { mark, timer: setInterval(mark, MARK_MS) });
}

/** Whether there is a seat to come back to in the room: of this tab, or of one that has ended. */
export const hasSeat = (id: string): boolean => sessionStorage.getItem(key(id)) !== null || kept.kept(id, who(), Date.now()) !== null;

/** How the server refuses a room that is not there, or that takes nobody. */
export const NO_ROOM = 522;

/**
 * Whether there is no such room; false when nobody knows. Asked for a seat that cannot be there: a room that is refuses it
 * with another code, and nothing in it changes.
 */
export async function gone(id: string): Promise<boolean> {
  const seat = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ reconnectionToken: "-" }) };
  const answer = await fetch(`/matchmake/reconnect/${id}`, seat).then((told) => told.json()).catch(() => null) as { code?: unknown } | null;
  return answer?.code === NO_ROOM;
}

/** Seats that no tab sits in, the last one first. */
export async function leftBehind(): Promise<kept.Kept[]> {
  const seats = kept.all(who(), Date.now());
  const held = await Promise.all(seats.map(({ room }) => kept.held(room)));
  return seats.filter((_, index) => !held[index]);
}

/**
 * Back into the seat that this tab or one that has ended had in the room; null when there is none. One that another tab sits
 * in is taken only `byForce`.
 */
export async function takeBack(id: string, byForce = false): Promise<Room | null> {
  const own = sessionStorage.getItem(key(id));
  const token = own ?? kept.kept(id, who(), Date.now())?.token;
  if (!token) return null;
  if (!own && !byForce && (await kept.held(id))) throw new Elsewhere();
  try {
    return await (await client()).reconnect(token);
  } catch (error) {
    // Only a server that answered can say that the seat is gone.
    if (typeof (error as { code?: unknown }).code === "number") forget(id);
    throw error;
  }
}

/** Gives the seat up. */
export async function giveUp(room: Room, link: Link): Promise<void> {
  forget(room.roomId);
  room.reconnection.enabled = false;
  if (link === "live") await room.leave().catch(() => undefined);
}

/** Does not come back to the seat any more. */
export function forget(id: string): void {
  letGo(id, true);
  kept.drop(id);
}

/** The tab sits there no longer. */
function letGo(id: string, gone: boolean): void {
  stopMarks(id);
  holds.get(id)?.();
  holds.delete(id);
  if (gone) sessionStorage.removeItem(key(id));
}

function stopMarks(id: string): void {
  clearInterval(going.get(id)?.timer);
  going.delete(id);
}

/**
 * A seat of this tab: how patiently it is waited for, and how it is found again.
 *
 *   live -> drop -> reconnecting -> live        the SDK retries by itself, also over a server restart
 *                        |
 *                        +-> ended             no seat any more, or no answer for about two minutes
 *
 * The reconnection token outlives a reload of the page in the tab's session storage, never in the address.
 */
import type { Client, Room } from "@colyseus/sdk";
import { freshToken } from "./account/session";

export type Link = "live" | "reconnecting" | "ended";

/** The SDK, which the pages without a room do without. */
export const sdk = () => import("@colyseus/sdk");

/** Rooms as seen by whoever is signed in: the SDK finds the token where the session keeps it. */
export async function client(): Promise<Client> {
  const [{ Client }] = await Promise.all([sdk(), freshToken()]);
  return new Client(location.origin);
}

const key = (id: string) => `everplay.seat.${id}`;

/** Holds on to the room's seat, over drops and reloads, until the seat is given up or gone. */
export function hold(room: Room): void {
  // A game is worth more patience than the SDK's defaults: from the first second on, at most 1 s between
  // two attempts, for about two minutes. The server keeps a seat for 60 s after it is up again.
  room.reconnection.minUptime = 0;
  room.reconnection.maxDelay = 1000;
  room.reconnection.maxRetries = 120;
  // What was done while away must not be played later, in another position.
  room.reconnection.maxEnqueuedMessages = 0;
  remember(room);
  // The SDK has the new token only after this event.
  room.onReconnect(() => queueMicrotask(() => remember(room)));
  room.onLeave((code) => {
    // A lost seat may still be there for a later try by hand; any other end is final.
    if (code !== 4003) forget(room.roomId);
  });
}

/** Whether this tab had a seat in the room. */
export const hasSeat = (id: string): boolean => sessionStorage.getItem(key(id)) !== null;

/** Back into the seat this tab had in the room; null when it had none or lost it. */
export async function takeBack(id: string): Promise<Room | null> {
  const token = sessionStorage.getItem(key(id));
  if (!token) return null;
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

function remember(room: Room): void {
  sessionStorage.setItem(key(room.roomId), room.reconnectionToken);
}

function forget(id: string): void {
  sessionStorage.removeItem(key(id));
}

/**
 * Seats that outlive their tab: what a browser keeps of a game that goes on, and which tab sits in it.
 *
 *   kept: room, kind, token, who, when last held  ->  offered at the arcade for a while, by no other account
 *   held by a tab  ->  no other tab takes the seat by itself
 *
 * One entry of the local storage for each room, so that tabs do not write over each other. A tab holds a seat by a lock,
 * which ends with the tab however it ends; without locks (they need a secure context) by answering who asks.
 */

export type Kind = "tic_tac_toe" | "spaaace" | "line";

export interface Kept {
  room: string;
  kind: Kind;
  /** The SDK's, for `reconnect`. */
  token: string;
  /** The account it belongs to; null: nobody's. */
  who: string | null;
  /** When the tab held it last, by this browser's clock. */
  at: number;
}

const PREFIX = "everplay.kept.";
/**
 * A seat is offered so long after its tab was there last: rooms keep it for a minute, which begins anew when the server is
 * up again, and that may take a while.
 */
export const MOST_AGE_MS = 15 * 60_000;
/** So long another tab has to say that it holds a seat, where there are no locks. */
const ANSWER_MS = 250;

export const keep = (seat: Kept): void => localStorage.setItem(PREFIX + seat.room, JSON.stringify(seat));

export const drop = (room: string): void => localStorage.removeItem(PREFIX + room);

/** The seat of a room, unless it is too old or somebody else's. */
export const kept = (room: string, who: string | null, now: number): Kept | null =>
  read(localStorage.getItem(PREFIX + room), who, now);

/** All seats, the last one held first; what is too old is cleared away. */
export function all(who: string | null, now: number): Kept[] {
  const found: Kept[] = [];
  for (const key of Object.keys(localStorage)) {
    if (!key.startsWith(PREFIX)) continue;
    const text = localStorage.getItem(key);
    const seat = read(text, who, now);
    if (seat) found.push(seat);
    else if (!fresh(text, now)) localStorage.removeItem(key);
  }
  return found.sort((a, b) => b.at - a.at);
}

/** Believes nothing about the form: it went through storage. */
export function read(text: string | null, who: string | null, now: number): Kept | null {
  if (!fresh(text, now)) return null;
  const { room, kind, token, who: whose, at } = JSON.parse(text!) as Kept;
  if (typeof room !== "string" || typeof token !== "string" || !["tic_tac_toe", "spaaace", "line"].includes(kind)) return null;
  return (whose ?? null) === who ? { room, kind, token, who, at } : null;
}

function fresh(text: string | null, now: number): boolean {
  try {
    const age = now - ((JSON.parse(text ?? "null") as Partial<Kept> | null)?.at ?? Number.NaN);
    return age > -MOST_AGE_MS && age < MOST_AGE_MS;
  } catch {
    return false;
  }
}

const nameOf = (room: string): string => `everplay.seat.${room}`;

/** This tab sits in the room, until the answer is called or the tab ends. */
export function hold(room: string): () => void {
  if (navigator.locks) {
    const given = new AbortController();
    let free = () => given.abort();
    const held = () => new Promise<void>((resolve) => (free = resolve));
    // Another tab may have it still: then it is ours after that one.
    navigator.locks.request(nameOf(room), { signal: given.signal }, held).catch(() => undefined);
    return () => free();
  }
  if (typeof BroadcastChannel === "undefined") return () => undefined;
  const channel = new BroadcastChannel(nameOf(room));
  channel.onmessage = ({ data }) => data === "who" && channel.postMessage("me");
  return () => channel.close();
}

/** Whether some tab sits in the room. */
export async function held(room: string): Promise<boolean> {
  if (navigator.locks) return (await navigator.locks.query()).held?.some(({ name }) => name === nameOf(room)) ?? false;
  if (typeof BroadcastChannel === "undefined") return false;
  return new Promise((resolve) => {
    const channel = new BroadcastChannel(nameOf(room));
    const end = (answer: boolean) => {
      channel.close();
      resolve(answer);
    };
    channel.onmessage = ({ data }) => data === "me" && end(true);
    channel.postMessage("who");
    setTimeout(() => end(false), ANSWER_MS);
  });
}

/** The room's state as plain values, and what of it is shown as text. Contract: docs/rooms/spaaace.md. */
import type { Motion, Shot } from "./rules";

export interface Ship extends Motion {
  /** Nothing hits it before this step. */
  safeUntil: number;
}

export interface Missile extends Shot {
  /** The key of the ship that fired it. */
  owner: string;
}

export interface Player {
  name: string;
  bot: boolean;
  connected: boolean;
  kills: number;
  deaths: number;
}

export interface Kill {
  step: number;
  killer: string;
  victim: string;
  killerName: string;
  victimName: string;
}

export interface Arena {
  step: number;
  ships: Map<string, Ship>;
  missiles: Map<string, Missile>;
  players: Map<string, Player>;
  kills: Kill[];
  spectators: number;
}

/** Copies a state of the SDK; what is not there yet is empty. */
export function read(state: unknown): Arena {
  const from = state as { [field: string]: unknown };
  return {
    step: Number(from.step ?? 0),
    ships: entries(from.ships, (ship: Ship) => ({
      x: ship.x, y: ship.y, vx: ship.vx, vy: ship.vy, heading: ship.heading, thrust: ship.thrust, safeUntil: ship.safeUntil,
    })),
    missiles: entries(from.missiles, ({ owner, x, y, vx, vy, born }: Missile) => ({ owner, x, y, vx, vy, born })),
    players: entries(from.players, ({ name, bot, connected, kills, deaths }: Player) => ({ name, bot, connected, kills, deaths })),
    kills: [...((from.kills as Iterable<Kill> | undefined) ?? [])].map(({ step, killer, victim, killerName, victimName }) => ({
      step, killer, victim, killerName, victimName,
    })),
    spectators: Number(from.spectators ?? 0),
  };
}

function entries<T, U>(map: unknown, copy: (item: T) => U): Map<string, U> {
  const copied = new Map<string, U>();
  (map as Map<string, T> | undefined)?.forEach((item, key) => copied.set(key, copy(item)));
  return copied;
}

/** A line of the score table. */
export interface Rank extends Player {
  key: string;
  place: number;
  own: boolean;
}

/** Most kills first, then fewest deaths, then by name. Equal scores share a place. */
export function ranking(players: Map<string, Player>, me: string): Rank[] {
  const ranks = [...players].map(([key, player]) => ({ ...player, key, own: key === me, place: 0 }));
  ranks.sort((a, b) => b.kills - a.kills || a.deaths - b.deaths || a.name.localeCompare(b.name) || (a.key < b.key ? -1 : 1));
  ranks.forEach((rank, index) => {
    const above = ranks[index - 1];
    rank.place = above && above.kills === rank.kills && above.deaths === rank.deaths ? above.place : index + 1;
  });
  return ranks;
}

/** The first lines of a ranking, with the own one as the last of them when it is further down. */
export function shortened(ranks: Rank[], lines: number): Rank[] {
  const own = ranks.find((rank) => rank.own);
  const top = ranks.slice(0, lines);
  return !own || top.includes(own) ? top : [...top.slice(0, -1), own];
}

/** Who shot this player last, by name; empty when nobody in the feed did. */
export const shotBy = (kills: Kill[], victim: string): string =>
  kills.findLast((kill) => kill.victim === victim)?.killerName ?? "";

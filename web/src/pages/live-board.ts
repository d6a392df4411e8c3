/**
 * A board as it changes: the room `leaderboard` (docs/rooms/leaderboard.md) brings the top of a board and one's own place.
 * Without the room, or below its last row, the page asks from time to time instead.
 */
import type { Room } from "@colyseus/sdk";
import type { Schema } from "../api/client";
import { client } from "../seat";

type Row = Schema<"LeaderboardRow">;

/** Which board. */
export interface Which {
  game: string;
  season: string;
  region: string;
  order: string;
}

export interface Live {
  rows: Row[];
  total: number;
  stale: boolean;
  asOf: string;
}

/** Rows that the room has. */
export const LIVE_ROWS = 100;

export interface Follower {
  /** The board changed. */
  board(live: Live): void;
  /** One's own row changed; null: on no place. */
  place(row: Row | null): void;
  /** Whether news come by themselves now. */
  live(on: boolean): void;
}

/** Follows a board until the answer is called. */
export function follow(which: Which, follower: Follower): () => void {
  let room: Room | null = null;
  let over = false;
  void client()
    .then((sdk) => sdk.joinOrCreate("leaderboard", which))
    .then((joined) => {
      if (over) return void joined.leave();
      room = joined;
      // Without it a line that breaks in the first seconds is not taken up again.
      joined.reconnection.minUptime = 0;
      joined.onStateChange((state) => {
        const live = read(state);
        if (!live || over) return;
        follower.live(true);
        follower.board(live);
      });
      joined.onMessage("place", (row: Row | null) => !over && follower.place(row && rowOf(row)));
      joined.onMessage("*", () => undefined);
      joined.onDrop(() => follower.live(false));
      joined.onLeave(() => follower.live(false));
    })
    .catch(() => follower.live(false));
  return () => {
    over = true;
    if (room) {
      room.reconnection.enabled = false;
      void room.leave().catch(() => undefined);
    }
  };
}

/** Copies the SDK's state; null while no board was brought. */
export function read(state: unknown): Live | null {
  const from = state as Record<string, any> | null | undefined;
  if (!from?.rows || !from.asOf) return null;
  return {
    rows: Array.from(from.rows as Iterable<Row>, rowOf),
    total: from.total ?? 0,
    stale: !!from.stale,
    asOf: new Date(from.asOf).toISOString(),
  };
}

const rowOf = (row: Row): Row => ({
  rank: row.rank,
  userId: row.userId,
  name: row.name,
  region: row.region || null,
  gamesPlayed: row.gamesPlayed,
  gamesWon: row.gamesWon,
  gamesLost: row.gamesLost,
  gamesDrawn: row.gamesDrawn,
  winPercentage: row.winPercentage,
  currentStreak: row.currentStreak,
  bestStreak: row.bestStreak,
  rating: row.rating,
  ratingDeviation: row.ratingDeviation,
});

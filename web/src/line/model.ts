/**
 * What the state of a waiting line means for the person at this page. Pure: no page, no network, no clock.
 *
 * The shapes follow docs/line.md; who plays and who waits is the server's to say.
 */
import { type Mark, letter, possessive } from "../model";

export type Stage = "open" | "playing" | "finished";

export interface LineTable {
  stage: Stage;
  /** Sessions; empty: an open seat. */
  x: string;
  o: string;
  game: number;
  board: Mark[];
  turn: Mark;
  moves: number[];
  clock: number;
  winner: Mark;
  reason: string;
  line: number[];
}

export interface LinePlayer {
  id: string;
  name: string;
  waiting: boolean;
  /** From 1; 0 while waiting. */
  table: number;
  mark: Mark;
  connected: boolean;
  /** In a row, at this table. */
  wins: number;
  joinedAt: number;
}

/** A plain copy of the state, taken at each change. */
export interface LineState {
  name: string;
  tables: LineTable[];
  players: Map<string, LinePlayer>;
  /** Those who wait, the next one first. */
  queue: LinePlayer[];
  watchers: number;
  gameMs: number;
}

/** What the room says of one's place. */
export interface Standing {
  position: number;
  waitMs: number;
}

/** Copies the SDK's state; null while it has not arrived. */
export function read(state: unknown): LineState | null {
  const from = state as Record<string, any> | null | undefined;
  if (!from?.tables || !from.players) return null;
  const list = (items: any): number[] => (items ? Array.from(items as Iterable<number>) : []);
  const tables: LineTable[] = Array.from(from.tables as Iterable<any>, (table) => ({
    stage: table.stage ?? "open",
    x: table.x ?? "",
    o: table.o ?? "",
    game: table.game ?? 0,
    board: list(table.board) as Mark[],
    turn: (table.turn ?? 0) as Mark,
    moves: list(table.moves),
    clock: table.clock ?? 0,
    winner: (table.winner ?? 0) as Mark,
    reason: table.reason ?? "",
    line: list(table.line),
  }));
  const players = new Map<string, LinePlayer>();
  from.players.forEach((player: any, id: string) =>
    players.set(id, {
      id,
      name: String(player.name),
      waiting: player.status === "waiting",
      table: player.table ?? 0,
      mark: (player.mark ?? 0) as Mark,
      connected: !!player.connected,
      wins: player.wins ?? 0,
      joinedAt: Number(player.joinedAt ?? 0),
    }));
  const queue = [...players.values()].filter((player) => player.waiting).sort((a, b) => a.joinedAt - b.joinedAt);
  return { name: from.name ?? "", tables, players, queue, watchers: from.watchers ?? 0, gameMs: from.gameMs ?? 0 };
}

/** Number of the table, from 0, at which the session sits; null: none. */
export function tableOf(state: LineState, session: string): number | null {
  const at = state.players.get(session)?.table ?? 0;
  return at > 0 ? at - 1 : null;
}

/** Whether the session is to move at its table. */
export function isTurnOf(state: LineState, session: string): boolean {
  const at = tableOf(state, session);
  const table = at === null ? undefined : state.tables[at];
  return table?.stage === "playing" && table.turn === state.players.get(session)?.mark;
}

/** Whether leaving now loses a game. */
export const isPlaying = (state: LineState, session: string): boolean => {
  const at = tableOf(state, session);
  return at !== null && state.tables[at]?.stage === "playing";
};

/** The sentence above all: also what a screen reader says when it changes. */
export function headline(state: LineState, session: string): string {
  const me = state.players.get(session);
  if (!me) return "You are watching";
  if (me.waiting) {
    const place = state.queue.findIndex((player) => player.id === session) + 1;
    return place === 1 ? "You are next" : `You are ${ordinal(place)} in line`;
  }
  const table = state.tables[me.table - 1];
  if (!table) return "";
  if (table.stage === "open") return "Waiting for an opponent";
  if (table.stage === "playing") return table.turn === me.mark ? "Your turn" : `${possessive(nameAt(state, table, table.turn))} turn`;
  if (table.winner === 0) return "A draw";
  const other = nameAt(state, table, me.mark === 1 ? 2 : 1);
  const why: Record<string, string> = { timeout: `: ${other} ran out of time`, forfeit: `: ${other} gave up`, left: `: ${other} left` };
  return table.winner === me.mark ? `You win${why[table.reason] ?? ""}` : `${other} wins`;
}

/** The second line: what else one should know now. */
export function note(state: LineState, session: string, standing: Standing | null): string {
  const me = state.players.get(session);
  if (!me) return state.players.size === 0 ? "Nobody is here. Join, and the next one plays with you." : `${count(state.queue.length, "waits", "wait")}.`;
  if (me.waiting) return standing && standing.waitMs > 0 ? `About ${wait(standing.waitMs)}. Your place is kept for a minute when the connection breaks.` : "Your turn comes when a table is free.";
  const table = state.tables[me.table - 1];
  if (!table || table.stage === "open") return `Table ${me.table}. You play ${letter(me.mark)}.`;
  if (table.stage === "playing") return `You play ${letter(me.mark)}${me.wins > 0 ? `, ${me.wins} won in a row` : ""}`;
  return table.winner === me.mark ? "The winner stays" : table.winner === 0 ? "" : "Back to the end of the line";
}

/** The name at a mark of a table. */
export function nameAt(state: LineState, table: LineTable, mark: Mark): string {
  const session = mark === 1 ? table.x : table.o;
  return state.players.get(session)?.name ?? "Open seat";
}

/** Milliseconds of waiting as people say them. */
export function wait(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 20) return "a few seconds";
  if (seconds < 90) return `${Math.round(seconds / 10) * 10} s`;
  return `${Math.round(seconds / 60)} min`;
}

export function ordinal(place: number): string {
  const tens = place % 100;
  const end = tens >= 11 && tens <= 13 ? "th" : ["th", "st", "nd", "rd"][place % 10] ?? "th";
  return `${place}${end}`;
}

const count = (number: number, one: string, many: string): string =>
  number === 0 ? "Nobody waits" : number === 1 ? `One ${one}` : `${number} ${many}`;

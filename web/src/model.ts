/**
 * What the room's state means for the person at this page. Pure: no page, no network, no clock.
 *
 * The shapes follow docs/rooms/tic_tac_toe.md; nothing here decides a rule, the server does.
 */

export type Phase = "waiting" | "playing" | "finished";
export type Mark = 0 | 1 | 2;

export interface Player {
  id: string;
  name: string;
  mark: Mark;
  connected: boolean;
  left: boolean;
  computer: boolean;
  wins: number;
  rematch: boolean;
}

/** A plain copy of the state, taken at each change: the SDK's objects change under our feet. */
export interface Game {
  mode: string;
  level: string;
  moveTime: number;
  phase: Phase;
  game: number;
  board: Mark[];
  turn: Mark;
  moves: number[];
  clock: number;
  winner: Mark;
  reason: string;
  line: number[];
  draws: number;
  spectators: number;
  players: Player[];
}

/** Copies the SDK's state; null while it has not arrived. */
export function read(state: unknown): Game | null {
  const s = state as Record<string, any> | null | undefined;
  if (!s || !s.board || s.board.length !== 9 || !s.players) return null;
  const players: Player[] = [];
  s.players.forEach((p: any, id: string) =>
    players.push({
      id,
      name: String(p.name),
      mark: p.mark,
      connected: !!p.connected,
      left: !!p.left,
      computer: !!p.computer,
      wins: p.wins ?? 0,
      rematch: !!p.rematch,
    }),
  );
  players.sort((a, b) => a.mark - b.mark);
  const list = (items: any): number[] => (items ? Array.from(items as Iterable<number>) : []);
  return {
    mode: s.mode ?? "",
    level: s.level ?? "",
    moveTime: s.moveTime ?? 0,
    phase: s.phase,
    game: s.game ?? 0,
    board: list(s.board) as Mark[],
    turn: (s.turn ?? 0) as Mark,
    moves: list(s.moves),
    clock: s.clock ?? 0,
    winner: (s.winner ?? 0) as Mark,
    reason: s.reason ?? "",
    line: list(s.line),
    draws: s.draws ?? 0,
    spectators: s.spectators ?? 0,
    players,
  };
}

/** The player at this page; undefined for a watcher. */
export const me = (game: Game, session: string): Player | undefined =>
  game.players.find((p) => p.id === session && !p.left);

/** The other player. */
export const opponent = (game: Game, session: string): Player | undefined =>
  game.players.find((p) => p.id !== session);

export const holder = (game: Game, mark: Mark): Player | undefined => game.players.find((p) => p.mark === mark);

export const letter = (mark: number): string => (mark === 1 ? "X" : mark === 2 ? "O" : "");

export const isMyTurn = (game: Game, session: string): boolean =>
  game.phase === "playing" && me(game, session)?.mark === game.turn;

/** The sentence above the board. It is also what a screen reader says when it changes. */
export function status(game: Game, session: string): string {
  const mine = me(game, session);
  if (game.phase === "waiting") return mine ? "Waiting for an opponent" : "Waiting for players";
  if (game.phase === "playing") {
    if (mine && mine.mark === game.turn) return "Your turn";
    const mover = holder(game, game.turn);
    return mover ? `${possessive(mover.name)} turn` : `${letter(game.turn)} to move`;
  }
  return result(game, session);
}

function result(game: Game, session: string): string {
  if (game.winner === 0) return "A draw";
  const mine = me(game, session);
  const winner = holder(game, game.winner);
  const loser = game.players.find((p) => p.mark !== game.winner);
  const name = winner?.name ?? letter(game.winner);
  const other = loser?.name ?? "the other player";
  if (mine && mine.mark === game.winner) {
    switch (game.reason) {
      case "timeout":
        return `You win: ${other} ran out of time`;
      case "forfeit":
        return `You win: ${other} gave up`;
      case "left":
        return `You win: ${other} left`;
      default:
        return "You win";
    }
  }
  const why: Record<string, string> = { timeout: " on time", forfeit: ` by forfeit`, left: `: ${other} left` };
  if (mine && game.reason === "timeout") return `Your time ran out: ${name} wins`;
  if (mine && game.reason === "forfeit") return `You gave up: ${name} wins`;
  return `${name} wins${why[game.reason] ?? ""}`;
}

/** Second line: what else one should know now; empty when nothing is. */
export function note(game: Game, session: string): string {
  const mine = me(game, session);
  const other = opponent(game, session);
  const away = game.players.filter((p) => !p.connected && !p.left && p.id !== session);
  if (game.phase !== "waiting" && away.length > 0) {
    return `${away.map((p) => p.name).join(" and ")} lost the connection. The seat is kept.`;
  }
  if (!mine) return game.phase === "waiting" ? "" : "You are watching";
  if (game.phase === "finished" && other) {
    if (other.left) return `${other.name} has left`;
    if (mine.rematch && !other.rematch && !other.computer) return `Waiting for ${other.name} to accept`;
    if (other.rematch && !mine.rematch) return `${other.name} wants a rematch`;
  }
  if (game.phase === "playing") return `You play ${letter(mine.mark)}`;
  return "";
}

export const possessive = (name: string): string => (/s$/i.test(name) ? `${name}’` : `${name}’s`);

/** What a screen reader says of a cell. */
export function cellLabel(game: Game, cell: number): string {
  const row = Math.floor(cell / 3) + 1;
  const column = (cell % 3) + 1;
  const mark = letter(game.board[cell] ?? 0);
  const winning = game.line.includes(cell) ? ", on the winning line" : "";
  return `Row ${row}, column ${column}, ${mark || "empty"}${winning}`;
}

/** What happened between two states, for the screen reader; empty when nothing was played. */
export function lastMove(before: Game | null, now: Game): string {
  if (!before || before.game !== now.game || now.moves.length !== before.moves.length + 1) return "";
  const cell = now.moves[now.moves.length - 1] ?? 0;
  return `${letter(now.board[cell] ?? 0)} in row ${Math.floor(cell / 3) + 1}, column ${(cell % 3) + 1}. `;
}

/** The cell that an arrow key leads to; the edges hold. */
export function step(cell: number, key: string): number {
  const row = Math.floor(cell / 3);
  const column = cell % 3;
  switch (key) {
    case "ArrowUp":
      return row > 0 ? cell - 3 : cell;
    case "ArrowDown":
      return row < 2 ? cell + 3 : cell;
    case "ArrowLeft":
      return column > 0 ? cell - 1 : cell;
    case "ArrowRight":
      return column < 2 ? cell + 1 : cell;
    case "Home":
      return row * 3;
    case "End":
      return row * 3 + 2;
    default:
      return cell;
  }
}

/** The lines to draw: first and last cell of each completed line. */
export function strokes(line: number[]): [number, number][] {
  const found: [number, number][] = [];
  for (let i = 0; i + 2 < line.length; i += 3) found.push([line[i]!, line[i + 2]!]);
  return found;
}

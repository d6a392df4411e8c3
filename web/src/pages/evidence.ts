/** Reads the position that a ticket carries, where it is one of tic-tac-toe. Pure. */

export interface SeenBoard {
  /** By rows: `X`, `O`, or empty. */
  cells: string[];
  /** What else stands there, in words. */
  facts: string[];
}

/** The board of a room's state, or of a game as it was kept; null for other games. */
export function boardOf(position: unknown): SeenBoard | null {
  const { state, game } = record(position);
  return fromState(record(state)) ?? fromGame(record(game));
}

const MARKS = ["", "X", "O"];

function fromState(state: Record<string, unknown>): SeenBoard | null {
  const board = state.board;
  if (!Array.isArray(board) || board.length !== 9) return null;
  const players = Object.values(record(state.players)).map(record);
  const names = players.map((player) => `${MARKS[Number(player.mark)] ?? "?"}: ${String(player.name ?? "")}${player.connected === false ? " (away)" : ""}`);
  const turn = MARKS[Number(state.turn)] ?? "";
  const winner = MARKS[Number(state.winner)] ?? "";
  const facts = [...names.sort(), turn ? `${turn} is to move` : winner ? `${winner} won` : state.phase === "finished" ? "A draw" : ""];
  return { cells: board.map((mark) => MARKS[Number(mark)] ?? ""), facts: facts.filter(Boolean) };
}

function fromGame(game: Record<string, unknown>): SeenBoard | null {
  const rows = game.board;
  if (!Array.isArray(rows)) return null;
  const cells = rows.flat().map((mark) => (mark === "X" || mark === "O" ? mark : ""));
  if (cells.length !== 9) return null;
  const players = Array.isArray(game.players) ? game.players.map(record) : [];
  const names = players.map((player) => `${String(player.mark ?? "?")}: ${String(player.name ?? "")}`);
  return { cells, facts: [...names, typeof game.reason === "string" ? `Ended: ${game.reason}` : ""].filter(Boolean) };
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};

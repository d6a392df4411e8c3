import { describe, expect, it } from "vitest";
import { type Game, type Mark, type Player, cellLabel, isMyTurn, lastMove, note, possessive, read, status, step, strokes } from "./model";

const player = (id: string, mark: Mark, over: Partial<Player> = {}): Player => ({
  id, name: id === "a" ? "Ada" : "Boris", mark, connected: true, left: false, computer: false, wins: 0, rematch: false, ...over,
});

const game = (over: Partial<Game> = {}): Game => ({
  mode: "quick", level: "", moveTime: 30000, phase: "playing", game: 1, board: [0, 0, 0, 0, 0, 0, 0, 0, 0], turn: 1,
  moves: [], clock: 30000, winner: 0, reason: "", line: [], draws: 0, spectators: 0,
  players: [player("a", 1), player("b", 2)], ...over,
});

describe("status", () => {
  it("says whose turn it is from where one sits", () => {
    expect(status(game(), "a")).toBe("Your turn");
    expect(status(game(), "b")).toBe("Ada’s turn");
    expect(status(game({ turn: 2 }), "watcher")).toBe("Boris’ turn");
    expect(isMyTurn(game(), "a")).toBe(true);
    expect(isMyTurn(game(), "b")).toBe(false);
    expect(isMyTurn(game({ phase: "finished" }), "a")).toBe(false);
  });

  it("names every result for winner, loser and watcher", () => {
    const end = (reason: string) => game({ phase: "finished", turn: 0, winner: 1, reason });
    expect(["line", "forfeit", "timeout", "left"].map((r) => status(end(r), "a"))).toEqual([
      "You win", "You win: Boris gave up", "You win: Boris ran out of time", "You win: Boris left",
    ]);
    expect(["line", "forfeit", "timeout"].map((r) => status(end(r), "b"))).toEqual([
      "Ada wins", "You gave up: Ada wins", "Your time ran out: Ada wins",
    ]);
    expect(["line", "forfeit", "timeout", "left"].map((r) => status(end(r), "w"))).toEqual([
      "Ada wins", "Ada wins by forfeit", "Ada wins on time", "Ada wins: Boris left",
    ]);
    expect(status(game({ phase: "finished", reason: "draw" }), "a")).toBe("A draw");
  });

  it("waits", () => {
    expect(status(game({ phase: "waiting", players: [player("a", 1)] }), "a")).toBe("Waiting for an opponent");
  });
});

describe("note", () => {
  it("tells of a lost connection and of rematch offers", () => {
    const away = game({ players: [player("a", 1), player("b", 2, { connected: false })] });
    expect(note(away, "a")).toContain("Boris lost the connection");
    expect(note(away, "b")).toBe("You play O");
    const end = (b: Partial<Player>, a: Partial<Player> = {}) =>
      game({ phase: "finished", players: [player("a", 1, a), player("b", 2, b)] });
    expect(note(end({ rematch: true }), "a")).toBe("Boris wants a rematch");
    expect(note(end({}, { rematch: true }), "a")).toBe("Waiting for Boris to accept");
    expect(note(end({ left: true, connected: false }), "a")).toBe("Boris has left");
    expect(note(game(), "w")).toBe("You are watching");
  });
});

describe("board", () => {
  it("is read out by cell", () => {
    const g = game({ board: [1, 0, 0, 0, 2, 0, 0, 0, 0], line: [0] });
    expect(cellLabel(g, 0)).toBe("Row 1, column 1, X, on the winning line");
    expect(cellLabel(g, 5)).toBe("Row 2, column 3, empty");
  });

  it("moves by arrow keys and stops at the edges", () => {
    expect(["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"].map((k) => step(4, k))).toEqual([1, 7, 3, 5]);
    expect(["ArrowUp", "ArrowLeft"].map((k) => step(0, k))).toEqual([0, 0]);
    expect(["ArrowDown", "ArrowRight"].map((k) => step(8, k))).toEqual([8, 8]);
    expect([step(5, "Home"), step(3, "End"), step(3, "x")]).toEqual([3, 5, 3]);
  });

  it("tells the last move once", () => {
    const before = game();
    const after = game({ moves: [4], board: [0, 0, 0, 0, 1, 0, 0, 0, 0] });
    expect(lastMove(before, after)).toBe("X in row 2, column 2. ");
    expect(lastMove(after, after)).toBe("");
    expect(lastMove(null, after)).toBe("");
    expect(lastMove(game({ game: 0 }), after)).toBe("");
  });

  it("draws one stroke for each completed line", () => {
    expect(strokes([])).toEqual([]);
    expect(strokes([0, 4, 8, 2, 4, 6])).toEqual([[0, 8], [2, 6]]);
  });
});

describe("read", () => {
  it("copies the SDK's state and waits for a whole one", () => {
    expect(read(undefined)).toBeNull();
    expect(read({ board: [] })).toBeNull();
    const players = new Map([["b", player("b", 2)], ["a", player("a", 1)]]);
    const copy = read({ ...game(), players });
    expect(copy?.players.map((p) => p.id)).toEqual(["a", "b"]);
    expect(copy?.board).toHaveLength(9);
  });
});

it("forms possessives", () => {
  expect([possessive("Ada"), possessive("Boris")]).toEqual(["Ada’s", "Boris’"]);
});

import { describe, expect, it } from "vitest";
import { headline, isPlaying, isTurnOf, note, ordinal, read, tableOf, wait } from "./model";

const table = (more: object = {}) => ({ stage: "playing", x: "a", o: "b", game: 1, board: [1, 0, 0, 0, 0, 0, 0, 0, 0], turn: 2, moves: [0], clock: 30000, winner: 0, reason: "", line: [], ...more });
const seat = (name: string, mark: number, more: object = {}) => ({ name, status: "playing", table: 1, mark, connected: true, wins: 0, joinedAt: mark, ...more });
const waits = (name: string, joinedAt: number) => ({ name, status: "waiting", table: 0, mark: 0, connected: true, wins: 0, joinedAt });

function line(more: object = {}) {
  const players = new Map<string, object>([["d", waits("Dora", 9)], ["a", seat("Ada", 1, { wins: 2 })], ["c", waits("Chen", 4)], ["b", seat("Bob", 2)]]);
  return read({ name: "", tables: [table(more)], players, waiting: 2, watchers: 1, gameMs: 60000 })!;
}

describe("the line", () => {
  it("has not arrived before there are tables", () => {
    expect(read(undefined)).toBeNull();
    expect(read({})).toBeNull();
  });

  it("says who waits where, in the order they came", () => {
    const state = line();
    expect(state.queue.map((player) => player.name)).toEqual(["Chen", "Dora"]);
    expect(headline(state, "c")).toBe("You are next");
    expect(headline(state, "d")).toBe("You are 2nd in line");
    expect(note(state, "d", { position: 2, waitMs: 120_000 })).toMatch(/^About 2 min/);
    expect(headline(state, "stranger")).toBe("You are watching");
    expect(note(state, "stranger", null)).toBe("2 wait.");
  });

  it("says whose turn it is at one's own table", () => {
    const state = line();
    expect([headline(state, "a"), headline(state, "b")]).toEqual(["Bob’s turn", "Your turn"]);
    expect([isTurnOf(state, "a"), isTurnOf(state, "b"), isTurnOf(state, "c")]).toEqual([false, true, false]);
    expect([tableOf(state, "b"), tableOf(state, "c"), tableOf(state, "stranger")]).toEqual([0, null, null]);
    expect([isPlaying(state, "a"), isPlaying(state, "c")]).toEqual([true, false]);
    expect(note(state, "a", null)).toBe("You play X, 2 won in a row");
  });

  it("says how it ended", () => {
    const over = (winner: number, reason = "line") => line({ stage: "finished", turn: 0, winner, reason });
    expect(headline(over(1), "a")).toBe("You win");
    expect(headline(over(1, "timeout"), "a")).toBe("You win: Bob ran out of time");
    expect(headline(over(1), "b")).toBe("Ada wins");
    expect(headline(over(0, "draw"), "b")).toBe("A draw");
    expect(note(over(1), "b", null)).toBe("Back to the end of the line");
    expect(headline(line({ stage: "open", o: "" }), "a")).toBe("Waiting for an opponent");
  });

  it("counts as people do", () => {
    expect([1, 2, 3, 4, 11, 12, 13, 21, 102, 111].map(ordinal)).toEqual(["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]);
    expect([wait(5_000), wait(47_000), wait(200_000)]).toEqual(["a few seconds", "50 s", "3 min"]);
  });
});

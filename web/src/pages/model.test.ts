import { describe, expect, it } from "vitest";
import { backTo, pageHash, parse, pasted } from "../route";
import { against, duration, gameName, initials, outcome, paging, percent, position, seasons, since } from "./model";

const ada = { id: "1", name: "Ada", mark: "X" };
const bob = { id: "2", name: "Bob", mark: "O" };

describe("games of a history", () => {
  it("end for the side whose history it is", () => {
    const game = (mark: string, winner: string | null) => outcome({ mark, winner, players: [ada, bob] });
    expect(game("X", "player1")).toBe("won");
    expect(game("O", "player1")).toBe("lost");
    expect(game("O", "draw")).toBe("drawn");
    expect(game("O", null)).toBe("over");
    expect(game("O", "player9")).toBe("over");
  });

  it("name who else was there", () => {
    expect(against({ mark: "X", players: [ada, bob] })).toBe("against Bob");
    expect(against({ mark: "X", players: [ada, bob, { ...bob, name: "Eve", mark: "Z" }] })).toBe("against Bob and 1 more");
    expect(against({ mark: "X", players: [ada] })).toBe("alone");
  });

  it("are replayed move by move", () => {
    const moves = [{ mark: "X", played: 4 }, { mark: "O", played: 0 }, { mark: "X", played: "nonsense" }];
    expect(position(moves, 0).every((cell) => cell === null)).toBe(true);
    expect(position(moves, 9)).toEqual(["O", null, null, null, "X", null, null, null, null]);
  });
});

describe("words and numbers", () => {
  it("names seasons from now back over the new year", () => {
    expect(seasons(new Date("2026-02-01T00:00:00Z"), 3)).toEqual(["2026-Q1", "2025-Q4", "2025-Q3"]);
    expect(seasons(new Date("2026-12-31T23:59:59Z"), 1)).toEqual(["2026-Q4"]);
  });

  it("tells times as people do", () => {
    const now = Date.parse("2026-01-31T12:00:00Z");
    const at = (seconds: number) => since(new Date(now - seconds * 1000).toISOString(), now);
    expect([at(3), at(90), at(7200), at(86400 * 3), at(-600), at(-3)]).toEqual(["just now", "2 min ago", "2 h ago", "3 days ago", "in 10 min", "in a moment"]);
    expect(since("never", now)).toBe("some time ago");
    expect([duration(7), duration(125), duration(7500), duration(3600)]).toEqual(["7 s", "2 min", "2 h 5 min", "1 h"]);
  });

  it("tells shares, names and places", () => {
    expect([percent(50), percent(33.33)]).toEqual(["50\u00a0%", "33.3\u00a0%"]);
    expect([gameName("tic_tac_toe"), gameName("four_in_line")]).toEqual(["Tic-tac-toe", "Four in line"]);
    expect([initials("Ada Lovelace"), initials("bob"), initials("  "), initials("Åsa 💚")]).toEqual(["AL", "B", "?", "Å💚"]);
    expect(paging(25, 25, 60)).toEqual({ from: 26, to: 50, before: 0, after: 50 });
    expect(paging(0, 25, 0)).toEqual({ from: 0, to: 0, before: null, after: null });
  });
});

describe("addresses", () => {
  it("lead to pages and back", () => {
    const hash = pageHash("leaderboard", [], { game: "tic_tac_toe", season: "" });
    expect(hash).toBe("#/leaderboard?game=tic_tac_toe");
    const at = parse(hash);
    expect(at.at === "page" && at.page === "leaderboard" && at.query.get("game")).toBe("tic_tac_toe");
    const played = parse(pageHash("played", ["V1StGXR8Z.1"]));
    expect(played.at === "page" && played.rest).toEqual(["V1StGXR8Z.1"]);
    expect(parse("#/nowhere").at).toBe("lost");
    expect(parse("#/player/%E0%A4%A").at).toBe("page");
  });

  it("come back only within the arcade", () => {
    expect(backTo("#/profile")).toBe("#/profile");
    for (const elsewhere of [null, "", "https://evil.example", "//evil.example", "javascript:alert(1)", "#x y"]) expect(backTo(elsewhere)).toBe("#/");
  });

  it("are pasted for games only", () => {
    expect(pasted("http://here/#/room/abcd1234")).toEqual({ at: "room", id: "abcd1234" });
    expect(pasted("http://here/#/profile")).toBeNull();
  });
});

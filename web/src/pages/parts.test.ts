import { describe, expect, it } from "vitest";
import { boardOf } from "./evidence";
import { read } from "./live-board";
import { blocks } from "./markdown";

describe("Markdown", () => {
  it("is paragraphs, lists and headings", () => {
    expect(blocks("# One\nTwo\nthree\n\n- a\n- b\n  more\n\n1. c").map((block) => block.kind)).toEqual(["heading", "paragraph", "list", "list"]);
    expect(blocks("Two\nlines")).toEqual([{ kind: "paragraph", inline: [{ kind: "text", text: "Two lines" }] }]);
    const [list] = blocks("- a\n- b\n  more");
    expect(list?.kind === "list" && list.items.map((item) => item.map((part) => part.text).join(""))).toEqual(["a", "b more"]);
    expect(blocks(" \n\n ")).toEqual([]);
  });

  it("knows bold, code and links, and leads nowhere unsafe", () => {
    expect(blocks("a **b** `c` [d](https://e.example) [f](#/help/g)")[0]).toEqual({ kind: "paragraph", inline: [
      { kind: "text", text: "a " }, { kind: "bold", text: "b" }, { kind: "text", text: " " }, { kind: "code", text: "c" }, { kind: "text", text: " " },
      { kind: "link", text: "d", href: "https://e.example" }, { kind: "text", text: " " }, { kind: "link", text: "f", href: "#/help/g" }] });
    for (const href of ["javascript:alert", "data:text/html,x", "//evil.example", "/auth/logout"]) {
      expect(blocks(`[x](${href})`)[0]).toEqual({ kind: "paragraph", inline: [{ kind: "text", text: `[x](${href})` }] });
    }
    expect(blocks("<b>bold</b>")[0]).toMatchObject({ inline: [{ kind: "text", text: "<b>bold</b>" }] });
  });
});

describe("emphasis", () => {
  const kinds = (text: string) => blocks(text).flatMap((block) => (block.kind === "list" ? block.items.flat() : block.inline)).map((part) => [part.kind, part.text]);

  it("is what stands between single asterisks", () => {
    expect(kinds("Choose *Delete the account*, and *x*.")).toEqual([
      ["text", "Choose "], ["emphasis", "Delete the account"], ["text", ", and "], ["emphasis", "x"], ["text", "."]]);
    expect(kinds("**a** *b*")).toEqual([["bold", "a"], ["text", " "], ["emphasis", "b"]]);
    expect(kinds("* a *b* c")).toEqual([["text", "a "], ["emphasis", "b"], ["text", " c"]]);
  });

  it("is not made of sums, of stars alone, or in code", () => {
    for (const text of ["2*3*4", "2 * 3 * 4", "a * b", "*", "***", "f*(x)*g", "snake*case"]) expect(kinds(text)).toEqual([["text", text]]);
    expect(kinds("`*a*`")).toEqual([["code", "*a*"]]);
    expect(kinds("*<b>x</b>*")).toEqual([["emphasis", "<b>x</b>"]]);
  });
});

describe("evidence", () => {
  it("is a board of a room's state", () => {
    const seen = boardOf({ state: { board: [1, 0, 2, 0, 0, 0, 0, 0, 0], turn: 1, players: { s1: { name: "Ada", mark: 1, connected: false }, s2: { name: "Bob", mark: 2 } } } });
    expect(seen).toEqual({ cells: ["X", "", "O", "", "", "", "", "", ""], facts: ["O: Bob", "X: Ada (away)", "X is to move"] });
  });

  it("is a board of a game that was kept", () => {
    const seen = boardOf({ game: { board: [["X", null, "O"], [null, "X", null], ["O", null, "X"]], players: [{ mark: "X", name: "Ada" }], reason: "line" } });
    expect(seen).toEqual({ cells: ["X", "", "O", "", "X", "", "O", "", "X"], facts: ["X: Ada", "Ended: line"] });
  });

  it("is left as it is for anything else", () => {
    for (const position of [null, 7, {}, { state: { ships: [] } }, { game: { board: "x" } }, { tooLarge: 9 }]) expect(boardOf(position)).toBeNull();
  });
});

describe("a live board", () => {
  const row = { rank: 1, userId: "u", name: "Ada", region: "", gamesPlayed: 5, gamesWon: 5, gamesLost: 0, gamesDrawn: 0, winPercentage: 100, currentStreak: 5, bestStreak: 5, rating: 1700, ratingDeviation: 150 };

  it("is nothing before rows were brought, and then as the services say it", () => {
    expect(read(undefined)).toBeNull();
    expect(read({ rows: [], total: 0, stale: true, asOf: 0 })).toBeNull();
    const live = read({ rows: [row], total: 1, stale: false, asOf: Date.parse("2026-01-31T12:00:00Z") });
    expect(live).toMatchObject({ total: 1, stale: false, asOf: "2026-01-31T12:00:00.000Z" });
    expect(live?.rows[0]).toEqual({ ...row, region: null });
  });
});

import { describe, expect, it } from "vitest";
import { Countdown, clockText } from "./countdown";
import { farewell, sentence } from "./errors";
import { parse, pasted, roomHash } from "./route";

describe("countdown", () => {
  it("counts down and never below zero", () => {
    const clock = new Countdown();
    expect(clock.left(0)).toBeNull();
    clock.update({ game: 1, moves: 0, clock: 30_000 }, 1_000);
    expect(clock.left(11_000)).toBe(20_000);
    expect(clock.left(99_000)).toBe(0);
  });

  it("starts over at a move, at a new value and after a reconnection, not at other changes", () => {
    const clock = new Countdown();
    clock.update({ game: 1, moves: 0, clock: 30_000 }, 0);
    clock.update({ game: 1, moves: 0, clock: 30_000 }, 9_000);
    expect(clock.left(10_000)).toBe(20_000);
    clock.update({ game: 1, moves: 1, clock: 30_000 }, 10_000);
    expect(clock.left(10_000)).toBe(30_000);
    clock.update({ game: 1, moves: 1, clock: 12_345 }, 20_000);
    expect(clock.left(20_000)).toBe(12_345);
    clock.restart();
    clock.update({ game: 1, moves: 1, clock: 12_345 }, 30_000);
    expect(clock.left(30_000)).toBe(12_345);
  });

  it("stops at the end", () => {
    const clock = new Countdown();
    clock.update({ game: 1, moves: 4, clock: 30_000 }, 0);
    clock.update({ game: 1, moves: 5, clock: 0 }, 5);
    expect(clock.left(6)).toBeNull();
  });

  it("is shown in whole seconds, rounded up", () => {
    expect([0, 1, 1000, 29_500, 61_000].map(clockText)).toEqual(["0:00", "0:01", "0:01", "0:30", "1:01"]);
  });
});

describe("route", () => {
  it("reads the address", () => {
    expect(parse("")).toEqual({ at: "home" });
    expect(parse("#/room/abc-_1234")).toEqual({ at: "room", id: "abc-_1234", watch: false });
    expect(parse("#/room/abc-_1234/watch")).toEqual({ at: "room", id: "abc-_1234", watch: true });
    for (const home of ["#", "#/", "#main"]) expect(parse(home)).toEqual({ at: "home" });
    for (const lost of ["#/room/../evil", "#/room", "#/nonsense", "#/spaaace/x/watch"]) expect(parse(lost)).toEqual({ at: "lost" });
    expect(parse(roomHash("abcd12345", true))).toEqual({ at: "room", id: "abcd12345", watch: true });
  });

  it("takes an id or a link", () => {
    expect(pasted(" abcd12345 ")).toEqual({ at: "room", id: "abcd12345" });
    expect(pasted("http://127.0.0.1:2567/#/room/abcd12345/watch")).toEqual({ at: "room", id: "abcd12345" });
    expect(pasted("http://127.0.0.1:2567/#/spaaace/abcd12345")).toEqual({ at: "arena", id: "abcd12345" });
    expect(pasted("http://127.0.0.1:2567/")).toBeNull();
    expect(pasted("<script>")).toBeNull();
    expect(pasted("")).toBeNull();
  });
});

it("has a sentence for every code and one for none", () => {
  expect(sentence(4301)).toBe("That cell is taken.");
  expect(sentence(9999, "from the server")).toBe("from the server");
  expect(sentence(undefined)).toContain("cannot be reached");
  expect(farewell(4000)).toBe("");
  expect(farewell(4003)).not.toBe("");
});

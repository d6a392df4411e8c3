import { beforeEach, describe, expect, it, vi } from "vitest";
import { type Kept, MOST_AGE_MS, all, drop, keep, kept, read } from "./kept";

const NOW = 1_800_000_000_000;
const seat = (more: Partial<Kept> = {}): Kept => ({ room: "abcd", kind: "tic_tac_toe", token: "abcd:token", who: "ada", at: NOW, ...more });

describe("seats that outlive their tab", () => {
  beforeEach(() => {
    const entries: Record<string, unknown> = {};
    const hidden = (name: string, value: unknown) => Object.defineProperty(entries, name, { value, enumerable: false });
    hidden("getItem", (key: string) => (Object.hasOwn(entries, key) ? entries[key] : null));
    hidden("setItem", (key: string, value: string) => void (entries[key] = value));
    hidden("removeItem", (key: string) => void delete entries[key]);
    vi.stubGlobal("localStorage", entries);
  });

  it("are found again by whoever had them, for a while", () => {
    keep(seat());
    expect(kept("abcd", "ada", NOW + 60_000)?.token).toBe("abcd:token");
    expect(kept("abcd", "bob", NOW)).toBe(null);
    expect(kept("abcd", null, NOW)).toBe(null);
    expect(kept("abcd", "ada", NOW + MOST_AGE_MS)).toBe(null);
    expect(kept("efgh", "ada", NOW)).toBe(null);
    drop("abcd");
    expect(kept("abcd", "ada", NOW)).toBe(null);
  });

  it("are listed with the last one first, and cleared away when they are old", () => {
    keep(seat({ at: NOW - 5000 }));
    keep(seat({ room: "line1", kind: "line" }));
    keep(seat({ room: "bobs", who: "bob" }));
    keep(seat({ room: "old1", at: NOW - MOST_AGE_MS }));
    localStorage.setItem("everplay.kept.torn", "{");
    localStorage.setItem("everplay.name", "Ada");
    expect(all("ada", NOW).map(({ room }) => room)).toEqual(["line1", "abcd"]);
    expect(Object.keys(localStorage).sort()).toEqual(["everplay.kept.abcd", "everplay.kept.bobs", "everplay.kept.line1", "everplay.name"]);
  });

  it("are nothing that a storage could not have been told", () => {
    for (const text of [null, "", "null", "7", "[]", "{}", JSON.stringify(seat({ token: 1 as never })), JSON.stringify(seat({ kind: "chess" as never })), JSON.stringify(seat({ at: "now" as never }))]) {
      expect(read(text, "ada", NOW)).toBe(null);
    }
  });
});

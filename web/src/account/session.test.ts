import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

/** A browser's storage and locks, as far as the session needs them. */
class Store {
  #items = new Map<string, string>();
  getItem = (key: string) => this.#items.get(key) ?? null;
  setItem = (key: string, value: string) => void this.#items.set(key, value);
  removeItem = (key: string) => void this.#items.delete(key);
}

const TOKEN = "colyseus-auth-token";
const tokens = (token: string, expiresIn = 900) => ({ token, refreshToken: `r-${token}`, expiresIn, user: { id: "u1", displayName: "Ada", roles: ["player", 7] } });
const json = (status: number, body: unknown) => new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json" } });

let asked: string[];
let respond: (body: { refreshToken: string }) => Promise<Response>;

async function session() {
  vi.resetModules();
  return import("./session");
}

beforeEach(() => {
  asked = [];
  vi.stubGlobal("localStorage", new Store());
  vi.stubGlobal("navigator", {});
  vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
    asked.push(url);
    return respond(init.body ? JSON.parse(String(init.body)) : {});
  });
});
afterEach(() => vi.unstubAllGlobals());

describe("session", () => {
  it("keeps the token where the SDK looks for it, and survives a reload", async () => {
    const first = await session();
    first.enter(tokens("a"));
    expect(localStorage.getItem(TOKEN)).toBe("a");
    const second = await session();
    expect(second.user()).toMatchObject({ id: "u1", displayName: "Ada", roles: ["player"], email: null });
    expect(await second.freshToken()).toBe("a");
    expect(asked).toEqual([]);
  });

  it("renews a token that is about to end, once for all who ask", async () => {
    const here = await session();
    here.enter(tokens("a", 30));
    respond = async ({ refreshToken }) => json(200, tokens(refreshToken === "r-a" ? "b" : "wrong"));
    expect(await Promise.all([here.freshToken(), here.freshToken(), here.freshToken()])).toEqual(["b", "b", "b"]);
    expect(asked).toEqual(["/auth/refresh"]);
  });

  it("takes what another tab got", async () => {
    const here = await session();
    here.enter(tokens("a", 30));
    const other = await session();
    respond = async () => json(200, tokens("b"));
    await other.freshToken();
    expect(await here.freshToken()).toBe("b");
    expect(asked.length).toBe(1);
  });

  it("ends when the login has ended, and says why", async () => {
    const here = await session();
    const heard = vi.fn();
    here.enter(tokens("a", 30));
    here.onChange(heard);
    respond = async () => json(401, { error: { code: "WRONG_CODE", message: "", details: null } });
    expect(await here.freshToken()).toBeNull();
    expect(here.user()).toBeNull();
    expect(localStorage.getItem(TOKEN)).toBeNull();
    expect(heard).toHaveBeenCalledWith(null, expect.objectContaining({ code: "WRONG_CODE" }));
  });

  it("stays in while the server is away", async () => {
    const here = await session();
    here.enter(tokens("a", 30));
    respond = async () => json(503, { error: { code: "UNAVAILABLE", message: "", details: null } });
    expect(await here.freshToken()).toBe("a");
    respond = () => Promise.reject(new TypeError("refused"));
    expect(await here.freshToken()).toBe("a");
    expect(here.user()?.id).toBe("u1");
  });

  it("believes nothing that storage says without its form", async () => {
    localStorage.setItem(TOKEN, "a");
    for (const kept of ["", "null", "[]", "{", '{"user":{},"refresh":1,"until":2}']) {
      localStorage.setItem("everplay.session", kept);
      expect((await session()).user()).toBeNull();
    }
  });
});

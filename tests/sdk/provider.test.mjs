// Signing in elsewhere, against a real OpenID Connect provider (oidc-provider): the whole way of the browser, and what
// becomes of it when somebody interferes.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import Provider from "oidc-provider";
import { Browser } from "./support/browser.mjs";
import { Server } from "./support/server.mjs";

const GAME = "https://game.example";

let server;
let house;
let issuer;

before(async () => {
  house = createServer((request, response) => house.provider(request, response));
  house.listen(0, "127.0.0.1");
  await once(house, "listening");
  issuer = `http://127.0.0.1:${house.address().port}`;
  server = await Server.start("--oidc-login", `house ${issuer} everplay a-secret/with+signs`, "--web-origins", GAME);
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "everplay",
        client_secret: "a-secret/with+signs",
        redirect_uris: [`${server.url}/auth/provider/house/callback`],
      },
    ],
    pkce: { required: () => true },
    claims: { profile: ["name", "picture"], email: ["email", "email_verified"] },
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: true } },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        name: `${id} of the house`,
        email: `${id}@house.example`,
        email_verified: !id.startsWith("unverified"),
      }),
    }),
  });
  house.provider = provider.callback();
});

after(async () => {
  await server.remove();
  house.close();
});

const begin = (token) => `${server.url}/auth/provider/house${token ? `?token=${token}` : ""}`;

/** Goes the whole way as somebody of the house; returns what the page tells its opener, and which one. */
async function signIn(login, { token, browser = new Browser(), referer } = {}) {
  return outcome(await arrive(await browser.open(begin(token), {}, referer), login, browser));
}

/** Through the provider's pages, until it sends the browser back. */
async function arrive(page, login, browser) {
  for (let pages = 0; pages < 5 && page.url.startsWith(issuer); pages += 1) {
    const wantsLogin = page.text.includes('name="login"');
    page = await browser.submit(page, wantsLogin ? { login, password: "whatever" } : {});
  }
  return page;
}

function outcome(page) {
  const attribute = (name) => {
    const text = new RegExp(`data-${name}="([^"]*)"`).exec(page.text)?.[1];
    assert.ok(text !== undefined, `${page.status} ${page.url}: ${page.text}`);
    const marks = { "&quot;": '"', "&amp;": "&", "&lt;": "<", "&gt;": ">", "&#39;": "'" };
    return text.replace(/&(quot|amp|lt|gt|#39);/g, (mark) => marks[mark]);
  };
  assert.match(page.headers.get("content-security-policy"), /script-src 'self'/);
  return { ...JSON.parse(attribute("outcome")), target: attribute("target") };
}

async function ask(method, path, token, body) {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await fetch(server.url + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, json: text ? JSON.parse(text) : undefined };
}

test("somebody new gets an account, and the same one the next time", async () => {
  assert.deepEqual((await ask("GET", "/auth/providers")).json, ["house"]);
  const first = await signIn("ada");
  assert.equal(first.user.displayName, "ada of the house");
  assert.deepEqual([first.user.email, first.user.emailConfirmed, first.user.anonymous], ["ada@house.example", true, false]);
  assert.equal((await ask("GET", "/account", first.token)).json.id, first.user.id);
  const second = await signIn("ada");
  assert.equal(second.user.id, first.user.id);
  assert.notEqual(second.token, first.token);
  assert.notEqual((await signIn("bob")).user.id, first.user.id);
});

test("the outcome is told to our own page and to named ones, and to nobody else", async () => {
  assert.equal((await signIn("ada")).target, server.url);
  assert.equal((await signIn("ada", { referer: `${GAME}/play` })).target, GAME);
  for (const evil of ["https://evil.example/", `${GAME}.evil.example/`, "https://evil.example/https://game.example"]) {
    assert.equal((await signIn("ada", { referer: evil })).target, server.url, evil);
  }
});

test("a guest becomes a member and keeps its account", async () => {
  const guest = (await ask("POST", "/auth/anonymous", undefined, { options: { level: 3 } })).json;
  const member = await signIn("carol", { token: guest.token });
  assert.equal(member.user.id, guest.user.id);
  assert.deepEqual([member.user.anonymous, member.user.level], [false, 3]);
  assert.equal((await ask("GET", "/account", guest.token)).status, 401, "the guest's token is void");
  assert.equal((await signIn("carol")).user.id, guest.user.id);
});

test("an identity is linked and unlinked, and opens one account only", async () => {
  const email = "dan@elsewhere.example";
  const dan = (await ask("POST", "/auth/register", undefined, { email, password: "correct horse battery" })).json;
  assert.equal((await signIn("dan", { token: dan.token })).user.id, dan.user.id);
  const linked = (await ask("GET", "/account/identities", dan.token)).json;
  assert.deepEqual(linked.map(({ provider, subject }) => [provider, subject]), [["house", "dan"]]);
  const eve = (await ask("POST", "/auth/register", undefined, { email: "eve@elsewhere.example", password: "correct horse battery" })).json;
  assert.equal((await signIn("dan", { token: eve.token })).error, "identity_already_linked");
  assert.equal((await ask("DELETE", "/account/identities/house", dan.token)).status, 204);
  assert.notEqual((await signIn("dan")).user.id, dan.user.id);
  const only = await signIn("frank");
  assert.equal((await ask("DELETE", "/account/identities/house", only.token)).status, 409, "nothing else opens it");
});

test("an address opens nothing: neither ours by theirs nor theirs by ours", async () => {
  const email = "grace@house.example";
  const squatter = (await ask("POST", "/auth/register", undefined, { email, password: "correct horse battery" })).json;
  const grace = await signIn("grace");
  assert.notEqual(grace.user.id, squatter.user.id);
  assert.equal(grace.user.email, null, "the address is somebody's here");
  const unverified = await signIn("unverified-heidi");
  assert.equal(unverified.user.email, null);
});

test("a callback that this browser did not begin is refused, and so is a second one", async () => {
  const browser = new Browser();
  const back = await arrive(await browser.open(begin()), "ivan", browser);
  assert.ok(outcome(back).token);
  const callback = browser.visited.at(-1).replace("GET ", "");
  assert.equal(outcome(await browser.open(callback)).error, "begin_again", "once");
  // Somebody else's code and state, in a browser that has begun another sign-in, or none.
  const attacker = new Browser();
  let page = await attacker.open(begin());
  const login = await attacker.submit(page, { login: "mallory", password: "x" });
  const consent = await fetchBack(attacker, login);
  const victim = new Browser();
  assert.equal(outcome(await victim.open(consent)).error, "begin_again", "login CSRF");
  await victim.open(begin());
  assert.equal(outcome(await victim.open(consent)).error, "begin_again", "another browser's cookie");
  for (const change of [
    (url) => url.searchParams.set("state", "invented"),
    (url) => url.searchParams.delete("state"),
    (url) => url.searchParams.set("iss", "https://evil.example"),
    (url) => url.searchParams.set("code", "invented"),
  ]) {
    const tried = new Browser();
    const begun = await tried.open(begin());
    const url = new URL(await fetchBack(tried, await tried.submit(begun, { login: "judy", password: "x" })));
    change(url);
    const failed = outcome(await tried.open(url.href));
    assert.ok(failed.error && failed.token === null, `${url.search}: ${JSON.stringify(failed)}`);
  }
});

/** Presses the last button without following the browser back; returns where it would have gone. */
async function fetchBack(browser, page) {
  const open = browser.open;
  let callback;
  browser.open = async function (url, init) {
    const real = globalThis.fetch;
    globalThis.fetch = async (target, options) => {
      if (String(target).includes("/callback?")) {
        callback = String(target);
        return new Response("", { status: 200 });
      }
      return real(target, options);
    };
    try {
      return await open.call(this, url, init);
    } finally {
      globalThis.fetch = real;
    }
  };
  for (let pages = 0; pages < 5 && callback === undefined; pages += 1) page = await browser.submit(page);
  browser.open = open;
  return callback;
}

test("another site cannot have a browser link its owner's identity to the wrong account", async () => {
  const mallory = (await ask("POST", "/auth/anonymous", undefined, { options: { name: "<b>Mallory</b>" } })).json;
  const browser = new Browser();
  const page = await browser.open(begin(mallory.token), { headers: { "sec-fetch-site": "cross-site" } });
  assert.equal(page.url, begin(mallory.token), "it asks first");
  assert.match(page.text, /&lt;b&gt;Mallory/);
  const forged = await fetch(begin(), { method: "POST", headers: { "sec-fetch-site": "cross-site" }, body: new URLSearchParams({ token: mallory.token }) });
  assert.equal(forged.status, 403);
  const agreed = outcome(await arrive(await browser.submit(page), "karl", browser));
  assert.equal(agreed.user.id, mallory.user.id, "whoever presses the button means it");
});

test("the provider is asked with PKCE, state and nonce, and the cookie is the browser's alone", async () => {
  const answer = await fetch(begin(), { redirect: "manual" });
  const url = new URL(answer.headers.get("location"));
  assert.equal(url.searchParams.get("code_challenge_method"), "S256");
  for (const name of ["state", "nonce", "code_challenge"]) assert.equal(url.searchParams.get(name).length, 43, name);
  assert.equal(url.searchParams.get("redirect_uri"), `${server.url}/auth/provider/house/callback`);
  assert.match(answer.headers.get("set-cookie"), /HttpOnly; SameSite=Lax/);
  const unknown = await ask("GET", "/auth/provider/nobody");
  assert.deepEqual([unknown.status, unknown.json.error.code], [404, "NOT_FOUND"]);
  const origins = await ask("POST", "/auth/login", undefined, { provider: "house" });
  assert.ok(origins.json.url.startsWith(issuer));
});

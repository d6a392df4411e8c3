// Accounts with the official SDK's `client.auth`, as it is: guests, passwords, upgrades, and rooms that know who plays.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client as Client17 } from "sdk17";
import { Client as Client18 } from "sdk18";
import { Player, sendEveryoneHome } from "./support/player.mjs";
import { Server } from "./support/server.mjs";
import { until } from "./support/until.mjs";

const PASSWORD = "correct horse battery";

/** Close code of a socket whose login was ended. */
const SIGNED_OUT = 4105;

let server;
let names = 0;

before(async () => (server = await Server.start()));
after(async () => {
  sendEveryoneHome();
  await server.remove();
});

const address = () => `player${(names += 1)}@sdk.example`;

/** Plain requests, as a page beside the SDK makes them. */
async function ask(method, path, token, body) {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await fetch(server.url + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, json: text ? JSON.parse(text) : undefined };
}

/** A client that is not signed in: the SDK shares one storage for tokens between all clients of a process. */
async function nobody(Client) {
  const client = new Client(server.url);
  await client.auth.signOut();
  return client;
}

const play = (client) => client.joinOrCreate("known").then((room) => new Player(room));

for (const [generation, Client] of [["0.18", Client18], ["0.17", Client17]]) {
  describe(`client.auth of ${generation}`, () => {
    test("a guest comes, plays under its name, and becomes a member who keeps all", async () => {
      const client = new Client(server.url);
      const guest = await client.auth.signInAnonymously({ name: "Ada", level: 3 });
      assert.equal(guest.user.anonymous, true);
      assert.equal(guest.user.anonymousId, guest.user.id);
      assert.deepEqual([guest.user.displayName, guest.user.level], ["Ada", 3]);
      assert.equal(client.auth.token, guest.token);
      assert.deepEqual((await client.auth.getUserData()).user, guest.user);

      const ada = await play(client);
      ada.send("who", null);
      const identity = await ada.hears("who");
      assert.deepEqual([identity.id, identity.name, identity.guest], [guest.user.id, "Ada", true]);

      const email = address();
      const member = await client.auth.registerWithEmailAndPassword(email, PASSWORD, { city: "London" });
      assert.equal(member.user.id, guest.user.id, "the history stays");
      assert.deepEqual([member.user.anonymous, member.user.email, member.user.city], [false, email, "London"]);
      ada.send("who", null);
      await ada.hears("who");
      assert.equal(ada.left, undefined, "the game that is played goes on");
      assert.equal((await ask("GET", "/auth/userdata", guest.token)).status, 401, "the guest's token is void");
    });

    test("an account is registered, signed in to and signed out of, and its sockets with it", async () => {
      const email = address();
      const client = new Client(server.url);
      await client.auth.registerWithEmailAndPassword(email, PASSWORD);
      const other = new Client(server.url);
      const changes = [];
      other.auth.onChange((change) => changes.push(change));
      const in_ = await other.auth.signInWithEmailAndPassword(email.toUpperCase(), PASSWORD);
      assert.equal(in_.user.email, email);
      assert.equal(changes.at(-1).user.id, in_.user.id);
      const seat = await play(other);
      seat.room.reconnection && (seat.room.reconnection.enabled = false);
      const out = await ask("POST", "/auth/logout", other.auth.token);
      assert.equal(out.status, 204);
      await until("the socket is closed", () => seat.left !== undefined);
      assert.equal(seat.left[0], SIGNED_OUT);
      await assert.rejects(play(other), { code: 525 });
      await assert.rejects(other.auth.getUserData(), { code: 401 });
      assert.equal((await client.auth.getUserData()).user.email, email, "only that login ended");
    });

    test("what is wrong is said in the SDK's words", async () => {
      const email = address();
      const client = new Client(server.url);
      await client.auth.registerWithEmailAndPassword(email, PASSWORD);
      const refused = (promise) => promise.then(() => assert.fail("taken"), (error) => [error.code, error.message]);
      assert.deepEqual(await refused(new Client(server.url).auth.registerWithEmailAndPassword(email, PASSWORD)), [
        401,
        "email_already_in_use",
      ]);
      assert.deepEqual(await refused(client.auth.registerWithEmailAndPassword("no address", PASSWORD)), [
        400,
        "email_malformed",
      ]);
      assert.deepEqual(await refused(client.auth.registerWithEmailAndPassword(address(), "short")), [
        400,
        "password_too_short",
      ]);
      const wrong = [401, "invalid_credentials"];
      assert.deepEqual(await refused(client.auth.signInWithEmailAndPassword(email, "not the password")), wrong);
      assert.deepEqual(await refused(client.auth.signInWithEmailAndPassword(address(), PASSWORD)), wrong);
      assert.equal(await client.auth.sendPasswordResetEmail(email), true);
      assert.equal(await client.auth.sendPasswordResetEmail(address()), true, "nobody learns who has an account");
    });

    test("a room that wants to know its players refuses strangers", async () => {
      const stranger = await nobody(Client);
      await assert.rejects(play(stranger), { code: 525 });
      stranger.auth.token = "not one of ours";
      await assert.rejects(play(stranger), { code: 525 });
      const anywhere = new Player(await stranger.joinOrCreate("echo"));
      assert.ok(anywhere.id, "other rooms take anybody");
    });
  });
}

describe("beside the SDK", () => {
  test("tokens are renewed once, and a copied one ends the login", async () => {
    const { json: guest } = await ask("POST", "/auth/anonymous", undefined, { options: {} });
    const next = await ask("POST", "/auth/refresh", undefined, { refreshToken: guest.refreshToken });
    assert.equal(next.status, 200);
    assert.notEqual(next.json.refreshToken, guest.refreshToken);
    const client = new Client18(server.url);
    client.auth.token = next.json.token;
    assert.equal((await client.auth.getUserData()).user.id, guest.user.id);
    const wrong = await ask("POST", "/auth/refresh", undefined, { refreshToken: "copied" });
    assert.deepEqual([wrong.status, wrong.json.error.code], [401, "WRONG_CODE"]);
    assert.equal(wrong.json.error.requestId, wrong.headers.get("x-request-id"));
  });

  test("accounts and logins outlive the process, also a killed one", async () => {
    const client = new Client18(server.url);
    const email = address();
    const { user } = await client.auth.registerWithEmailAndPassword(email, PASSWORD);
    await server.kill();
    await server.restart();
    assert.equal((await client.auth.getUserData()).user.id, user.id);
    const again = await new Client18(server.url).auth.signInWithEmailAndPassword(email, PASSWORD);
    assert.equal(again.user.id, user.id);
    assert.ok((await play(client)).id);
  });

  test("the document describes what is served", async () => {
    const { json } = await ask("GET", "/openapi.json");
    assert.equal(json.openapi, "3.1.0");
    for (const path of ["/auth/login", "/auth/logout", "/users/{id}", "/account/logins"]) assert.ok(json.paths[path], path);
    const page = await fetch(`${server.url}/docs/api`);
    assert.match(page.headers.get("content-security-policy"), /script-src 'self'/);
  });
});

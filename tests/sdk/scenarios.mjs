// What players of every SDK generation live through. Each generation's file plays these scenes with its own
// SDK and its own way of watching the state; where a generation cannot do something, the scene says so.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { MORE, RECORDED } from "./payloads.mjs";
import { Link } from "./support/link.mjs";
import { Player, refusal, sendEveryoneHome } from "./support/player.mjs";
import { Server } from "./support/server.mjs";
import { until } from "./support/until.mjs";

// The SDKs report closed connections, and what they do not know; both is what these tests are about.
console.warn = console.info = () => {};

/** The codes of the wire that the scenes expect. */
const CODE = {
  consented: 4000,
  roomFailed: 4104,
  noHandler: 520,
  noRoom: 521,
  noSuchRoom: 522,
  unhandled: 523,
  expired: 524,
  authFailed: 525,
  applicationError: 526,
  invalidPayload: 4217,
};

/**
 * Plays all scenes.
 *
 * `generation`: { name, Client, watch(room), comesBack, requests, pings, latency }. `watch` gives
 * { onAdd, onRemove } for a collection of the root and { listen } for a field of the root or of an instance.
 */
export function play(generation) {
  describe(`SDK ${generation.name}`, () => {
    let server;
    before(async () => (server = await Server.start()));
    after(async () => {
      sendEveryoneHome();
      await server.remove();
    });

    const table = (url = server.url) => new generation.Client(url);
    const create = async (kind, options, url) => new Player(await table(url).create(kind, options));
    const joinRoom = async (player, options, url) => new Player(await table(url).joinById(player.room.roomId, options));

    /** A player behind a line that can break. */
    async function onALink(scene, join, of = server) {
      const link = await Link.to(of);
      scene.after(() => link.close());
      return [await join(link.url), link];
    }

    /** After a drop: by itself where the SDK does, else as an application of that generation does it. */
    async function comeBack(player, link) {
      if (generation.comesBack) {
        await player.isBack(player.returns + 1);
        return player;
      }
      await player.gone();
      const client = table(link.url);
      // The server may still be starting.
      let room;
      await until("the player is back", async () => {
        room = await client.reconnect(player.room.reconnectionToken).catch(() => undefined);
        return room;
      });
      return new Player(room);
    }

    describe("joining", () => {
      test("a player gets a session, the state and a welcome", async () => {
        const ann = await create("world", { name: "Ann" });
        assert.match(ann.id, /^[\w-]{9,}$/);
        assert.match(ann.room.roomId, /^[\w-]{9,}$/);
        assert.equal(ann.room.name, "world");
        await ann.sees("the first state", (state) => state.players?.size === 1);
        const { name, connected, x, y } = ann.state.players.get(ann.id);
        assert.deepEqual({ name, connected, x, y }, { name: "Ann", connected: true, x: 1, y: 2 });
        assert.deepEqual([...ann.state.tags], ["a", "b"]);
        assert.equal(await ann.hears("welcome"), ann.id);
        assert.equal(await ann.leave(), CODE.consented);
      });

      test("joinOrCreate and join find the room that is there", async () => {
        const first = new Player(await table().joinOrCreate("pair", {}));
        const second = new Player(await table().join("pair", {}));
        assert.equal(first.room.roomId, second.room.roomId);
        const third = new Player(await table().joinOrCreate("pair", {}));
        assert.notEqual(third.room.roomId, first.room.roomId, "a full room takes nobody");
        for (const player of [first, second, third]) await player.leave();
      });

      test("rooms are matched by the fields their kind names", async () => {
        const [sea, land, sea2] = [
          new Player(await table().joinOrCreate("mapped", { map: "sea" })),
          new Player(await table().joinOrCreate("mapped", { map: "land" })),
          new Player(await table().joinOrCreate("mapped", { map: "sea" })),
        ];
        assert.equal(sea.room.roomId, sea2.room.roomId);
        assert.notEqual(sea.room.roomId, land.room.roomId);
        for (const player of [sea, land, sea2]) await player.leave();
      });

      test("a locked room takes nobody, a private one only by its id", async () => {
        const ann = await create("world", {});
        ann.send("hide", true);
        ann.send("all", "hidden");
        await ann.hears("all");
        const elsewhere = new Player(await table().joinOrCreate("world", {}));
        assert.notEqual(elsewhere.room.roomId, ann.room.roomId);
        await elsewhere.leave();
        const bob = await joinRoom(ann);
        ann.send("lock", true);
        ann.send("all", "locked");
        await ann.hears("all");
        assert.equal((await refusal(table().joinById(ann.room.roomId))).code, CODE.noSuchRoom);
        await bob.leave();
        await ann.leave();
      });

      test("the auth hook sees the token and decides", async () => {
        const client = table();
        assert.equal((await refusal(client.create("members"))).code, CODE.authFailed);
        client.auth.token = "bad";
        const bad = await refusal(client.create("members"));
        assert.equal(bad.code, 401);
        assert.match(bad.message, /bad token/);
        client.auth.token = "good";
        const member = new Player(await client.create("members"));
        member.send("who");
        assert.deepEqual(await member.hears("who"), { user: 1 });
        await member.leave();
      });
    });

    describe("refusals", () => {
      test("of a seat name their reason by code", async () => {
        const client = table();
        assert.equal((await refusal(client.joinOrCreate("nowhere"))).code, CODE.noHandler);
        assert.equal((await refusal(client.create("nowhere"))).code, CODE.noHandler);
        assert.equal((await refusal(client.join("refusing"))).code, CODE.noRoom);
        assert.equal((await refusal(client.joinById("nowhere"))).code, CODE.noSuchRoom);
        assert.equal((await refusal(client.joinById("no room!"))).code, CODE.noSuchRoom);
        const plain = await refusal(client.create("unborn"));
        assert.equal(plain.code, CODE.unhandled);
        assert.match(plain.message, /not today/);
        assert.equal((await refusal(client.create("unborn", { code: 477 }))).code, 477);
      });

      test("of the join hook arrive with its code", async () => {
        const own = await refusal(table().create("refusing", { code: 4333 }));
        assert.equal(own.code, 4333);
        assert.match(own.message, /not today/);
        assert.equal((await refusal(table().create("refusing"))).code, CODE.applicationError);
      });

      test("of a message arrive as an error and the player stays", async () => {
        const ann = await create("world", {});
        ann.send("refuse");
        assert.deepEqual(await ann.refused(), [4321, "a code of the game's own"]);
        ann.send("no such message", 1);
        assert.equal((await ann.refused())[0], CODE.invalidPayload);
        ann.send("move", "not a point");
        assert.equal((await ann.refused())[0], CODE.invalidPayload);
        ann.send("title", "still here");
        await ann.sees("the title", (state) => state.title === "still here");
        await ann.leave();
      });
    });

    describe("messages", () => {
      test("of every recorded payload come back equal", async () => {
        const ann = await create("echo");
        await exchange(ann, RECORDED);
        await ann.leave();
      });

      test("of more payloads come back equal", async () => {
        const ann = await create("echo");
        await exchange(ann, MORE);
        await ann.leave();
      });

      test("have types that are texts or numbers, and may be bare bytes", async () => {
        const ann = await create("echo");
        ann.send(42, "numeric type");
        assert.equal(await ann.hears(42), "numeric type");
        ann.send("ünïcode type", 1);
        assert.equal(await ann.hears("ünïcode type"), 1);
        ann.room.sendBytes("bytes", new Uint8Array([9, 8, 7]));
        assert.deepEqual(plain(await ann.hears("bytes")), Buffer.from([9, 8, 7]));
        await ann.leave();
        const bob = await create("world");
        bob.send("raw");
        assert.deepEqual(plain(await bob.hears("raw")), Buffer.from([1, 2, 3, 255]));
        await bob.leave();
      });

      test("go to all, to others, and after the patch they speak of", async () => {
        const ann = await create("world");
        const bob = await joinRoom(ann);
        ann.send("all", { to: "all" });
        assert.deepEqual(await ann.hears("all"), { to: "all" });
        assert.deepEqual(await bob.hears("all"), { to: "all" });
        ann.send("others", 1);
        ann.send("all", 2);
        assert.equal(await bob.hears("others"), 1);
        await ann.hears("all");
        assert.ok(ann.received.every(([type]) => type !== "others"), "the sender is left out");
        const tickThen = new Promise((told) => bob.room.onMessage("after", () => told(bob.state.tick)));
        ann.send("after", 3);
        assert.equal(await tickThen, 1, "the patch came first");
        await ann.leave();
        await bob.leave();
      });

      test("of timers come when they are due", async () => {
        const ann = await create("world");
        ann.send("later", { ms: 50, text: "tea" });
        assert.equal(await ann.hears("alarm"), "tea");
        await ann.sees("what the timer did", (state) => state.title === "tea");
        await ann.leave();
      });
    });

    describe("state", () => {
      test("of every form follows its changes", async () => {
        const ann = await create("world", { name: "Ann" });
        const bob = await joinRoom(ann, { name: "Bob" });
        ann.send("place", { x: 0.1, y: -1e300 });
        ann.send("item", "lamp");
        ann.send("score", { name: "Ann", points: -5 });
        ann.send("lead", "Ann");
        for (const value of [3, 1, 2]) ann.send("cell", value);
        for (const name of ["x", "y"]) ann.send("bot", name);
        ann.send("insert-tag", { at: 1, tag: "between" });
        ann.send("insert-tag", { at: 0, tag: "first" });
        ann.send("untag", 1);
        ann.send("title", "set");
        for (const player of [ann, bob]) {
          await player.sees("everything", (state) => state.title === "set");
          const { place, scores, leader, players, board, bots, tags } = player.state;
          assert.deepEqual([place.x, place.y], [0.1, -1e300]);
          assert.deepEqual([...players.get(ann.id).items], ["lamp"]);
          assert.equal(scores.get("Ann"), -5);
          assert.equal(leader.name, "Ann");
          assert.deepEqual([...board].map((cell) => cell.value), [3, 1, 2]);
          assert.deepEqual([...bots.keys()].sort(), ["x", "y"]);
          assert.deepEqual([...tags], ["first", "between", "b"]);
        }
        ann.send("reverse");
        ann.send("unbot", "x");
        ann.send("lead", null);
        ann.send("score", { name: "Ann", points: 7 });
        ann.send("title", "changed");
        const late = await joinRoom(ann, { name: "Late" });
        for (const player of [ann, bob, late]) {
          await player.sees("the changes", (state) => state.title === "changed");
          assert.deepEqual([...player.state.board].map((cell) => cell.value), [2, 1, 3]);
          assert.deepEqual([...player.state.bots.keys()], ["y"]);
          assert.equal(player.state.leader ?? undefined, undefined);
          assert.equal(player.state.scores.get("Ann"), 7);
        }
        for (const player of [ann, bob, late]) await player.leave();
      });

      test("tells its watchers what came, changed and went", async () => {
        const ann = await create("world", { name: "Ann" });
        await ann.sees("itself", (state) => state.players?.size === 1);
        const seen = [];
        const watch = generation.watch(ann.room);
        watch.onAdd("players", (player, id) => {
          seen.push(["came", player.name]);
          watch.listen(player, "x", (x) => id === ann.id && seen.push(["x", x]));
        });
        watch.onRemove("players", (player) => seen.push(["went", player.name]));
        watch.listen(undefined, "title", (title) => title && seen.push(["title", title]));
        const bob = await joinRoom(ann, { name: "Bob" });
        const has = (...event) => until(`${event} is told`, () => seen.some((told) => String(told) === String(event)));
        await has("came", "Ann");
        await has("came", "Bob");
        ann.send("move", { x: 8, y: 9 });
        await has("x", 8);
        ann.send("title", "watched");
        await has("title", "watched");
        await bob.leave();
        await has("went", "Bob");
        await ann.leave();
      });

      test("shows each player its own hand and nobody the deck", async (scene) => {
        const [ann, annsLink] = await onALink(scene, (url) => create("world", {}, url));
        const [bob, bobsLink] = await onALink(scene, (url) => joinRoom(ann, {}, url));
        ann.send("draw", "ace of spades");
        bob.send("draw", "two of clubs");
        const cards = (state) => [...(state.hands?.values() ?? [])].map((hand) => hand.card);
        await ann.sees("its card", (state) => cards(state).length > 0);
        await bob.sees("its card", (state) => cards(state).length > 0);
        ann.send("whisper", "the butler");
        await ann.sees("the secret", (state) => state.secret === "the butler");
        ann.send("title", "dealt");
        await bob.sees("the title", (state) => state.title === "dealt");
        assert.deepEqual(cards(ann.state), ["ace of spades"]);
        assert.deepEqual(cards(bob.state), ["two of clubs"]);
        assert.ok(annsLink.heard("ace of spades"), "the line is listened to");
        for (const hidden of ["two of clubs", "deck of"]) assert.ok(!annsLink.heard(hidden), `Ann was sent ${hidden}`);
        for (const hidden of ["ace of spades", "the butler", "deck of"]) {
          assert.ok(!bobsLink.heard(hidden), `Bob was sent ${hidden}`);
        }
        assert.ok(!("deck" in ann.state.toJSON()), "the private field is not even declared");
        await ann.leave();
        await bob.leave();
      });
    });

    describe("leaving", () => {
      test("takes the player out of the others' state", async () => {
        const ann = await create("world");
        const bob = await joinRoom(ann);
        await ann.sees("both", (state) => state.players?.size === 2);
        assert.equal(await bob.leave(), CODE.consented);
        await ann.sees("itself alone", (state) => state.players.size === 1);
        await ann.leave();
      });

      test("of a kicked player is final", async () => {
        const ann = await create("world");
        const bob = await joinRoom(ann);
        ann.send("kick", { session: bob.id, code: 4000 });
        assert.equal(await bob.gone(), 4000);
        const eve = await joinRoom(ann);
        ann.send("kick", { session: eve.id, code: 4301 });
        assert.equal(await eve.gone(), 4301);
        await ann.sees("itself alone", (state) => state.players?.size === 1);
        assert.equal(bob.returns + eve.returns, 0, "nobody comes back from a kick");
        await ann.leave();
      });

      test("of everybody when the room ends", async () => {
        const ann = await create("world");
        const bob = await joinRoom(ann);
        ann.send("end");
        assert.equal(await ann.gone(), CODE.consented);
        assert.equal(await bob.gone(), CODE.consented);
        assert.equal((await refusal(table().joinById(ann.room.roomId))).code, CODE.noSuchRoom);
      });

      test("of everybody when the room fails twice, and of nobody else", async () => {
        const ann = await create("world");
        const elsewhere = await create("world");
        ann.send("fail");
        assert.equal(await ann.gone(), CODE.roomFailed);
        elsewhere.send("title", "unharmed");
        await elsewhere.sees("the title", (state) => state.title === "unharmed");
        await elsewhere.leave();
      });
    });

    describe("coming back", () => {
      test("after a dropped connection, to the same seat", async (scene) => {
        const [dropped, link] = await onALink(scene, (url) => create("world", { name: "Ann" }, url));
        const bob = await joinRoom(dropped, { name: "Bob" });
        await bob.sees("both", (state) => state.players?.size === 2);
        link.break();
        await bob.sees("that she is gone", (state) => state.players.get(dropped.id).connected === false);
        bob.send("title", "meanwhile");
        await bob.sees("the title", (state) => state.title === "meanwhile");
        link.mend();
        const ann = await comeBack(dropped, link);
        assert.equal(ann.id, dropped.id);
        await ann.sees("what happened meanwhile", (state) => state.title === "meanwhile");
        await bob.sees("her again", (state) => state.players.get(ann.id).connected === true);
        ann.send("title", "back");
        await bob.sees("what she does", (state) => state.title === "back");
        await ann.sees("what she does", (state) => state.title === "back");
        await ann.leave();
        await bob.leave();
      });

      test("finds no ghosts of what was removed meanwhile", async (scene) => {
        const [dropped, link] = await onALink(scene, (url) => create("world", { name: "Ann" }, url));
        const bob = await joinRoom(dropped, { name: "Bob" });
        for (const name of ["x", "y", "z"]) bob.send("bot", name);
        bob.send("score", { name: "x", points: 1 });
        bob.send("lead", "x");
        for (const value of [1, 2, 3]) bob.send("cell", value);
        await dropped.sees("all bots", (state) => state.bots?.size === 3 && state.board.length === 3);
        link.break();
        await bob.sees("that she is gone", (state) => state.players.get(dropped.id).connected === false);
        bob.send("unbot", "x");
        bob.send("unbot", "y");
        bob.send("bot", "new");
        bob.send("lead", null);
        for (const _ of ["a", "b"]) bob.send("untag", 0);
        bob.send("title", "swept");
        await bob.sees("the title", (state) => state.title === "swept");
        link.mend();
        const ann = await comeBack(dropped, link);
        await ann.sees("the title", (state) => state.title === "swept");
        assert.deepEqual([...ann.state.bots.keys()].sort(), ["new", "z"]);
        assert.deepEqual([...ann.state.tags], []);
        assert.deepEqual([...ann.state.board].map((cell) => cell.value), [1, 2, 3]);
        assert.equal(ann.state.leader ?? undefined, undefined);
        bob.send("unbot", "z");
        bob.send("cell", 4);
        await ann.sees("what comes next", (state) => state.bots.size === 1 && state.board.length === 4);
        assert.deepEqual([...ann.state.bots.keys()], ["new"]);
        await ann.leave();
        await bob.leave();
      });

      test("after the server was killed, to the same game", async (scene) => {
        const own = await Server.start();
        scene.after(() => own.remove());
        let ann = await create("world", { name: "Ann" }, own.url);
        let bob = await joinRoom(ann, { name: "Bob" }, own.url);
        ann.send("draw", "ace of spades");
        ann.send("move", { x: 5, y: 6 });
        ann.send("bot", "robot");
        ann.send("later", { ms: 1_500, text: "still due" });
        ann.send("title", "before");
        await bob.sees("the title", (state) => state.title === "before");
        await ann.sees("the title", (state) => state.title === "before");
        const room = ann.room.roomId;
        await own.kill();
        await own.restart();
        [ann, bob] = await Promise.all([comeBack(ann, own), comeBack(bob, own)]);
        assert.deepEqual([ann.room.roomId, bob.room.roomId], [room, room]);
        for (const player of [ann, bob]) {
          await player.sees("the game", (state) => state.title !== undefined && state.players?.size === 2);
          assert.equal(player.state.players.get(ann.id).x, 5);
          assert.deepEqual([...player.state.bots.keys()], ["robot"]);
        }
        assert.deepEqual([...ann.state.hands.values()].map((hand) => hand.card), ["ace of spades"]);
        assert.equal(bob.state.hands?.size ?? 0, 0);
        await bob.sees("both connected", (state) => [...state.players.values()].every((player) => player.connected));
        await bob.sees("the timer that was set before", (state) => state.title === "still due");
        ann.send("unbot", "robot");
        await bob.sees("what she does", (state) => state.bots.size === 0);
        assert.equal(await ann.leave(), CODE.consented);
        await bob.sees("itself alone", (state) => state.players.size === 1);
        assert.equal(await bob.leave(), CODE.consented);
      });

      test("after two kills in a row, with a third player joining between", async (scene) => {
        const own = await Server.start();
        scene.after(() => own.remove());
        let ann = await create("world", { name: "Ann" }, own.url);
        const room = ann.room.roomId;
        for (const round of [1, 2]) {
          ann.send("title", `round ${round}`);
          await ann.sees("the title", (state) => state.title === `round ${round}`);
          await own.kill();
          await own.restart();
          ann = await comeBack(ann, own);
          await ann.sees("the title", (state) => state.title === `round ${round}`);
          const guest = new Player(await table(own.url).joinById(room, { name: "Guest" }));
          await guest.sees("the game", (state) => state.title === `round ${round}` && state.players.size === 2);
          await guest.leave();
        }
        await ann.leave();
      });

      test("needs the token of the last visit", async (scene) => {
        const [dropped, link] = await onALink(scene, (url) => create("world", {}, url));
        const used = dropped.room.reconnectionToken;
        const [room] = used.split(":");
        assert.equal((await refusal(table().reconnect(`${room}:wrong`))).code, CODE.expired);
        link.drop();
        const ann = await comeBack(dropped, link);
        assert.notEqual(ann.room.reconnectionToken, used, "a token is used once");
        // The old one is good until the new one is known to have arrived, and this answer comes after that.
        ann.send("all", "here");
        assert.equal(await ann.hears("all"), "here");
        assert.equal((await refusal(table().reconnect(used))).code, CODE.expired);
        ann.send("all", "unharmed");
        assert.equal(await ann.hears("all"), "unharmed");
        await ann.leave();
        assert.ok((await refusal(table().reconnect(ann.room.reconnectionToken))).code >= CODE.noSuchRoom);
      });

      test("on another device closes the first connection", async () => {
        const first = await create("world", {});
        await first.sees("itself", (state) => state.players?.size === 1);
        if (first.room.reconnection) first.room.reconnection.enabled = false;
        const second = new Player(await table().reconnect(first.room.reconnectionToken));
        assert.equal(second.id, first.id);
        await second.sees("the room", (state) => state.players?.size === 1);
        await first.gone();
        second.send("all", "mine");
        assert.equal(await second.hears("all"), "mine");
        await second.leave();
      });
    });

    // Requests came with 0.18.
    if (generation.requests) {
      test("requests are answered, refused or fail", async () => {
        const { room } = await create("world");
        assert.equal(await room.request("add", { a: 2, b: 0.5 }), 2.5);
        assert.equal((await room.request("nothing")) ?? undefined, undefined);
        const no = await refusal(room.request("reject"));
        assert.match(JSON.stringify({ ...no, message: no.message }), /no, because/);
        assert.match(String((await refusal(room.request("unheard of"))).name), /no_handler/);
        assert.match(String((await refusal(room.request("add", "no sum"))).name), /invalid_payload/);
        assert.equal(await room.request("add", { a: 1, b: 1 }), 2);
        await room.leave();
      });
    }

    // Inputs came with 0.18; older players of the same room send messages.
    test("a car is driven, and goes on after the server was killed", async (scene) => {
      const own = await Server.start();
      scene.after(() => own.remove());
      const player = await create("track", {}, own.url);
      await player.sees("its car", (state) => state.cars?.get(player.id) !== undefined);
      const drive = (who) => {
        if (!generation.inputs) return who.send("steer", 1);
        const wheel = who.room.input();
        wheel.data.gas = false;
        wheel.data.steer = 1;
        wheel.send();
      };
      const car = (state) => state.cars?.get(player.id);
      for (let n = 0; n < 5; n++) drive(player);
      await player.sees("five moves", (state) => car(state)?.moves === 5 && car(state)?.x === 5);
      await own.kill();
      await own.restart();
      const back = await comeBack(player, own);
      await back.sees("its car where it was", (state) => car(state)?.moves === 5 && car(state)?.x === 5);
      drive(back);
      await back.sees("a sixth move", (state) => car(state)?.moves === 6 && car(state)?.x === 6);
      if (generation.inputs) assert.ok(back.room.clock.serverNow() > 0, "the server's time is known");
      await back.leave();
    });

    // Measuring came with 0.17.
    if (generation.pings) {
      test("pings come back", async () => {
        const { room } = await create("world");
        const ms = await new Promise((measured) => room.ping(measured));
        assert.ok(ms >= 0 && ms < 10_000, `${ms} ms`);
        await room.leave();
      });

      test("the latency of a server can be measured", async () => {
        const ms = await table().getLatency({ pingCount: 3 });
        assert.ok(ms >= 0 && ms < 10_000, `${ms} ms`);
      });
    }
  });
}

/** Sends each payload and compares what comes back. */
async function exchange(player, payloads) {
  for (const { payload } of payloads) player.send("echo", payload);
  for (const { payload, back } of payloads) {
    assert.deepStrictEqual(plain(await player.hears("echo")), plain(back), `sent ${String(payload).slice(0, 60)}`);
  }
}

/** Bytes compare as bytes: Node has a class of its own for them. */
function plain(value) {
  return value instanceof Uint8Array ? Buffer.from(value) : value;
}

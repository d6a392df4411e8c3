/**
 * Prediction over a bad line: the page's own code and the official SDK, in Node, against the real server behind a relay
 * with 100 ms each way and 2 % of packets lost. Measured is how far each patch moves the own ship from where the page
 * had flown it.
 */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Server } from "./arcade.js";
import { Relay } from "./relay.js";

const WEB = fileURLToPath(new URL("../../web", import.meta.url));
const SECONDS = 30;

let server;
let relay;
let vite;

/** The same numbers in every run; what the machine's timers add is not. */
function random(seed) {
  let state = seed;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

before(async () => {
  server = await Server.start();
  relay = await Relay.to(server.port, { delay: 100, loss: 0.02, chance: random(1) });
  // What the page's code expects of a browser.
  const kept = new Map();
  globalThis.location = new URL(relay.url);
  globalThis.navigator ??= {};
  globalThis.sessionStorage = globalThis.localStorage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
  const { createServer } = await import(createRequire(`${WEB}/package.json`).resolve("vite"));
  vite = await createServer({
    root: WEB, configFile: false, appType: "custom", logLevel: "error",
    server: { middlewareMode: true, hmr: false, ws: false, watch: null }, optimizeDeps: { noDiscovery: true },
  });
});

after(async () => {
  await vite?.close();
  await relay?.end();
  await server?.end();
});

describe("a bad line", { timeout: 120_000 }, () => {
  it("moves the own ship by little when the truth arrives", async () => {
    const { Flight } = await vite.ssrLoadModule("/src/spaaace/flight.ts");
    const { World } = await vite.ssrLoadModule("/src/spaaace/world.ts");
    const { RELEASED, STEP_MS, distance } = await vite.ssrLoadModule("/src/spaaace/rules.ts");
    const flight = await Flight.create({ name: "Ada", private: true, bots: 0 });
    const world = new World(flight.session);
    const corrections = [];
    const [began, chance] = [performance.now(), random(2)];
    const settled = () => performance.now() - began > 3000;
    flight.listener = {
      heard(arena, consumed) {
        const flew = world.flying;
        world.heard(arena, consumed, performance.now());
        if (flew && world.flying && settled()) corrections.push(world.pilot.correction);
      },
      link: (link) => assert.fail(`the link is ${link}`),
      refused: (code) => assert.fail(`refused with ${code}`),
      ended: (code) => assert.fail(`ended with ${code}`),
    };

    // Somebody in a fight: other keys twelve times a second.
    let [keys, steps, drawn, jump, pings] = [RELEASED, 0, null, 0, []];
    await new Promise((resolve) => {
      const timer = setInterval(() => {
        const now = performance.now();
        const due = world.due(now);
        for (let step = 0; step < due && world.flying; step += 1) {
          steps += 1;
          if (steps % 5 === 0) keys = { up: chance() < 0.7, left: chance() < 0.35, right: chance() < 0.35, fire: chance() < 0.2 };
          const seq = flight.steer(keys);
          if (seq) world.flown(seq, keys);
          if (steps % 120 === 0) flight.ping((took) => pings.push(took));
        }
        const own = world.picture(now).ships.find((ship) => ship.own);
        // What is drawn moves by the ship's own way and by what a correction leaves, which is let out slowly.
        if (drawn && own && settled()) jump = Math.max(jump, distance(drawn.ship, own) - 3 * ((now - drawn.now) / STEP_MS));
        drawn = own ? { ship: { ...own }, now } : null;
        if (now - began > SECONDS * 1000) {
          clearInterval(timer);
          resolve();
        }
      }, 8);
    });
    await flight.leave();

    corrections.sort((a, b) => a - b);
    const at = (part) => corrections[Math.min(corrections.length - 1, Math.floor(corrections.length * part))];
    const figures = [0.5, 0.9, 0.95, 0.99, 1].map((part) => Number(at(part).toFixed(2)));
    pings.sort((a, b) => a - b);
    console.log(`${corrections.length} patches, ${relay.lost} of ${relay.pieces} packets lost, ${Math.round(pings[pings.length >> 1])} ms there and back`);
    console.log(`corrections in px: median, 90, 95, 99 %, most: ${figures.join(", ")}; drawn jump at most ${jump.toFixed(2)}`);
    assert.ok(pings[pings.length >> 1] >= 195, "the line delays");
    assert.ok(relay.lost > 10, "the line loses");
    assert.ok(corrections.length > SECONDS * 15, "patches came all the time");
    // Steps are flown again, not inputs: only keys that reached the server late correct anything, and most do not.
    assert.ok(figures[0] < 1, `median ${figures[0]}`);
    // A packet lost on its way up makes the keys of 12 steps late. That many steps of thrust the other way are
    // 12 * 2 * 0.05 = 1.2 px a step, over the 12 steps that are flown again about 15 px.
    assert.ok(figures[2] < 15, `95 % ${figures[2]}`);
    // Two lost in a row: four times that. A ship is 50 px long.
    assert.ok(figures[4] < 60, `most ${figures[4]}`);
    // And what is seen of it is spread over a tenth of a second and more.
    assert.ok(jump < 8, `drawn jump ${jump}`);
  });
});

/** Pilots in the arena, in headless Chromium, against the real server, which is killed while they fly. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Person, Server, browser } from "./arcade.js";

/** Pixels per step of the fastest ship. */
const TOP_SPEED = 3;
const SIZE = 3000;
const RATE = 60;
/** Steps a missile flies. */
const MISSILE_LIFE = 30;
/**
 * Steps that may have been computed before the kill and seen by nobody: half a second of a busy machine. With
 * Confirmed durability they are in the journal, so what comes back may be a little ahead of what was seen, never behind.
 */
const UNSEEN = 30;

let chrome;
let server;

before(async () => {
  server = await Server.start();
  chrome = await browser(["--enable-unsafe-swiftshader"]);
});

after(async () => {
  await chrome?.close();
  await server?.end();
});

/** A person at a small window: pictures are computed without a graphics card here. */
class Pilot {
  static async arrive(name) {
    const pilot = new Pilot();
    pilot.person = await Person.arrive(chrome, server, name, { viewport: { width: 460, height: 340 } });
    pilot.page = pilot.person.page;
    pilot.page.setDefaultTimeout(60_000);
    return pilot;
  }

  async flies() {
    await this.person.named();
    await this.person.press("Fly");
    await this.hasShip();
    this.key = await this.page.locator(".scores .own").getAttribute("data-key");
  }

  /** Waits for a ship; asks for another one when it was shot. */
  async hasShip() {
    const again = this.page.getByRole("button", { name: "Try again", exact: true });
    for (;;) {
      await this.page.waitForFunction(() => document.querySelector(".arena")?.pilot || document.querySelector(".call.shot button"));
      if (await this.page.evaluate(() => !!document.querySelector(".arena").pilot)) return;
      // It may have come back meanwhile.
      await again.click({ timeout: 2000 }).catch(() => undefined);
    }
  }

  /** Keeps what every patch says from now on. */
  async records() {
    await this.page.evaluate(() => {
      const element = document.querySelector(".arena");
      let arena = element.arena;
      element.patches = [];
      Object.defineProperty(element, "arena", {
        get: () => arena,
        set(next) {
          arena = next;
          element.patches.push({
            at: Date.now(), step: next.step, ships: [...next.ships], missiles: [...next.missiles], players: [...next.players],
            kills: next.kills, spectators: next.spectators,
          });
        },
      });
    });
  }

  patches() {
    return this.page.evaluate(() => document.querySelector(".arena").patches);
  }

  /** The own ship as the server has it. */
  ship() {
    return this.page.evaluate((key) => document.querySelector(".arena").arena.ships.get(key) ?? null, this.key);
  }

  /** Nothing on the page takes the keys. A ship may be shot at any moment, so nothing is clicked for it. */
  async atTheStick() {
    await this.page.evaluate(() => document.activeElement?.blur());
  }

  /** Holds a key until the server shows the ship turned; who is shot meanwhile tries again with the next ship. */
  async turns(key) {
    for (let turned = false; !turned; ) {
      await this.hasShip();
      await this.atTheStick();
      const before = await this.ship();
      if (!before) continue;
      await this.page.keyboard.down(key);
      const seen = await this.page.waitForFunction(([own, heading]) => {
        const ship = document.querySelector(".arena").arena.ships.get(own);
        if (!ship) return "shot";
        return ship.heading !== heading && "turned";
      }, [this.key, before.heading]);
      await this.page.keyboard.up(key);
      turned = (await seen.jsonValue()) === "turned";
    }
  }

  async until(condition, argument) {
    await this.page.waitForFunction(condition, argument);
  }

  async ends() {
    assert.deepEqual(this.person.faults, [], `${this.person.name}'s page`);
    await this.person.leaves();
  }
}

const short = (from, to) => {
  const straight = Math.abs(to - from);
  return Math.min(straight, SIZE - straight);
};

const distance = (a, b) => Math.hypot(short(a.x, b.x), short(a.y, b.y));

/** The short way from one place of the world to another. */
const wrapped = (at) => ((at % SIZE) + SIZE) % SIZE;

/**
 * Holds the patches around a pause against each other: what the second server shows follows from the first's. A room's
 * time stands still while nobody runs it, so the pause explains the steps since the second server was started (`up`, wall
 * time) and no more. `drifting`: the player whose keys were up all the time.
 */
function continues(last, first, up, drifting) {
  assert.ok(first.step >= last.step, `step ${first.step} after ${last.step}`);
  const steps = first.step - last.step;
  const explained = ((first.at - up) * RATE) / 1000 + UNSEEN;
  assert.ok(steps <= explained, `${steps} steps, of which the time since the start explains ${Math.round(explained)}`);
  const [ships, players] = [new Map(first.ships), new Map(first.players)];
  const since = first.kills.filter((kill) => kill.step > last.step);

  assert.equal(players.size, last.players.length, "nobody came or went");
  for (const [key, player] of last.players) {
    const now = players.get(key);
    assert.ok(now, `${player.name} is still there`);
    assert.equal(now.name, player.name);
    assert.equal(now.bot, player.bot);
    assert.equal(now.kills - since.filter((kill) => kill.killer === key).length, player.kills, `kills of ${player.name}`);
    assert.equal(now.deaths - since.filter((kill) => kill.victim === key).length, player.deaths, `deaths of ${player.name}`);
  }
  // Of the feed's eight lines, only new ones push out old ones.
  const kept = last.kills.slice(Math.max(0, since.length - (8 - last.kills.length)));
  assert.deepEqual(first.kills.slice(0, kept.length), kept, "the feed goes on");
  assert.equal(first.spectators, last.spectators);

  for (const [key, ship] of last.ships) {
    if (since.some((kill) => kill.victim === key)) continue;
    const now = ships.get(key);
    assert.ok(now, `the ship of ${players.get(key)?.name} is still there`);
    const moved = distance(ship, now);
    assert.ok(moved <= TOP_SPEED * steps + 0.1, `a ship moved ${moved} px in ${steps} steps`);
    if (key !== drifting) continue;
    // Nobody held a key: it is where its velocity took it, to the last bit but one.
    assert.deepEqual([now.vx, now.vy, now.heading], [ship.vx, ship.vy, ship.heading]);
    const there = { x: wrapped(ship.x + ship.vx * steps), y: wrapped(ship.y + ship.vy * steps) };
    assert.ok(distance(there, now) < 0.01, `it drifted to ${now.x}, ${now.y} and not to ${there.x}, ${there.y}`);
  }
  const missiles = new Map(first.missiles);
  for (const [key, missile] of last.missiles) {
    const over = first.step >= missile.born + MISSILE_LIFE || since.some((kill) => kill.killer === missile.owner);
    if (!over) assert.deepEqual(missiles.get(key), missile, "a missile flies on");
  }
  return steps;
}

describe("spaaace", { timeout: 240_000 }, () => {
  it("goes on where everybody was although the server is killed in mid-flight", async () => {
    const [ada, bob] = [await Pilot.arrive("Ada"), await Pilot.arrive("Bob")];
    await ada.flies();
    await bob.flies();
    assert.equal(ada.page.url(), bob.page.url(), "one arena");
    const address = ada.page.url();
    const bots = await ada.page.evaluate(() => [...document.querySelector(".arena").arena.players].filter(([, player]) => player.bot).map(([key]) => key).sort());
    assert.equal(bots.length, 3);

    // The bots see to it that there are scores to keep.
    await ada.until(() => document.querySelector(".arena").arena.kills.length > 0);
    await ada.hasShip();
    await bob.hasShip();
    await ada.records();
    await bob.records();
    // Bob gets going and lets go of the keys.
    await bob.atTheStick();
    await bob.page.keyboard.down("ArrowUp");
    await bob.until((key) => {
      const ship = document.querySelector(".arena").arena.ships.get(key);
      return !ship || Math.hypot(ship.vx, ship.vy) > 0.5;
    }, bob.key);
    await bob.page.keyboard.up("ArrowUp");
    await bob.until((key) => !document.querySelector(".arena").arena.ships.get(key)?.thrust, bob.key);
    await ada.atTheStick();
    await ada.page.keyboard.down("ArrowUp");
    await ada.until((key) => {
      const ship = document.querySelector(".arena").arena.ships.get(key);
      return !ship || Math.hypot(ship.vx, ship.vy) > 1.5;
    }, ada.key);

    await server.kill();
    for (const { page } of [ada, bob]) await page.locator(".lost", { hasText: "Reconnecting" }).waitFor();
    const seen = [(await ada.patches()).length, (await bob.patches()).length];
    await ada.page.keyboard.up("ArrowUp");
    const up = Date.now();
    await server.up();
    for (const [index, pilot] of [ada, bob].entries()) {
      await pilot.page.locator(".lost").waitFor({ state: "hidden" });
      await pilot.until((count) => document.querySelector(".arena").patches.length > count + 3, seen[index]);
      const patches = await pilot.patches();
      const [last, first] = [patches[seen[index] - 1], patches[seen[index]]];
      continues(last, first, up, bob.key);
      assert.deepEqual(first.players.filter(([, player]) => player.bot).map(([key]) => key).sort(), bots);
    }
    assert.equal(ada.page.url(), address, "the same arena, without a reload");

    // Nobody else turns her ship.
    await ada.turns("ArrowRight");
    await ada.until((key) => {
      const { arena, pilot } = document.querySelector(".arena");
      const ship = arena.ships.get(key);
      // Prediction and server agree again once the key is up.
      return !ship || (pilot && ship.heading === pilot.heading);
    }, ada.key);
    await ada.ends();
    await bob.ends();
  });

  it("makes an arena of one's own, with as many bots as wished and for those who have its link", async () => {
    const zoe = await Pilot.arrive("Zoe");
    await zoe.person.named();
    await zoe.page.getByLabel("Bots").fill("5");
    await zoe.person.press("Private arena");
    await zoe.hasShip();
    const bots = await zoe.page.evaluate(() => [...document.querySelector(".arena").arena.players.values()].filter((player) => player.bot).length);
    assert.equal(bots, 5);

    // Whoever just flies comes into another arena.
    const yan = await Pilot.arrive("Yan");
    await yan.flies();
    assert.notEqual(yan.page.url(), zoe.page.url());
    await yan.person.press("Leave");

    // With the link, pasted where links are asked for.
    await yan.page.getByLabel("Link or room id").fill(zoe.page.url());
    await yan.person.press("Join");
    await yan.person.press("Fly");
    await yan.hasShip();
    assert.equal(yan.page.url(), zoe.page.url());
    await zoe.until((name) => [...document.querySelector(".arena").arena.players.values()].some((player) => player.name === name), "Yan");
    await yan.ends();
    await zoe.ends();
  });

  it("gives the ship back after a reload, and lets others watch and join", async () => {
    const eve = await Pilot.arrive("Eve");
    await eve.flies();
    const address = new URL(eve.page.url()).hash;
    await eve.page.reload();
    await eve.hasShip();
    assert.equal(await eve.page.locator(".scores .own").getAttribute("data-key"), eve.key, "the same seat");
    assert.equal(await eve.page.locator(".scores .own .name").textContent(), "Eve");
    // And after the tab was closed, by the arcade.
    await eve.page.close();
    eve.page = eve.person.page = await eve.person.context.newPage();
    eve.page.setDefaultTimeout(60_000);
    await eve.page.goto(`${server.url}/`);
    await eve.page.getByRole("link", { name: "Continue" }).click();
    await eve.hasShip();
    assert.equal(await eve.page.locator(".scores .own").getAttribute("data-key"), eve.key, "the same seat again");

    const max = new Pilot();
    max.person = await Person.arrive(chrome, server, "Max", { viewport: { width: 460, height: 340 }, hash: `${address}/watch` });
    max.page = max.person.page;
    max.page.setDefaultTimeout(60_000);
    await max.page.evaluate(() => localStorage.setItem("everplay.name", "Max"));
    await max.page.locator(".call", { hasText: "You are watching" }).waitFor();
    await max.until(() => document.querySelector(".arena").arena.spectators === 1);
    await max.person.press("Join");
    await max.hasShip();
    const named = (name) => [...document.querySelector(".arena").arena.players.values()].some((player) => player.name === name);
    await eve.until(named, "Max");
    await max.person.press("Leave");
    await max.page.getByRole("button", { name: "Quick match" }).waitFor();
    await eve.until((name) => [...document.querySelector(".arena").arena.players.values()].every((player) => player.name !== name), "Max");
    await max.ends();
    await eve.ends();
  });
});

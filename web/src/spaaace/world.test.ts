import { describe, expect, it } from "vitest";
import { type Arena, type Kill, type Missile, type Player, type Ship, ranking, read, shortened, shotBy } from "./arena";
import { StepClock } from "./clock";
import { Camera, arrow, onRadar, onScreen, steering, zoom } from "./geometry";
import { Track } from "./past";
import { Steps } from "./pilot";
import { RELEASED, STEP_MS, ago } from "./rules";
import { World, seenAge } from "./world";

const ship = (x: number, y: number, vx = 0, vy = 0) => ({ x, y, vx, vy, heading: 0, thrust: 0, safeUntil: 0 });
const player = (name: string, kills = 0, deaths = 0): Player => ({ name, bot: false, connected: true, kills, deaths });
const arena = (step: number, over: Partial<Arena> = {}): Arena => ({
  step, ships: new Map(), missiles: new Map(), players: new Map(), kills: [], spectators: 0, ...over,
});
/** The instant a patch of this step arrives without delay. */
const at = (step: number) => step * STEP_MS;

describe("the past", () => {
  it("is drawn between two patches, over the edge of the world too", () => {
    const track = new Track("a");
    track.heard(3, ship(2994, 50, 2));
    track.heard(6, { ...ship(0, 50, 2), heading: 143 });
    expect(track.at(4.5)).toMatchObject({ x: 2997, y: 50, heading: -0.5 });
    expect(track.at(6)).toMatchObject({ x: 0 });
  });

  it("drifts on without news, and not for long", () => {
    const track = new Track("a");
    track.heard(3, ship(100, 100, 2));
    expect(track.at(6)?.x).toBe(106);
    expect(track.at(600)?.x).toBe(124);
  });

  it("does not draw a ship flying to where it appeared anew", () => {
    const track = new Track("a");
    track.heard(3, ship(100, 100));
    track.heard(6, ship(900, 900));
    expect(track.at(5)).toMatchObject({ x: 900, y: 900 });
  });
});

describe("the clock", () => {
  it("is not set back by late patches", () => {
    const clock = new StepClock();
    for (let step = 3; step < 300; step += 3) clock.heard(step, at(step) + (step % 9 === 0 ? 60 : 0));
    expect(clock.at(at(300))).toBeGreaterThan(299);
    expect(clock.at(at(300))).toBeLessThanOrEqual(300.01);
  });

  it("starts over after the server was away", () => {
    const clock = new StepClock();
    clock.heard(300, at(300));
    clock.heard(303, at(303) + 4000);
    expect(clock.at(at(303) + 4000)).toBeCloseTo(303);
  });

  it("hands out every step once and forgets a long sleep", () => {
    const steps = new Steps();
    let due = 0;
    for (let now = 0; now <= 1000; now += 7) due += steps.due(now);
    expect(due).toBeGreaterThanOrEqual(58);
    expect(due).toBeLessThanOrEqual(60);
    expect(steps.due(60_000)).toBe(Steps.MOST_BEHIND);
  });
});

describe("the world", () => {
  it("shows others 100 ms late and their end where it happened", () => {
    const world = new World("me");
    for (let step = 0; step <= 30; step += 3) world.heard(arena(step, { ships: new Map([["b", ship(100 + step, 500, 1)]]) }), 0, at(step));
    expect(world.picture(at(30)).ships).toMatchObject([{ key: "b", x: 124, own: false }]);

    const kill: Kill = { step: 32, killer: "me", victim: "b", killerName: "Ada", victimName: "Bob" };
    world.heard(arena(33, { kills: [kill] }), 0, at(33));
    expect(world.picture(at(36)).ships).toHaveLength(1);
    const end = world.picture(at(39));
    expect(end.ships).toHaveLength(0);
    expect(end.happened).toMatchObject([{ what: "hit", key: "b", x: 132, mine: true, own: false }]);
    expect(world.picture(at(40)).happened).toEqual([]);
  });

  it("lets a pilot who leaves vanish without an explosion", () => {
    const world = new World("me");
    world.heard(arena(3, { ships: new Map([["b", ship(1, 1)]]) }), 0, at(3));
    world.heard(arena(6), 0, at(6));
    expect(world.picture(at(15))).toEqual({ ships: [], shots: [], happened: [] });
  });

  it("moves the own ship at once, and its missile is one missile", () => {
    const world = new World("me");
    world.heard(arena(3, { ships: new Map([["me", ship(500, 500)]]) }), 0, at(3));
    expect(world.flying).toBe(true);
    const before = world.pilot.ship!.x;
    for (let seq = 1; seq <= 3; seq += 1) world.flown(seq, { ...RELEASED, up: true, fire: seq > 1 });
    expect(world.pilot.ship!.x).toBeGreaterThan(before);
    const first = world.picture(at(4));
    expect(first.shots).toMatchObject([{ own: true }]);
    expect(first.happened).toMatchObject([{ what: "shot", own: true }]);

    const missile: Missile = { owner: "me", x: 500, y: 500, vx: 10, vy: 0, born: 9 };
    world.heard(arena(9, { ships: new Map([["me", ship(500.3, 500, 0.15)]]), missiles: new Map([["1", missile]]) }), 3, at(9));
    for (let seq = 4; seq <= 12; seq += 1) world.flown(seq, RELEASED);
    expect(world.picture(at(16)).shots).toHaveLength(1);
  });

  it("explodes the own ship at once", () => {
    const world = new World("me");
    world.heard(arena(3, { ships: new Map([["me", ship(500, 500)]]) }), 0, at(3));
    const kill: Kill = { step: 5, killer: "b", victim: "me", killerName: "Bob", victimName: "Ada" };
    world.heard(arena(6, { kills: [kill] }), 0, at(6));
    expect(world.flying).toBe(false);
    expect(world.picture(at(6)).happened).toMatchObject([{ what: "hit", own: true }]);
    expect(shotBy([kill], "me")).toBe("Bob");
  });

  it("draws own missiles as fast as the server lets them meet what is drawn", () => {
    // Fired when the others were 12 steps late: after 42 steps the picture shows the step in which it is 30 old.
    expect(seenAge(0, 12, 12)).toBe(0);
    expect(seenAge(42, 12, 12)).toBeCloseTo(30);
    for (let age = 0; age < 42; age += 1) {
      const step = 100 + seenAge(age, 12, 12);
      expect(step - ago(12, step - 100)).toBeCloseTo(100 - 12 + age);
    }
    // On a worse line it waits at the gun for what the server does not rewind.
    expect(seenAge(4, 30, 15)).toBeLessThan(seenAge(4, 15, 15) / 2);
    expect(seenAge(60, 30, 15)).toBeCloseTo(30, -0.5);
    for (let age = 0; age < 60; age += 1) expect(seenAge(age + 1, 30, 15)).toBeGreaterThan(seenAge(age, 30, 15));
  });

  it("shows a ship hit by an own missile where the missile met it", () => {
    const world = new World("me");
    const ships = (step: number): Map<string, Ship> => new Map([["me", ship(500, 500)], ["b", ship(620, 440 + step * 2, 0, 2)]]);
    const players = new Map([["me", player("Ada")], ["b", player("Bob")]]);
    world.heard(arena(3, { ships: ships(3), players }), 0, at(3));
    world.picture(at(3));
    let seq = 0;
    let gone = 0;
    const pictures: { now: number; shots: number; ships: number; hit: boolean }[] = [];
    for (let now = 4; now < 60; now += 1) {
      seq += 1;
      world.flown(seq, { ...RELEASED, fire: seq === 10 });
      // The server takes each input in the step it was flown in.
      if (now % 3 === 0) {
        const missile: Missile = { owner: "me", x: 500, y: 500, vx: 10, vy: 0, born: 17 };
        // It meets b in the step in which it is 10 old, where we saw b.
        const over = now >= 27 && (gone ||= now) > 0;
        world.heard(arena(now, {
          ships: new Map([...ships(now)].filter(([key]) => key === "me" || !over)),
          missiles: new Map(now >= 17 && !over ? [["1", missile]] : []),
          kills: over ? [{ step: 27, killer: "me", victim: "b", killerName: "Ada", victimName: "Bob" }] : [],
          players,
        }), Math.max(0, now - 7), at(now));
      }
      const picture = world.picture(at(now));
      const hit = picture.happened.some((happened) => happened.what === "hit");
      pictures.push({ now, shots: picture.shots.length, ships: picture.ships.length, hit });
    }
    const hit = pictures.filter((picture) => picture.hit);
    expect(hit).toHaveLength(1);
    // At once with the news, not when the picture has got to the step of the kill.
    expect(hit[0]!.now).toBe(gone);
    expect(gone - 6).toBeLessThan(27);
    expect(hit[0]!.shots + hit[0]!.ships).toBe(1);
    expect(pictures.filter((picture) => picture.now > gone).every((picture) => picture.shots === 0)).toBe(true);
    expect(pictures.filter((picture) => picture.shots === 1).length).toBeGreaterThan(5);
  });
});

describe("the picture", () => {
  it("has the camera in its middle, the world around it", () => {
    expect(onScreen({ x: 10, y: 2990 }, { x: 2990, y: 10 }, 2, 400, 300)).toEqual({ x: 240, y: 110 });
    expect(onRadar({ x: 0, y: 0 }, { x: 1500, y: 0 }, 100)).toEqual({ x: 0, y: 50 });
    expect(zoom(1440, 900)).toBeGreaterThan(zoom(390, 844));
  });

  it("points to what is outside, from within", () => {
    expect(arrow({ x: 10, y: 10 }, 400, 300, 30)).toBeNull();
    expect(arrow({ x: 1200, y: 150 }, 400, 300, 30)).toMatchObject({ x: 370, y: 150, angle: 0 });
    const corner = arrow({ x: -500, y: -900 }, 400, 300, 30)!;
    expect(corner.x).toBeGreaterThanOrEqual(30);
    expect(corner.y).toBeGreaterThanOrEqual(29.9);
  });

  it("drifts to where the ships are", () => {
    const camera = new Camera();
    camera.drift([{ x: 2990, y: 100 }, { x: 10, y: 100 }], 16);
    expect(camera.at.x).toBeCloseTo(0);
    camera.drift([{ x: 300, y: 100 }], 800);
    expect(camera.at.x).toBeGreaterThan(150);
  });

  it("is steered by pointing", () => {
    expect(steering(5, 5, 0)).toEqual({ up: false, left: false, right: false });
    expect(steering(200, 0, 0)).toEqual({ up: true, left: false, right: false });
    expect(steering(0, 200, 0)).toEqual({ up: false, left: false, right: true });
    expect(steering(-200, -10, 3.1)).toMatchObject({ up: true, right: false });
  });
});

describe("the scores", () => {
  const players = new Map([["a", player("Ada", 2, 5)], ["b", player("Bob", 7)], ["c", player("Cy", 2, 5)], ["d", player("Di")]]);

  it("are ranked by kills, then deaths, then name", () => {
    expect(ranking(players, "c").map(({ key, place, own }) => [key, place, own])).toEqual([
      ["b", 1, false], ["a", 2, false], ["c", 2, true], ["d", 4, false],
    ]);
  });

  it("always show the own line", () => {
    expect(shortened(ranking(players, "d"), 2).map((rank) => rank.key)).toEqual(["b", "d"]);
    expect(shortened(ranking(players, "x"), 2).map((rank) => rank.key)).toEqual(["b", "a"]);
  });

  it("are read from the SDK's state", () => {
    const state = { step: 7, ships: new Map([["a", { ...ship(1, 2), assign() {} }]]), players: new Map(), missiles: new Map(), kills: [], spectators: 2 };
    expect(read(state)).toEqual(arena(7, { ships: new Map([["a", ship(1, 2)]]), spectators: 2 }));
    expect(read({})).toEqual(arena(0));
  });
});

/**
 * Prediction over a bad line: the server's step and queue, a patch every 50 ms, 100 ms of latency, 2 % of packets
 * lost. The line is ordered as a WebSocket is: a lost packet comes 200 ms later and all behind it wait.
 */
import { describe, expect, it } from "vitest";
import { Pilot } from "./pilot";
import { type Controls, type Motion, RELEASED, STEP_MS, distance, fly } from "./rules";

function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Delivers in order; what is lost is sent again. */
class Line<T> {
  #last = 0;
  #queue: [number, T][] = [];
  readonly #delay: number;
  readonly #loss: number;
  readonly #chance: () => number;
  constructor(delay: number, loss: number, chance: () => number) {
    this.#delay = delay;
    this.#loss = loss;
    this.#chance = chance;
  }
  send(now: number, item: T): void {
    const again = this.#chance() < this.#loss ? 200 : 0;
    this.#last = Math.max(this.#last, now + this.#delay + this.#chance() * 8 + again);
    this.#queue.push([this.#last, item]);
  }
  arrived(now: number): T[] {
    const here = this.#queue.filter(([at]) => at <= now).map(([, item]) => item);
    this.#queue = this.#queue.filter(([at]) => at > now);
    return here;
  }
}

interface Ride {
  /** Correction of each patch after the first second, in pixels, smallest first. */
  corrections: number[];
  /** Largest jump of the drawn ship between two frames beyond its own movement. */
  jump: number;
}

/** Flies for a while; `oneWay` in ms. */
function ride(seconds: number, oneWay: number, loss: number, seed: number, pilotKeys: (second: number, chance: () => number) => Controls): Ride {
  const chance = random(seed);
  const up = new Line<{ seq: number; keys: Controls }>(oneWay, loss, chance);
  const down = new Line<{ step: number; ship: Motion; consumed: number }>(oneWay, loss, chance);
  const start: Motion = { x: 2900, y: 100, vx: 0, vy: 0, heading: 36, thrust: 0 };
  const server = { ship: start, keys: RELEASED, queue: [] as { seq: number; keys: Controls }[], consumed: 0, step: 1000 };
  const pilot = new Pilot();
  pilot.corrected(server.step, start, 0);
  const corrections: number[] = [];
  let [seq, drawn, jump] = [0, null as Motion | null, 0];
  let keys = RELEASED;
  for (let n = 1; n <= seconds * 60; n += 1) {
    const now = n * STEP_MS;
    // The server's step is half a step off ours.
    server.queue.push(...up.arrived(now - STEP_MS / 2));
    for (let take = server.queue.length > 4 ? 2 : 1; take > 0 && server.queue.length > 0; take -= 1) {
      const input = server.queue.shift()!;
      server.keys = input.keys;
      server.consumed = input.seq;
    }
    server.step += 1;
    server.ship = fly(server.ship, server.keys);
    if (server.step % 3 === 0) down.send(now - STEP_MS / 2, { step: server.step, ship: server.ship, consumed: server.consumed });

    for (const patch of down.arrived(now)) {
      pilot.corrected(patch.step, patch.ship, patch.consumed);
      if (n > 60) corrections.push(pilot.correction);
    }
    if (n % 5 === 0) keys = pilotKeys(now / 1000, chance);
    seq += 1;
    up.send(now, { seq, keys });
    pilot.flown(seq, keys);
    const seen = pilot.shown(0, STEP_MS)!;
    if (drawn && n > 60) jump = Math.max(jump, distance(drawn, seen) - 3);
    drawn = seen;
  }
  return { corrections: corrections.sort((a, b) => a - b), jump };
}

const at = (sorted: number[], part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!;

/** Somebody in a fight: another key every tenth of a second or so. */
const wild = (_: number, chance: () => number): Controls => ({
  up: chance() < 0.7, left: chance() < 0.35, right: chance() < 0.35, fire: chance() < 0.2,
});

describe("prediction", () => {
  it("is never corrected on a good line", () => {
    const { corrections } = ride(30, 20, 0, 1, wild);
    expect(at(corrections, 0.9)).toBeLessThan(1);
    expect(at(corrections, 1)).toBeLessThan(4);
  });

  it("holds for a ship that drifts, whatever the line does", () => {
    const { corrections } = ride(60, 100, 0.1, 7, (second) => ({ ...RELEASED, up: second < 0.5 }));
    expect(at(corrections, 0.99)).toBeLessThan(4);
  });

  it("feels right with 100 ms each way and 2 % of packets lost", () => {
    const rides = [1, 2, 3, 4, 5].map((seed) => ride(60, 100, 0.02, seed, wild));
    const corrections = rides.flatMap((ride) => ride.corrections).sort((a, b) => a - b);
    const figures = [0.5, 0.9, 0.95, 0.99, 1].map((part) => Number(at(corrections, part).toFixed(2)));
    const jump = Math.max(...rides.map((ride) => ride.jump));
    console.info(`corrections in px: median, 90, 95, 99 %, most: ${figures.join(", ")}; drawn jump at most ${jump.toFixed(2)}`);
    expect(figures[0]).toBeLessThan(1);
    expect(figures[2]).toBeLessThan(12);
    // A ship is 50 px long.
    expect(figures[4]).toBeLessThan(60);
  });
});

import { describe, expect, it } from "vitest";
import flights from "./flights.json";
import { MISSILE_LIFE, type Motion, fly, launch, offset, shotAt, wrap } from "./rules";

/** Keys of a step as one letter: the bits up, left, right, fire after `a`. */
const keysOf = (letter: string) => {
  const bits = letter.charCodeAt(0) - 97;
  return { up: (bits & 1) > 0, left: (bits & 2) > 0, right: (bits & 4) > 0, fire: (bits & 8) > 0 };
};
const motion = ([x, y, vx, vy, heading, thrust]: number[]) => ({ x, y, vx, vy, heading, thrust }) as Motion;
/** The recording has the shortest decimals that mean the float32. */
const exactly = (rows: number[][]) => rows.map((row) => row.map(Math.fround));
/** Plain zeros, so that values are compared and not their signs. */
const plain = (values: number[]) => values.map((value) => value + 0);

describe("the step", () => {
  it("computes the numbers of the server's step, to the last bit", () => {
    for (const { start, keys, every30, missiles } of flights) {
      let ship = motion(start);
      const places: number[][] = [];
      const shots: number[][] = [];
      let fire = false;
      [...keys].forEach((letter, index) => {
        const held = keysOf(letter);
        ship = fly(ship, held);
        if (held.fire && !fire) {
          const { x, y, vx, vy, born } = launch(ship, index + 1);
          shots.push(plain([born, x, y, vx, vy]));
        }
        fire = held.fire;
        if ((index + 1) % 30 === 0) places.push(plain([ship.x, ship.y, ship.vx, ship.vy, ship.heading, ship.thrust]));
      });
      expect(places).toEqual(exactly(every30));
      expect(shots).toEqual(exactly(missiles));
    }
    expect(flights.flatMap((flight) => flight.missiles).length).toBeGreaterThan(10);
  });

  it("has a world without edges", () => {
    expect([wrap(-1), wrap(3000), wrap(2999.5), wrap(0)]).toEqual([2999, 0, 2999.5, 0]);
    expect([offset(2990, 10), offset(10, 2990), offset(0, 1500), offset(100, 400)]).toEqual([20, -20, 1500, 300]);
  });

  it("ends a missile's way after its life", () => {
    const shot = { x: 2990, y: 5, vx: 10, vy: -1, born: 100 };
    expect(shotAt(shot, 100)).toEqual({ x: 2990, y: 5 });
    expect(shotAt(shot, 110)).toEqual({ x: 90, y: 2995 });
    expect(shotAt(shot, 900)).toEqual(shotAt(shot, 100 + MISSILE_LIFE));
  });
});

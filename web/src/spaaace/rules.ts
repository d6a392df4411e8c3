/**
 * The movement of ships and missiles as the server computes it: the constants, the grid and the roundings of
 * docs/rooms/spaaace.md, so that predictions are the very numbers that arrive later.
 *
 * Positions and velocities are multiples of 1/4096 pixel, which doubles add without rounding. Pure; checked
 * against flights recorded from the server's own step (`flights.json`).
 */

/** Steps a second. */
export const RATE = 60;
export const STEP_MS = 1000 / RATE;
/** Width and height of the world in pixels; what leaves on one side comes in on the other. */
export const SIZE = 3000;
const GRID = 4096;
/** Headings of a full turn, 2.5 degrees each, clockwise, 0 is right. */
export const HEADINGS = 144;
/** Pixels per step that one step of thrust adds. */
const THRUST = 0.05;
/** Most pixels per step of a ship. */
export const TOP_SPEED = 3;
/** Pixels per step of a missile, beyond those of its ship. */
const MISSILE_SPEED = 10;
/** Steps a missile flies. */
export const MISSILE_LIFE = 30;
/** A missile hits below this distance between the centres. */
export const HIT_DISTANCE = 28;
/** Steps the server rewinds at most for what a pilot saw: 250 ms. */
export const MOST_LATE = 15;
/** A ship's `thrust` while the key is down; counts down after. */
const FLAME = 5;

/** What a pilot holds down. */
export interface Controls {
  up: boolean;
  left: boolean;
  right: boolean;
  fire: boolean;
}

export const RELEASED: Controls = { up: false, left: false, right: false, fire: false };

export const sameControls = (a: Controls, b: Controls): boolean =>
  a.up === b.up && a.left === b.left && a.right === b.right && a.fire === b.fire;

/** Where a ship is and how it moves; velocities in pixels per step. */
export interface Motion {
  x: number;
  y: number;
  vx: number;
  vy: number;
  heading: number;
  thrust: number;
}

/** A missile never turns: its start tells where it is. */
export interface Shot {
  x: number;
  y: number;
  vx: number;
  vy: number;
  /** The step it was fired in. */
  born: number;
}

/** A coordinate back inside the world, for whatever is less than a world away. */
export function wrap(at: number): number {
  if (at < 0) return at + SIZE;
  return at >= SIZE ? at - SIZE : at;
}

/** The short way from one coordinate to another, -1500 to 1500. */
export function offset(from: number, to: number): number {
  const straight = to - from;
  if (straight < -SIZE / 2) return straight + SIZE;
  return straight > SIZE / 2 ? straight - SIZE : straight;
}

/** The short way between two points, as a length. */
export const distance = (a: { x: number; y: number }, b: { x: number; y: number }): number =>
  Math.hypot(offset(a.x, b.x), offset(a.y, b.y));

/** A heading, whole or not, as an angle in radians. */
export const radians = (heading: number): number => (heading * 2 * Math.PI) / HEADINGS;

/** To the nearest point of the grid, halves away from zero. */
const near = (part: number): number => (Math.sign(part) * Math.round(Math.abs(part) * GRID)) / GRID;
/** To the next point of the grid towards zero. */
const cut = (part: number): number => Math.trunc(part * GRID) / GRID;

const along = (heading: number, speed: number): [number, number] => [
  near(Math.cos(radians(heading)) * speed),
  near(Math.sin(radians(heading)) * speed),
];

/** The ship one step later, with these keys held. */
export function fly(ship: Motion, keys: Controls): Motion {
  let { vx, vy, heading, thrust } = ship;
  if (keys.left !== keys.right) heading = (heading + (keys.right ? 1 : HEADINGS - 1)) % HEADINGS;
  if (keys.up) {
    const [x, y] = along(heading, THRUST);
    vx += x;
    vy += y;
    const square = vx * vx + vy * vy;
    if (square > TOP_SPEED * TOP_SPEED) {
      const scale = TOP_SPEED / Math.sqrt(square);
      vx = cut(vx * scale);
      vy = cut(vy * scale);
    }
    thrust = FLAME;
  } else {
    thrust = Math.max(0, thrust - 1);
  }
  return { x: wrap(ship.x + vx), y: wrap(ship.y + vy), vx, vy, heading, thrust };
}

/** The missile a ship fires in a step, after it moved. */
export function launch(ship: Motion, step: number): Shot {
  const [x, y] = along(ship.heading, MISSILE_SPEED);
  return { x: ship.x, y: ship.y, vx: ship.vx + x, vy: ship.vy + y, born: step };
}

/** Where a missile is in a step, whole or not. */
export function shotAt(shot: Shot, step: number): { x: number; y: number } {
  const age = Math.min(MISSILE_LIFE, Math.max(0, step - shot.born));
  return { x: wrap(shot.x + age * shot.vx), y: wrap(shot.y + age * shot.vy) };
}

/** How many steps ago the others are that a missile meets, `age` steps after it was fired `late` steps late. */
export const ago = (late: number, age: number): number => (late * Math.max(0, MISSILE_LIFE - age)) / MISSILE_LIFE;

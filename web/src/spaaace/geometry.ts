/** Camera, edge of the screen, radar: where in the picture something of the world is. All lengths in pixels. */
import { SIZE, offset, wrap } from "./rules";

export interface Point {
  x: number;
  y: number;
}

/** World pixels across the shorter side of the picture, at least: what a pilot must see to be hit fairly. */
const SIGHT = 640;

/** How large the world is drawn: never larger than life on big screens, smaller on small ones. */
export function zoom(width: number, height: number): number {
  return Math.min(1.25, Math.max(0.45, Math.min(width, height) / SIGHT));
}

/** Where the camera looks; follows the own ship, else drifts to where the ships are. */
export class Camera {
  at: Point = { x: SIZE / 2, y: SIZE / 2 };
  #known = false;

  follow(point: Point): void {
    this.at = { x: point.x, y: point.y };
    this.#known = true;
  }

  /** Drifts for `elapsed` ms towards the middle of the ships within sight of the nearest one. */
  drift(ships: readonly Point[], elapsed: number): void {
    const goal = this.#crowd(ships);
    if (!goal) return;
    if (!this.#known) return this.follow(goal);
    const part = 1 - Math.exp(-elapsed / 800);
    this.at = {
      x: wrap(this.at.x + offset(this.at.x, goal.x) * part),
      y: wrap(this.at.y + offset(this.at.y, goal.y) * part),
    };
  }

  #crowd(ships: readonly Point[]): Point | null {
    const apart = (a: Point, b: Point) => Math.hypot(offset(a.x, b.x), offset(a.y, b.y));
    const first = ships.reduce<Point | null>((best, ship) => (!best || apart(this.at, ship) < apart(this.at, best) ? ship : best), null);
    if (!first) return null;
    const near = ships.filter((ship) => apart(first, ship) < 500);
    const mean = (axis: "x" | "y") => near.reduce((sum, ship) => sum + offset(first[axis], ship[axis]), 0) / near.length;
    return { x: wrap(first.x + mean("x")), y: wrap(first.y + mean("y")) };
  }
}

/** Where a point of the world is in the picture; the nearest of its copies. */
export function onScreen(point: Point, camera: Point, scale: number, width: number, height: number): Point {
  return { x: width / 2 + offset(camera.x, point.x) * scale, y: height / 2 + offset(camera.y, point.y) * scale };
}

export interface Arrow extends Point {
  angle: number;
}

/** An arrow at the edge of the picture towards a point outside of it; null when the point is inside. */
export function arrow(point: Point, width: number, height: number, margin: number): Arrow | null {
  const inside = point.x >= 0 && point.x <= width && point.y >= 0 && point.y <= height;
  if (inside) return null;
  const [x, y] = [point.x - width / 2, point.y - height / 2];
  const shrink = Math.min((width / 2 - margin) / Math.abs(x || 1e-9), (height / 2 - margin) / Math.abs(y || 1e-9));
  return { x: width / 2 + x * shrink, y: height / 2 + y * shrink, angle: Math.atan2(y, x) };
}

/** Where a point is on a square radar of this size with the camera in its middle. */
export function onRadar(point: Point, camera: Point, size: number): Point {
  return { x: (0.5 + offset(camera.x, point.x) / SIZE) * size, y: (0.5 + offset(camera.y, point.y) / SIZE) * size };
}

/**
 * How to steer by pointing: turn towards the finger, thrust when it is far. `dx`, `dy` from the ship to the finger in
 * pixels of the screen, `angle` of the ship in radians.
 */
export function steering(dx: number, dy: number, angle: number): { up: boolean; left: boolean; right: boolean } {
  const far = Math.hypot(dx, dy);
  if (far < 24) return { up: false, left: false, right: false };
  const off = Math.atan2(Math.sin(Math.atan2(dy, dx) - angle), Math.cos(Math.atan2(dy, dx) - angle));
  return { up: far > 90 && Math.abs(off) < 0.9, left: off < -0.1, right: off > 0.1 };
}

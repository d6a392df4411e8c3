/**
 * The ships of others, drawn as they were a moment ago: between two patches that are known, instead of where they
 * might be. When patches are late a ship drifts on for a few steps, then waits.
 */
import { HEADINGS, type Motion, TOP_SPEED, distance, offset, wrap } from "./rules";

/** How far behind others are drawn: 100 ms, two patches of the usual 50 ms. */
export const BEHIND_STEPS = 6;
/** Steps a ship drifts without news. */
const DRIFT = 12;
const KEPT = 16;

interface Sample extends Motion {
  step: number;
}

export class Track {
  readonly key: string;
  /** The step of the picture in which the ship is gone, once it is. */
  gone: number | null = null;
  /** The step it was gone in. */
  end = 0;
  /** Whether it was shot, rather than left. */
  shot = false;
  #samples: Sample[] = [];

  constructor(key: string) {
    this.key = key;
  }

  heard(step: number, motion: Motion): void {
    const last = this.#samples.at(-1);
    if (last && step <= last.step) {
      // The server went back: what it says counts.
      this.#samples = step === last.step ? this.#samples.slice(0, -1) : [];
    } else if (last && distance(last, motion) > (step - last.step + 2) * TOP_SPEED + 30) {
      this.#samples = [];
    }
    const { x, y, vx, vy, heading, thrust } = motion;
    this.#samples.push({ x, y, vx, vy, heading, thrust, step });
    if (this.#samples.length > KEPT) this.#samples.shift();
  }

  /** The newest known place. */
  get newest(): Motion | null {
    return this.#samples.at(-1) ?? null;
  }

  /** How it was in a step, whole or not; null before it was there. */
  at(step: number): Motion | null {
    const samples = this.#samples;
    const after = samples.findIndex((sample) => sample.step >= step);
    if (after === 0) return samples[0]!.step - step < BEHIND_STEPS * 2 ? samples[0]! : null;
    if (after > 0) {
      const a = samples[after - 1]!;
      const b = samples[after]!;
      const part = (step - a.step) / (b.step - a.step);
      const turn = ((b.heading - a.heading + HEADINGS * 1.5) % HEADINGS) - HEADINGS / 2;
      return {
        ...b,
        x: wrap(a.x + offset(a.x, b.x) * part),
        y: wrap(a.y + offset(a.y, b.y) * part),
        heading: a.heading + turn * part,
        thrust: Math.max(a.thrust, b.thrust),
      };
    }
    const last = samples.at(-1);
    if (!last) return null;
    const drift = Math.min(step - last.step, DRIFT);
    return { ...last, x: wrap(last.x + last.vx * drift), y: wrap(last.y + last.vy * drift) };
  }
}

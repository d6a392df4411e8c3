/**
 * Which step the server is in, judged by when its patches arrive.
 *
 * A patch can be late but never early, so the estimate goes up quickly and down slowly. What is half a second
 * off is no jitter: the server paused or we slept, and the estimate starts over. Time is an argument, in
 * milliseconds of any clock that never goes back.
 */
import { STEP_MS } from "./rules";

const RESTART_STEPS = 30;
const UP = 0.3;
const DOWN = 0.02;

export class StepClock {
  #base: number | null = null;

  heard(step: number, now: number): void {
    const base = step - now / STEP_MS;
    if (this.#base === null || Math.abs(base - this.#base) > RESTART_STEPS) this.#base = base;
    else this.#base += (base - this.#base) * (base > this.#base ? UP : DOWN);
  }

  /** The step the newest patch would show if it arrived now, with its fraction; 0 before the first patch. */
  at(now: number): number {
    return this.#base === null ? 0 : this.#base + now / STEP_MS;
  }

  restart(): void {
    this.#base = null;
  }
}

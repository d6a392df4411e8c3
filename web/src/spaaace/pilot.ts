/**
 * Flies the own ship ahead of the server.
 *
 *   keys -> input n, expected in step e(n) -> ship flown to e(n) at once
 *   patch of step s, inputs up to n consumed -> ship of s, flown again from s with the inputs after n
 *
 * Steps are replayed, not inputs: the server moves a ship in every step, whether an input came in time, came late
 * or came with another one. So a ship that only drifts is never corrected, whatever the network does; a turn that
 * reached the server late is corrected by what it was late. The step in which inputs are expected is moved when
 * the server's answers show that they come sooner or later than thought.
 *
 * What a correction moves is shown as a decaying distance to the true place (`shown`), not as a jump.
 */
import { type Controls, type Motion, RELEASED, STEP_MS, fly, offset, wrap } from "./rules";

/** How far ahead we fly until the first answer, in steps. */
const FIRST_LEAD = 4;
/** Answers looked at to move the expectation: most of a second, so that one late packet moves nothing. */
const ANSWERS = 15;
/** Steps the expectation may be off. */
const TOLERANCE = 1;
/** A distance that is not smoothed: something else than the network happened. */
const JUMP = 200;
/** Time in which what a correction moved shrinks to 1/e, in milliseconds. */
const SETTLE_MS = 90;
/** More steps than this are not flown again: two seconds. */
const MOST_STEPS = 120;

interface Sent {
  seq: number;
  /** The step it is expected in. */
  at: number;
  keys: Controls;
}

export class Pilot {
  #ship: Motion | null = null;
  #before: Motion | null = null;
  /** The step `#ship` is in. */
  #step = 0;
  #sent: Sent[] = [];
  #held: Controls = RELEASED;
  #consumed = 0;
  #answers: number[] = [];
  #fresh = true;
  #error = { x: 0, y: 0 };
  /** How far the last correction moved the ship, in pixels. */
  correction = 0;

  get ship(): Motion | null {
    return this.#ship;
  }

  /** The step the ship is flown to. */
  get step(): number {
    return this.#step;
  }

  /** Another connection or another ship: numbers start over, nothing sent counts. */
  reset(): void {
    this.#ship = this.#before = null;
    this.#sent = [];
    this.#held = RELEASED;
    this.#consumed = 0;
    this.#answers = [];
    this.#fresh = true;
    this.#error = { x: 0, y: 0 };
  }

  /** Flies one step with an input that was just sent. */
  flown(seq: number, keys: Controls): void {
    if (!this.#ship) return;
    this.#step += 1;
    this.#sent.push({ seq, at: this.#step, keys });
    if (this.#sent.length > MOST_STEPS) this.#sent.shift();
    this.#before = this.#ship;
    this.#ship = fly(this.#ship, keys);
  }

  /**
   * Takes over the server's truth of a step. `consumed` is the number of the last input it took, or null where
   * the room does not count: then inputs are taken when they are expected.
   */
  corrected(step: number, truth: Motion, consumed: number | null): void {
    if (!this.#ship) {
      this.#ship = this.#before = truth;
      this.#step = step + FIRST_LEAD;
      this.#replay(step, truth);
      return;
    }
    const number = consumed ?? this.#sent.findLast((input) => input.at <= step)?.seq ?? this.#consumed;
    if (number > this.#consumed) this.#answered(number, step, consumed !== null);
    if (this.#step <= step || this.#step > step + MOST_STEPS) {
      // We slept, or the server did.
      this.#shift(step + FIRST_LEAD - this.#step);
    }
    const old = this.#ship;
    this.#replay(step, truth);
    const by = { x: offset(this.#ship.x, old.x), y: offset(this.#ship.y, old.y) };
    this.correction = Math.hypot(by.x, by.y);
    if (this.correction > JUMP) this.#error = { x: 0, y: 0 };
    else this.#error = { x: this.#error.x + by.x, y: this.#error.y + by.y };
  }

  /** Where to draw the ship a part of a step after the last one; `elapsed` is the time since the last call, in ms. */
  shown(part: number, elapsed: number): Motion | null {
    if (!this.#ship || !this.#before) return null;
    const rest = Math.exp(-elapsed / SETTLE_MS);
    this.#error = { x: this.#error.x * rest, y: this.#error.y * rest };
    const at = (from: number, to: number, error: number) => wrap(wrap(from + offset(from, to) * part) + error);
    const turned = ((this.#ship.heading - this.#before.heading + 216) % 144) - 72;
    return {
      ...this.#ship,
      x: at(this.#before.x, this.#ship.x, this.#error.x),
      y: at(this.#before.y, this.#ship.y, this.#error.y),
      heading: this.#before.heading + turned * part,
    };
  }

  #answered(number: number, step: number, counted: boolean): void {
    const last = this.#sent.findLast((input) => input.seq <= number);
    this.#consumed = number;
    this.#sent = this.#sent.filter((input) => input.seq > number);
    if (!last) return;
    this.#held = last.keys;
    if (!counted) return;
    const off = step - last.at;
    if (this.#fresh) {
      this.#fresh = false;
      this.#shift(off);
      return;
    }
    this.#answers.push(off);
    if (this.#answers.length < ANSWERS) return;
    const median = [...this.#answers].sort((a, b) => a - b)[ANSWERS >> 1] ?? 0;
    if (Math.abs(median) > TOLERANCE) this.#shift(median);
    else this.#answers.shift();
  }

  #shift(steps: number): void {
    this.#step += steps;
    for (const input of this.#sent) input.at += steps;
    this.#answers = [];
  }

  #replay(from: number, truth: Motion): void {
    let next = 0;
    let keys = this.#held;
    this.#before = this.#ship = truth;
    for (let step = from + 1; step <= this.#step; step += 1) {
      // What should have come before and did not comes next.
      for (; next < this.#sent.length && this.#sent[next]!.at <= step; next += 1) keys = this.#sent[next]!.keys;
      this.#before = this.#ship;
      this.#ship = fly(this.#ship, keys);
    }
  }
}

/** Hands out whole steps of the time that passes; a pause of more than `MOST_BEHIND` of them is forgotten. */
export class Steps {
  static readonly MOST_BEHIND = 6;
  #rest = 0;
  #last: number | null = null;

  /** Steps due since the last call. */
  due(now: number): number {
    const steps = this.#last === null ? 0 : this.#rest + (now - this.#last) / STEP_MS;
    this.#last = now;
    const whole = Math.floor(steps);
    this.#rest = steps - whole;
    return Math.min(whole, Steps.MOST_BEHIND);
  }

  /** The part of the next step that has passed. */
  get part(): number {
    return this.#rest;
  }
}

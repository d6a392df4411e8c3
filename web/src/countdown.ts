/**
 * Counts a move's time down between two values from the server.
 *
 * The state's `clock` is what was left when it was sent, so the count starts over when it changes, when a move
 * was made, and when the connection came back (`restart`). Time is an argument, in milliseconds of any
 * clock that never goes back.
 */
export interface Turn {
  game: number;
  moves: number;
  clock: number;
}

export class Countdown {
  #key = "";
  #deadline = 0;
  #running = false;

  /** Takes over what the server says. A clock of 0 stops the count. */
  update(turn: Turn, now: number): void {
    const key = `${turn.game}/${turn.moves}/${turn.clock}`;
    if (key === this.#key) return;
    this.#key = key;
    this.#deadline = now + turn.clock;
    this.#running = turn.clock > 0;
  }

  /** The next update counts, even one with the same values. */
  restart(): void {
    this.#key = "";
  }

  /** Milliseconds left, never negative; null when no clock runs. */
  left(now: number): number | null {
    return this.#running ? Math.max(0, this.#deadline - now) : null;
  }
}

/** As shown: whole seconds, rounded up, so that 0 means over. */
export function clockText(left: number): string {
  const seconds = Math.ceil(left / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

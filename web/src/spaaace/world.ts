/**
 * What is to be seen at an instant: patches go in, pictures come out. Pure but for its own memory.
 *
 *   others' ships and missiles   as they were 100 ms ago
 *   own ship                     flown ahead (`Pilot`)
 *   own missiles                 seen from the press of the key, among the others as they are drawn: the server lets
 *                                them meet the others where we saw them (docs/rooms/spaaace.md, "The step"). One that
 *                                meets somebody here is gone until the server has told what came of it.
 *
 * An explosion is seen when the picture reaches the moment it happened in, the own one at once.
 */
import type { Arena, Kill, Missile } from "./arena";
import { StepClock } from "./clock";
import { BEHIND_STEPS, Track } from "./past";
import { Pilot, Steps } from "./pilot";
import { type Controls, HIT_DISTANCE, MISSILE_LIFE, MOST_LATE, type Motion, type Shot, ago, distance, launch, shotAt } from "./rules";

export interface SeenShip extends Motion {
  key: string;
  own: boolean;
  /** Nothing can hit it. */
  safe: boolean;
}

export interface SeenShot {
  key: string;
  x: number;
  y: number;
  vx: number;
  vy: number;
  own: boolean;
}

export type Happening =
  | { what: "hit"; key: string; x: number; y: number; own: boolean; mine: boolean }
  | { what: "shot"; x: number; y: number; own: boolean };

export interface Picture {
  ships: SeenShip[];
  shots: SeenShot[];
  /** What began to be seen since the last picture. */
  happened: Happening[];
}

/** A missile of ours that was seen before the server told of it. */
interface Ghost extends Shot {
  key: string;
  /** The server's missile, once known. */
  real: string | null;
  /** How many steps late the others were drawn when it was fired, as far as the server rewinds. */
  late: number;
  /** The step of the picture in which it met somebody. */
  met: number | null;
}

interface Flying extends Missile {
  key: string;
  gone: number | null;
  heard: boolean;
  /** It was seen to its end as ours. */
  seen: boolean;
}

export class World {
  readonly me: string;
  readonly pilot = new Pilot();
  readonly clock = new StepClock();
  #steps = new Steps();
  #tracks = new Map<string, Track>();
  #leaving: Track[] = [];
  #shots = new Map<string, Flying>();
  #ghosts: Ghost[] = [];
  #count = 0;
  #keys = false;
  #happened: Happening[] = [];
  #arena: Arena | null = null;
  #drawn = 0;
  #shown = 0;

  constructor(me: string) {
    this.me = me;
  }

  get arena(): Arena | null {
    return this.#arena;
  }

  get flying(): boolean {
    return this.pilot.ship !== null;
  }

  /** Takes over a patch. `consumed`: the number of the last input of ours in it, null when the room does not count. */
  heard(arena: Arena, consumed: number | null, now: number): void {
    this.clock.heard(arena.step, now);
    this.#arena = arena;
    const fell = (key: string): Kill | undefined => arena.kills.findLast((kill) => kill.victim === key);
    this.#hearShots(arena);

    for (const [key, ship] of arena.ships) {
      if (key === this.me) continue;
      let track = this.#tracks.get(key);
      if (!track) this.#tracks.set(key, (track = new Track(key)));
      track.heard(arena.step, ship);
    }
    for (const [key, track] of this.#tracks) {
      if (arena.ships.has(key)) continue;
      const kill = fell(key);
      track.shot = !!kill && arena.step - kill.step < 60;
      track.end = track.shot ? kill!.step : arena.step;
      track.gone = track.shot ? this.#met(kill!) : track.end;
      this.#tracks.delete(key);
      this.#leaving.push(track);
    }

    const own = arena.ships.get(this.me);
    if (own) {
      this.pilot.corrected(arena.step, own, consumed);
    } else if (this.pilot.ship) {
      const { x, y } = this.pilot.ship;
      const kill = fell(this.me);
      if (kill && arena.step - kill.step < 60) this.#happened.push({ what: "hit", key: this.me, x, y, own: true, mine: false });
      this.pilot.reset();
      // Nothing flies ahead any more; what is on its way is seen as the server has it.
      this.#ghosts = [];
    }
  }

  /** The step in the picture that shows a kill: earlier than the kill when our missile met what we saw. */
  #met(kill: Kill): number {
    const ours = this.#ghosts.find((ghost) => ghost.real !== null && this.#shots.get(ghost.real)?.gone === kill.step);
    return kill.killer === this.me && ours ? kill.step - ago(ours.late, kill.step - ours.born) : kill.step;
  }

  #hearShots(arena: Arena): void {
    for (const [key, missile] of arena.missiles) {
      if (this.#shots.has(key)) continue;
      const ghost = missile.owner === this.me ? this.#ghosts.find((ghost) => ghost.real === null) : undefined;
      if (ghost) ghost.real = key;
      this.#shots.set(key, { ...missile, key, gone: null, heard: false, seen: false });
    }
    for (const [key, shot] of this.#shots) {
      if (arena.missiles.has(key) || shot.gone !== null) continue;
      const hit = arena.kills.findLast((kill) => kill.killer === shot.owner && kill.step >= shot.born);
      shot.gone = hit && hit.step < shot.born + MISSILE_LIFE ? hit.step : arena.step;
    }
  }

  /** The connection was away: nothing that was sent counts, and time went on without us. */
  restart(): void {
    this.pilot.reset();
    this.clock.restart();
    this.#ghosts = [];
    this.#tracks.clear();
    this.#leaving = [];
    this.#shots.clear();
  }

  /** Steps that are due, each to be sent and then flown. */
  due(now: number): number {
    return this.#steps.due(now);
  }

  /** Flies one step with an input that was sent. */
  flown(seq: number, keys: Controls): void {
    this.pilot.flown(seq, keys);
    const ship = this.pilot.ship;
    if (keys.fire && !this.#keys && ship) {
      this.#count += 1;
      const late = Math.min(MOST_LATE, Math.max(0, this.pilot.step - this.#shown));
      this.#ghosts.push({ ...launch(ship, this.pilot.step), key: `own${this.#count}`, real: null, late, met: null });
      this.#happened.push({ what: "shot", x: ship.x, y: ship.y, own: true });
    }
    this.#keys = keys.fire;
  }

  picture(now: number): Picture {
    const elapsed = Math.min(100, Math.max(0, now - this.#drawn));
    this.#drawn = now;
    // Never back: a late patch slows the picture down, it does not turn it round.
    const at = this.clock.at(now) - BEHIND_STEPS;
    this.#shown = at < this.#shown && this.#shown - at < 30 ? this.#shown : at;
    const step = this.#shown;
    const arena = this.#arena;
    const ships: SeenShip[] = [];
    const place = (track: Track) => {
      const motion = track.at(step);
      const safe = (arena?.ships.get(track.key)?.safeUntil ?? 0) > step;
      if (motion) ships.push({ ...motion, key: track.key, own: false, safe });
    };
    for (const track of this.#tracks.values()) place(track);
    this.#leaving = this.#leaving.filter((track) => {
      if (step < track.gone!) {
        place(track);
        return true;
      }
      const motion = track.at(Math.min(step, track.end));
      const mine = this.#killer(track.key) === this.me;
      if (motion && track.shot) this.#happened.push({ what: "hit", key: track.key, x: motion.x, y: motion.y, own: false, mine });
      return false;
    });
    const own = this.pilot.shown(this.#steps.part, elapsed);
    if (own) ships.push({ ...own, key: this.me, own: true, safe: (arena?.ships.get(this.me)?.safeUntil ?? 0) > (arena?.step ?? 0) });

    const shots = [...this.#ghostsAt(step, ships), ...this.#shotsAt(step)];
    const happened = this.#happened;
    this.#happened = [];
    return { ships, shots, happened };
  }

  #killer(victim: string): string | undefined {
    return this.#arena?.kills.findLast((kill) => kill.victim === victim)?.killer;
  }

  #ghostsAt(step: number, ships: readonly SeenShip[]): SeenShot[] {
    const ahead = this.pilot.step + this.#steps.part;
    const lead = Math.max(0, ahead - step);
    const seen: SeenShot[] = [];
    this.#ghosts = this.#ghosts.filter((ghost) => {
      const age = seenAge(ahead - ghost.born, lead, ghost.late);
      const real = ghost.real === null ? undefined : this.#shots.get(ghost.real);
      if (age >= MISSILE_LIFE || age < -2 || (real && real.gone !== null && age >= real.gone - real.born)) {
        if (real) real.seen = true;
        return false;
      }
      const at = shotAt(ghost, ghost.born + age);
      if (ghost.met === null && ships.some((ship) => !ship.own && !ship.safe && distance(ship, at) < HIT_DISTANCE)) ghost.met = step;
      // What came of it is on its way for as long as the others are drawn late, and a patch.
      if (ghost.met !== null && step - ghost.met < lead + BEHIND_STEPS) return true;
      seen.push({ key: ghost.key, ...at, vx: ghost.vx, vy: ghost.vy, own: true });
      return true;
    });
    return seen;
  }

  #shotsAt(step: number): SeenShot[] {
    const seen: SeenShot[] = [];
    for (const shot of this.#shots.values()) {
      if (step >= Math.min(shot.gone ?? Infinity, shot.born + MISSILE_LIFE)) {
        // Kept until the room has forgotten it too, or it would come back as a new one.
        if (shot.gone !== null) this.#shots.delete(shot.key);
        continue;
      }
      if (step < shot.born || shot.seen || this.#ghosts.some((ghost) => ghost.real === shot.key)) continue;
      const at = shotAt(shot, step);
      if (!shot.heard) {
        shot.heard = true;
        if (shot.owner !== this.me) this.#happened.push({ what: "shot", ...at, own: false });
      }
      seen.push({ key: shot.key, ...at, vx: shot.vx, vy: shot.vy, own: shot.owner === this.me });
    }
    return seen;
  }
}

/**
 * The age at which an own missile is drawn, `age` steps after the key was pressed, while the others are drawn `lead` steps
 * late. The server lets it meet them `late` steps late at first and less and less on its way, so it is slower among
 * them than it is. Where the line is worse than the server rewinds, it waits a little at the gun.
 */
export function seenAge(age: number, lead: number, late: number): number {
  const wait = Math.max(0, lead - late);
  const flown = wait < 0.5 ? age : age - wait * (1 - Math.exp(-age / (1.3 * wait)));
  return flown / (1 + late / MISSILE_LIFE);
}

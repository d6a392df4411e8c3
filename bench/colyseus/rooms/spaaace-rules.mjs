// The rules of docs/rooms/spaaace.md in JavaScript: turn, thrust, fire, move, hit, and what bots hold down.
//
// Works on any maps of objects with these fields, so that the room uses it on its state and the check on plain objects.
// Numbers are rounded to float32 where the rules say so; `check.mjs` compares them bit for bit.

export const RATE = 60;
export const SIZE = 3000;
export const SAFE_AFTER_SPAWN = 2 * RATE;
export const BOTS = 0;
// Steps after which a bot that was shot is back.
export const AWAY = 5 * RATE;

const GRID = 4096;
const HEADINGS = 144;
const FIRST_HEADING = 36;
const THRUST = 0.05;
const TOP_SPEED = 3;
const MISSILE_SPEED = 10;
const MISSILE_LIFE = 30;
const HIT_DISTANCE = 28;
const FLAME = 5;
const SIGHT = 400;
// Tangent of 4 degrees.
const AIM = 0.06992681194351041;
const f32 = Math.fround;

const NOSES = Array.from({ length: HEADINGS }, (_, heading) => {
  const angle = (heading * Math.PI * 2) / HEADINGS;
  return [Math.cos(angle), Math.sin(angle)];
});

// Rounds halves away from zero.
const round = (value) => (value < 0 ? -Math.round(-value) : Math.round(value));
const along = (heading, speed) => NOSES[heading].map((part) => f32(round(part * speed * GRID) / GRID));
const THRUSTS = NOSES.map((_, heading) => along(heading, THRUST));
const LAUNCHES = NOSES.map((_, heading) => along(heading, MISSILE_SPEED));

export const wrap = (at) => (at < 0 ? f32(at + SIZE) : at >= SIZE ? f32(at - SIZE) : at);

function offset(from, to) {
  const straight = f32(to - from);
  return straight < -SIZE / 2 ? straight + SIZE : straight > SIZE / 2 ? straight - SIZE : straight;
}

export function distanceSquared(x, y, otherX, otherY) {
  const dx = offset(x, otherX);
  const dy = offset(y, otherY);
  return dx * dx + dy * dy;
}

// Puts a new ship at rest.
export function reset(ship, x, y, crew, safeUntil) {
  Object.assign(ship, { x, y, vx: 0, vy: 0, heading: FIRST_HEADING, thrust: 0, safeUntil });
  Object.assign(ship, { crew, up: false, left: false, right: false, fire: false, pressed: false, nextShot: 0 });
  return ship;
}

export function steer(ship, up, left, right, fire) {
  if (fire && !ship.fire) ship.pressed = true;
  ship.up = up;
  ship.left = left;
  ship.right = right;
  ship.fire = fire;
}

function fly(ship) {
  if (ship.left && !ship.right) ship.heading = ship.heading === 0 ? HEADINGS - 1 : ship.heading - 1;
  else if (ship.right && !ship.left) ship.heading = (ship.heading + 1) % HEADINGS;
  if (ship.up) {
    const [x, y] = THRUSTS[ship.heading];
    let vx = f32(ship.vx + x);
    let vy = f32(ship.vy + y);
    const square = vx * vx + vy * vy;
    if (square > TOP_SPEED * TOP_SPEED) {
      const scale = TOP_SPEED / Math.sqrt(square);
      vx = f32(Math.trunc(vx * scale * GRID) / GRID);
      vy = f32(Math.trunc(vy * scale * GRID) / GRID);
    }
    ship.vx = vx;
    ship.vy = vy;
    ship.thrust = FLAME;
  } else if (ship.thrust > 0) {
    ship.thrust -= 1;
  }
  ship.x = wrap(f32(ship.x + ship.vx));
  ship.y = wrap(f32(ship.y + ship.vy));
}

// One step. `launch(owner, fields)` adds a missile. Returns [{missile, shooter, victim}] after removing them.
export function step(number, ships, missiles, launch) {
  for (const [key, ship] of ships.entries()) {
    fly(ship);
    if (ship.pressed) {
      ship.pressed = false;
      // Who shoots can be shot.
      if (ship.safeUntil > number) ship.safeUntil = number;
      const [x, y] = LAUNCHES[ship.heading];
      const { crew } = ship;
      launch(key, { x: ship.x, y: ship.y, vx: f32(ship.vx + x), vy: f32(ship.vy + y), born: number, crew });
    }
  }
  if (missiles.size === 0) return [];
  for (const [key, missile] of [...missiles.entries()]) {
    if (number - missile.born >= MISSILE_LIFE) missiles.delete(key);
  }
  const found = hits(number, ships, missiles);
  for (const { missile, victim } of found) {
    missiles.delete(missile);
    ships.delete(victim);
  }
  return found;
}

// Every missile takes at most one ship, every ship is taken once.
function hits(number, ships, missiles) {
  if (missiles.size === 0) return [];
  const targets = [];
  for (const [key, { x, y, crew, safeUntil }] of ships.entries()) {
    if (number >= safeUntil) targets.push({ key, x, y, crew, taken: false });
  }
  const found = [];
  for (const [key, missile] of missiles.entries()) {
    const age = number - missile.born;
    const x = wrap(f32(missile.x + f32(age * missile.vx)));
    const y = wrap(f32(missile.y + f32(age * missile.vy)));
    for (const target of targets) {
      // Most pairs are far apart on one axis already.
      const apart = Math.abs(x - target.x);
      if (apart > HIT_DISTANCE && apart < SIZE - HIT_DISTANCE) continue;
      if (target.crew === missile.crew || target.taken) continue;
      if (distanceSquared(x, y, target.x, target.y) < HIT_DISTANCE * HIT_DISTANCE) {
        target.taken = true;
        found.push({ missile: key, shooter: missile.owner, victim: target.key });
        break;
      }
    }
  }
  return found;
}

// Lets every bot steer: turn towards the nearest ship, prey before all others, thrust, now and then fire.
// `nextShot(step)` draws the step of the next shot.
export function steerBots(number, ships, nextShot) {
  const sights = [];
  for (const ship of ships.values()) {
    sights.push({ x: ship.x, y: ship.y, prey: ship.crew !== BOTS && number >= ship.safeUntil });
  }
  let own = 0;
  for (const ship of ships.values()) {
    const at = own++;
    if (ship.crew !== BOTS) continue;
    let target = null;
    let least = Infinity;
    for (let other = 0; other < sights.length; other++) {
      if (other === at) continue;
      const sight = sights[other];
      if (target !== null && target.prey && !sight.prey) continue;
      const distance = distanceSquared(ship.x, ship.y, sight.x, sight.y);
      if (target === null || (sight.prey && !target.prey) || distance < least) {
        target = sight;
        least = distance;
      }
    }
    if (target === null) {
      steer(ship, false, false, false, false);
      continue;
    }
    const [noseX, noseY] = NOSES[ship.heading];
    const x = offset(ship.x, target.x);
    const y = offset(ship.y, target.y);
    const ahead = noseX * x + noseY * y;
    const aside = noseX * y - noseY * x;
    const up = ahead > 0 && Math.abs(aside) <= AIM * ahead;
    let fire = false;
    if (ship.nextShot <= number) {
      // Fire goes down for one step; it was up before.
      fire = least < SIGHT * SIGHT && up && !ship.fire;
      if (fire) ship.nextShot = nextShot(number);
    }
    steer(ship, up, !up && aside < 0, !up && aside >= 0, fire);
  }
}

// Plays a scripted fight by the rules in rooms/spaaace-rules.mjs and prints what came of it, one line per step that
// counts, to be compared with the same fight on Everplay's rules.
//
// usage: node check.mjs STEPS

import { BOTS, reset, steer, steerBots, step } from './rooms/spaaace-rules.mjs';

const STEPS = Number(process.argv[2] ?? 600);
const PILOTS = 50;
const MACHINES = 20;

// Knuth's linear congruential generator, the upper bits of 32.
let seed = 12345;
function draw(bound) {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return Math.floor((seed / 4294967296) * bound);
}

const ships = new Map();
const missiles = new Map();
let shots = 0;
for (let number = 0; number < PILOTS + MACHINES; number++) {
  const ship = reset({}, draw(3000), draw(3000), number < PILOTS ? number + 1 : BOTS, 0);
  // Bots only chase here: when they shoot is drawn by each server for itself.
  ship.nextShot = 0xffffffff;
  ships.set(String(number), ship);
}
const bits = (value) => {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  return view.getUint32(0);
};
for (let number = 1; number <= STEPS; number++) {
  for (let pilot = 0; pilot < PILOTS; pilot++) {
    const keys = draw(16);
    const ship = ships.get(String(pilot));
    if (ship && number % 12 === pilot % 12) {
      steer(ship, (keys & 1) !== 0, (keys & 6) === 2, (keys & 6) === 4, (keys & 8) !== 0);
    }
  }
  steerBots(number, ships, () => 0xffffffff);
  const hits = step(number, ships, missiles, (owner, fields) => missiles.set(String(++shots), { owner, ...fields }));
  let sum = 0;
  for (const { x, y, vx, vy, heading, thrust } of ships.values()) {
    for (const part of [bits(x), bits(y), bits(vx), bits(vy), heading, thrust]) sum = (Math.imul(sum, 31) + part) >>> 0;
  }
  const tale = hits.map(({ missile, shooter, victim }) => `${missile}:${shooter}>${victim}`).join(' ');
  console.log(`${number} ${ships.size} ${missiles.size} ${shots} ${sum} ${tale}`.trimEnd());
}

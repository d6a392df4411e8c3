// Spaaace on the official server: the state and the messages of docs/rooms/spaaace.md, 60 steps and 20 patches a second.

import { Room } from '@colyseus/core';
import { schema, t } from '@colyseus/schema';
import { AWAY, BOTS, RATE, SAFE_AFTER_SPAWN, SIZE, distanceSquared, reset, steer, steerBots, step } from './spaaace-rules.mjs';

const Ship = schema(
  {
    x: t.float32(),
    y: t.float32(),
    vx: t.float32(),
    vy: t.float32(),
    heading: t.uint8(),
    thrust: t.uint8(),
    safeUntil: t.uint32(),
  },
  'Ship',
);
const Missile = schema(
  { owner: t.string(), x: t.float32(), y: t.float32(), vx: t.float32(), vy: t.float32(), born: t.uint32() },
  'Missile',
);
const Player = schema(
  { name: t.string(), bot: t.boolean(), connected: t.boolean(), kills: t.uint32(), deaths: t.uint32() },
  'Player',
);
const Kill = schema(
  { step: t.uint32(), killer: t.string(), victim: t.string(), killerName: t.string(), victimName: t.string() },
  'Kill',
);
const Arena = schema(
  {
    step: t.uint32(),
    ships: t.map(Ship),
    missiles: t.map(Missile),
    players: t.map(Player),
    kills: t.array(Kill),
    spectators: t.uint16(),
  },
  'Arena',
);

const Controls = schema({ up: t.boolean(), left: t.boolean(), right: t.boolean(), fire: t.boolean() }, 'Controls');

const FEED = 8;
const CLEARANCE = 350;
const TRIES = 24;
const nextShot = (number) => number + 250 + Math.floor(Math.random() * 101);

export class SpaaaceRoom extends Room {
  inputs = this.defineInput(Controls);

  onCreate({ bots = 3 }) {
    this.maxClients = 100 - bots;
    this.patchRate = 50;
    this.state = new Arena();
    this.state.step = 0;
    this.state.spectators = 0;
    this.shots = 0;
    this.crews = 0;
    for (let number = 1; number <= bots; number++) {
      this.enlist(`bot${number}`, `Bot ${number}`, true);
    }
    this.onMessage('spawn', (client) => {
      if (!this.state.ships.has(client.sessionId)) this.launch(client.sessionId);
    });
    this.setFixedTimestep(() => this.step(), RATE);
  }

  onJoin(client, { name }) {
    this.enlist(client.sessionId, String(name ?? 'Pilot').slice(0, 20), false);
  }

  onLeave(client) {
    this.state.players.delete(client.sessionId);
    this.state.ships.delete(client.sessionId);
  }

  enlist(key, name, bot) {
    const player = new Player();
    Object.assign(player, { name, bot, connected: true, kills: 0, deaths: 0 });
    player.crew = bot ? BOTS : ++this.crews;
    player.backAt = 0;
    this.state.players.set(key, player);
    this.launch(key);
  }

  // Gives a player a ship, away from the others.
  launch(key) {
    const player = this.state.players.get(key);
    if (!player) return;
    const [x, y] = this.place();
    const ship = reset(new Ship(), x, y, player.crew, this.state.step + SAFE_AFTER_SPAWN);
    if (player.bot) ship.nextShot = nextShot(this.state.step);
    this.state.ships.set(key, ship);
  }

  place() {
    let best = [0, 0];
    let most = -1;
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const x = Math.floor(Math.random() * SIZE);
      const y = Math.floor(Math.random() * SIZE);
      let least = Infinity;
      for (const ship of this.state.ships.values()) least = Math.min(least, distanceSquared(x, y, ship.x, ship.y));
      if (least >= CLEARANCE * CLEARANCE) return [x, y];
      if (least > most) {
        most = least;
        best = [x, y];
      }
    }
    return best;
  }

  step() {
    const { state } = this;
    const number = ++state.step;
    for (const { sessionId } of this.clients) {
      const input = this.inputs.get(sessionId).next();
      const ship = input && state.ships.get(sessionId);
      if (ship) steer(ship, input.up, input.left, input.right, input.fire);
    }
    steerBots(number, state.ships, nextShot);
    const hits = step(number, state.ships, state.missiles, (owner, { crew, ...fields }) => {
      const missile = new Missile();
      Object.assign(missile, fields, { owner });
      missile.crew = crew;
      state.missiles.set(String(++this.shots), missile);
    });
    for (const hit of hits) this.score(number, hit);
    for (const [key, player] of state.players.entries()) {
      if (player.bot && player.backAt === number && !state.ships.has(key)) this.launch(key);
    }
  }

  score(number, { shooter, victim }) {
    const killer = this.state.players.get(shooter);
    const killed = this.state.players.get(victim);
    if (killer) killer.kills++;
    if (killed) {
      killed.deaths++;
      killed.backAt = number + AWAY;
    }
    if (this.state.kills.length >= FEED) this.state.kills.shift();
    const kill = new Kill();
    Object.assign(kill, { step: number, killer: shooter, victim });
    kill.killerName = killer?.name ?? '';
    kill.victimName = killed?.name ?? '';
    this.state.kills.push(kill);
  }
}

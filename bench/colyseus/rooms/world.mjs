// One world of 2,000 moving entities; every client sees the some 50 around its own.
//
// What a client sees is worked out with a grid, four times a second; positions move and patches leave 20 times.

import { Room } from '@colyseus/core';
import { schema, StateView, t } from '@colyseus/schema';

const ENTITIES = 2000;
const SIZE = 1000;
const SPEED = 2;
const STEP_MS = 50;
// Steps between two looks around.
const LOOK_EVERY = 5;
// A circle of this radius holds 50 of 2,000 entities.
const SIGHT = Math.sqrt((50 / ENTITIES) * SIZE * SIZE / Math.PI);
const CELL = 100;
const CELLS = SIZE / CELL;

const Entity = schema({ x: t.float32(), y: t.float32(), kind: t.uint8() }, 'Entity');
const World = schema({ tick: t.uint32(), entities: t.map(Entity).view() }, 'World');

const wrap = (value) => (value < 0 ? value + SIZE : value >= SIZE ? value - SIZE : value);
// The short way from one coordinate to another.
const offset = (from, to) => {
  const straight = to - from;
  return straight < -SIZE / 2 ? straight + SIZE : straight > SIZE / 2 ? straight - SIZE : straight;
};

export class WorldRoom extends Room {
  onCreate() {
    this.maxClients = 5000;
    this.patchRate = STEP_MS;
    this.state = new World();
    this.state.tick = 0;
    // Where each entity goes is nobody's business but the room's.
    this.moving = [];
    for (let number = 0; number < ENTITIES; number++) {
      const entity = new Entity();
      entity.x = Math.random() * SIZE;
      entity.y = Math.random() * SIZE;
      entity.kind = number % 8;
      const angle = Math.random() * Math.PI * 2;
      this.state.entities.set(String(number), entity);
      this.moving.push({ entity, vx: Math.cos(angle) * SPEED, vy: Math.sin(angle) * SPEED });
    }
    this.watchers = new Map();
    this.joined = 0;
    this.grid = Array.from({ length: CELLS * CELLS }, () => []);
    this.setSimulationInterval(() => this.step(), STEP_MS);
  }

  onJoin(client) {
    client.view = new StateView();
    this.watchers.set(client.sessionId, { client, own: this.joined++ % ENTITIES, seen: new Set() });
    this.fillGrid();
    this.look(this.watchers.get(client.sessionId));
  }

  onLeave(client) {
    this.watchers.delete(client.sessionId);
  }

  step() {
    this.state.tick++;
    for (const { entity, vx, vy } of this.moving) {
      entity.x = wrap(entity.x + vx);
      entity.y = wrap(entity.y + vy);
    }
    if (this.state.tick % LOOK_EVERY === 0) {
      this.fillGrid();
      for (const watcher of this.watchers.values()) this.look(watcher);
    }
  }

  fillGrid() {
    for (const cell of this.grid) cell.length = 0;
    for (let number = 0; number < ENTITIES; number++) {
      const { x, y } = this.moving[number].entity;
      this.grid[Math.floor(y / CELL) * CELLS + Math.floor(x / CELL)].push(number);
    }
  }

  look({ client, own, seen }) {
    const { x, y } = this.moving[own].entity;
    const now = new Set();
    const column = Math.floor(x / CELL);
    const row = Math.floor(y / CELL);
    for (let down = -1; down <= 1; down++) {
      for (let right = -1; right <= 1; right++) {
        const cell = ((row + down + CELLS) % CELLS) * CELLS + ((column + right + CELLS) % CELLS);
        for (const number of this.grid[cell]) {
          const { entity } = this.moving[number];
          const dx = offset(x, entity.x);
          const dy = offset(y, entity.y);
          if (dx * dx + dy * dy <= SIGHT * SIGHT) now.add(number);
        }
      }
    }
    for (const number of now) {
      if (!seen.delete(number)) client.view.add(this.moving[number].entity);
    }
    for (const number of seen) client.view.remove(this.moving[number].entity);
    seen.clear();
    for (const number of now) seen.add(number);
  }
}

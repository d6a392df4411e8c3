// The arena: twenty ships that never stop, a patch every 50 ms, echoes.

import { Room } from '@colyseus/core';
import { schema, t } from '@colyseus/schema';

const Ship = schema({ x: t.float32(), y: t.float32(), angle: t.float32(), score: t.uint16() }, 'Ship');
const Arena = schema({ tick: t.uint32(), ships: t.map(Ship) }, 'Arena');

const STEP_MS = 50;
const SIZE = 1000;
const SPEED = 2;
const wrap = (value) => ((value % SIZE) + SIZE) % SIZE;

export class ArenaRoom extends Room {
  onCreate() {
    this.maxClients = 20;
    this.patchRate = STEP_MS;
    this.state = new Arena();
    this.state.tick = 0;
    this.onMessage('turn', (client, angle) => {
      const ship = this.state.ships.get(client.sessionId);
      if (ship && typeof angle === 'number') ship.angle = angle;
    });
    this.onMessage('echo', (client, payload) => client.send('echo', payload));
    this.setSimulationInterval(() => {
      this.state.tick++;
      for (const ship of this.state.ships.values()) {
        ship.x = wrap(ship.x + Math.cos(ship.angle) * SPEED);
        ship.y = wrap(ship.y + Math.sin(ship.angle) * SPEED);
      }
    }, STEP_MS);
  }

  onJoin(client) {
    const ship = new Ship();
    ship.x = Math.random() * SIZE;
    ship.y = Math.random() * SIZE;
    ship.angle = Math.random() * Math.PI * 2;
    ship.score = 0;
    this.state.ships.set(client.sessionId, ship);
  }

  onLeave(client) {
    this.state.ships.delete(client.sessionId);
  }
}

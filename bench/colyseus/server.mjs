// The arena of `everplay bench` on the official server: same state, same rates, same messages, default ws transport.
// usage: node server.mjs [PORT]   prints one line with its address and process id when it listens

// Version 0.18 reads a global that Node has since release 22; older ones get the one constant it needs.
globalThis.WebSocket ??= { OPEN: 1 };
process.env.NODE_ENV ??= 'production';

const { Server, Room } = await import('@colyseus/core');
const { WebSocketTransport } = await import('@colyseus/ws-transport');
const { schema, t } = await import('@colyseus/schema');

const Ship = schema({ x: t.float32(), y: t.float32(), angle: t.float32(), score: t.uint16() }, 'Ship');
const Arena = schema({ tick: t.uint32(), ships: t.map(Ship) }, 'Arena');

const STEP_MS = 50;
const SIZE = 1000;
const SPEED = 2;
const wrap = (value) => ((value % SIZE) + SIZE) % SIZE;

class ArenaRoom extends Room {
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

const port = Number(process.argv[2] ?? 2568);
const server = new Server({ transport: new WebSocketTransport(), greet: false });
server.define('arena', ArenaRoom);
await server.listen(port, '127.0.0.1');
console.log(`Colyseus is ready: http://127.0.0.1:${port} (process ${process.pid}, node ${process.version})`);

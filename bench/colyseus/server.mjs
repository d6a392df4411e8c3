// The benchmarks' rooms on the official server: same state, same rates, same messages, same rules.
//
// usage: node server.mjs [--port N] [--transport uws|ws]
// Prints one line with its address, process id and versions when it listens. With --expose-gc, SIGUSR2 collects all
// garbage, so that the memory that is read is the memory that is needed.

import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

// Version 0.18 reads a global that Node has since release 22; older ones get the one constant it needs.
globalThis.WebSocket ??= { OPEN: 1 };
process.env.NODE_ENV ??= 'production';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '2568' },
    transport: { type: 'string', default: 'uws' },
  },
});
const port = Number(values.port);

const { Server, matchMaker } = await import('@colyseus/core');
const { ArenaRoom } = await import('./rooms/arena.mjs');
const { LobbyRoom } = await import('./rooms/lobby.mjs');
const { SpaaaceRoom } = await import('./rooms/spaaace.mjs');
const { WorldRoom } = await import('./rooms/world.mjs');

const transports = {
  uws: async () => {
    const { uWebSocketsTransport } = await import('@colyseus/uwebsockets-transport');
    return new uWebSocketsTransport();
  },
  ws: async () => {
    const { WebSocketTransport } = await import('@colyseus/ws-transport');
    return new WebSocketTransport();
  },
};
const transport = transports[values.transport];
if (!transport || !Number.isInteger(port)) {
  console.error('usage: node server.mjs [--port N] [--transport uws|ws]');
  process.exit(2);
}

const server = new Server({ transport: await transport(), greet: false, gracefullyShutdown: false });
server.define('arena', ArenaRoom);
server.define('lobby', LobbyRoom);
server.define('spaaace', SpaaaceRoom);
server.define('world', WorldRoom);
await server.listen(port, '127.0.0.1');

if (globalThis.gc) process.on('SIGUSR2', () => globalThis.gc());
const version = (name) => createRequire(import.meta.url)(`${name}/package.json`).version;
const core = version('@colyseus/core');
console.log(
  `Colyseus is ready: http://127.0.0.1:${port} (process ${process.pid}, node ${process.version}, core ${core})`,
);

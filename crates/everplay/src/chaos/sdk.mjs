// Players that are the official SDK. Run by `everplay chaos`, which judges what they say; nothing is judged here.
//
// arguments: the SDK's folder, the server's URL, the room kind, and one group for each player
// out: one line of JSON for each thing that a player was shown, with the time it was shown
// in:  "scatter" breaks all sockets

const [folder, url, kind, ...groups] = process.argv.slice(1);
const { Client } = require(folder);

// The SDK tells about its attempts to come back here; the lines are ours.
console.info = console.warn = console.log = () => {};

const RING = 64;
const say = (player, what) => process.stdout.write(`${JSON.stringify({ player, at: Math.round(performance.now()), ...what })}\n`);

async function play(player, group) {
  const client = new Client(url);
  let room;
  for (let tries = 1; room === undefined; tries += 1) {
    try {
      room = await client.joinOrCreate(kind, { group });
    } catch (error) {
      if (tries >= 20) return say(player, { failed: String(error?.message ?? error) });
      await new Promise((done) => setTimeout(done, 250));
    }
  }
  // As it comes, except that it does not give up, and comes back however young the room is.
  room.reconnection.maxRetries = 100;
  room.reconnection.minUptime = 0;
  room.reconnection.maxDelay = 1000;
  say(player, { joined: room.roomId, session: room.sessionId });

  let sent = 0;
  let seen = -1;
  let full = true;
  room.onStateChange((state) => {
    const tick = state.tick ?? 0;
    // What is needed to compute this step from the one before.
    const links = [];
    for (let step = Math.max(seen + 1, tick - RING + 1, 0); step <= tick; step += 1) {
      links.push([step % RING, String(state.links[step % RING])]);
    }
    const mine = state.scribes?.get(room.sessionId);
    const scribe = mine && [mine.done ?? 0, mine.last ?? 0, mine.again ?? 0];
    say(player, { tick, chain: String(state.chain), links, scribe, sent, full });
    seen = tick;
    full = false;
  });
  room.onMessage("mark", (mark) => say(player, { mark }));
  room.onMessage("__everplay", () => {});
  let away = false;
  room.onDrop((code) => {
    away = true;
    say(player, { dropped: code });
  });
  room.onReconnect(() => {
    away = false;
    full = true;
  });
  room.onLeave((code, reason) => say(player, { left: code, reason: reason ?? "" }));
  setInterval(() => {
    // What is said on the way back overtakes what the SDK has queued, so only what has no order is said then.
    if (away) return room.send("rest");
    sent += 1;
    room.send("deed", sent);
  }, 100);
  return room;
}

const rooms = groups.map((group, player) => play(player, group));
process.stdin.on("data", async (text) => {
  if (!String(text).includes("scatter")) return;
  for (const room of await Promise.all(rooms)) {
    const socket = room?.connection.transport.ws;
    // Without a goodbye where that is possible.
    if (socket) (socket.terminate ?? socket.close).call(socket);
  }
});
// Whoever started this is gone.
process.stdin.on("end", () => process.exit(0));

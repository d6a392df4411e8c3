// The lobby: people who wait, and now and then say that they are ready. Nothing moves by itself.

import { Room } from '@colyseus/core';
import { schema, t } from '@colyseus/schema';

const Guest = schema({ name: t.string(), ready: t.boolean() }, 'Guest');
const Lobby = schema({ guests: t.map(Guest) }, 'Lobby');

export class LobbyRoom extends Room {
  onCreate() {
    this.maxClients = 20;
    this.state = new Lobby();
    this.onMessage('ready', (client, ready) => {
      const guest = this.state.guests.get(client.sessionId);
      if (guest) guest.ready = ready === true;
    });
  }

  onJoin(client) {
    const guest = new Guest();
    guest.name = `Guest ${client.sessionId}`;
    guest.ready = false;
    this.state.guests.set(client.sessionId, guest);
  }

  onLeave(client) {
    this.state.guests.delete(client.sessionId);
  }
}

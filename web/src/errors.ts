/** Sentences for the codes of docs/rooms/tic_tac_toe.md, docs/line.md and of the SDK. */
const SENTENCES: Record<number, string> = {
  521: "No such game is open right now.",
  522: "This game is over, full, or its link is wrong.",
  524: "Your seat in this game is gone.",
  4217: "The server did not understand that.",
  4300: "There is no such cell.",
  4301: "That cell is taken.",
  4302: "It is not your turn.",
  4303: "The game is over.",
  4304: "The game has not started yet.",
  4305: "Watchers cannot play.",
  4306: "The game is still on.",
  4307: "Your opponent has left.",
  4308: "The server refused these settings.",
  4310: "You are in the line already, in another tab or on another device.",
  4311: "The game at the table decides who won.",
  4312: "You are not in the line.",
};

/** What to tell a person; falls back to the server's own sentence. */
export function sentence(code: number | undefined, message?: string): string {
  const known = code === undefined ? undefined : SENTENCES[code];
  return known ?? (message && message.length < 140 ? message : "The server cannot be reached. Try again in a moment.");
}

/** Why the room ended for us, by close code; empty for our own leaving. */
export function farewell(code: number): string {
  switch (code) {
    case 4000:
      return "";
    case 4001:
      return "The server closed for good.";
    case 4003:
      return "We could not get you back into the game.";
    case 4101:
      return "Too many messages at once.";
    case 4103:
      return "You opened this game in another tab.";
    case 4104:
      return "The game failed on the server and was closed.";
    default:
      return "The connection to the game ended.";
  }
}

/** What the services' answers mean in words and numbers. Pure: no page, no network, no clock. */

/** Games that count, by the kind of their room. */
export const GAMES = [["tic_tac_toe", "Tic-tac-toe"], ["line", "Line"], ["spaaace", "Spaaace"]] as const;

/** Regions people choose from; a profile may name another. */
export const REGIONS = [
  ["africa", "Africa"], ["asia", "Asia"], ["eu", "Europe"], ["na", "North America"], ["oceania", "Oceania"], ["sa", "South America"],
] as const;

export const gameName = (kind: string): string =>
  GAMES.find(([key]) => key === kind)?.[1] ?? kind.replace(/_/g, " ").replace(/^./, (first) => first.toUpperCase());

export const regionName = (region: string): string => REGIONS.find(([key]) => key === region)?.[1] ?? region;

/** Seasons from the one of `now` back, as the server names them: quarters in UTC. */
export function seasons(now: Date, count: number): string[] {
  const quarters = now.getUTCFullYear() * 4 + Math.floor(now.getUTCMonth() / 3);
  return Array.from({ length: count }, (_, back) => `${Math.floor((quarters - back) / 4)}-Q${((quarters - back) % 4) + 1}`);
}

export type Outcome = "won" | "lost" | "drawn" | "over";

/** How a game of a history ended for the side whose history it is. */
export function outcome(game: { mark: string; winner?: string | null; players: { mark: string }[] }): Outcome {
  if (!game.winner) return "over";
  if (game.winner === "draw") return "drawn";
  const side = Number(/^player(\d+)$/.exec(game.winner)?.[1]);
  const winner = game.players[side - 1];
  if (!winner) return "over";
  return winner.mark === game.mark ? "won" : "lost";
}

export const OUTCOMES: Record<Outcome, string> = { won: "Won", lost: "Lost", drawn: "Draw", over: "Over" };

/** The other players' names: `against Ada`, `against Ada and 2 more`. */
export function against(game: { mark: string; players: { mark: string; name: string }[] }): string {
  const others = game.players.filter((player) => player.mark !== game.mark);
  const [first] = others;
  if (!first) return "alone";
  return others.length === 1 ? `against ${first.name}` : `against ${first.name} and ${others.length - 1} more`;
}

/** Seconds as people say them: `3 min`, `2 h 5 min`. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
}

/** How long ago, or how soon: `just now`, `5 min ago`, `in 3 h`, `12 days ago`. */
export function since(time: string, now: number): string {
  const ms = now - Date.parse(time);
  if (Number.isNaN(ms)) return "some time ago";
  const seconds = Math.abs(ms) / 1000;
  const say = (text: string) => (ms >= 0 ? `${text} ago` : `in ${text}`);
  if (seconds < 45) return ms >= 0 ? "just now" : "in a moment";
  if (seconds < 3600) return say(`${Math.max(1, Math.round(seconds / 60))} min`);
  if (seconds < 36 * 3600) return say(`${Math.round(seconds / 3600)} h`);
  return say(`${Math.round(seconds / 86400)} days`);
}

/** With a space that no line breaks at. */
export const percent = (value: number): string => `${Number.isInteger(value) ? value : value.toFixed(1)}\u00a0%`;

export const rating = (value: number, deviation: number): string => `${Math.round(value)} ± ${Math.round(deviation)}`;

/** First, next and last page of a list of `total` rows. */
export function paging(offset: number, limit: number, total: number): { from: number; to: number; before: number | null; after: number | null } {
  return {
    from: total === 0 ? 0 : offset + 1,
    to: Math.min(total, offset + limit),
    before: offset > 0 ? Math.max(0, offset - limit) : null,
    after: offset + limit < total ? offset + limit : null,
  };
}

/** The board of tic-tac-toe after the first `count` moves: marks by cell. */
export function position(moves: { mark: string; played: unknown }[], count: number): (string | null)[] {
  const board: (string | null)[] = Array(9).fill(null);
  for (const { mark, played } of moves.slice(0, count)) {
    if (typeof played === "number" && played >= 0 && played < 9) board[played] = mark;
  }
  return board;
}

/** One or two letters that stand for a name. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0]!, words[words.length - 1]!].map((word) => [...word][0]) : [[...(words[0] ?? "?")][0]];
  return letters.join("").toUpperCase();
}

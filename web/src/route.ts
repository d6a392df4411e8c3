/** Where in the arcade we are: the part of the address after `#`. */
export type Route =
  | { at: "home" }
  /** An address that the arcade does not have. */
  | { at: "lost" }
  | { at: "room"; id: string; watch: boolean }
  | { at: "arena"; id: string; watch: boolean }
  | PageRoute;

/** A page beside the games: `#/leaderboard?game=tic_tac_toe`, `#/tickets/T-12`. */
export interface PageRoute {
  at: "page";
  page: PageName;
  /** What follows the page's name. */
  rest: string[];
  query: URLSearchParams;
}

export const PAGES = [
  "sign-in", "register", "forgot", "profile", "player", "played", "account", "leaderboard", "line", "ranked", "help", "tickets", "desk",
] as const;
export type PageName = (typeof PAGES)[number];

/** Ids as the server makes them. */
const ID = /^[A-Za-z0-9_-]{4,64}$/;

export function parse(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#/, "").split("?", 2);
  const [, page, id, rest] = path.split("/");
  if (page === "room" && id && ID.test(id)) return { at: "room", id, watch: rest === "watch" };
  if (page === "spaaace" && id && ID.test(id)) return { at: "arena", id, watch: rest === "watch" };
  const name = PAGES.find((known) => known === page);
  if (name) return { at: "page", page: name, rest: path.split("/").slice(2).filter(Boolean).map(decoded), query: new URLSearchParams(search) };
  return page ? { at: "lost" } : { at: "home" };
}

export const roomHash = (id: string, watch = false): string => `#/room/${id}${watch ? "/watch" : ""}`;

export const arenaHash = (id: string, watch = false): string => `#/spaaace/${id}${watch ? "/watch" : ""}`;

/** The address of a page; empty values of the query are left out. */
export function pageHash(page: PageName, rest: string[] = [], query: Record<string, string> = {}): string {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "")).toString();
  return `#/${[page, ...rest.map(encodeURIComponent)].join("/")}${search && `?${search}`}`;
}

/** An address within the arcade to come back to; anything else is the arcade itself. */
export const backTo = (text: string | null): string => (text && /^#\/[^\s]*$/.test(text) ? text : "#/");

/** The room or arena that a person pasted: an id, which is a room's, or a whole link; null when it is neither. */
export function pasted(text: string): { at: "room" | "arena"; id: string } | null {
  const trimmed = text.trim();
  if (ID.test(trimmed)) return { at: "room", id: trimmed };
  const hash = trimmed.indexOf("#");
  const route = hash >= 0 ? parse(trimmed.slice(hash)) : null;
  return route && (route.at === "room" || route.at === "arena") ? { at: route.at, id: route.id } : null;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

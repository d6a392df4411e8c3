/** Where in the arcade we are: the part of the address after `#`. */
export type Route =
  | { at: "home" }
  | { at: "room"; id: string; watch: boolean }
  | { at: "arena"; id: string; watch: boolean };

/** Ids as the server makes them. */
const ID = /^[A-Za-z0-9_-]{4,64}$/;

export function parse(hash: string): Route {
  const [, page, id, rest] = hash.replace(/^#/, "").split("/");
  if (page === "room" && id && ID.test(id)) return { at: "room", id, watch: rest === "watch" };
  if (page === "spaaace" && id && ID.test(id)) return { at: "arena", id, watch: rest === "watch" };
  return { at: "home" };
}

export const roomHash = (id: string, watch = false): string => `#/room/${id}${watch ? "/watch" : ""}`;

export const arenaHash = (id: string, watch = false): string => `#/spaaace/${id}${watch ? "/watch" : ""}`;

/** The room or arena that a person pasted: an id, which is a room's, or a whole link; null when it is neither. */
export function pasted(text: string): { at: "room" | "arena"; id: string } | null {
  const trimmed = text.trim();
  if (ID.test(trimmed)) return { at: "room", id: trimmed };
  const hash = trimmed.indexOf("#");
  const route = hash >= 0 ? parse(trimmed.slice(hash)) : null;
  return route && route.at !== "home" ? { at: route.at, id: route.id } : null;
}

/** The top of every page: where one can go, and who one is. */
import { user, onChange } from "./account/session";
import { h } from "./dom";
import { type Route, pageHash } from "./route";

/** Roles that answer tickets; the server decides, this only shows the way. */
const ANSWERING = ["support_agent", "customer_admin", "admin"];
const DESK = "Desk";

const PLACES = [
  { name: "Play", hash: "#/", of: ["home", "room", "arena", "ranked"] },
  { name: "Line", hash: pageHash("line"), of: ["line"] },
  { name: "Leaderboard", hash: pageHash("leaderboard"), of: ["leaderboard", "player"] },
  { name: "Help", hash: pageHash("help"), of: ["help", "tickets"] },
  { name: DESK, hash: pageHash("desk"), of: ["desk"] },
];

/** Draws the header; the answer marks where we are. */
export function header(): (route: Route) => void {
  const nav = document.getElementById("nav")!;
  const account = document.getElementById("account")!;
  const links = PLACES.map(({ name, hash }) => h("a", { href: hash }, name));
  nav.replaceChildren(...links);
  let here: Route = { at: "home" };

  const draw = () => {
    const me = user();
    const place = here.at === "page" ? here.page : here.at;
    PLACES.forEach(({ name, of }, index) => {
      if (name === DESK) links[index]!.hidden = !me?.roles.some((role) => ANSWERING.includes(role));
      if (of.includes(place)) links[index]!.setAttribute("aria-current", "page");
      else links[index]!.removeAttribute("aria-current");
    });
    const next = here.at === "page" && ["sign-in", "register", "forgot"].includes(here.page) ? "" : location.hash;
    const way = me
      ? h("a", { class: "me", href: pageHash("profile") }, h("span", { class: "dot", "aria-hidden": "true" }), h("span", { class: "me-name" }, me.displayName), me.anonymous ? h("span", { class: "tag" }, "guest") : null)
      : h("a", { class: "me out", href: pageHash("sign-in", [], { next: next === "#/" ? "" : next }) }, "Sign in");
    if (place === "profile" || place === "account" || place === "sign-in") way.setAttribute("aria-current", "page");
    account.replaceChildren(way);
  };
  onChange(draw);
  draw();

  const menu = document.getElementById("menu")!;
  nav.addEventListener("toggle", (event) => menu.setAttribute("aria-expanded", String((event as ToggleEvent).newState === "open")));
  return (route) => {
    here = route;
    if (nav.matches(":popover-open")) nav.hidePopover();
    draw();
  };
}

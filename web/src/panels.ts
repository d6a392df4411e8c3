/** Pages of one panel: what is said instead of a game, and where to go from there. */
import { h } from "./dom";

/** A way on: an address, or something to do. */
export type Way = readonly [text: string, to: string | (() => void)];

const ARCADE: Way = ["To the arcade", "#/"];

/** The first way is the one to take. */
export function panel(title: string, lead: string, ...ways: Way[]): HTMLElement {
  const buttons = [...ways, ARCADE].map(([text, to], index) => {
    const look = index === 0 ? "button primary big" : "button";
    return typeof to === "string" ? h("a", { class: look, href: to }, text) : h("button", { type: "button", class: look, onclick: to }, text);
  });
  return h("div", { class: "invite" }, h("section", { class: "panel" }, h("h1", {}, title), h("p", { class: "lead" }, lead), ...buttons));
}

/** For an invitation to a game that this browser sits in already, in another tab: to come here instead. */
export const instead = (here: () => void): HTMLElement =>
  h("div", { class: "group" },
    h("p", { class: "hint" }, "You are in this game already, in another tab."),
    h("button", { type: "button", class: "button", onclick: here }, "Go on here instead"));

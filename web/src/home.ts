/** The arcade: a name, and the ways into a game. */
import { user } from "./account/session";
import { h, markPicture, s, toast } from "./dom";
import { sentence } from "./errors";
import { saveName } from "./name";
import { type Kept, type Kind } from "./kept";
import { instead } from "./panels";
import { arenaHash, pageHash, pasted, roomHash } from "./route";
import { botsField, spaceship } from "./spaaace/door";
import { forget, leftBehind } from "./seat";
import type { Wishes } from "./spaaace/flight";
import { type Options, Table } from "./table";
import { nameField, whoPlays } from "./who";

const LEVEL = "everplay.level";
/** So often it is looked for seats that a tab left behind. */
const LOOK_MS = 2000;

export interface Paths {
  enter(table: Table): void;
  goto(place: { at: "room" | "arena"; id: string }, watch: boolean): void;
  /** Into an arena of Spaaace. */
  arena(options: { name: string; mode: "play" | "watch" }): Promise<void>;
  /** Into an arena of one's own. */
  ownArena(wishes: Wishes): Promise<void>;
}

export function home(paths: Paths): HTMLElement {
  const name = nameField();
  const open = opener(paths, name);

  const levels = h("fieldset", { class: "levels" }, h("legend", { class: "sr" }, "Strength of the computer"));
  const chosen = localStorage.getItem(LEVEL) ?? "medium";
  for (const [value, label] of [["easy", "Easy"], ["medium", "Medium"], ["perfect", "Perfect"]] as const) {
    const input = h("input", { type: "radio", name: "level", value, id: `level-${value}`, checked: value === chosen });
    levels.append(input, h("label", { for: `level-${value}` }, label));
  }
  const level = () => levels.querySelector<HTMLInputElement>("input:checked")?.value ?? "medium";

  const bots = botsField();
  const takeOff = (enter: (name: string) => Promise<void>) => (event: Event) => {
    if (!user()) saveName(name.value);
    const button = event.currentTarget as HTMLElement;
    if (button.getAttribute("aria-busy")) return;
    button.setAttribute("aria-busy", "true");
    void enter(name.value.trim()).finally(() => button.removeAttribute("aria-busy"));
  };
  const launch = (mode: "play" | "watch") => takeOff((name) => paths.arena({ name, mode }));
  const own = takeOff((name) => paths.ownArena({ name, private: true, bots: bots.count() }));

  const link = h("input", { type: "text", id: "link-field", autocomplete: "off", spellcheck: "false", placeholder: "Link or room id" });
  const follow = (watch: boolean) => {
    const place = pasted(link.value);
    if (place) return paths.goto(place, watch);
    toast("That is not a link to a game.");
    link.focus();
  };

  return h(
    "div",
    { class: "home" },
    unfinished(),
    h(
      "section",
      { class: "hero" },
      h("h1", {}, "Games that go on."),
      h("p", { class: "lead" }, "Tic-tac-toe and an arena of ships, on a server that may fall over at any time. Yours continues where it was."),
      ornament(),
    ),
    h(
      "section",
      { class: "panel", "aria-label": "Start a game" },
      whoPlays(name),
      h("button", { type: "button", class: "button primary big", onclick: open((o) => Table.quick(o)) }, "Quick match"),
      h("button", { type: "button", class: "button big", onclick: () => {
        if (!user()) saveName(name.value);
        location.hash = pageHash("ranked");
      } }, "Ranked match"),
      h(
        "div",
        { class: "group" },
        h("h2", {}, "Against the computer"),
        levels,
        h(
          "button",
          {
            type: "button",
            class: "button",
            onclick: open((o) => {
              localStorage.setItem(LEVEL, level());
              return Table.create({ ...o, mode: "computer", level: level() });
            }),
          },
          "Play the computer",
        ),
      ),
      h(
        "div",
        { class: "group" },
        h("h2", {}, "With a friend"),
        h("button", { type: "button", class: "button", onclick: open((o) => Table.create({ ...o, mode: "private" })) }, "Create a private room"),
        h(
          "form",
          { class: "join", onsubmit: (event: SubmitEvent) => { event.preventDefault(); follow(false); } },
          h("label", { for: "link-field", class: "sr" }, "Link or room id"),
          link,
          h("button", { type: "submit", class: "button quiet" }, "Join"),
          h("button", { type: "button", class: "button quiet", onclick: () => follow(true) }, "Watch"),
        ),
      ),
      h(
        "div",
        { class: "group arcade" },
        spaceship(),
        h("div", {}, h("h2", {}, "Spaaace"), h("p", { class: "small" }, "Ships, missiles, bots. One arena for all, or one of your own.")),
        h("div", { class: "row" },
          h("button", { type: "button", class: "button", onclick: launch("play") }, "Fly"),
          h("button", { type: "button", class: "button quiet", onclick: launch("watch"), "aria-label": "Watch Spaaace" }, "Watch")),
        bots.element,
        h("button", { type: "button", class: "button quiet", onclick: own }, "Private arena"),
      ),
    ),
  );
}

/** Games that this browser sits in without a tab: the way back into each. */
function unfinished(): HTMLElement {
  const box = h("section", { class: "panel goes-on", "aria-label": "Games that go on", hidden: true });
  const line = (seat: Kept) => {
    const [name, hash] = WAYS_BACK[seat.kind](seat.room);
    return h("div", { class: "goes-on-line" },
      h("p", {}, h("strong", {}, seat.kind === "line" ? "Your place is kept" : "Your game goes on"), h("span", { class: "hint" }, name)),
      h("a", { class: "button primary", href: hash }, "Continue"),
      h("button", { type: "button", class: "button quiet", "aria-label": `Do not continue ${name}`, onclick: () => {
        forget(seat.room);
        void look();
      } }, "Dismiss"));
  };
  let shown = "";
  const look = async () => {
    const seats = await leftBehind();
    const rooms = seats.map(({ room }) => room).join();
    if (rooms === shown) return;
    shown = rooms;
    box.replaceChildren(...seats.map(line));
    box.hidden = seats.length === 0;
  };
  void look();
  // A tab may be closed while this page is open.
  const timer = setInterval(() => (box.isConnected ? void look() : clearInterval(timer)), LOOK_MS);
  return box;
}

const WAYS_BACK: Record<Kind, (room: string) => [string, string]> = {
  tic_tac_toe: (room) => ["Tic-tac-toe", roomHash(room)],
  spaaace: (room) => ["Spaaace", arenaHash(room)],
  line: () => ["The line", pageHash("line")],
};

/** Asks somebody who opened a link how they want to come in; `here` brings a seat of another tab to this one. */
export function invitation(id: string, paths: Paths, here?: () => void): HTMLElement {
  const name = nameField();
  const open = opener(paths, name);
  return h(
    "div",
    { class: "invite" },
    h(
      "section",
      { class: "panel" },
      h("h1", {}, "You are invited to a game"),
      h("p", { class: "lead" }, "Tic-tac-toe. If both seats are taken, you watch."),
      whoPlays(name),
      h("button", { type: "button", class: "button primary big", onclick: open((o) => Table.join(id, { ...o, mode: "private" })) }, "Play"),
      h("button", { type: "button", class: "button", onclick: open((o) => Table.join(id, { ...o, mode: "watch" })) }, "Watch"),
      here ? instead(here) : null,
    ),
  );
}

/** Makes a click handler that enters a room once, however often it is clicked. */
function opener(paths: Paths, name: HTMLInputElement) {
  let busy = false;
  return (enter: (options: Options) => Promise<Table>) => async (event: Event) => {
    if (busy) return;
    busy = true;
    const button = event.currentTarget as HTMLElement;
    button.setAttribute("aria-busy", "true");
    if (!user()) saveName(name.value);
    try {
      paths.enter(await enter({ name: name.value.trim() || "Player" }));
    } catch (error) {
      const { code, message } = error as { code?: number; message?: string };
      toast(typeof code === "number" ? sentence(code, message) : sentence(undefined));
    } finally {
      busy = false;
      button.removeAttribute("aria-busy");
    }
  };
}

/** A game in progress, drawn for its looks only. */
function ornament(): HTMLElement {
  const cells = [1, 0, 2, 0, 1, 0, 2, 0, 1].map((mark) => h("span", {}, mark ? markPicture(mark) : null));
  return h(
    "div",
    { class: "ornament", "aria-hidden": "true" },
    s("svg", { class: "rules", viewBox: "0 0 300 300" }, s("path", { d: "M100 14V286M200 14V286M14 100H286M14 200H286" })),
    ...cells,
    s("svg", { class: "stroke", viewBox: "0 0 300 300" }, s("path", { d: "M24 24L276 276", pathLength: 1 })),
  );
}

/** Shows what the address asks for, and keeps the one table we sit at. */
import { onChange, user } from "./account/session";
import { words } from "./api/refusal";
import { h, toast } from "./dom";
import { sentence } from "./errors";
import { GameView } from "./game";
import { header } from "./header";
import { type Paths, home, invitation } from "./home";
import { playerName } from "./name";
import { panel } from "./panels";
import type { Open, Page } from "./pages/page";
import { type PageName, type PageRoute, arenaHash, pageHash, parse, roomHash } from "./route";
import { Door } from "./spaaace/door";
import { Elsewhere, NO_ROOM, gone, hasSeat, sdk } from "./seat";
import { strip } from "./service";
import { Table } from "./table";

/** The pages beside the games, each loaded when it is first opened. */
const sign = () => import("./pages/sign");
const PAGES: Record<PageName, () => Promise<{ open: Open }>> = {
  "sign-in": sign,
  register: sign,
  forgot: sign,
  profile: () => import("./pages/profile"),
  player: () => import("./pages/profile"),
  played: () => import("./pages/played"),
  account: () => import("./pages/account"),
  leaderboard: () => import("./pages/leaderboard"),
  line: () => import("./pages/line"),
  ranked: () => import("./pages/ranked"),
  help: () => import("./pages/help"),
  tickets: () => import("./pages/tickets"),
  desk: () => import("./pages/desk"),
};

const main = document.getElementById("main")!;
const mark = header();
let view: { id: string; watch: boolean; game: GameView } | null = null;
let page: Page | null = null;
let pageAt = "";
let shownTo = user()?.id ?? null;

const door = new Door({ show, goto, failed, noGame, name: playerName });
const paths: Paths = { enter, goto: ({ at, id }, watch) => goto((at === "arena" ? arenaHash : roomHash)(id, watch)), arena: (options) => door.enter(options), ownArena: (wishes) => door.create(wishes) };

function show(title: string, content: HTMLElement): void {
  page?.close?.();
  page = null;
  mark(parse(location.hash));
  document.title = title;
  main.replaceChildren(content);
}

function goto(hash: string): void {
  if (location.hash === hash) void route();
  else location.hash = hash;
}

/** Sits down; the address follows without asking again. */
function enter(table: Table): void {
  const at = parse(location.hash);
  const watch = at.at === "room" && at.watch;
  view?.game.close();
  const game = new GameView(table, {
    home: () => {
      view?.game.close();
      view = null;
      goto("#/");
    },
    again: (old) => {
      void old.leave();
      view?.game.close();
      view = null;
      Table.quick({ name: playerName() || "Player" }).then(enter, failed);
    },
    resume: (id) => {
      view?.game.close();
      view = null;
      void resume(id);
    },
    ranked: (old) => {
      void old.leave();
      view?.game.close();
      view = null;
      goto(pageHash("ranked"));
    },
  });
  view = { id: table.id, watch, game };
  // Back from a game that a search found leads to the arcade, not into the next search.
  if (at.at === "page" && at.page === "ranked") history.replaceState(null, "", roomHash(table.id));
  else if (at.at !== "room" || at.id !== table.id) history.pushState(null, "", roomHash(table.id));
  show("Tic-tac-toe · Everplay", game.element);
  main.focus({ preventScroll: true });
}

/** A room that is not there any more, or never was. */
function noGame(): void {
  show("Game over · Everplay", panel("This game is gone", "Its room has closed or is full, or the link is not whole."));
}

/** Asks whether one wants to play in the room, and says so when there is none. */
async function invite(id: string): Promise<void> {
  const asked = invitation(id, paths);
  show("Invitation · Everplay", asked);
  if ((await gone(id)) && asked.isConnected) noGame();
}

function failed(error: unknown): void {
  const { code, message } = error as { code?: number; message?: string };
  // The address stays: another try is a reload away.
  if (code === NO_ROOM && ["room", "arena"].includes(parse(location.hash).at)) return noGame();
  toast(typeof code === "number" ? sentence(code, message) : sentence(undefined));
  goto("#/");
}

/** Back into our seat after a reload, or after its tab was closed; a seat that is gone leads to the door. */
async function resume(id: string, byForce = false): Promise<void> {
  show("Tic-tac-toe · Everplay", h("p", { class: "loading" }, "Entering the room…"));
  try {
    const table = await Table.resume(id, byForce);
    if (table) return enter(table);
  } catch (error) {
    if (error instanceof Elsewhere) return show("Invitation · Everplay", invitation(id, paths, () => void resume(id, true)));
    if (hasSeat(id)) {
      // The server did not answer: the seat may still be there.
      return show("Tic-tac-toe · Everplay", panel("The server does not answer", "Your seat may still be there.", ["Try again", () => void resume(id)]));
    }
  }
  await invite(id);
}

/** Shows a page beside the games. */
async function turn(at: PageRoute): Promise<void> {
  const asked = location.hash;
  try {
    const { open } = await PAGES[at.page]();
    if (location.hash !== asked) return;
    // Another view of the same page leaves the hand where it was.
    const before = page && parse(pageAt);
    const held = before?.at === "page" && before.page === at.page ? document.activeElement?.id : "";
    const next = open(at, paths);
    show(`${next.title} · Everplay`, next.element);
    page = next;
    pageAt = asked;
    const hand = held ? document.getElementById(held) : null;
    if (hand && hand !== main) return hand.focus({ preventScroll: true });
  } catch {
    if (location.hash !== asked) return;
    show("Everplay", h("div", { class: "invite" }, h("section", { class: "panel" },
      h("h1", {}, "The page did not arrive"),
      h("button", { type: "button", class: "button primary", onclick: () => void turn(at) }, "Try again"))));
  }
  window.scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

/** The answer to whether one wants to leave, while it is asked; and where one is until then. */
let asking: { here: string } | null = null;

async function asked(here: string, ask: () => Promise<boolean>): Promise<boolean> {
  history.replaceState(null, "", here);
  asking = { here };
  try {
    return await ask();
  } finally {
    asking = null;
  }
}

async function route(): Promise<void> {
  const wanted = location.hash;
  // Walking on while it is asked asks nothing twice.
  if (asking) return history.replaceState(null, "", asking.here);
  if (page?.leave && wanted !== pageAt) {
    const here = page;
    if (!(await asked(pageAt, () => here.leave!())) || page !== here) return;
    history.replaceState(null, "", wanted);
  }
  const at = parse(wanted);
  if (at.at !== "arena" || at.id !== door.id) await door.leave();
  if (view && (at.at !== "room" || at.id !== view.id)) {
    // Walking away from a game in progress is asked about, whichever way one walks.
    const here = roomHash(view.id, view.watch);
    if (view.game.committed) {
      const { game } = view;
      if (!(await asked(here, () => game.leave()))) return;
      if (wanted !== "" && wanted !== "#/") goto(wanted);
      return;
    }
    const old = view.game;
    view = null;
    await old.leave();
    if (location.hash !== wanted) history.replaceState(null, "", wanted);
  } else if (view && at.at === "room") {
    return;
  }
  if (at.at === "home") return show("Everplay", home(paths));
  if (at.at === "lost") return show("Not found · Everplay", panel("There is nothing here", "The address may be misspelled, or what was here is gone."));
  if (at.at === "page") return turn(at);
  if (at.at === "arena") return door.open(at.id, at.watch);
  if (hasSeat(at.id)) return resume(at.id);
  if (at.watch) {
    show("Tic-tac-toe · Everplay", h("p", { class: "loading" }, "Entering the room…"));
    return Table.join(at.id, { name: playerName() || "Watcher", mode: "watch" }).then(enter, failed);
  }
  await invite(at.id);
}

window.addEventListener("hashchange", () => void route());
document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
onChange((_, ended) => {
  if (ended) toast(ended.code === "BANNED" ? words(ended) : "Your sign-in has ended. Sign in again.");
  const at = parse(location.hash);
  // Pages show what somebody else saw no longer; games go on until they end.
  const now = user()?.id ?? null;
  if (now === shownTo) return;
  shownTo = now;
  if (at.at === "home" || (at.at === "page" && !["sign-in", "register", "forgot", "line"].includes(at.page))) void route();
});
void route();
strip();
// Whoever looks at the arcade will want to play: the SDK is there when they do.
(window.requestIdleCallback ?? setTimeout)(() => void sdk().catch(() => undefined));

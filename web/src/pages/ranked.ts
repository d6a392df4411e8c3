/** A ranked match: searches for an opponent of one's own strength, asks both, and leads into the game. */
import { POST, GET, DELETE, answer } from "../api/client";
import { words } from "../api/refusal";
import { enter, user } from "../account/session";
import { clockText } from "../countdown";
import { h, say, toast } from "../dom";
import { sentence } from "../errors";
import { wait } from "../line/model";
import { saveName } from "../name";
import { type End, Search, type Services, type Ticket, toAccept } from "../ranked/search";
import { pageHash } from "../route";
import { Table } from "../table";
import { nameField } from "../who";
import { type Open, type Page, action } from "./page";
import "../ranked/ranked.css";

const TITLE = "Ranked match";
const TICK_MS = 200;
/** As long as one has to accept. */
const ACCEPT_MS = 15_000;
/** From here on the time to accept is shown as urgent. */
const URGENT_MS = 5_000;

const services: Services = {
  make: () => answer(POST("/matchmaking/tickets", { body: { game: "tic_tac_toe" } })),
  see: (id) => answer(GET("/matchmaking/tickets/{id}", { params: { path: { id } } })),
  accept: (id) => answer(POST("/matchmaking/tickets/{id}/accept", { params: { path: { id } } })),
  // Also sent while the page goes.
  cancel: (id) => answer(DELETE("/matchmaking/tickets/{id}", { params: { path: { id } }, keepalive: true })),
};

export const open: Open = (_, { enter: sitDown }) => (user() ? searching(sitDown) : door());

/** Results count for somebody: an account, a guest's at least. */
function door(): Page {
  const name = nameField();
  return {
    title: TITLE,
    element: h("div", { class: "invite" }, h("section", { class: "panel" },
      h("h1", {}, TITLE),
      h("p", { class: "lead" }, "An opponent of your own strength. The result counts, so it needs an account; a guest’s will do."),
      h("div", { class: "field" }, h("label", { for: "name" }, "Your name"), name),
      action("Search as a guest", async () => {
        saveName(name.value);
        const displayName = name.value.trim();
        enter(await answer(POST("/auth/anonymous", { body: { options: displayName ? { displayName } : {} } })));
      }, toast, "button primary big"),
      h("a", { class: "button", href: pageHash("sign-in", [], { next: pageHash("ranked") }) }, "Sign in"),
      h("a", { class: "button quiet", href: "#/" }, "To the arcade"))),
  };
}

const ENDS: Record<End, [string, string]> = {
  cancelled: ["Search taken back", ""],
  declined: ["You declined", "The other one searches on."],
  unanswered: ["You did not answer in time", "The other one searches on."],
  elsewhere: ["The search has ended", "It was taken back in another tab or on another device."],
  refused: ["No search at the moment", ""],
};

function searching(sitDown: (table: Table) => void): Page {
  const status = h("h1", { class: "status" });
  const note = h("p", { class: "note" });
  const announcer = h("p", { class: "sr", role: "status", "aria-live": "polite" });
  const sonar = h("div", { class: "sonar", "aria-hidden": "true" }, h("i"), h("i"), h("b"));
  const tile = (label: string) => {
    const value = h("dd", {}, "–");
    return { value, element: h("div", { class: "tile" }, h("dt", {}, label), value) };
  };
  const [waited, expected, rating, gap] = [tile("Waited"), tile("Expected"), tile("Your rating"), tile("Looking for")];
  const tiles = h("dl", { class: "tiles" }, waited.element, expected.element, rating.element, gap.element);
  const left = h("span", {});
  const bar = h("i", {});
  const acceptBy = h("div", { class: "accept-by", role: "timer", "aria-label": "Time to accept" }, left, h("b", {}, bar));
  const button = (text: string, look: string, act: () => void) => h("button", { type: "button", class: look, onclick: act, hidden: true }, text);
  const accept = button("Accept", "button primary big", () => void search.accept());
  const decline = button("Decline", "button big", () => void search.cancel());
  const cancel = button("Cancel", "button", () => void search.cancel());
  const again = button("Search again", "button primary big", () => begin());
  const tell = button("Notify me", "button quiet", () => void Notification.requestPermission().then(() => draw()));
  const home = h("a", { class: "button quiet", href: "#/" }, "To the arcade");
  const panel = h("section", { class: "panel ranked", "aria-label": TITLE }, sonar, status, note, acceptBy, tiles,
    h("div", { class: "row" }, accept, decline, cancel, again, tell, home), announcer);

  let search: Search;
  let heard = { ticket: null as Ticket | null, at: 0 };
  let told = "";
  let closed = false;

  const begin = () => {
    search = new Search(services);
    search.listener = { changed: draw, seat: (reservation) => void seated(reservation) };
    told = "";
    draw();
    void search.beat();
  };

  /** Both accepted: in. */
  const seated = async (reservation: unknown) => {
    draw();
    try {
      const table = await Table.seated(reservation);
      if (closed) return void table.leave();
      sitDown(table);
    } catch (error) {
      const { code, message } = error as { code?: number; message?: string };
      search.end = "elsewhere";
      draw();
      say(note, `The seat could not be taken: ${sentence(typeof code === "number" ? code : undefined, message)}`);
    }
  };

  const draw = () => {
    if (closed) return;
    const { ticket, end, refusal } = search;
    if (heard.ticket !== ticket) heard = { ticket, at: performance.now() };
    const proposed = !end && ticket?.status === "proposed";
    const asked = proposed && !ticket.proposal?.accepted;
    const [headline, more] = said(search);
    say(status, headline);
    say(note, refusal ? `${words(refusal)}${end ? "" : " Still trying."}` : more);
    if (told !== headline) {
      told = headline;
      say(announcer, `${headline}. ${note.textContent}`);
      if (asked) call(headline);
      // The keyboard is at what can be done now, unless it is somewhere else on purpose; not before the page is shown.
      queueMicrotask(() => {
        const at = document.activeElement;
        if (panel.contains(at) || at === document.body || at?.id === "main") (asked ? accept : end ? again : cancel.hidden ? status : cancel).focus({ preventScroll: true });
      });
    }
    document.title = asked ? "Opponent found! · Everplay" : `${TITLE} · Everplay`;
    status.className = `status${proposed || search.matched ? " turn" : ""}`;
    sonar.hidden = !!end || proposed;
    tiles.hidden = !!end || !ticket || proposed;
    acceptBy.hidden = !asked;
    accept.hidden = decline.hidden = !asked;
    cancel.hidden = !!end || !!asked || search.matched;
    again.hidden = home.hidden = !end;
    tell.hidden = !!end || proposed || search.matched || !("Notification" in window) || !isSecureContext || Notification.permission !== "default";
    if (ticket) {
      say(expected.value, ticket.estimatedWaitMs == null ? "unknown" : ticket.estimatedWaitMs < 1000 ? "any moment" : wait(ticket.estimatedWaitMs));
      say(rating.value, String(Math.round(ticket.rating)));
      say(gap.value, `± ${Math.round(ticket.window)}`);
    }
    tick();
  };

  const tick = () => {
    const ago = performance.now() - heard.at;
    if (!heard.ticket) return;
    say(waited.value, clockText(Math.floor((heard.ticket.waitedMs + ago) / 1000) * 1000));
    const rest = toAccept(heard.ticket, ago);
    say(left, `${Math.ceil(rest / 1000)} s to accept`);
    bar.style.transform = `scaleX(${Math.min(1, rest / ACCEPT_MS)})`;
    acceptBy.classList.toggle("urgent", rest <= URGENT_MS);
  };

  status.tabIndex = -1;
  const beat = new Worker(new URL("../ranked/beat.ts", import.meta.url), { type: "module" });
  beat.onmessage = () => void search.beat();
  const timer = setInterval(tick, TICK_MS);
  const leaves = () => search.close();
  const returns = (event: PageTransitionEvent) => event.persisted && begin();
  window.addEventListener("pagehide", leaves);
  window.addEventListener("pageshow", returns);
  begin();
  return {
    title: TITLE,
    element: h("div", { class: "invite" }, panel),
    close: () => {
      closed = true;
      beat.terminate();
      clearInterval(timer);
      window.removeEventListener("pagehide", leaves);
      window.removeEventListener("pageshow", returns);
      search.close();
    },
  };
}

/** Headline and what stands below it. */
function said(search: Search): [string, string] {
  const { ticket, end } = search;
  if (end) return ENDS[end];
  if (search.matched) return ["Both accepted", "Entering the game…"];
  if (ticket?.status === "proposed") {
    const other = ticket.proposal?.opponentRating;
    const who = other == null ? "" : `Rated ${Math.round(other)}; you are at ${Math.round(ticket.rating)}.`;
    return ticket.proposal?.accepted ? ["Waiting for the other one to accept", who] : ["Opponent found", who];
  }
  return ["Searching for an opponent", search.inVain ? "The last one did not accept. Your wait counts on." : "Leaving this page takes the search back."];
}

/** Calls somebody who looks elsewhere. */
function call(text: string): void {
  if (document.visibilityState === "visible" || !("Notification" in window) || Notification.permission !== "granted") return;
  const notice = new Notification(text, { body: "Accept within 15 seconds.", tag: "everplay-ranked" });
  notice.onclick = () => {
    window.focus();
    notice.close();
  };
}

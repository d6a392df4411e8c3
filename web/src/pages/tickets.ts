/** A player's tickets: opening one, with a game if it is about one; the list; one with all that was said. */
import { type Schema, GET, POST, PUT, answer } from "../api/client";
import { user } from "../account/session";
import { confirm, h, toast } from "../dom";
import { pageHash } from "../route";
import { Draft } from "./draft";
import { against, gameName, since } from "./model";
import { Loaded, type Open, type Page, action, every, field, form, heading, notFound, nothing, pill, select, signInFirst } from "./page";
import { CATEGORIES, type Status, type Ticket, categoryName, conversation, due, statusPill, ticketLine } from "./support";
import "./support.css";

const AGAIN_MS = 10_000;
const PAUSE_MS = 250;
const GAMES = 10;

export const open: Open = (at) => {
  if (!user()) return { title: "Tickets", element: signInFirst("A ticket is answered to an account; a guest’s will do.") };
  const [id] = at.rest;
  if (id === "new") return fresh(at.query.get("game") ?? "", at.query.get("subject") ?? "");
  return id ? one(id) : list();
};

function list(): Page {
  const get = (after?: string) => answer(GET("/tickets", { params: { query: { view: "mine", limit: 25, ...(after ? { after } : {}) } } }));
  const tickets = new Loaded(() => get(), (first) => {
    if (first.tickets.length === 0 && !first.next) return nothing("No tickets. May it stay so.");
    const items = h("ul", { class: "ticket-list" });
    const box = h("section", { class: "panel", "aria-label": "Your tickets" }, items);
    const add = (page: Schema<"TicketList">) => {
      items.append(...page.tickets.map((ticket) => ticketLine(ticket, pageHash("tickets", [ticket.ticketId]), false)));
      box.querySelector(".more")?.remove();
      const { next } = page;
      if (next) box.append(h("div", { class: "more" }, action("More", async () => add(await get(next)), toast, "button quiet")));
    };
    add(first);
    return box;
  });
  return {
    title: "Tickets",
    element: h("div", { class: "page" },
      heading("Your tickets", "", h("div", { class: "row" },
        h("a", { class: "button quiet", href: pageHash("help") }, "Help"), h("a", { class: "button primary", href: pageHash("tickets", ["new"]) }, "Open a ticket"))),
      tickets.element),
  };
}

/** The form; articles that may answer the question appear while one writes. */
function fresh(game: string, title: string): Page {
  const subject = h("input", { type: "text", id: "subject", name: "subject", required: true, minlength: 5, maxlength: 200, autocomplete: "off", value: title.slice(0, 200) });
  const text = h("textarea", { id: "description", name: "description", required: true, minlength: 10, maxlength: 5000, rows: 7 });
  const category = select("category", [["", "Guess from my words"], ...CATEGORIES], game ? "gameplay" : "", () => undefined);
  const games = select("game", [["", "None"], ...(game ? [[game, "The game you came from"] as const] : [])], game, () => undefined);
  // What one came here with is a ticket of its own.
  const draft = new Draft(["ticket", game, title].filter(Boolean).join(" "));
  draft.hold(subject, text, category, games);
  void answer(GET("/users/{id}/games", { params: { path: { id: "me" }, query: { limit: GAMES } } })).then((page) => {
    for (const played of page.games) {
      const label = `${gameName(played.kind)} ${against(played)}, ${since(played.updatedAt, Date.now())}`;
      const known = Array.from(games.options).find((option) => option.value === played.gameId);
      if (known) known.textContent = label;
      else games.append(h("option", { value: played.gameId }, label));
    }
    if (!games.value) draft.put(games);
  }, () => undefined);

  const found = h("div", { class: "suggested", role: "status", hidden: true });
  let asked = 0;
  let timer = 0;
  const suggest = async () => {
    const turn = ++asked;
    const q = subject.value.trim();
    const { suggestions } = q.length < 3 ? { suggestions: [] } : await answer(GET("/faq/suggestions", { params: { query: { q: q.slice(0, 200), limit: 3 } } }));
    if (turn !== asked) return;
    found.hidden = suggestions.length === 0;
    found.replaceChildren(h("p", { class: "quiet" }, "Is it one of these?"),
      h("ul", {}, ...suggestions.map((one) => h("li", {}, h("a", { href: pageHash("help", [one.slug]), target: "_blank", rel: "noopener" }, one.title)))));
  };
  const soon = () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => void suggest().catch(() => undefined), PAUSE_MS);
  };
  subject.addEventListener("input", soon);
  if (subject.value) soon();

  return {
    title: "Open a ticket",
    element: h("div", { class: "page narrow" }, heading("Open a ticket", "Somebody reads it; how soon depends on how much is at stake."),
      h("section", { class: "panel" }, form({ label: "Open a ticket", button: "Send", look: "button primary big",
        aside: h("a", { class: "button quiet", href: pageHash("tickets") }, "Your tickets"),
        act: async () => {
          const ticket = await answer(POST("/tickets", { body: {
            subject: subject.value.trim(),
            description: text.value.trim(),
            ...(category.value && { category: category.value as Ticket["category"] }),
            ...(games.value && { game: reference(games.value) }),
          } }));
          draft.forget();
          toast("Your ticket is with us.");
          // Back leads to where one came from, not into an empty form.
          location.replace(pageHash("tickets", [ticket.ticketId]));
        } },
      field("Subject", subject), found,
      field("What happened", text, "What you did, what you expected, what came instead."),
      h("div", { class: "two-fields" }, field("About", category), field("Which game", games, "We see the position of that moment."))))),
    close: () => clearTimeout(timer),
  };
}

/** `ROOM.3` is the third game in the room. */
export function reference(gameId: string): { room: string; number?: number } {
  const dot = gameId.lastIndexOf(".");
  const number = Number(gameId.slice(dot + 1));
  return dot > 0 && Number.isSafeInteger(number) && number > 0 ? { room: gameId.slice(0, dot), number } : { room: gameId };
}

const ACTS: Partial<Record<Status, string>> = { closed: "Close the ticket", open: "It is not solved" };

function one(id: string): Page {
  const path = { params: { path: { id } } };
  const draft = new Draft(`ticket ${id}`);
  let seen = -1;
  const details: Loaded<Schema<"TicketDetails">> = new Loaded(() => answer(GET("/tickets/{id}", path)), ({ ticket, conversation: said }) => {
    seen = ticket.version;
    const text = h("textarea", { id: "reply", name: "text", required: true, maxlength: 5000, rows: 4 });
    draft.hold(text);
    return h("div", { class: "page" },
      h("div", { class: "page-head ticket-head" }, h("div", {},
        h("p", { class: "quiet" }, h("a", { href: pageHash("tickets") }, "‹ Your tickets"), ` · ${ticket.ticketId}`),
        h("h1", {}, ticket.subject),
        h("p", { class: "row facts" }, statusPill(ticket), pill(categoryName(ticket.category), "soft"), ticket.game ? pill("with a game", "soft") : null, h("span", { class: "quiet" }, due(ticket, Date.now()))))),
      h("section", { class: "panel" }, conversation(ticket, said.replies, false),
        ticket.status === "closed"
          ? h("p", { class: "quiet" }, "This ticket is closed. ", h("a", { href: pageHash("tickets", ["new"]) }, "Open another one"))
          : form({ label: "Answer the ticket", button: "Send", act: async () => {
            await answer(POST("/tickets/{id}/replies", { ...path, body: { text: text.value.trim() } }));
            draft.forget();
            text.value = "";
            await details.again();
          } }, field("Your answer", text)),
        h("div", { class: "actions" }, ...ticket.mayBecome.filter((status) => ACTS[status]).map((status) => action(ACTS[status]!, async () => {
          const sure = status !== "closed" || await confirm("Close this ticket?", text.value.trim()
            ? "What you have written and not sent goes with it. A closed ticket stays closed; a new one can always be opened."
            : "A closed ticket stays closed; a new one can always be opened.", "Close it", "Keep it open");
          if (!sure) return;
          // Whatever the desk noted meanwhile, the ticket is its author's to close: no version is named.
          await answer(PUT("/tickets/{id}", { ...path, body: { status } }));
          if (status === "closed") draft.forget();
          await details.again();
        }, toast, "button quiet")))));
  }, { title: ({ ticket }) => ticket.subject, instead: notFound("No such ticket", "It was never opened, or it is somebody else’s.", pageHash("tickets"), "Your tickets") });
  // What is being written stays: the page is drawn anew only when there is something new.
  const stop = every(AGAIN_MS, () => void answer(GET("/tickets/{id}", path)).then((now) => {
    if (seen >= 0 && now.ticket.version > seen) details.show(now);
  }, () => undefined));
  return { title: "Ticket", element: h("div", { class: "page medium" }, details.element), close: stop };
}

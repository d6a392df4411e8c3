/** The desk of agents: everybody's tickets in the order they are due, and one with its game as it was. */
import { type Schema, GET, POST, PUT, answer } from "../api/client";
import { Refusal } from "../api/refusal";
import { user } from "../account/session";
import { h, markPicture, s, toast } from "../dom";
import { type PageRoute, pageHash } from "../route";
import { since } from "./model";
import { Loaded, type Open, type Page, action, every, field, form, heading, nothing, pill, select, signInFirst } from "./page";
import { CATEGORIES, PRIORITIES, STATUSES, type Status, type Ticket, conversation, due, priorityPill, statusPill, ticketLine } from "./support";
import { boardOf } from "./evidence";
import "./support.css";

const AGAIN_MS = 10_000;
const PAUSE_MS = 250;

export const open: Open = (at) => {
  if (!user()) return { title: "Desk", element: signInFirst("The desk is for support agents.") };
  const [id] = at.rest;
  return id ? one(id) : list(at);
};

/** Needs a second factor, and says so to agents without one in this login. */
async function asAgent<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof Refusal && error.code === "SECOND_FACTOR_REQUIRED") {
      throw new Refusal("AGENT", 403, "Roles count in a sign-in with a second factor: set one up in the settings, then sign in with it.");
    }
    throw error;
  }
}

type Query = { status: string; priority: string; category: string; mine: boolean; overdue: boolean; q: string };

function list(at: PageRoute): Page {
  const get = at.query;
  const wanted: Query = { status: get.get("status") ?? "open", priority: get.get("priority") ?? "", category: get.get("category") ?? "", mine: get.has("mine"), overdue: get.has("overdue"), q: get.get("q") ?? "" };
  const load = (after?: string) => asAgent(answer(GET("/tickets", { params: { query: {
    view: "desk", limit: 25,
    ...(wanted.status !== "all" && { status: wanted.status as Status }),
    ...(wanted.priority && { priority: wanted.priority as Ticket["priority"] }),
    ...(wanted.category && { category: wanted.category as Ticket["category"] }),
    ...(wanted.mine && { assignee: "me" }), ...(wanted.overdue && { overdue: true }), ...(wanted.q && { q: wanted.q }), ...(after && { after }),
  } } })));
  const tickets = new Loaded(() => load(), (first) => {
    if (first.tickets.length === 0 && !first.next) return nothing("Nothing here.");
    const items = h("ul", { class: "ticket-list" });
    const box = h("section", { class: "panel", "aria-label": "Tickets" }, items);
    const add = (page: Schema<"TicketList">) => {
      items.append(...page.tickets.map((ticket) => ticketLine(ticket, pageHash("desk", [ticket.ticketId]), true)));
      box.querySelector(".more")?.remove();
      const { next } = page;
      if (next) box.append(h("div", { class: "more" }, action("More", async () => add(await load(next)), toast, "button quiet")));
    };
    add(first);
    return box;
  });
  const go = (change: Partial<Query>) => {
    Object.assign(wanted, change);
    history.replaceState(null, "", pageHash("desk", [], {
      status: wanted.status === "open" ? "" : wanted.status, priority: wanted.priority, category: wanted.category,
      mine: wanted.mine ? "1" : "", overdue: wanted.overdue ? "1" : "", q: wanted.q,
    }));
    void tickets.again();
  };
  let timer = 0;
  const search = h("input", { type: "search", id: "desk-search", maxlength: 200, placeholder: "Words, names, a room", "aria-label": "Search", value: wanted.q, oninput: () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => go({ q: search.value.trim() }), PAUSE_MS);
  } });
  const labelled = (element: HTMLElement, label: string) => {
    element.setAttribute("aria-label", label);
    return element;
  };
  const check = (text: string, on: boolean, changed: (on: boolean) => void) => {
    const box = h("input", { type: "checkbox", checked: on, onchange: () => changed(box.checked) });
    return h("label", { class: "check" }, box, text);
  };
  const statuses = [...Object.entries(STATUSES).map(([key, name]) => [key, key === "waiting_for_customer" ? "Waiting for player" : name] as const), ["all", "All"] as const];
  const stop = every(AGAIN_MS, () => {
    // Somebody who reads further down is not thrown back to the first page.
    if (tickets.element.querySelectorAll("li").length <= 25) void tickets.again();
  });
  return {
    title: "Desk",
    element: h("div", { class: "page" }, heading("Desk", ""),
      h("div", { class: "desk-filters", role: "group", "aria-label": "Which tickets" },
        h("div", { class: "grow" }, search),
        labelled(select("status", statuses, wanted.status, (status) => go({ status })), "Status"),
        labelled(select("priority", [["", "Any priority"], ...PRIORITIES], wanted.priority, (priority) => go({ priority })), "Priority"),
        labelled(select("category", [["", "About anything"], ...CATEGORIES], wanted.category, (category) => go({ category })), "Category"),
        h("div", { class: "row" }, check("Mine", wanted.mine, (mine) => go({ mine })), check("Late", wanted.overdue, (overdue) => go({ overdue })))),
      tickets.element),
    close: () => {
      clearTimeout(timer);
      stop();
    },
  };
}

const ACTS: Record<Status, string> = { open: "Open again", in_progress: "Work on it", waiting_for_customer: "Wait for the player", resolved: "Solved", closed: "Close" };

function one(id: string): Page {
  const path = { params: { path: { id } } };
  const details = new Loaded(() => asAgent(answer(GET("/tickets/{id}", path))), ({ ticket, conversation: said, suggestions }) => {
    const change = async (body: Schema<"ChangedTicket">) => {
      await answer(PUT("/tickets/{id}", { ...path, body: { version: ticket.version, ...body } }));
      await details.again();
    };
    const failing = (body: Schema<"ChangedTicket">) => void change(body).catch((error: unknown) => {
      toast(error instanceof Refusal && error.code === "VERSION_CONFLICT" ? "Somebody else changed it meanwhile." : "That did not work.");
      void details.again();
    });
    const text = h("textarea", { id: "reply", name: "text", required: true, maxlength: 5000, rows: 5 });
    const internal = h("input", { type: "checkbox", id: "internal" });
    return h("div", { class: "page" },
      h("div", { class: "page-head ticket-head" }, h("div", {},
        h("p", { class: "quiet" }, h("a", { href: pageHash("desk") }, "‹ Desk"), ` · ${ticket.ticketId}`),
        h("h1", {}, ticket.subject),
        h("p", { class: "row facts" }, statusPill(ticket, true), priorityPill(ticket), ticket.overdue ? pill("late", "bad") : null, h("span", { class: "quiet" }, due(ticket, Date.now()))))),
      h("div", { class: "desk-columns" },
        h("div", { class: "column" },
          h("section", { class: "panel", "aria-label": "Conversation" }, conversation(ticket, said.replies, true),
            ticket.status === "closed" ? h("p", { class: "quiet" }, "This ticket is closed.") : form({ label: "Answer the ticket", button: "Send",
              aside: h("label", { class: "check" }, internal, "Internal note"),
              act: async () => {
                await answer(POST("/tickets/{id}/replies", { ...path, body: { text: text.value.trim(), internal: internal.checked } }));
                await details.again();
              } }, field("Answer", text))),
          ticket.game ? evidence(id, ticket.game) : null),
        h("div", { class: "column" },
          h("section", { class: "panel", "aria-label": "Ticket" },
            h("p", {}, "From ", h("a", { href: pageHash("player", [ticket.authorId]) }, ticket.authorName), h("span", { class: "quiet" }, `, ${since(ticket.createdAt, Date.now())}`)),
            h("p", { class: "line" }, h("span", { class: "grow" }, ticket.assignee ? `Taken by ${ticket.assignee}` : "Nobody’s yet"),
              ticket.assignee ? action("Give back", () => change({ assignee: null }), toast, "button small") : action("Take it", () => change({ assignee: "me" }), toast, "button small")),
            field("Priority", select("ticket-priority", PRIORITIES, ticket.priority, (priority) => failing({ priority: priority as Ticket["priority"] }))),
            field("Category", select("ticket-category", CATEGORIES, ticket.category, (category) => failing({ category: category as Ticket["category"] }))),
            h("div", { class: "actions" }, ...ticket.mayBecome.map((status) => action(ACTS[status], () => change({ status }), toast, "button small")))),
          suggestions.length > 0 ? h("section", { class: "panel", "aria-label": "May answer it" }, h("h2", {}, "May answer it"),
            h("ul", { class: "rows" }, ...suggestions.map((one) => h("li", { class: "line" }, h("a", { class: "grow", href: pageHash("help", [one.slug]), target: "_blank", rel: "noopener" }, one.title),
              h("button", { type: "button", class: "button small", onclick: () => {
                text.value += `${text.value && !text.value.endsWith("\n") ? "\n\n" : ""}[${one.title}](${pageHash("help", [one.slug])})`;
                text.focus();
              } }, "Quote"))))) : null)));
  });
  return { title: "Ticket", element: h("div", { class: "page" }, details.element) };
}

/** The game at the moment the ticket is about. */
function evidence(id: string, game: Schema<"TicketGame">): HTMLElement {
  const content = new Loaded(() => answer(GET("/tickets/{id}/evidence", { params: { path: { id } } })), (found) => {
    const board = boardOf(found.position);
    const { facts } = board ?? { facts: [] };
    return h("div", { class: "seen" },
      board ? h("div", { class: "past-board", role: "img", "aria-label": `The board, by rows: ${board.cells.map((mark) => mark || "empty").join(", ")}` },
        s("svg", { class: "rules", viewBox: "0 0 300 300", "aria-hidden": "true" }, s("path", { d: "M100 10V290M200 10V290M10 100H290M10 200H290" })),
        ...board.cells.map((mark) => h("span", { class: "past-cell" }, mark ? markPicture(mark === "X" ? 1 : 2) : null))) : null,
      h("div", { class: "facts-list" },
        ...facts.map((fact) => h("p", {}, fact)),
        h("p", { class: "quiet" }, `Room ${game.room}${game.number ? `, game ${game.number}` : ""}, record ${found.game.seq} of its journal${found.exact ? "" : ", the nearest that was left"}.`)),
      h("details", { class: "fold" }, h("summary", {}, "All of it"), h("pre", { class: "evidence", tabindex: 0 }, JSON.stringify(found.position, null, 2))));
  });
  return h("section", { class: "panel", "aria-label": "The game" }, h("h2", {}, "The game"), content.element);
}

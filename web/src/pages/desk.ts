/** The desk of agents: everybody's tickets in the order they are due, and one with its game as it was. */
import { type Schema, GET, POST, PUT, answer } from "../api/client";
import { Refusal, words } from "../api/refusal";
import { user } from "../account/session";
import { confirm, h, markPicture, s, toast } from "../dom";
import { type PageRoute, pageHash } from "../route";
import { Draft } from "./draft";
import { since } from "./model";
import { Loaded, type Open, type Page, action, door, every, field, form, heading, notFound, nothing, pill, select, signInFirst } from "./page";
import { CATEGORIES, PRIORITIES, STATUSES, type Status, type Ticket, categoryName, conversation, due, priorityPill, staff, statusPill, ticketLine } from "./support";
import { boardOf } from "./evidence";
import "./support.css";

const AGAIN_MS = 10_000;
const PAUSE_MS = 250;

export const open: Open = (at) => {
  if (!user()) return { title: "Desk", element: signInFirst("The desk is for support agents.") };
  const [id] = at.rest;
  return id ? one(id) : list(at);
};

/** What those see who may not work here; null: they may, and something else is wrong. */
function turnedAway(error: unknown): Node | null {
  if (!(error instanceof Refusal)) return null;
  if (error.code === "SECOND_FACTOR_REQUIRED") {
    return door("The desk needs your second factor", "What an agent may do counts only in a sign-in with a second factor. Set one up in the settings if you have none; then sign out, and in again with it.", pageHash("account"), "Settings");
  }
  return error.code === "FORBIDDEN" ? door("The desk is for support agents", "What you asked, and what was answered, is among your tickets.", pageHash("tickets"), "Your tickets") : null;
}

type Query = { status: string; priority: string; category: string; mine: boolean; overdue: boolean; q: string };

function list(at: PageRoute): Page {
  const get = at.query;
  const wanted: Query = { status: get.get("status") ?? "open", priority: get.get("priority") ?? "", category: get.get("category") ?? "", mine: get.has("mine"), overdue: get.has("overdue"), q: get.get("q") ?? "" };
  const load = (after?: string) => answer(GET("/tickets", { params: { query: {
    view: "desk", limit: 25,
    ...(wanted.status !== "all" && { status: wanted.status as Status }),
    ...(wanted.priority && { priority: wanted.priority as Ticket["priority"] }),
    ...(wanted.category && { category: wanted.category as Ticket["category"] }),
    ...(wanted.mine && { assignee: "me" }), ...(wanted.overdue && { overdue: true }), ...(wanted.q && { q: wanted.q }), ...(after && { after }),
  } } }));
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
  }, { instead: (error) => {
    const away = turnedAway(error);
    if (away) {
      // Nothing to choose among.
      for (const part of page.children) if (part !== tickets.element) (part as HTMLElement).hidden = true;
      stop();
    }
    return away;
  } });
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
  const page = h("div", { class: "page" }, heading("Desk", ""),
      h("div", { class: "desk-filters", role: "group", "aria-label": "Which tickets" },
        h("div", { class: "grow" }, search),
        labelled(select("status", statuses, wanted.status, (status) => go({ status })), "Status"),
        labelled(select("priority", [["", "Any priority"], ...PRIORITIES], wanted.priority, (priority) => go({ priority })), "Priority"),
        labelled(select("category", [["", "Any category"], ...CATEGORIES], wanted.category, (category) => go({ category })), "Category"),
        h("div", { class: "row" }, check("Mine", wanted.mine, (mine) => go({ mine })), check("Late", wanted.overdue, (overdue) => go({ overdue })))),
      tickets.element);
  return {
    title: "Desk",
    element: page,
    close: () => {
      clearTimeout(timer);
      stop();
    },
  };
}

const ACTS: Record<Status, string> = { open: "Open again", in_progress: "Work on it", waiting_for_customer: "Wait for the player", resolved: "Solved", closed: "Close" };

function one(id: string): Page {
  const path = { params: { path: { id } } };
  const draft = new Draft(`desk ${id}`);
  const get = () => answer(GET("/tickets/{id}", path));
  let seen = -1;
  /** What the player had written when the page was drawn last. */
  let heard = 0;
  /** The player wrote while an answer was being written. */
  let meanwhile = false;
  let game: HTMLElement | null = null;

  const details: Loaded<Schema<"TicketDetails">> = new Loaded(get, ({ ticket, conversation: said, suggestions }) => {
    // Its author sees it as a player does, also with a role.
    if (ticket.authorId === user()?.id) location.replace(pageHash("tickets", [id]));
    if (seen >= 0 && written(said) > heard && draft.has("reply")) meanwhile = true;
    if (!draft.has("reply")) meanwhile = false;
    [seen, heard] = [ticket.version, written(said)];
    const closed = ticket.status === "closed";
    const change = async (body: Schema<"ChangedTicket">) => {
      try {
        await answer(PUT("/tickets/{id}", { ...path, body: { version: ticket.version, ...body } }));
      } finally {
        await details.again();
      }
    };
    const failing = (body: Schema<"ChangedTicket">) => void change(body).catch((error: unknown) => toast(words(error)));
    const text = h("textarea", { id: "reply", name: "text", required: true, maxlength: 5000, rows: 5 });
    const internal = h("input", { type: "checkbox", id: "internal" });
    draft.hold(text, internal);
    const answering = () => form({ label: "Answer the ticket", button: "Send",
      aside: h("label", { class: "check" }, internal, "Internal note"),
      act: async () => {
        const now = await get();
        if (now.ticket.version > seen && written(now.conversation) > heard) return details.show(now);
        await answer(POST("/tickets/{id}/replies", { ...path, body: { text: text.value.trim(), internal: internal.checked } }));
        draft.forget();
        text.value = "";
        await details.again();
      } },
    meanwhile ? h("p", { class: "stale", role: "alert" }, "The player wrote meanwhile. Read it before you send.") : null,
    field("Answer", text));
    const become = (status: Status) => action(ACTS[status], async () => {
      if (status === "closed" && !(await confirm("Close this ticket?", "A closed ticket stays closed, for the player too.", "Close it", "Keep it open"))) return;
      await change({ status });
    }, toast, "button small");
    game ??= ticket.game ? evidence(id, ticket.game) : null;
    return h("div", { class: "page" },
      h("div", { class: "page-head ticket-head" }, h("div", {},
        h("p", { class: "quiet" }, h("a", { href: pageHash("desk") }, "‹ Desk"), ` · ${ticket.ticketId}`),
        h("h1", {}, ticket.subject),
        h("p", { class: "row facts" }, statusPill(ticket, true), priorityPill(ticket), ticket.overdue ? pill("late", "bad") : null, h("span", { class: "quiet" }, due(ticket, Date.now()))))),
      h("div", { class: "desk-columns" },
        h("div", { class: "column" },
          h("section", { class: "panel", "aria-label": "Conversation" }, conversation(ticket, said.replies, true),
            closed ? h("p", { class: "quiet" }, "This ticket is closed.") : answering()),
          game),
        h("div", { class: "column" },
          h("section", { class: "panel", "aria-label": "Ticket" },
            h("p", {}, "From ", h("a", { href: pageHash("player", [ticket.authorId]) }, ticket.authorName), h("span", { class: "quiet" }, `, ${since(ticket.createdAt, Date.now())}`)),
            h("p", { class: "line" }, h("span", { class: "grow" }, ticket.assignee ? `Taken by ${staff(ticket.assignee, ticket.assigneeName)}` : closed ? "Nobody took it" : "Nobody’s yet"),
              closed ? null : ticket.assignee ? action("Give back", () => change({ assignee: null }), toast, "button small") : action("Take it", () => change({ assignee: "me" }), toast, "button small")),
            closed ? h("p", { class: "quiet" }, `About: ${categoryName(ticket.category)}`) : null,
            closed ? null : field("Priority", select("ticket-priority", PRIORITIES, ticket.priority, (priority) => failing({ priority: priority as Ticket["priority"] }))),
            closed ? null : field("Category", select("ticket-category", CATEGORIES, ticket.category, (category) => failing({ category: category as Ticket["category"] }))),
            closed ? null : h("div", { class: "actions" }, ...ticket.mayBecome.map(become))),
          suggestions.length > 0 && !closed ? h("section", { class: "panel", "aria-label": "May answer it" }, h("h2", {}, "May answer it"),
            h("ul", { class: "rows" }, ...suggestions.map((one) => h("li", { class: "line" }, h("a", { class: "grow", href: pageHash("help", [one.slug]), target: "_blank", rel: "noopener" }, one.title),
              h("button", { type: "button", class: "button small", "aria-label": `Quote: ${one.title}`, onclick: () => {
                text.value += `${text.value && !text.value.endsWith("\n") ? "\n\n" : ""}[${one.title}](${pageHash("help", [one.slug])})`;
                draft.keep(text);
                text.focus();
              } }, "Quote"))))) : null)));
  }, {
    title: ({ ticket }) => ticket.subject,
    instead: (error) => turnedAway(error) ?? notFound("No such ticket", "It was never opened, or it is gone with the account that opened it.", pageHash("desk"), "To the desk")(error),
  });
  // What is being written, and the hand, stay where they are: it is drawn anew only when there is something new.
  const stop = every(AGAIN_MS, () => void get().then((now) => {
    if (seen >= 0 && now.ticket.version > seen) details.show(now);
  }, () => undefined));
  return { title: "Ticket", element: h("div", { class: "page" }, details.element), close: stop };
}

/** How often the player wrote, as far as it is shown. */
const written = (said: Schema<"TicketReplies">): number => said.replies.filter((reply) => reply.side === "player").length;

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

/** What the pages of players and of agents share about tickets: names, what is said, what is due. */
import { user } from "../account/session";
import type { Schema } from "../api/client";
import { h } from "../dom";
import { type Block, type Inline, blocks } from "./markdown";
import { since } from "./model";
import { pill } from "./page";

export type Ticket = Schema<"Ticket">;
export type Status = Ticket["status"];

export const STATUSES: Record<Status, string> = {
  open: "Open", in_progress: "In progress", waiting_for_customer: "Waiting for you", resolved: "Solved", closed: "Closed",
};
export const CATEGORIES = [["technical", "Technical"], ["gameplay", "A game"], ["account", "Account"], ["billing", "Billing"], ["other", "Something else"]] as const;
export const PRIORITIES = [["urgent", "Urgent"], ["high", "High"], ["medium", "Medium"], ["low", "Low"]] as const;

export const categoryName = (category: string): string => CATEGORIES.find(([key]) => key === category)?.[1] ?? category;

/** Where a ticket stands; agents wait for players, players are waited for. */
export function statusPill(ticket: Ticket, agent = false): HTMLElement {
  const look: Record<Status, string> = { open: "warn", in_progress: "drawn", waiting_for_customer: agent ? "soft" : "warn", resolved: "won", closed: "soft" };
  return pill(agent && ticket.status === "waiting_for_customer" ? "Waiting for player" : STATUSES[ticket.status], look[ticket.status]);
}

export const priorityPill = (ticket: Ticket): HTMLElement =>
  pill(PRIORITIES.find(([key]) => key === ticket.priority)?.[1] ?? ticket.priority, ticket.priority === "urgent" ? "bad" : ticket.priority === "high" ? "warn" : "soft");

/** What happens to a ticket next, and when. */
export function due(ticket: Ticket, now: number): string {
  if (!ticket.dueAt) return "";
  const when = since(ticket.dueAt, now);
  const late = Date.parse(ticket.dueAt) < now;
  switch (ticket.status) {
    case "open":
    case "in_progress":
      return late || ticket.overdue ? `The answer was due ${late ? when : "earlier"}.` : `An answer is due ${when}.`;
    case "waiting_for_customer":
      return `Without an answer it counts as solved ${when}.`;
    case "resolved":
      return `It is closed ${when}, unless somebody writes.`;
    default:
      return "";
  }
}

/** Markdown as elements. */
export function rich(text: string): HTMLElement {
  return h("div", { class: "rich" }, ...blocks(text).map(block));
}

function block(block: Block): HTMLElement {
  if (block.kind === "list") return h(block.ordered ? "ol" : "ul", {}, ...block.items.map((item) => h("li", {}, ...item.map(inline))));
  return h(block.kind === "heading" ? "h3" : "p", {}, ...block.inline.map(inline));
}

function inline(part: Inline): Node | string {
  if (part.kind === "bold") return h("strong", {}, part.text);
  if (part.kind === "emphasis") return h("em", {}, part.text);
  if (part.kind === "code") return h("code", {}, part.text);
  if (part.kind === "link") return h("a", { href: part.href, rel: "noopener noreferrer" }, part.text);
  return part.text;
}

/** An agent, as agents see them: `by` is `account:ID` or `key:ID`. */
export function staff(by: string | null | undefined, name: string | null | undefined): string {
  const me = user();
  return me && by === `account:${me.id}` ? "you" : name || (by?.startsWith("key:") ? "a program" : "an agent");
}

/** The question and all that was said, in order. */
export function conversation(ticket: Ticket, replies: Schema<"TicketReply">[], agent: boolean): HTMLElement {
  const said = (who: string, at: string, text: string, look: string) => h("li", { class: `said ${look}` },
    h("p", { class: "said-head" }, h("strong", {}, who), h("time", { class: "quiet", datetime: at, title: new Date(at).toLocaleString() }, since(at, Date.now()))),
    rich(text));
  return h("ol", { class: "conversation", "aria-label": "What was said" },
    said(agent ? ticket.authorName : "You", ticket.createdAt, ticket.description, agent ? "theirs" : "mine"),
    ...replies.map((reply) => {
      const mine = agent ? reply.side === "agent" : reply.side === "player";
      const who = reply.side === "player" ? (agent ? ticket.authorName : "You") : agent ? staff(reply.by, reply.byName) : "Support";
      const head = who.charAt(0).toUpperCase() + who.slice(1);
      return said(reply.internal ? `${head}, internal note` : head, reply.at, reply.text, `${mine ? "mine" : "theirs"}${reply.internal ? " internal" : ""}`);
    }));
}

/** Lines of a list of tickets. */
export function ticketLine(ticket: Ticket, href: string, agent: boolean): HTMLElement {
  const facts = agent
    ? [ticket.authorName, categoryName(ticket.category), ticket.assignee ? `taken by ${staff(ticket.assignee, ticket.assigneeName)}` : "nobody’s"]
    : [categoryName(ticket.category), ticket.replies === 0 ? "no reply yet" : ticket.replies === 1 ? "1 reply" : `${ticket.replies} replies`];
  return h("li", {}, h("a", { class: "ticket-line", href },
    h("span", { class: "grow" }, h("strong", {}, ticket.subject), h("span", { class: "quiet" }, `${facts.join(" · ")} · ${since(ticket.updatedAt, Date.now())}`)),
    h("span", { class: "pills" }, agent ? priorityPill(ticket) : null, agent && ticket.overdue ? pill("late", "bad") : null, statusPill(ticket, agent))));
}

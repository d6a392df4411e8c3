/** Answers to common questions, found while one types. */
import { type Schema, GET, answer } from "../api/client";
import { user } from "../account/session";
import { h } from "../dom";
import { pageHash } from "../route";
import { Loaded, type Open, heading, notFound, nothing } from "./page";
import { CATEGORIES, rich } from "./support";
import "./support.css";

/** So long after the last key a search begins. */
const PAUSE_MS = 200;

export const open: Open = (at) => {
  const slug = at.rest[0];
  if (slug) return article(slug);
  const field = h("input", { type: "search", id: "faq-search", autocomplete: "off", spellcheck: "true", maxlength: 200, placeholder: "What is the matter?", value: at.query.get("q") ?? "" });
  const list = new Loaded(() => {
    const q = field.value.trim();
    return answer(GET("/faq", { params: { query: q ? { q, limit: 20 } : { limit: 200 } } }));
  }, ({ articles }) => {
    if (articles.length === 0) return nothing("Nothing found. Other words may help, or a ticket.", h("a", { class: "button primary", href: pageHash("tickets", ["new"], { subject: field.value.trim() }) }, "Open a ticket"));
    return field.value.trim() ? [h("section", { class: "panel" }, ...articles.map(entry))] : grouped(articles);
  });
  let timer = 0;
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      // The address keeps what is searched for, without a page of history for each letter.
      history.replaceState(null, "", pageHash("help", [], { q: field.value.trim() }));
      void list.again();
    }, PAUSE_MS);
  });
  return {
    title: "Help",
    element: h("div", { class: "page" },
      heading("Help", "Most questions were asked before.", h("div", { class: "row" },
        user() ? h("a", { class: "button quiet", href: pageHash("tickets") }, "Your tickets") : null,
        h("a", { class: "button", href: pageHash("tickets", ["new"]) }, "Open a ticket"))),
      h("form", { class: "search", role: "search", onsubmit: (event: Event) => event.preventDefault() }, h("label", { class: "sr", for: "faq-search" }, "Search the answers"), field),
      list.element),
    close: () => clearTimeout(timer),
  };
};

/** All articles, by what they are about. */
function grouped(articles: Schema<"FaqArticle">[]): Node[] {
  const groups = CATEGORIES.map(([key, name]) => [name, articles.filter((article) => article.category === key)] as const).filter(([, list]) => list.length > 0);
  return [h("div", { class: "faq" }, ...groups.map(([name, list]) => h("section", { class: "panel", "aria-label": name }, h("h2", {}, name), ...list.map(entry))))];
}

const entry = (article: Schema<"FaqArticle">): HTMLElement =>
  h("details", { class: "fold answer" }, h("summary", {}, article.title), rich(article.text),
    h("p", { class: "quiet" }, h("a", { href: pageHash("help", [article.slug]) }, "Link to this answer")));

function article(slug: string) {
  const content = new Loaded(() => answer(GET("/faq/{slug}", { params: { path: { slug } } })), (article) =>
    h("article", { class: "panel" }, h("h1", {}, article.title), rich(article.text),
      h("p", { class: "aside" }, "Does that not help? ", h("a", { href: pageHash("tickets", ["new"], { subject: article.title }) }, "Open a ticket"))),
  { title: (article) => article.title, instead: notFound("No such answer", "It was taken away, or never written.", pageHash("help"), "All answers") });
  return {
    title: "Help",
    element: h("div", { class: "page narrow" }, h("p", {}, h("a", { href: pageHash("help") }, "‹ All answers")), content.element),
  };
}

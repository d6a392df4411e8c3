/** What the pages beside the games are made of: loading, refusals, forms, marks of staleness. */
import { Refusal, fieldsOf, words } from "../api/refusal";
import { h } from "../dom";
import type { PageRoute } from "../route";
import { onceOther } from "../service";
import type { Table } from "../table";
import { since } from "./model";
import "./pages.css";

/** A page that is shown until its address is left. */
export interface Page {
  title: string;
  element: HTMLElement;
  /** Asks before it is left; false: stay. */
  leave?(): Promise<boolean>;
  /** Stops what goes on by itself. */
  close?(): void;
}

/** What a page may lead to. */
export interface Ways {
  /** A seat at a table. */
  enter(table: Table): void;
}

/** Every module of a page exports one of these. */
export type Open = (at: PageRoute, ways: Ways) => Page;

/** The document's title, of the arcade's pages. */
export const title = (text: string): void => {
  document.title = `${text} · Everplay`;
};

/** What a part of a page does beside showing what came. */
export interface Options<T> {
  /** The title of the whole page, known when this is loaded. */
  title?(value: T): string;
  /** Stands in the place of a refusal that trying again does not help; null: it is one like others. */
  instead?(error: unknown): Node | null;
}

/** A part of a page that comes from the server: says that it loads, what went wrong, and offers to try again. */
export class Loaded<T> {
  readonly element = h("div", { class: "loaded", "aria-busy": "true" }, h("p", { class: "quiet", role: "status" }, "Loading…"));
  #load: () => Promise<T>;
  #view: (value: T) => Node | Node[];
  #turn = 0;
  #shown = false;
  #options: Options<T>;

  constructor(load: () => Promise<T>, view: (value: T) => Node | Node[], options: Options<T> = {}) {
    this.#load = load;
    this.#view = view;
    this.#options = options;
    void this.again();
  }

  /** Asks anew. What is shown stays until there is an answer, and through a refusal. */
  async again(): Promise<void> {
    const turn = ++this.#turn;
    this.element.setAttribute("aria-busy", "true");
    try {
      const value = await this.#load();
      // An answer to an older question comes too late.
      if (turn !== this.#turn) return;
      this.show(value);
    } catch (error) {
      if (turn !== this.#turn) return;
      this.element.removeAttribute("aria-busy");
      const instead = this.element.isConnected ? this.#options.instead?.(error) : null;
      if (instead) return this.element.replaceChildren(instead);
      const code = error instanceof Refusal ? error.code : "";
      // What holds for everything is said once on a page, and looked at again when it is over.
      if (code === "MAINTENANCE") {
        onceOther(() => this.element.isConnected && void this.again());
        if (!this.#shown && document.querySelector(".late[data-code=MAINTENANCE]")) return this.element.replaceChildren(h("p", { class: "quiet" }, "Not at the moment."));
      }
      const late = h("div", { class: "problem late", role: "alert", "data-code": code }, h("p", {}, words(error)),
        h("button", { type: "button", class: "button small", onclick: () => void this.again() }, "Try again"));
      this.element.querySelector(".late")?.remove();
      if (this.#shown) this.element.prepend(late);
      else this.element.replaceChildren(late);
    }
  }

  /** Shows what is known without asking. */
  show(value: T): void {
    this.#shown = true;
    this.element.removeAttribute("aria-busy");
    const focused = document.activeElement;
    const held = focused && this.element.contains(focused) ? { tag: focused.tagName, key: keyOf(focused), caret: caretOf(focused) } : null;
    this.element.replaceChildren(...[this.#view(value)].flat());
    if (this.element.isConnected && this.#options.title) title(this.#options.title(value));
    if (!held) return;
    // What is drawn anew by itself must not take the focus away from what it was on; what is gone leaves it here.
    const next = Array.from(this.element.querySelectorAll<HTMLElement>(held.tag)).find((one) => keyOf(one) === held.key);
    if (!next) return focusOn(this.element);
    next.focus({ preventScroll: true });
    if (held.caret && next instanceof HTMLTextAreaElement) {
      next.setSelectionRange(held.caret.from, held.caret.to);
      next.scrollTop = held.caret.top;
    }
  }
}

/** Where somebody writes in a text of several lines. */
const caretOf = (element: Element) =>
  element instanceof HTMLTextAreaElement ? { from: element.selectionStart, to: element.selectionEnd, top: element.scrollTop } : null;

/** Puts the focus on what is no control: something new to be read there. */
export function focusOn(element: HTMLElement): void {
  element.tabIndex = -1;
  element.focus({ preventScroll: true });
}

/** What stands where an address names nothing: one way on, and nothing to be tried again. */
export const notFound = (heading: string, why: string, href: string, way: string) => (error: unknown): Node | null => {
  if (!(error instanceof Refusal) || error.code !== "NOT_FOUND") return null;
  title("Not found");
  return door(heading, why, href, way);
};

/** A panel with one way on. */
export const door = (heading: string, why: string, href: string, way: string): HTMLElement =>
  h("div", { class: "invite" }, h("section", { class: "panel" },
    h("h1", {}, heading),
    h("p", { class: "lead" }, why),
    h("a", { class: "button primary big", href }, way)));

const keyOf = (element: Element): string => element.id || element.getAttribute("href") || element.textContent || "";

/** Asks anew from time to time while somebody looks, and is asked nothing. Returns what stops it. */
export function every(ms: number, act: () => void): () => void {
  const timer = setInterval(() => document.visibilityState === "visible" && !document.querySelector("dialog[open]") && act(), ms);
  return () => clearInterval(timer);
}

/** A labelled input. */
export function field(label: string, input: HTMLElement, hint = ""): HTMLElement {
  const id = input.id;
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  return h("div", { class: "field" }, h("label", { for: id }, label), input, hint ? h("p", { class: "hint", id: `${id}-hint` }, hint) : null);
}

let forms = 0;

/** A form that sends itself once at a time, says what went wrong beside its button, and marks the field that it is about. */
export function form(
  options: { label: string; button: string; look?: string; aside?: Node | null; act: () => Promise<unknown> },
  ...fields: (Node | null)[]
): HTMLFormElement {
  const problem = h("p", { class: "problem", role: "alert", id: `problem-${++forms}`, hidden: true });
  const button = h("button", { type: "submit", class: options.look ?? "button primary" }, options.button);
  const element = h("form", { class: "form", "aria-label": options.label, novalidate: true }, ...fields, problem,
    h("div", { class: "row" }, button, options.aside ?? null));
  let busy = false;
  let wrong: Element | null = null;
  const say = (text: string, about: HTMLElement | null = null) => {
    problem.textContent = text;
    problem.hidden = text === "";
    if (wrong) {
      wrong.removeAttribute("aria-invalid");
      describe(wrong, problem.id, false);
    }
    wrong = about;
    if (!about) return;
    about.setAttribute("aria-invalid", "true");
    describe(about, problem.id, true);
    about.focus();
  };
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    const invalid = element.querySelector<HTMLInputElement>(":invalid:not(fieldset)");
    if (invalid) {
      return say(`${invalid.labels?.[0]?.textContent ?? "A field"}: ${invalid.validationMessage}`, invalid);
    }
    busy = true;
    button.setAttribute("aria-busy", "true");
    say("");
    try {
      await options.act();
    } catch (error) {
      const fields = fieldsOf(error).map((name) => element.querySelector<HTMLElement>(`[name="${CSS.escape(name)}"]`));
      say(words(error), fields.find((field) => field !== null) ?? null);
    } finally {
      busy = false;
      button.removeAttribute("aria-busy");
    }
  });
  return element;
}

/** Adds an id to what describes an element, or takes it away. */
function describe(element: Element, id: string, on: boolean): void {
  const others = (element.getAttribute("aria-describedby") ?? "").split(" ").filter((one) => one && one !== id);
  const all = on ? [...others, id] : others;
  if (all.length > 0) element.setAttribute("aria-describedby", all.join(" "));
  else element.removeAttribute("aria-describedby");
}

/** A button that acts once at a time; what goes wrong is for the caller's `failed`. */
export function action(label: string, act: () => Promise<unknown> | void, failed: (text: string) => void, look = "button"): HTMLButtonElement {
  const button = h("button", { type: "button", class: look }, label);
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-busy")) return;
    button.setAttribute("aria-busy", "true");
    try {
      await act();
    } catch (error) {
      failed(words(error));
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
  return button;
}

/** Says that an answer may lack the newest; nothing when it does not. */
export function staleMark(answer: { stale: boolean; asOf: string }): HTMLElement | null {
  if (!answer.stale) return null;
  return h("p", { class: "stale", role: "status" }, `As of ${since(answer.asOf, Date.now())}: the newest results may be missing.`);
}

/** What a page shows to somebody it needs to know. */
export function signInFirst(why: string): HTMLElement {
  const back = encodeURIComponent(location.hash);
  return h("div", { class: "invite" }, h("section", { class: "panel" },
    h("h1", {}, "Sign in first"),
    h("p", { class: "lead" }, why),
    h("a", { class: "button primary big", href: `#/sign-in?next=${back}` }, "Sign in"),
    h("a", { class: "button", href: "#/" }, "To the arcade")));
}

/** A list that has nothing in it. */
export const nothing = (text: string, ...more: Node[]): HTMLElement => h("div", { class: "nothing" }, h("p", {}, text), ...more);

/** A page's heading, with what stands beside it. */
export const heading = (title: string, lead: string, ...beside: Node[]): HTMLElement =>
  h("div", { class: "page-head" }, h("div", {}, h("h1", {}, title), lead ? h("p", { class: "lead" }, lead) : null), ...beside);

export const pill = (text: string, look = ""): HTMLElement => h("span", { class: `pill ${look}`.trim() }, text);

/** Options of a choice; the first column is the value. */
export function select(id: string, options: readonly (readonly [string, string])[], value: string, changed: (value: string) => void): HTMLSelectElement {
  const element = h("select", { id, name: id, onchange: () => changed(element.value) });
  for (const [key, text] of options) element.append(h("option", { value: key, selected: key === value }, text));
  return element;
}

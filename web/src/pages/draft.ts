/**
 * What somebody writes and has not sent: it is there again when the page is drawn anew, left and come back to, or loaded
 * again in the same tab. An account's drafts are shown to that account only.
 */
import { user } from "../account/session";

type Field = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

export class Draft {
  #key: string;

  /** `name` tells drafts of an account apart. */
  constructor(name: string) {
    this.#key = `everplay.draft.${user()?.id ?? ""}.${name}`;
  }

  /** Puts into the fields what was written there, and keeps what will be. Fields are known by their ids. */
  hold(...fields: Field[]): void {
    for (const field of fields) {
      this.put(field);
      field.addEventListener(field instanceof HTMLSelectElement ? "change" : "input", () => this.keep(field));
    }
  }

  /** Puts into a field what is kept of it. */
  put(field: Field): void {
    const text = this.#read()[field.id];
    if (text !== undefined) put(field, text);
  }

  /** Keeps what is in a field that was not written by hand. */
  keep(field: Field): void {
    const kept = this.#read();
    const text = taken(field);
    if (text) kept[field.id] = text;
    else delete kept[field.id];
    if (Object.keys(kept).length > 0) sessionStorage.setItem(this.#key, JSON.stringify(kept));
    else this.forget();
  }

  /** Whether something is kept in a field of this id. */
  has(id: string): boolean {
    return this.#read()[id] !== undefined;
  }

  /** It was sent. */
  forget(): void {
    sessionStorage.removeItem(this.#key);
  }

  #read(): Record<string, string> {
    try {
      const kept: unknown = JSON.parse(sessionStorage.getItem(this.#key) ?? "{}");
      if (typeof kept !== "object" || kept === null || Array.isArray(kept)) return {};
      return Object.fromEntries(Object.entries(kept).filter((entry): entry is [string, string] => typeof entry[1] === "string"));
    } catch {
      return {};
    }
  }
}

const ticked = (field: Field): field is HTMLInputElement => field instanceof HTMLInputElement && field.type === "checkbox";

const taken = (field: Field): string => (ticked(field) ? (field.checked ? "on" : "") : field.value);

function put(field: Field, text: string): void {
  if (ticked(field)) field.checked = text === "on";
  // A choice that is not offered yet, as the games of a list that loads, would leave nothing chosen.
  else if (!(field instanceof HTMLSelectElement) || Array.from(field.options).some((option) => option.value === text)) field.value = text;
}

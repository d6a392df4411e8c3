/** Sentences for the codes of docs/rooms/spaaace.md; all others are those of the arcade. */
import { sentence } from "../errors";

const SENTENCES: Record<number, string> = {
  4300: "You are flying already.",
  4301: "All ships of this arena are taken. You can watch.",
  4302: "Watchers have no controls.",
  4303: "The server refused these settings.",
  521: "No such arena is open.",
  522: "This arena is closed, full, or its link is wrong.",
};

export const refusal = (code: number | undefined, message?: string): string =>
  (code === undefined ? undefined : SENTENCES[code]) ?? sentence(code, message);

/**
 * How much of the service there is (docs/api.md): a strip below the header of every page while it is not everything, or an
 * operator has something to say.
 *
 * Each answer of the services names the level; `GET /status` knows the words. It is asked at the start, when an answer names
 * another level, and from time to time, because rooms and pages that only follow one ask nothing themselves.
 */
import { lasting } from "./api/refusal";
import { h } from "./dom";

export interface Status {
  level: string;
  message: string;
  until?: string | null;
}

/** So often the words are looked at again while somebody looks at the page. */
const AGAIN_MS = 30_000;
/** So long no second question is asked because of an answer's header. */
const PAUSE_MS = 2_000;

const TITLES: Record<string, string> = {
  limited: "Limited service",
  emergency: "Reading only",
  maintenance: "Maintenance",
};
const MEANINGS: Record<string, string> = {
  limited: "Some lists may be old.",
  emergency: "Nothing can be changed at the moment; games go on.",
  maintenance: "Games go on; the rest comes back.",
};

/** What the strip says; null: there is nothing to say. Times are told by this browser's clock. */
export function notice(status: Status, now: number): { title: string; text: string } | null {
  const title = TITLES[status.level] ?? (status.message ? "Notice" : null);
  if (!title) return null;
  return { title, text: [lasting(status.message, status.until ?? null, now), MEANINGS[status.level] ?? ""].filter(Boolean).join(" ") };
}

let known: Status = { level: "full", message: "" };
let asked = Number.NEGATIVE_INFINITY;
const waiting = new Set<() => void>();

/** An answer of the services named this level. */
export function heard(level: string | null): void {
  if (level !== null && level !== known.level && performance.now() - asked > PAUSE_MS) void ask();
}

/** Calls once when there is another level. */
export function onceOther(act: () => void): void {
  waiting.add(act);
}

/** Draws the strip from now on. */
export function strip(): void {
  void ask();
  setInterval(() => document.visibilityState === "visible" && void ask(), AGAIN_MS);
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && void ask());
}

async function ask(): Promise<void> {
  asked = performance.now();
  const answer = await fetch("/status").catch(() => null);
  const status = answer?.ok ? ((await answer.json().catch(() => null)) as Partial<Status> | null) : null;
  // Without an answer nothing else is known than before.
  if (typeof status?.level !== "string") return;
  const before = known.level;
  known = { level: status.level, message: String(status.message ?? ""), until: status.until ?? null };
  draw();
  if (before === known.level) return;
  const calls = [...waiting];
  waiting.clear();
  for (const call of calls) call();
}

function draw(): void {
  const box = document.getElementById("service");
  if (!box) return;
  const told = notice(known, Date.now());
  const text = told ? `${told.title} ${told.text}` : "";
  // What has been read out is not read out again.
  if (box.textContent === text) return;
  box.className = `service is-${known.level}`;
  box.hidden = !told;
  box.replaceChildren(...(told ? [h("p", {}, h("strong", {}, told.title), " ", told.text)] : []));
}

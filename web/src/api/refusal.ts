/**
 * What the services say when they refuse, and what a person is told of it. Pure.
 *
 * Two forms arrive here: the envelope of docs/api.md, `{error: {code, message, details}}`, and the one of the SDK's
 * sign-in routes, `{error: code}`. Both become a `Refusal`; no answer at all is one too, with the code `OFFLINE`.
 */

export class Refusal extends Error {
  constructor(
    /** Stable, as the server named it. */
    readonly code: string,
    /** The answer's status; 0: there was none. */
    readonly status: number,
    message: string,
    readonly details: Record<string, unknown> = {},
    /** Seconds after which it would be taken. */
    readonly retryAfter: number | null = null,
  ) {
    super(message);
    this.name = "Refusal";
  }

  /** Whether the same request may be taken later. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export const offline = (): Refusal => new Refusal("OFFLINE", 0, "");

/** Reads a refusal's body; whatever it is, something can be said. */
export function refusal(status: number, body: unknown, retryAfter: string | null = null): Refusal {
  const wait = retryAfter !== null && /^\d+$/.test(retryAfter) ? Number(retryAfter) : null;
  const whole = record(body);
  const error = whole.error;
  if (typeof error === "string") {
    const { error: _, ...details } = whole;
    return new Refusal(error, status, "", details, wait);
  }
  const { code, message, details } = record(error);
  return new Refusal(
    typeof code === "string" ? code : status >= 500 ? "INTERNAL" : "INVALID_REQUEST",
    status,
    typeof message === "string" ? message : "",
    record(details),
    wait,
  );
}

const SENTENCES: Record<string, string> = {
  OFFLINE: "The server does not answer. Try again in a moment.",
  UNAUTHENTICATED: "Sign in first.",
  // Where an account that is signed in proves itself once more.
  INVALID_CREDENTIALS: "That password is wrong.",
  WRONG_CODE: "That code is wrong or too old.",
  PROVIDER_REFUSED: "The other site did not confirm who you are.",
  FORBIDDEN: "You may not do that.",
  SECOND_FACTOR_REQUIRED: "This needs a sign-in with your second factor.",
  PASSWORD_REQUIRED: "Sign in again first: this takes a sign-in of the last five minutes.",
  CROSS_SITE: "The browser says that another site asked for this.",
  NOT_FOUND: "That is not there, or not any more.",
  EMAIL_TAKEN: "That address has an account already.",
  NAME_TAKEN: "That name is taken.",
  VERSION_CONFLICT: "It was changed meanwhile. Look at it as it is now, and try again.",
  BODY_TOO_LARGE: "That is too long.",
  INTERNAL: "Something broke on our side.",
  MAINTENANCE: "The service is being worked on.",
  READ_ONLY: "Nothing can be changed at the moment.",
  DATABASE_UNAVAILABLE: "Your data cannot be reached at the moment. Try again in a moment.",
  OVERLOADED: "The service is busy. Try again in a moment.",
  UNAVAILABLE: "The service is busy. Try again in a moment.",
  TIMEOUT: "The service took too long. Try again in a moment.",
  invalid_credentials: "That address and password do not belong together.",
  email_already_in_use: "That address has an account already. Sign in instead.",
  email_malformed: "That is not an e-mail address.",
  password_too_short: "A password has 8 characters at least.",
  password_too_long: "That password is too long.",
  password_too_common: "That password is guessed first. Choose another one.",
  password_holds_own_name: "A password must not hold your own name or address.",
  refused: "You did not agree over there, so nothing happened here.",
  begin_again: "That took too long, or began in another browser. Try again.",
  identity_already_linked: "That identity opens another account already.",
  provider_failed: "The other site did not answer as it should. Try again.",
  cancelled: "The window was closed before you were in.",
  popup_blocked: "The browser did not open the window. Allow it, and try again.",
};

/** What to tell a person. */
export function words(error: unknown): string {
  if (!(error instanceof Refusal)) return SENTENCES.INTERNAL!;
  if (error.code === "RATE_LIMITED") {
    return `Too many requests. Try again ${error.retryAfter === null ? "in a moment" : `in ${wait(error.retryAfter)}`}.`;
  }
  if (error.code === "BANNED" || error.code === "banned") return banned(error.details);
  const known = SENTENCES[error.code];
  if (error.code === "MAINTENANCE" || error.code === "READ_ONLY") {
    const { message, until } = error.details;
    return [known, lasting(typeof message === "string" ? message : "", typeof until === "string" ? until : null, Date.now())].filter(Boolean).join(" ");
  }
  if (known) return known;
  const field = error.details.field;
  if (error.message) return sentence(typeof field === "string" ? `${spoken(field)}: ${error.message}` : error.message);
  return error.status >= 500 ? SENTENCES.INTERNAL! : "The server did not take that.";
}

/** Fields that codes are about, the likeliest first: a form has one of them. */
const FIELDS: readonly (readonly [RegExp, readonly string[]])[] = [
  [/^(email_|EMAIL_)/, ["email"]],
  [/^password_/, ["newPassword", "password"]],
  [/^(INVALID_CREDENTIALS|invalid_credentials)$/, ["oldPassword", "password"]],
  [/^NAME_TAKEN$/, ["username"]],
  [/^WRONG_CODE$/, ["code"]],
];

/** The names of the field that a refusal is about, the likeliest first; none: it is about no field. */
export function fieldsOf(error: unknown): readonly string[] {
  if (!(error instanceof Refusal)) return [];
  const { field } = error.details;
  // Two routes call it by the same name: the new one, where there are two.
  if (field === "password") return ["newPassword", "password"];
  if (typeof field === "string") return [field];
  return FIELDS.find(([code]) => code.test(error.code))?.[1] ?? [];
}

/** What an operator says, and until when it is expected to last; empty when neither is known. */
export function lasting(message: string, until: string | null, now: number): string {
  const end = until === null ? Number.NaN : Date.parse(until);
  const day = (time: number) => new Date(time).toLocaleDateString();
  const short = { hour: "numeric", minute: "2-digit" } as const;
  const when = !(end > now) ? "" : `Until about ${day(end) === day(now)
    ? new Date(end).toLocaleTimeString(undefined, short)
    : new Date(end).toLocaleString(undefined, { weekday: "short", day: "numeric", month: "short", ...short })}.`;
  return [message && sentence(message), when].filter(Boolean).join(" ");
}

function banned(details: Record<string, unknown>): string {
  const why = typeof details.reason === "string" && details.reason ? `: ${details.reason}` : "";
  const until = typeof details.until === "string" ? ` until ${new Date(details.until).toLocaleString()}` : "";
  return `This account is banned${until}${why}.`.replace("..", ".");
}

function wait(seconds: number): string {
  if (seconds < 90) return seconds === 1 ? "a second" : `${seconds} seconds`;
  return `${Math.ceil(seconds / 60)} minutes`;
}

/** `displayName` as people say it: Display name. */
function spoken(field: string): string {
  const text = field.replace(/[._]/g, " ").replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function sentence(text: string): string {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};

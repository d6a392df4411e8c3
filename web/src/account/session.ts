/**
 * Who is signed in at this browser, and their tokens. All tabs have the same answer.
 *
 *   in -> renewed before the access token ends -> in ...
 *          |                                 '-> out     the login ended: signed out elsewhere, banned, a day over
 *          '-> no answer: still in, with the token there is
 *
 * The access token lies where the game SDK looks for it, so whoever is signed in here is so in rooms. A refresh token
 * works once: one tab renews at a time, and the others take what it got.
 */
import { type Refusal, offline, refusal } from "../api/refusal";

/** What a sign-in tells of the account. */
export interface User {
  id: string;
  displayName: string;
  username: string;
  /** A guest: nobody can sign in to it again. */
  anonymous: boolean;
  email: string | null;
  emailConfirmed: boolean;
  region: string | null;
  roles: string[];
}

/** The answer to a sign-in. */
export interface Tokens {
  user: unknown;
  token: string;
  refreshToken: string;
  expiresIn: number;
}

interface Kept {
  user: User;
  refresh: string;
  /** When the access token ends, by this browser's clock. */
  until: number;
}

/** Where the SDK keeps the token. */
const TOKEN = "colyseus-auth-token";
const KEPT = "everplay.session";
const LOCK = "everplay.renew";
/** So long before its end a token is renewed: a request and a join on a slow line. */
const EARLY_MS = 60_000;

/** So long an answer may take. */
const PATIENCE_MS = 15_000;

type Listener = (user: User | null, ended: Refusal | null) => void;
const listeners = new Set<Listener>();
let kept = read();
let renewing: Promise<void> | null = null;

/** Who is signed in. */
export const user = (): User | null => kept?.user ?? null;

/** The access token as it is, good or not. */
export const token = (): string | null => (kept ? localStorage.getItem(TOKEN) : null);

/** Tells of every change; with a reason when a sign-in ended without our doing. */
export function onChange(listener: Listener): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Signed in with what the server answered. */
export function enter(tokens: Tokens): void {
  const next = { user: userOf(tokens.user), refresh: tokens.refreshToken, until: Date.now() + tokens.expiresIn * 1000 };
  localStorage.setItem(TOKEN, tokens.token);
  localStorage.setItem(KEPT, JSON.stringify(next));
  kept = next;
  tell(null);
}

/** The account says something else of itself now. */
export function change(changed: Partial<User>): void {
  if (!kept) return;
  kept = { ...kept, user: { ...kept.user, ...changed } };
  localStorage.setItem(KEPT, JSON.stringify(kept));
  tell(null);
}

/** Not signed in any more, here. */
export function forget(why: Refusal | null = null): void {
  if (!kept) return;
  kept = null;
  localStorage.removeItem(TOKEN);
  localStorage.removeItem(KEPT);
  tell(why);
}

/** A token that is good for a while; null when nobody is signed in. */
export async function freshToken(): Promise<string | null> {
  if (kept && kept.until - Date.now() < EARLY_MS) await renew();
  return token();
}

/** Gets the next tokens. Without an answer, what there is stays. */
export function renew(): Promise<void> {
  const used = kept?.refresh;
  renewing ??= alone(async () => {
    // Another tab may have renewed while we waited for our turn.
    kept = read();
    if (!kept || kept.refresh !== used) return;
    const answer = await fetch("/auth/refresh", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ refreshToken: kept.refresh }),
      signal: AbortSignal.timeout(PATIENCE_MS),
    }).catch(() => null);
    if (!answer) return;
    const body: unknown = await answer.json().catch(() => null);
    if (answer.ok) enter(body as Tokens);
    else if (answer.status === 401 || answer.status === 403) forget(refusal(answer.status, body));
  }).finally(() => (renewing = null));
  return renewing;
}

/** Ends the login, everywhere. */
export async function signOut(): Promise<void> {
  const bearer = await freshToken();
  if (bearer) {
    const answer = await fetch("/auth/logout", { method: "POST", headers: { authorization: `Bearer ${bearer}` } }).catch(() => null);
    if (!answer) throw offline();
  }
  forget();
}

async function alone(work: () => Promise<void>): Promise<void> {
  // Locks are there in secure contexts only; elsewhere the server's ten seconds of grace for two tabs must do.
  if (navigator.locks) await navigator.locks.request(LOCK, work);
  else await work();
}

function tell(ended: Refusal | null): void {
  for (const listener of listeners) listener(user(), ended);
}

function read(): Kept | null {
  try {
    const text = localStorage.getItem(KEPT);
    const value = text && localStorage.getItem(TOKEN) ? (JSON.parse(text) as Partial<Kept>) : null;
    if (!value || typeof value.refresh !== "string" || typeof value.until !== "number") return null;
    return { user: userOf(value.user), refresh: value.refresh, until: value.until };
  } catch {
    return null;
  }
}

/** Believes nothing about the form: it went through storage. */
export function userOf(value: unknown): User {
  const from = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const text = (field: string): string | null => (typeof from[field] === "string" ? (from[field] as string) : null);
  return {
    id: text("id") ?? "",
    displayName: text("displayName") ?? "Player",
    username: text("username") ?? "",
    anonymous: from.anonymous === true,
    email: text("email"),
    emailConfirmed: from.emailConfirmed === true,
    region: text("region"),
    roles: Array.isArray(from.roles) ? from.roles.filter((role) => typeof role === "string") : [],
  };
}

if (typeof window !== "undefined") {
  window.addEventListener("storage", (event) => {
    if (event.key !== KEPT && event.key !== null) return;
    kept = read();
    tell(null);
  });
}

/**
 * The services, typed by the server's own API document: paths, parameters and answers are those of `generated/api.d.ts`,
 * which the build makes anew from it. What is refused is thrown as a `Refusal`.
 */
import createClient from "openapi-fetch";
import type { components, paths } from "../../generated/api";
import { freshToken, renew, token } from "../account/session";
import { heard } from "../service";
import { Refusal, offline, refusal } from "./refusal";

/** So long an answer may take: longer than the server gives itself. */
const PATIENCE_MS = 15_000;

/** What the document calls it. */
export type Schema<Name extends keyof components["schemas"]> = components["schemas"][Name];

const client = createClient<paths>({ fetch: signed });

export const { GET, POST, PUT, DELETE } = client;

/** The answer's content, or the refusal. */
export async function answer<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<NonNullable<T>> {
  const { data, error, response } = await call.catch((cause: unknown) => {
    throw cause instanceof Refusal ? cause : offline();
  });
  heard(response.headers.get("everplay-service"));
  if (!response.ok) throw refusal(response.status, parsed(error), response.headers.get("retry-after"));
  return data as NonNullable<T>;
}

/** Sends a request as whoever is signed in; once more when the token ended before it should. */
async function signed(request: Request): Promise<Response> {
  const bearer = await freshToken();
  const signal = () => ({ signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!bearer) return fetch(request, signal());
  const again = request.clone();
  request.headers.set("authorization", `Bearer ${bearer}`);
  const response = await fetch(request, signal());
  if (response.status !== 401) return response;
  const body: unknown = await response.clone().json().catch(() => null);
  if (refusal(401, body).code !== "UNAUTHENTICATED") return response;
  await renew();
  const next = token();
  if (!next || next === bearer) return response;
  again.headers.set("authorization", `Bearer ${next}`);
  return fetch(again, signal());
}

function parsed(error: unknown): unknown {
  if (typeof error !== "string") return error;
  try {
    return JSON.parse(error);
  } catch {
    return null;
  }
}

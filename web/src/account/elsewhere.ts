/**
 * Signing in at another site: a window goes there and back, and tells us. Or, with somebody signed in here, linking the
 * identity over there to their account.
 */
import type { Schema } from "../api/client";
import { Refusal, refusal } from "../api/refusal";
import { freshToken } from "./session";

const LOOK = "popup,width=480,height=720";
const CLOSED_MS = 300;

export async function elsewhere(provider: string, link: boolean): Promise<Schema<"Tokens">> {
  // Opened at once, while the browser still sees the click; the address follows.
  const popup = window.open("about:blank", "everplay-sign-in", LOOK);
  if (!popup) throw new Refusal("popup_blocked", 400, "");
  const token = link ? await freshToken() : null;
  popup.location.href = `/auth/provider/${encodeURIComponent(provider)}${token ? `?token=${encodeURIComponent(token)}` : ""}`;
  return new Promise((resolve, reject) => {
    const end = () => {
      clearInterval(closed);
      window.removeEventListener("message", heard);
      popup.close();
    };
    const heard = (event: MessageEvent) => {
      // Anybody may send us a message; only our own server's page tells of a sign-in.
      if (event.origin !== location.origin || event.source !== popup) return;
      const told = event.data as Record<string, unknown> | null;
      if (typeof told !== "object" || told === null || !("token" in told)) return;
      end();
      if (typeof told.error === "string") reject(refusal(401, told));
      else resolve(told as Schema<"Tokens">);
    };
    const closed = setInterval(() => {
      if (!popup.closed) return;
      end();
      reject(new Refusal("cancelled", 400, ""));
    }, CLOSED_MS);
    window.addEventListener("message", heard);
  });
}

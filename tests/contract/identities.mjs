// Makes one identity of each kind on a fresh server, and writes their tokens to standard output as JSON, for requests made from
// the API document. Writes that document too, with names of things that are there as examples.
//
//   node identities.mjs URL LOG EMAIL DOCUMENT
//
// EMAIL is the server's setting `admin`; LOG is its log file, where mails are written when there is no SMTP server. The admin
// confirms the address with the link in that mail, then sets up a second factor (RFC 6238), because roles count with one only.

import { createHmac, randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";

const [url, log, email, written] = process.argv.slice(2);
const password = randomBytes(18).toString("base64url");
/** Everything that keys may do. */
const SCOPES = [
  "accounts:read",
  "accounts:ban",
  "audit:read",
  "tickets:answer",
  "results:write",
  "rooms:manage",
  "service:manage",
];

async function ask(method, path, { token, json, form } = {}) {
  const headers = {};
  if (token) headers.authorization = `Bearer ${token}`;
  if (json) headers["content-type"] = "application/json";
  const body = form ? new URLSearchParams(form) : json && JSON.stringify(json);
  const answer = await fetch(url + path, { method, headers, body });
  const text = await answer.text();
  const isJson = answer.headers.get("content-type")?.startsWith("application/json");
  return { status: answer.status, body: isJson ? JSON.parse(text) : text };
}

async function must(method, path, options) {
  const { status, body } = await ask(method, path, options);
  if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(body)}`);
  return body;
}

/** The code of a link that was mailed to `address`. The log has a line of JSON for each mail. */
async function mailed(address, path) {
  for (const until = Date.now() + 20_000; Date.now() < until; ) {
    const lines = (await readFile(log, "utf8")).split("\n").filter((line) => line.startsWith("{") && line.endsWith("}"));
    const mail = lines.map((line) => JSON.parse(line)).findLast(({ to }) => to === address);
    const found = mail && new RegExp(`${path}\\?token=([\\w-]+)`).exec(mail.message);
    if (found) return found[1];
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no mail to ${address} with a link to ${path}`);
}

/** The code that an authenticator shows now for an `otpauth` link: HMAC-SHA1, six digits, thirty seconds (RFC 6238). */
function code(link) {
  const { searchParams } = new URL(link);
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...searchParams.get("secret").replace(/=+$/, "")]
    .map((letter) => letters.indexOf(letter).toString(2).padStart(5, "0"))
    .join("");
  const secret = Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 1000 / Number(searchParams.get("period") ?? 30))));
  const digest = createHmac(searchParams.get("algorithm") ?? "SHA1", secret).update(counter).digest();
  const at = digest.at(-1) & 15;
  const digits = Number(searchParams.get("digits") ?? 6);
  return String((digest.readUInt32BE(at) & 0x7fffffff) % 10 ** digits).padStart(digits, "0");
}

async function admin() {
  await must("POST", "/auth/register", { json: { email, password } });
  await must("POST", "/auth/confirm-email", { form: { token: await mailed(email, "/auth/confirm-email") } });
  const { token } = await must("POST", "/auth/login", { json: { email, password } });
  const begun = await must("POST", "/account/factor", { token, json: { password } });
  const shown = { code: code(begun.url) };
  const { recoveryCodes } = await must("POST", "/account/factor/confirm", { token, json: shown });
  const half = await ask("POST", "/auth/login", { json: { email, password } });
  const both = { challenge: half.body.challenge, code: recoveryCodes[0] };
  return (await must("POST", "/auth/second-factor", { json: both })).token;
}

const guest = () => must("POST", "/auth/anonymous", { json: {} });
const [visitor, leaver] = [await guest(), await guest()];
const register = { email: "member@example.com", password };
const member = await must("POST", "/auth/register", { json: register });
const tokens = { guest: visitor.token, member: member.token, leaver: leaver.token, admin: await admin() };
const key = (name) => must("POST", "/admin/keys", { token: tokens.admin, json: { name, scopes: SCOPES } });
tokens.key = (await key("contract")).token;

/** Things of the member, and of the admin where the member has none. */
const subject = { subject: "A question", description: "Is this a ticket that can be read?" };
const { ticketId } = await must("POST", "/tickets", { token: tokens.member, json: subject });
const { gameId } = await must("POST", "/games", { token: tokens.member, json: {} });
const spare = await key("spare");
const gone = await must("GET", "/account", { token: (await guest()).token });

/** What stands for the parameters of a path, by how the path begins. */
const NAMES = {
  "/admin/accounts/": { id: gone.id, role: "agent" },
  "/admin/keys/": { id: spare.id },
  "/faq/": { slug: "how-to-play" },
  "/games/": { id: gameId },
  "/leaderboard/user/": { id: "me" },
  "/tickets/": { id: ticketId },
  "/users/": { id: "me" },
};
const document = await must("GET", "/openapi.json");
for (const [path, operations] of Object.entries(document.paths)) {
  const [, names] = Object.entries(NAMES).find(([root]) => path.startsWith(root)) ?? [];
  for (const operation of Object.values(operations)) {
    for (const parameter of operation.parameters ?? []) {
      if (parameter.in === "path" && names?.[parameter.name]) parameter.example = names[parameter.name];
    }
  }
}
await writeFile(written, JSON.stringify(document));
process.stdout.write(JSON.stringify(tokens));

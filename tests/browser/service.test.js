/** What an operator says of the service reaches those who look at a page, whichever it is, until it is taken back. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { PASSWORD, SIZES, Person, Server, browser } from "./arcade.js";

const ADMIN = "boss@example.org";

let chrome;
let server;
let operator;

before(async () => {
  server = await Server.start(["--admin", ADMIN]);
  operator = await admin();
  chrome = await browser();
});

after(async () => {
  await chrome?.close();
  await server?.end();
});

/** Asks the services; answers the content. */
async function ask(method, path, body, token) {
  const answer = await fetch(server.url + path, {
    method, body: body && JSON.stringify(body),
    headers: { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) },
  });
  return answer.json();
}

/** The token of an admin with a confirmed address and a second factor. */
async function admin() {
  const { token } = await ask("POST", "/auth/register", { email: ADMIN, password: PASSWORD, options: {} });
  for (;;) {
    const found = /\/auth\/confirm-email\?token=([\w.~-]+)/.exec(server.log);
    if (found) {
      await fetch(`${server.url}/auth/confirm-email`, { method: "POST", body: new URLSearchParams({ token: found[1] }) });
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const { url } = await ask("POST", "/account/factor", { password: PASSWORD }, token);
  const secret = new URL(url).searchParams.get("secret");
  const { recoveryCodes } = await ask("POST", "/account/factor/confirm", { code: digits(secret) }, token);
  const { challenge } = await ask("POST", "/auth/login", { email: ADMIN, password: PASSWORD });
  return (await ask("POST", "/auth/second-factor", { challenge, code: recoveryCodes[0] })).token;
}

/** The six digits of an authenticator at this moment (RFC 6238). */
function digits(secret) {
  const bits = [...secret.replace(/\s/g, "")].map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const hash = createHmac("sha1", Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)))).update(counter).digest();
  return String((hash.readUInt32BE(hash[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

for (const [size, viewport] of SIZES) {
  describe(`the level of service on a ${size}`, { timeout: 120_000 }, () => {
    after(async () => {
      await ask("DELETE", "/admin/service", undefined, operator);
    });

    it("stands below the header of every page, is said once, and goes away with the word", async () => {
      const ada = await Person.arrive(chrome, server, `Ada ${size}`, { viewport });
      await ada.registers(`ada-${size}@example.org`);
      const strip = ada.page.getByRole("status").and(ada.page.locator("#service"));
      assert.equal(await ada.page.locator("#service").isVisible(), false);

      // Rooms that are there go on; none is opened.
      const bob = await Person.arrive(chrome, server, "Bob", { viewport, hash: "#/leaderboard" });
      await bob.page.locator(".live-mark").waitFor();

      await ask("PUT", "/admin/service", { level: "maintenance", message: "new disks", seconds: 3600 }, operator);
      // The next answer tells.
      await ada.page.locator("#account a").click();
      await strip.getByText(/^Maintenance New disks\. Until about .*Games go on; the rest comes back\.$/).waitFor();
      await ada.page.locator(".late", { hasText: "The service is being worked on. New disks." }).waitFor();
      await ada.page.getByText("Not at the moment.").nth(2).waitFor();
      assert.equal(await ada.page.locator(".late").count(), 1, "said once on a page");
      const over = await ada.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${over} px too wide`);

      // Who follows a board follows on; who comes now is told.
      assert.equal(await bob.page.locator(".live-mark").isVisible(), true);
      await bob.page.getByText("Nobody stands here yet").waitFor();
      assert.equal(await bob.page.locator(".late").count(), 0);
      await ada.goes("Leaderboard");
      await ada.page.locator(".late", { hasText: "New disks." }).waitFor();
      // Who comes in now is told, too; what goes on is told by looking again.
      await bob.page.reload();
      await bob.page.locator("#service", { hasText: "New disks." }).waitFor();

      await ada.page.locator("#account a").click();
      await ada.page.locator(".late").waitFor();
      await ask("PUT", "/admin/service", { level: "full", message: "A tournament begins at eight!" }, operator);
      // The page looks again, and what it could not show is there.
      await ada.page.locator("#service", { hasText: "Notice A tournament begins at eight!" }).waitFor({ timeout: 45_000 });
      await ada.reads(ada.name);
      await ada.counts("Played", 0);
      assert.equal(await ada.page.locator(".late").count(), 0);
      await ask("DELETE", "/admin/service", undefined, operator);
      await bob.page.goto(`${server.url}/`);
      await bob.page.getByRole("button", { name: "Quick match" }).waitFor();
      assert.equal(await bob.page.locator("#service").isVisible(), false);
      for (const person of [ada, bob]) {
        assert.deepEqual(person.faults.filter((fault) => !/status of (404|503)/.test(fault)), [], `${person.name}'s page`);
        await person.leaves();
      }
    });
  });
}

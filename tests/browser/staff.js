/** People who work here: an admin by an address that is confirmed, with the second factor that roles count with. */
import { createHmac } from "node:crypto";
import { PASSWORD } from "./arcade.js";

/** The six digits of an authenticator at this moment (RFC 6238). */
function digits(secret, now = Date.now()) {
  const bits = [...secret.replace(/\s/g, "")].map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(now / 30_000)));
  const hash = createHmac("sha1", key).update(counter).digest();
  const at = hash[19] & 15;
  return String((hash.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

/** A code is taken once: the next one comes with the next half minute. */
export async function freshDigits(secret, used) {
  for (;;) {
    const code = digits(secret);
    if (code !== used) return code;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** The last link of that kind that was mailed to an address; the server writes its mails to the log. */
export async function mailed(server, path, address) {
  const link = new RegExp(`https?://[^\\s"\\\\]+${path}\\?token=[\\w.~-]+`);
  for (let tries = 0; tries < 150; tries += 1) {
    const mails = server.log.split("\n").filter((line) => line.includes(`"to":"${address}"`));
    const found = mails.map((mail) => link.exec(mail)?.[0]).filter(Boolean);
    if (found.length > 0) return found.at(-1);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no mail to ${address} in the log:\n${server.log}`);
}

/** Registers the admin and confirms the address; a sign-in with a second factor is yet to come. */
export async function hires(person, server, address) {
  await person.registers(address);
  const mail = await person.context.newPage();
  await mail.goto(await mailed(server, "/auth/confirm-email", address));
  await mail.getByRole("button", { name: "Confirm" }).click();
  await mail.getByText("is confirmed").waitFor();
  await mail.close();
}

/** Sets the second factor up in the settings. Returns its key, the code that was used, and the recovery codes. */
export async function factor(person, server) {
  const { page } = person;
  await page.goto(`${server.url}/#/account`);
  await page.getByText("Set up", { exact: true }).click();
  await page.locator("#factor-password").fill(PASSWORD);
  await person.press("Begin");
  const secret = await page.locator(".secret").textContent();
  const used = await freshDigits(secret, "");
  await person.fills({ "First code": used });
  await person.press("Confirm");
  await page.locator(".codes li").first().waitFor();
  const codes = await page.locator(".codes li").allTextContents();
  return { secret, used, codes };
}

/** Out, and in again with a code. */
export async function returns(person, address, code) {
  await person.press("Sign out");
  await person.page.locator("#account", { hasText: "Sign in" }).waitFor();
  await person.signsIn(address);
  await person.reads("Your second factor");
  await person.fills({ Code: code });
  await person.press("Continue");
  await person.isSignedIn();
}

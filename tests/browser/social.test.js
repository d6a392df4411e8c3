/** Signing in elsewhere, in a browser's own windows, at a real OpenID Connect provider (oidc-provider). */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, it } from "node:test";
import Provider from "oidc-provider";
import { Person, Server, browser } from "./arcade.js";

let chrome;
let server;
let house;

before(async () => {
  house = createServer((request, response) => house.provider(request, response));
  house.listen(0, "127.0.0.1");
  await once(house, "listening");
  // Cookies know no ports: under another name, the provider's are not sent to the server.
  const issuer = `http://localhost:${house.address().port}`;
  server = await Server.start(["--oidc-login", `house ${issuer} everplay a-secret`]);
  const provider = new Provider(issuer, {
    clients: [{ client_id: "everplay", client_secret: "a-secret", redirect_uris: [`${server.url}/auth/provider/house/callback`] }],
    pkce: { required: () => true },
    claims: { profile: ["name"], email: ["email", "email_verified"] },
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: true } },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: `${id} of the house`, email: `${id}@house.example`, email_verified: true }) }),
  });
  house.provider = provider.callback();
  chrome = await browser();
});

after(async () => {
  await chrome?.close();
  await server?.end();
  house?.closeAllConnections();
  house?.close();
});

/** Presses the button and goes the way through the provider's window, until it closes by itself. */
async function through(person, button, login) {
  const opened = person.page.waitForEvent("popup");
  await person.press(button);
  const popup = await opened;
  const closed = popup.waitForEvent("close");
  await popup.locator('input[name="login"]').fill(login);
  await popup.locator('input[name="password"]').fill("whatever");
  await popup.locator('button[type="submit"]').click();
  // It asks what may be told; then it is over, maybe before we can look.
  await popup.getByRole("button", { name: "Continue" }).click();
  await closed;
}

describe("a sign-in elsewhere", { timeout: 120_000 }, () => {
  it("opens an account in a window that closes by itself, and is told when it was closed by hand", async () => {
    const ada = await Person.arrive(chrome, server, "ada of the house");
    await ada.page.getByRole("link", { name: "Sign in" }).first().click();
    const opened = ada.page.waitForEvent("popup");
    await ada.press("Continue with House");
    await (await opened).close();
    await ada.page.locator(".toast", { hasText: "closed before you were in" }).waitFor();

    await through(ada, "Continue with House", "ada");
    await ada.isSignedIn();
    await ada.page.goto(`${server.url}/#/account`);
    await ada.page.getByText("ada@house.example").first().waitFor();
    assert.deepEqual(ada.faults, []);
    await ada.leaves();
  });

  it("keeps what a guest has", async () => {
    const bob = await Person.arrive(chrome, server, "Bob");
    await bob.page.getByRole("link", { name: "Sign in" }).first().click();
    await bob.press("Continue as a guest");
    await bob.page.locator("#account .tag", { hasText: "guest" }).waitFor();
    const account = () => bob.page.evaluate(() => JSON.parse(localStorage.getItem("everplay.session")).user.id);
    const id = await account();
    await bob.page.goto(`${server.url}/#/register`);
    await through(bob, "Continue with House", "bob");
    await bob.page.locator("#account .tag").waitFor({ state: "detached" });
    assert.equal(await account(), id);
    assert.deepEqual(bob.faults, []);
    await bob.leaves();
  });
});

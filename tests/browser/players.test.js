/**
 * From signing in to a ticket: what somebody does beside the games, at the pages and against the real server, on a desk
 * and on a phone.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { PASSWORD, SIZES, Person, Server, allEnd, browser } from "./arcade.js";
import { factor, freshDigits, hires, returns } from "./staff.js";

/** What is refused on purpose. */
const MEANT = /status of 40[1349]/;
const ADMIN = "boss@example.org";

let chrome;
let server;

before(async () => {
  server = await Server.start(["--admin", ADMIN]);
  chrome = await browser();
});

after(async () => {
  await chrome?.close();
  await server?.end();
});

/** Nothing sticks out at the side. */
async function fits(person) {
  const over = await person.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `${person.page.url()} is ${over} px too wide`);
}

/** One game that the other gives up; the next one follows on a rematch. */
async function wins(winner, loser, first) {
  if (first) {
    for (const person of [winner, loser]) {
      await person.goes("Play");
      await person.press("Quick match");
    }
  } else {
    await winner.press("Rematch");
    await loser.press("Accept rematch");
  }
  // A game counts once each side has moved.
  await loser.page.locator(".status", { hasText: /turn/ }).waitFor();
  const [x, o] = (await loser.status.textContent()) === "Your turn" ? [loser, winner] : [winner, loser];
  await x.plays(0);
  await o.plays(4);
  await loser.press("Give up");
  await loser.page.getByRole("dialog").getByRole("button", { name: "Give up" }).click();
  await winner.sees(`You win: ${loser.name} gave up`);
}

for (const [size, viewport] of SIZES) {
  describe(`players on a ${size}`, { timeout: 240_000 }, () => {
    it("sign in, play, see their statistics change, stand on the board and open a ticket with the game", async () => {
      const [name, other] = [`Ada ${size}`, `Bob ${size}`];
      const ada = await Person.arrive(chrome, server, name, { viewport });
      await ada.registers(`ada-${size}@example.org`);
      const bob = await Person.arrive(chrome, server, other, { viewport });
      await bob.registers(`bob-${size}@example.org`);

      await ada.page.locator("#account a").click();
      await ada.reads(name);
      await ada.counts("Played", 0);
      await ada.page.getByText("No games yet.").waitFor();
      await fits(ada);

      await wins(ada, bob, true);
      // The pages of the profile and of the board follow by themselves.
      const watcher = await ada.context.newPage();
      await watcher.goto(`${server.url}/#/profile`);
      await watcher.locator(".game-line", { hasText: `against ${other}` }).first().waitFor();
      const board = await ada.context.newPage();
      await board.goto(`${server.url}/#/leaderboard?game=tic_tac_toe`);
      await board.locator(".live-mark").waitFor();
      assert.equal(await board.locator("tr.own").count(), 0, "one game is not five");
      for (let game = 2; game <= 5; game += 1) await wins(ada, bob, false);
      await board.locator("tr.own", { hasText: name }).waitFor({ timeout: 30_000 });
      await board.close();
      await watcher.locator(".tile.good dd", { hasText: /^5$/ }).waitFor({ timeout: 30_000 });
      await watcher.locator(".standing", { hasText: "#1" }).waitFor({ timeout: 30_000 });
      await watcher.close();

      await ada.goes("Leaderboard");
      await ada.reads("Leaderboard");
      const own = ada.page.locator("tr.own");
      await own.filter({ hasText: name }).waitFor();
      assert.match(await own.innerText(), /you/);
      assert.match(await own.innerText(), /100\s%/);
      await fits(ada);
      await ada.page.getByLabel("Game", { exact: true }).selectOption("tic_tac_toe");
      await ada.page.waitForURL(/game=tic_tac_toe/);
      await ada.page.locator("tr.own", { hasText: name }).waitFor();
      await ada.page.locator("#order-wins").focus();
      await ada.page.keyboard.press("ArrowRight");
      await ada.page.waitForURL(/order=rating/);
      await ada.page.locator("#order-rating:focus").waitFor({ state: "attached" });
      await ada.page.locator("tr.own", { hasText: name }).waitFor();
      await ada.page.getByLabel("Region", { exact: true }).selectOption("oceania");
      await ada.page.getByText("Nobody stands here yet").waitFor();

      // One game of the history, move by move; then help with it.
      await ada.page.locator("#account a").click();
      await ada.page.locator(".game-line").first().click();
      await ada.reads(`${name} won`);
      await ada.page.getByRole("link", { name: "Get help with this game" }).click();
      await ada.reads("Open a ticket");
      await ada.page.locator("#game option:checked", { hasText: `against ${other}` }).waitFor({ state: "attached" });
      await ada.fills({ Subject: "The connection was lost in this game" });
      await ada.page.locator(".suggested a", { hasText: /connection/i }).first().waitFor();
      await ada.press("Send");
      await ada.page.locator(".problem", { hasText: "What happened" }).waitFor();
      await ada.fills({ "What happened": "My opponent vanished, and **nobody** moved <b>any more</b>." });
      await fits(ada);
      await ada.press("Send");
      await ada.reads("The connection was lost in this game");
      await ada.page.locator(".pill", { hasText: "with a game" }).waitFor();
      await ada.page.locator(".said strong", { hasText: "nobody" }).waitFor();
      assert.equal(await ada.page.locator(".said b").count(), 0, "what people write is text");
      await ada.fills({ "Your answer": "It was the second game." });
      await ada.press("Send");
      await ada.page.locator(".said", { hasText: "It was the second game." }).waitFor();
      await fits(ada);
      await ada.page.getByRole("link", { name: "Your tickets" }).click();
      await ada.page.locator(".ticket-line", { hasText: "The connection was lost" }).waitFor();

      // It is nobody else's to see.
      const ticket = await ada.page.locator(".ticket-line").first().getAttribute("href");
      await bob.page.goto(`${server.url}/${ticket}`);
      await bob.reads("No such ticket");
      await allEnd([ada, bob], MEANT);
    });

    it("find answers while they type", async () => {
      const eve = await Person.arrive(chrome, server, "Eve", { viewport });
      await eve.goes("Help");
      await eve.page.locator(".answer").nth(5).waitFor();
      await fits(eve);
      const search = eve.page.getByRole("searchbox");
      await search.pressSequentially("forgot passw");
      await eve.page.waitForURL(/q=forgot/);
      const first = eve.page.locator(".answer summary").first();
      await first.filter({ hasText: /password/i }).waitFor();
      await first.click();
      await eve.page.getByRole("link", { name: "Link to this answer" }).first().click();
      await eve.page.getByRole("heading", { level: 1, name: /password/i }).waitFor();
      await allEnd([eve], MEANT);
    });

    it("come as guests, keep what they have, and are told in words what went wrong", async () => {
      const [name, email] = [`Guest ${size}`, `guest-${size}@example.org`];
      const guest = await Person.arrive(chrome, server, name, { viewport });
      await guest.named();
      await guest.page.locator("#name").blur();
      await guest.page.evaluate((name) => localStorage.setItem("everplay.name", name), name);
      await guest.page.getByRole("link", { name: "Sign in" }).first().click();
      await guest.fills({ "E-mail": email, Password: PASSWORD });
      await guest.press("Sign in");
      await guest.page.getByRole("alert").filter({ hasText: "do not belong together" }).waitFor();
      await guest.press("Continue as a guest");
      await guest.isSignedIn();
      await guest.page.locator("#account a").click();
      const id = await guest.page.evaluate(() => JSON.parse(localStorage.getItem("everplay.session")).user.id);

      await guest.page.getByRole("link", { name: "Keep this account" }).click();
      await guest.fills({ "E-mail": email, Password: "short" });
      await guest.press("Keep it");
      await guest.page.locator(".problem", { hasText: "Password" }).waitFor();
      await guest.fills({ Password: PASSWORD });
      await guest.press("Keep it");
      await guest.page.locator("#account .tag").waitFor({ state: "detached" });
      assert.equal(await guest.page.evaluate(() => JSON.parse(localStorage.getItem("everplay.session")).user.id), id, "the same account");

      // Another device; it is listed, and ended from here.
      const phone = await Person.arrive(chrome, server, name, { viewport });
      await phone.signsIn(email);
      await phone.isSignedIn();
      await guest.page.goto(`${server.url}/#/account`);
      await guest.page.getByText("not confirmed").waitFor();
      await fits(guest);
      await guest.fills({ Name: `${name} II` });
      await guest.page.getByLabel("Region", { exact: true }).selectOption("eu");
      await guest.press("Save");
      await guest.page.locator("#account .me-name", { hasText: `${name} II` }).waitFor();
      await guest.press("Sign out everywhere else");
      await guest.page.locator(".toast", { hasText: "One sign-in ended" }).waitFor();
      await phone.page.goto(`${server.url}/#/tickets`);
      await phone.page.locator("#account", { hasText: "Sign in" }).waitFor();
      await phone.reads("Sign in first");

      const download = guest.page.waitForEvent("download");
      await guest.press("Download");
      assert.equal((await download).suggestedFilename(), "everplay.json");
      await guest.page.getByText("Delete the account").click();
      await guest.page.locator("#delete-password").fill(PASSWORD);
      await guest.press("Delete for ever");
      await guest.page.getByRole("dialog").getByRole("button", { name: "Delete it" }).click();
      await guest.page.locator("#account", { hasText: "Sign in" }).waitFor();
      await guest.signsIn(email);
      await guest.page.getByRole("alert").filter({ hasText: "do not belong together" }).waitFor();
      await allEnd([guest, phone], MEANT);
    });
  });
}

describe("the desk", { timeout: 240_000 }, () => {
  it("answers a player, sees the game as it was, and needs a second factor for it", async () => {
    const ada = await Person.arrive(chrome, server, "Ada");
    await ada.registers("ada@example.org");
    const bob = await Person.arrive(chrome, server, "Bob");
    await bob.registers("bob@example.org");
    for (const person of [ada, bob]) {
      await person.goes("Play");
      await person.press("Quick match");
    }
    await ada.page.locator(".status", { hasText: /turn/ }).waitFor();
    const [x, o] = (await ada.status.textContent()) === "Your turn" ? [ada, bob] : [bob, ada];
    for (const [person, cell] of [[x, 0], [o, 3], [x, 1], [o, 4], [x, 2]]) await person.plays(cell);
    await x.sees("You win");
    await x.page.locator("#account a").click();
    await x.page.locator(".game-line").first().click();
    await x.page.getByRole("link", { name: "Get help with this game" }).click();
    await x.fills({ Subject: "My opponent insulted me", "What happened": "Before the last move, in the chat of another program." });
    await x.press("Send");
    await x.reads("My opponent insulted me");
    const id = x.page.url().split("/").pop();

    const boss = await Person.arrive(chrome, server, "Boss");
    await hires(boss, server, ADMIN);
    const { secret, used } = await factor(boss, server);
    await boss.press("I have them");
    await boss.page.getByText("recovery codes left").waitFor();
    // A role counts only in a sign-in that showed the second factor.
    await returns(boss, ADMIN, await freshDigits(secret, used));
    await boss.goes("Desk");
    await boss.page.locator(".ticket-line", { hasText: "My opponent insulted me" }).click();
    await boss.reads("My opponent insulted me");
    assert.equal(boss.page.url().split("/").pop(), id);
    const board = boss.page.locator(".past-board");
    await board.waitFor();
    assert.equal(await board.getAttribute("aria-label"), "The board, by rows: X, X, X, O, O, empty, empty, empty, empty");
    await boss.press("Take it");
    await boss.page.getByText("Taken by you").waitFor();
    await boss.page.getByText("Internal note").click();
    await boss.fills({ Answer: "Looks bad." });
    await boss.press("Send");
    await boss.page.locator(".said.internal", { hasText: "Looks bad." }).waitFor();
    await boss.fills({ Answer: "We have warned them." });
    await boss.press("Send");
    await boss.page.locator(".pill", { hasText: "Waiting for player" }).waitFor();

    // The player's page finds the answer by itself, without the note.
    await x.page.locator(".said", { hasText: "We have warned them." }).waitFor({ timeout: 30_000 });
    assert.equal(await x.page.locator(".said", { hasText: "Looks bad." }).count(), 0);
    await x.press("Close the ticket");
    await x.page.getByRole("dialog").getByRole("button", { name: "Close it" }).click();
    await x.page.getByText("This ticket is closed.").waitFor();
    await allEnd([ada, bob, boss], MEANT);
  });
});

/** Ranked matches at their page: search, both are asked, the game, and what it changes; at two sizes, against the real server. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { SIZES, Person, Server, allEnd, browser } from "./arcade.js";

/** What is refused on purpose. */
const MEANT = /status of (404|409|503)/;

let chrome;
let server;

before(async () => {
  server = await Server.start();
  chrome = await browser();
});

after(async () => {
  await chrome?.close();
  await server?.end();
});

async function fits(person) {
  const over = await person.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `${person.page.url()} is ${over} px too wide`);
}

const TIMEOUT = { timeout: 180_000 };

for (const [size, viewport] of SIZES) {
  describe(`ranked matches on a ${size}`, TIMEOUT, () => {
    const arrive = async (name) => {
      const person = await Person.arrive(chrome, server, `${name} ${size}`, { viewport });
      await person.named();
      await person.press("Ranked match");
      await person.reads("Ranked match");
      return person;
    };

    it("find two, ask both, and are counted", async () => {
      const [ada, bob] = [await arrive("Ada"), await arrive("Bob")];
      // Without an account as a guest, under the name that was entered before.
      await ada.press("Search as a guest");
      await ada.sees("Searching for an opponent");
      await ada.isSignedIn();
      await ada.page.locator(".tile", { hasText: "Your rating" }).getByText("1500").waitFor();
      await fits(ada);
      assert.equal(await ada.page.evaluate(() => document.activeElement.textContent), "Cancel", "the keyboard is at what can be done");
      await bob.press("Search as a guest");
      for (const person of [ada, bob]) {
        await person.sees("Opponent found");
        assert.match(await person.page.title(), /Opponent found/);
        await fits(person);
      }
      // By the keyboard alone.
      await ada.page.locator("button:focus", { hasText: "Accept" }).waitFor();
      await ada.page.keyboard.press("Enter");
      await ada.sees("Waiting for the other one");
      await bob.press("Accept");
      await ada.page.waitForURL(/#\/room\//);
      await bob.page.waitForURL(/#\/room\//);

      await ada.page.locator(".status", { hasText: /turn/ }).waitFor();
      const first = (await ada.status.innerText()) === "Your turn" ? ada : bob;
      const second = first === ada ? bob : ada;
      await first.plays(0);
      await second.plays(3);
      await first.plays(1);
      await second.plays(4);
      await first.plays(2);
      await first.sees("You win");
      await second.sees(`${first.name} wins`);

      // Five games make a place on the board.
      const board = await first.context.newPage();
      await board.goto(`${server.url}/#/leaderboard?game=tic_tac_toe&order=rating`);
      await board.locator(".live-mark").waitFor();
      for (let game = 2; game <= 5; game += 1) {
        await first.press("Rematch");
        await second.press("Accept rematch");
        await second.page.locator(".status", { hasText: /turn/ }).waitFor();
        // A game that is given up counts once both have moved.
        const begins = (await second.status.innerText()) === "Your turn" ? second : first;
        await begins.plays(0);
        await (begins === first ? second : first).plays(4);
        await second.press("Give up");
        await second.page.getByRole("dialog").getByRole("button", { name: "Give up" }).click();
        await first.sees(`You win: ${second.name} gave up`);
      }
      await board.locator("tr.own", { hasText: first.name }).waitFor({ timeout: 30_000 });
      await board.close();
      await first.page.locator("#account a").click();
      await first.reads(first.name);
      await first.counts("Won", 5);
      await second.press("Another ranked match");
      await second.sees("Searching for an opponent");
      const shown = second.page.locator(".tile", { hasText: "Your rating" }).locator("dd", { hasText: /^\d+$/ });
      const rating = Number(await shown.innerText());
      assert.ok(rating < 1500, `five games lost, rated ${rating}`);
      await second.press("Cancel");
      await second.sees("Search taken back");
      await allEnd([ada, bob], MEANT);
    });

    it("are searched in one tab or another, declined, and taken back by leaving", async () => {
      const ada = await arrive("Chen");
      await ada.press("Search as a guest");
      await ada.sees("Searching for an opponent");
      // The same search in a second tab.
      const tab = await ada.context.newPage();
      await tab.goto(`${server.url}/#/ranked`);
      await tab.locator(".status", { hasText: "Searching for an opponent" }).waitFor();
      await tab.getByRole("button", { name: "Cancel" }).click();
      await tab.locator(".status", { hasText: "Search taken back" }).waitFor();
      await ada.sees("The search has ended");
      await tab.close();
      await ada.press("Search again");
      await ada.sees("Searching for an opponent");

      const bob = await arrive("Dora");
      await bob.press("Search as a guest");
      await bob.sees("Opponent found");
      await bob.press("Decline");
      await bob.sees("You declined");
      await ada.sees("Searching for an opponent");
      await bob.press("Search again");
      await ada.press("Accept");
      await bob.sees("Opponent found");
      // Whoever walks away leaves nobody waiting for an answer.
      await bob.goes("Help");
      await ada.page.locator(".note", { hasText: "did not accept" }).waitFor();
      await ada.sees("Searching for an opponent");
      // A reload goes on searching.
      await ada.page.reload();
      await ada.sees("Searching for an opponent");
      // So does a server that began anew.
      await server.kill();
      await ada.page.locator(".note", { hasText: "Still trying" }).waitFor();
      await server.up();
      await ada.page.locator(".note", { hasText: "Leaving this page" }).waitFor({ timeout: 45_000 });
      await ada.sees("Searching for an opponent");
      await ada.goes("Play");
      await allEnd([ada, bob], MEANT);
    });
  });
}

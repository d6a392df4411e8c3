/** The waiting line at its page: order, places, tables, a reload, at two sizes and against the real server. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { SIZES, Person, Server, browser } from "./arcade.js";

/** A finished board stays for three seconds before the next two sit down. */
const NEXT_MS = 30_000;

let chrome;

before(async () => {
  chrome = await browser();
});

after(async () => {
  await chrome?.close();
});

for (const [size, viewport] of SIZES) {
  describe(`the line on a ${size}`, { timeout: 180_000 }, () => {
    let server;
    before(async () => {
      server = await Server.start();
    });
    after(async () => {
      await server?.end();
    });

    const arrive = async (name) => {
      const person = await Person.arrive(chrome, server, name, { viewport });
      await person.goes("Line");
      // The page before has such a field, too.
      await person.reads("The line");
      await person.named();
      return person;
    };

    it("seats two, lets the others wait in order, keeps the winner, and knows a place after a reload", async () => {
      const [ada, bob, chen] = [await arrive("Ada"), await arrive("Bob"), await arrive("Chen")];
      await ada.press("Join the line");
      await ada.sees("Waiting for an opponent");
      await bob.press("Join the line");
      await ada.sees("Your turn");
      await bob.sees("Ada’s turn");
      await chen.press("Watch");
      await chen.sees("You are watching");
      await chen.press("Join the line");
      await chen.sees("You are next");
      await ada.page.locator(".queue li", { hasText: "Chen" }).waitFor();

      await ada.plays(4);
      await bob.plays(0);
      await chen.page.reload();
      await chen.sees("You are next");
      assert.equal(await chen.board(), "O---X----", "the others’ game is seen, not played");
      assert.equal(await chen.page.locator(".grid.playable").count(), 0);

      // Walking away from a game is asked about.
      await bob.goes("Help");
      await bob.page.getByRole("dialog").getByRole("button", { name: "Keep playing" }).click();
      await bob.sees("Ada’s turn");
      await bob.press("Give up");
      await bob.page.getByRole("dialog").getByRole("button", { name: "Give up" }).click();
      await ada.sees("You win: Bob gave up");

      // The winner stays with the mark; who waited longest sits down; the loser waits.
      await chen.page.locator(".status", { hasText: "turn" }).waitFor({ timeout: NEXT_MS });
      await bob.sees("You are next");
      await ada.page.locator(".note", { hasText: "1 won in a row" }).waitFor();
      await ada.plays(4);
      await chen.plays(0);
      const over = await ada.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${over} px too wide`);

      // The server dies under them; the order holds.
      await server.kill();
      await server.up();
      await ada.page.locator("#link").waitFor({ state: "hidden", timeout: NEXT_MS });
      await bob.page.locator("#link").waitFor({ state: "hidden", timeout: NEXT_MS });
      await bob.sees("You are next");
      await ada.plays(2);
      await chen.plays(1);
      await ada.plays(6);
      await ada.sees("You win");

      await bob.press("Step out");
      await bob.sees("You are watching");
      for (const person of [ada, bob, chen]) {
        assert.deepEqual(person.faults, [], `${person.name}'s page`);
        await person.leaves();
      }
    });
  });
}

/** Ways through the arcade that are easily lost: back, a link that leads nowhere, the line, help in the middle of a game. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { SIZES, Person, Server, allEnd, browser } from "./arcade.js";

/** What is refused on purpose. */
const MEANT = /status of (404|409)/;
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
  describe(`ways on a ${size}`, { timeout: 120_000 }, () => {
    let server;
    before(async () => {
      server = await Server.start();
    });
    after(async () => {
      await server?.end();
    });

    it("asks once whether to leave a game, however often one goes back", async () => {
      const ada = await Person.arrive(chrome, server, "Ada", { viewport });
      await ada.goes("Help");
      await ada.goes("Play");
      await ada.named();
      await ada.press("Play the computer");
      await ada.page.locator(".status", { hasText: /turn/ }).waitFor();
      const room = ada.page.url();
      await ada.page.evaluate(() => {
        history.back();
        setTimeout(() => history.back(), 50);
      });
      await ada.page.getByRole("dialog").waitFor();
      await ada.page.waitForTimeout(500);
      assert.equal(await ada.page.getByRole("dialog").count(), 1);
      await ada.press("Keep playing");
      await ada.page.getByRole("dialog").waitFor({ state: "detached" });
      assert.equal(ada.page.url(), room);
      await ada.press("Leave");
      await ada.page.getByRole("dialog").getByRole("button", { name: "Leave" }).click();
      await ada.page.getByRole("button", { name: "Quick match" }).waitFor();
      // The name is still there, without a game.
      await ada.page.getByLabel("Your name").fill("Ada the Second");
      await ada.page.reload();
      assert.equal(await ada.page.getByLabel("Your name").inputValue(), "Ada the Second");
      await allEnd([ada], MEANT);
    });

    it("says when there is nothing at an address", async () => {
      const ada = await Person.arrive(chrome, server, "Ada", { viewport, hash: "#/nonsense" });
      await ada.reads("There is nothing here");
      await ada.page.goto(`${server.url}/#/room/abcd12345`);
      await ada.reads("This game is gone");
      await ada.page.goto(`${server.url}/#/room/efgh12345/watch`);
      await ada.reads("This game is gone");
      await ada.page.goto(`${server.url}/#/spaaace/efgh12345`);
      await ada.reads("This game is gone");
      await ada.page.goto(`${server.url}/#/spaaace/abcd12345/watch`);
      await ada.reads("This game is gone");
      await ada.page.getByRole("main").getByRole("link", { name: "To the arcade" }).click();
      await ada.page.getByRole("button", { name: "Quick match" }).waitFor();
      const answer = await ada.page.goto(`${server.url}/no/such/page`);
      assert.equal(answer.status(), 404);
      await ada.reads("There is nothing here");
      await ada.page.getByRole("main").getByRole("link", { name: "To the arcade" }).click();
      await ada.page.getByRole("button", { name: "Quick match" }).waitFor();
      // A room that is there invites as ever.
      await ada.press("Create a private room");
      await ada.page.waitForURL(/room/);
      const bob = await Person.arrive(chrome, server, "Bob", { viewport, hash: new URL(ada.page.url()).hash });
      await bob.reads("You are invited to a game");
      await bob.press("Play");
      await ada.page.locator(".status", { hasText: /turn/ }).waitFor();
      await allEnd([ada, bob], MEANT);
    });

    it("asks before a place in the line is given up, helps during a game, and replays it", async () => {
      const people = [];
      for (const name of ["Ada", "Bob", "Chen"]) {
        const person = await Person.arrive(chrome, server, `${name} ${size}`, { viewport });
        await person.registers(`${name}-${size}@example.org`);
        await person.goes("Line");
        await person.reads("The line");
        await person.press("Join the line");
        people.push(person);
      }
      const [ada, bob, chen] = people;
      await chen.sees("You are next");
      await chen.goes("Leaderboard");
      await chen.page.getByRole("dialog").getByText("Your place goes to the next one.").waitFor();
      await chen.press("Stay");
      await chen.sees("You are next");

      const [ticket] = await Promise.all([ada.context.waitForEvent("page"), ada.page.getByRole("link", { name: "Get help" }).click()]);
      await ticket.getByRole("heading", { name: "Open a ticket" }).waitFor();
      await ticket.locator("#game option:checked", { hasText: "The game you came from" }).waitFor({ state: "attached" });
      await ticket.getByLabel("Subject").fill("My opponent does nothing");
      await ticket.getByLabel("What happened").fill("The clock runs, and nothing moves.");
      await ticket.getByRole("button", { name: "Send" }).click();
      await ticket.locator(".pill", { hasText: "with a game" }).waitFor();
      await ticket.close();

      for (const [person, cell] of [[ada, 0], [bob, 3], [ada, 1], [bob, 4], [ada, 2]]) await person.plays(cell);
      await ada.sees("You win");
      await chen.page.locator(".status", { hasText: "turn" }).waitFor({ timeout: NEXT_MS });
      // The winner's tag leaves room for the name.
      const seat = ada.page.locator(".seat", { hasText: "1 in a row" });
      const name = await seat.locator(".name").evaluate((element) => ({ text: element.textContent, cut: element.scrollWidth - element.clientWidth }));
      assert.ok(name.cut <= 0, `${name.text} is cut by ${name.cut} px`);

      await bob.goes("Help");
      await bob.page.getByRole("dialog").getByRole("button", { name: "Leave" }).click();
      await bob.page.locator("#account a").click();
      // A game is counted before or after it is listed.
      await bob.counts("Played", 1);
      await bob.page.reload();
      await bob.page.locator(".game-line", { hasText: "Line" }).click();
      await bob.reads(`${ada.name} won`);
      await bob.page.locator(".past-cell[data-mark=X]").nth(2).waitFor();
      assert.equal(await bob.page.locator(".past-cell[data-mark=O]").count(), 2);
      await allEnd(people, MEANT);
    });
  });
}

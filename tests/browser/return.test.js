/** A tab that is closed during a game is not the end of it: the seat is found again, and taken from no other tab. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { SIZES, Person, Server, browser } from "./arcade.js";


let chrome;

before(async () => {
  chrome = await browser();
});

after(async () => {
  await chrome?.close();
});

/** Closes the person's tab and opens another one at an address. */
async function opensAgain(person, hash = "") {
  await person.page.close();
  person.page = await person.context.newPage();
  person.page.setDefaultTimeout(15_000);
  person.page.on("pageerror", (error) => person.faults.push(String(error)));
  await person.page.goto(`${person.server.url}/${hash}`);
}

const goesOn = (person) => person.page.getByRole("region", { name: "Games that go on" });

for (const [size, viewport] of SIZES) {
  describe(`coming back on a ${size}`, { timeout: 120_000 }, () => {
    let server;
    before(async () => {
      server = await Server.start();
    });
    after(async () => {
      await server?.end();
    });

    it("goes on in a game whose tab was closed, by the arcade or by its address, through a kill -9 too", async () => {
      const ada = await Person.arrive(chrome, server, "Ada", { viewport });
      const bob = await Person.arrive(chrome, server, "Bob", { viewport });
      for (const person of [ada, bob]) {
        await person.named();
        await person.press("Quick match");
      }
      await ada.plays(4);
      await bob.plays(0);
      const room = new URL(ada.page.url()).hash;

      await opensAgain(ada);
      await goesOn(ada).getByRole("link", { name: "Continue" }).click();
      await ada.plays(3);
      assert.equal(await ada.board(), "O--XX----");

      await opensAgain(bob, room);
      await bob.sees("Your turn");
      // The arcade in another tab knows that this one sits there.
      const tab = await bob.context.newPage();
      await tab.goto(`${server.url}/`);
      await tab.getByRole("button", { name: "Quick match" }).waitFor();
      assert.equal(await tab.getByRole("link", { name: "Continue" }).count(), 0);
      // And so does the game's own address: it takes nothing before it is told to.
      await tab.goto(`${server.url}/${room}`);
      await tab.getByRole("button", { name: "Go on here instead" }).waitFor();
      await bob.plays(8);
      await tab.getByRole("button", { name: "Go on here instead" }).click();
      await tab.locator(".status", { hasText: "Ada’s turn" }).waitFor();
      await bob.page.locator(".veil", { hasText: "You opened this game in another tab" }).waitFor();
      await bob.page.close();
      bob.page = tab;

      await ada.page.close();
      await server.kill();
      await server.up();
      ada.page = await ada.context.newPage();
      await ada.page.goto(`${server.url}/`);
      await goesOn(ada).getByRole("link", { name: "Continue" }).click();
      await ada.plays(5);
      await ada.sees("You win");
      await bob.sees("Ada wins");

      // Nothing goes on any more.
      await opensAgain(ada);
      await ada.page.getByRole("button", { name: "Quick match" }).waitFor();
      await opensAgain(ada);
      await ada.page.getByRole("button", { name: "Quick match" }).waitFor();
      assert.equal(await goesOn(ada).isVisible(), false);
      for (const person of [ada, bob]) {
        assert.deepEqual(person.faults.filter((fault) => !/status of 4/.test(fault)), [], `${person.name}'s page`);
        await person.leaves();
      }
    });

    it("keeps the place in the line", async () => {
      const people = [];
      for (const name of ["Ada", "Bob", "Chen"]) {
        const person = await Person.arrive(chrome, server, name, { viewport, hash: "#/line" });
        await person.named();
        await person.press("Join the line");
        people.push(person);
      }
      const [ada, bob, chen] = people;
      await chen.sees("You are next");
      await opensAgain(chen);
      await goesOn(chen).getByText("Your place is kept").waitFor();
      await goesOn(chen).getByRole("link", { name: "Continue" }).click();
      await chen.sees("You are next");
      await ada.plays(4);
      await opensAgain(bob, "#/line");
      await bob.plays(0);
      assert.equal(await ada.board(), "O---X----");
      for (const person of people) await person.leaves();
    });
  });
}

/** Whole games at the arcade page, in headless Chromium, against the real server. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Person, Server, browser } from "./arcade.js";

let chrome;
let server;

before(async () => {
  // One after the other: what started must be known to the end, also when the other does not start.
  server = await Server.start();
  chrome = await browser();
});

after(async () => {
  await chrome?.close();
  await server?.end();
});

/** Two people in one quick match; the first has X. */
async function quickMatch(first, second) {
  const ada = await Person.arrive(chrome, server, first);
  const bob = await Person.arrive(chrome, server, second);
  await ada.named();
  await ada.press("Quick match");
  await ada.sees("Waiting for an opponent");
  await bob.named();
  await bob.press("Quick match");
  await ada.sees("Your turn");
  await bob.sees(`${first}’s turn`);
  return [ada, bob];
}

async function bothEnd(...people) {
  for (const person of people) {
    assert.deepEqual(person.faults, [], `${person.name}'s page`);
    await person.leaves();
  }
}

describe("arcade", { timeout: 120_000 }, () => {
  it("lets two people finish the same game although the server is killed in the middle", async () => {
    const [ada, bob] = await quickMatch("Ada", "Bob");
    await ada.plays(4);
    await bob.plays(0);
    await ada.plays(2);
    await bob.sees("Your turn");
    const address = ada.page.url();

    await server.kill();
    for (const person of [ada, bob]) {
      await person.page.locator("#link", { hasText: "Reconnecting" }).waitFor();
      assert.equal(await person.board(), "O-X-X----");
    }
    await server.up();
    for (const person of [ada, bob]) {
      await person.page.locator("#link").waitFor({ state: "hidden" });
      assert.equal(await person.board(), "O-X-X----", "nothing seen is taken back");
    }

    await bob.plays(8);
    await ada.plays(6);
    await ada.sees("You win");
    await bob.sees("Ada wins");
    assert.equal(await ada.board(), "O-X-X-X-O");
    assert.equal(await bob.board(), await ada.board());
    assert.equal(await bob.page.locator(".cell.winning").count(), 3);
    assert.equal(await bob.page.locator(".board .stroke path").count(), 1);
    assert.equal(ada.page.url(), address, "the same room, without a reload");

    // The token of the seat is a new one since the page came back by itself.
    await ada.page.reload();
    await ada.sees("You win");

    await ada.press("Rematch");
    await bob.press("Accept rematch");
    await bob.sees("Your turn");
    await ada.sees("Bob’s turn");
    assert.equal(await ada.board(), "---------");
    await bothEnd(ada, bob);
  });

  it("goes on after a reload of the page, and shows the opponent's connection", async () => {
    const [ada, bob] = await quickMatch("Ada", "Bob");
    await ada.plays(4);
    await bob.sees("Your turn");
    await ada.page.goto("about:blank");
    await bob.seesNote("Ada lost the connection");
    await ada.page.goBack();
    await ada.sees("Bob’s turn");
    await bob.seesNote("You play O");
    assert.equal(await ada.board(), "----X----");
    await bob.plays(0);
    await ada.sees("Your turn");
    await ada.page.reload();
    await ada.plays(8);
    await bob.sees("Your turn");
    assert.equal(await bob.board(), "O---X---X");
    await bothEnd(ada, bob);
  });

  it("is played by keyboard alone against the computer that never loses", async () => {
    const eve = await Person.arrive(chrome, server, "Eve");
    const keys = eve.page.keyboard;
    const focused = () => eve.page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent ?? "");
    const tabTo = async (wanted) => {
      for (let tries = 0; tries < 30; tries += 1) {
        await keys.press("Tab");
        if ((await focused()).startsWith(wanted)) return;
      }
      assert.fail(`Tab does not lead to ${wanted}`);
    };
    await eve.page.locator("#name").focus();
    await keys.type("Eve");
    await eve.page.locator('input[name="level"]:checked').focus();
    await keys.press("ArrowRight");
    assert.equal(await eve.page.locator('input[name="level"]:checked').inputValue(), "perfect");
    await tabTo("Play the computer");
    await keys.press("Enter");

    let played = 0;
    for (;;) {
      await eve.page.locator(".status", { hasText: /Your turn|A draw|win/ }).waitFor();
      const headline = await eve.status.textContent();
      if (headline !== "Your turn") {
        assert.ok(["A draw", "Computer wins"].includes(headline), headline);
        break;
      }
      const target = (await eve.board()).indexOf("-");
      if (!(await focused()).startsWith("Row")) await tabTo("Row");
      for (const key of ["ArrowUp", "ArrowUp", "ArrowLeft", "ArrowLeft"]) await keys.press(key);
      for (let row = 0; row < Math.floor(target / 3); row += 1) await keys.press("ArrowDown");
      for (let column = 0; column < target % 3; column += 1) await keys.press("ArrowRight");
      await keys.press(played % 2 === 0 ? "Enter" : "Space");
      played += 1;
      await eve.page.locator(`[data-cell="${target}"][data-mark="1"]`).waitFor();
    }
    assert.ok(played >= 3);
    assert.match(await eve.page.locator("#announcer").textContent(), /A draw|Computer wins/);

    await tabTo("Rematch");
    await keys.press("Enter");
    await eve.sees("Your turn");
    assert.equal((await eve.board()).replaceAll("-", "").length, 1, "sides are swapped: the computer began");
    await tabTo("Leave");
    await keys.press("Enter");
    await eve.page.getByRole("dialog").waitFor();
    await keys.press("Escape");
    await eve.page.getByRole("dialog").waitFor({ state: "detached" });
    await eve.sees("Your turn");
    await bothEnd(eve);
  });

  it("brings a friend in by link, and lets others watch without a seat", async () => {
    const ada = await Person.arrive(chrome, server, "Ada");
    await ada.named();
    await ada.press("Create a private room");
    await ada.sees("Waiting for an opponent");
    const link = await ada.page.getByLabel("Send this link to your opponent").inputValue();
    assert.ok(link.startsWith(`${server.url}/#/room/`), link);
    const hash = link.slice(link.indexOf("#"));

    // A private room is found by nobody else.
    const stranger = await Person.arrive(chrome, server, "Stranger");
    await stranger.named();
    await stranger.press("Quick match");
    await stranger.sees("Waiting for an opponent");

    const bob = await Person.arrive(chrome, server, "Bob", { hash });
    await bob.named();
    await bob.press("Play");
    await ada.sees("Your turn");

    const watcher = await Person.arrive(chrome, server, "Wim");
    await watcher.page.getByLabel("Link or room id").fill(link);
    await watcher.press("Watch");
    await watcher.sees("Ada’s turn");
    await watcher.seesNote("You are watching");
    await ada.page.locator(".watchers", { hasText: "1 person watches" }).waitFor();

    // Who follows the link when both seats are taken watches as well.
    const late = await Person.arrive(chrome, server, "Late", { hash });
    await late.press("Play");
    await late.seesNote("You are watching");
    await ada.page.locator(".watchers", { hasText: "2 people watch" }).waitFor();
    await late.leaves();

    await ada.plays(0);
    await watcher.cell(8).click({ force: true });
    await bob.plays(4);
    assert.equal(await watcher.board(), "X---O----", "a watcher's click does nothing");
    assert.equal(await watcher.page.getByRole("button", { name: "Give up" }).isVisible(), false);

    await bob.press("Give up");
    await bob.page.getByRole("dialog").getByRole("button", { name: "Give up" }).click();
    await ada.sees("You win: Bob gave up");
    await watcher.sees("Ada wins by forfeit");

    await bob.press("Leave");
    await ada.seesNote("Bob has left");
    await bothEnd(ada, bob, watcher, stranger);
  });

  it("asks before one walks out of a game, and finds the next opponent", async () => {
    const [ada, bob] = await quickMatch("Ada", "Bob");
    await ada.plays(4);
    const address = bob.page.url();
    await bob.page.goBack();
    await bob.page.getByRole("dialog").getByRole("button", { name: "Keep playing" }).click();
    assert.equal(bob.page.url(), address);
    await bob.plays(0);
    await bob.page.getByRole("link", { name: "Everplay" }).click();
    await bob.page.getByRole("dialog").getByRole("button", { name: "Leave" }).click();
    await bob.page.getByRole("button", { name: "Quick match" }).waitFor();

    await ada.sees("You win: Bob left");
    await ada.press("Find another opponent");
    await ada.sees("Waiting for an opponent");
    assert.equal(await ada.board(), "---------");
    await bob.press("Quick match");
    await ada.sees("Your turn");
    await bob.sees("Ada’s turn");
    await bothEnd(ada, bob);
  });

  it("tells calmly of a room that does not exist", async () => {
    const ada = await Person.arrive(chrome, server, "Ada", { hash: "#/room/nosuchroom" });
    await ada.reads("This game is gone");
    await bothEnd(ada);
  });
});

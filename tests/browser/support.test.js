/** Tickets from both sides of the desk, and what forms, mails and addresses that name nothing say. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { PASSWORD, Person, Server, allEnd, browser } from "./arcade.js";
import { factor, hires, mailed, returns } from "./staff.js";

/** What is refused on purpose. */
const MEANT = /status of 40[01349]/;
const ADMIN = "boss@example.org";
/** The pages look every ten seconds. */
const LOOKED = { timeout: 30_000 };

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

/** The id of what has the focus. */
const focus = (person) => person.page.evaluate(() => document.activeElement?.id ?? "");

describe("a ticket", { timeout: 240_000 }, () => {
  it("keeps what both sides are writing, whatever the other does", async () => {
    const ada = await Person.arrive(chrome, server, "Ada");
    await ada.registers("ada@example.org");
    const boss = await Person.arrive(chrome, server, "Boss");
    await hires(boss, server, ADMIN);
    const { page: desk } = boss;

    // Roles count only in a sign-in with a second factor: the way there is one link.
    await desk.goto(`${server.url}/#/desk`);
    await boss.reads("The desk needs your second factor");
    assert.equal(await desk.locator(".desk-filters").isVisible(), false);
    await desk.getByRole("main").getByRole("link").click();
    await boss.reads("Settings");

    // The second factor: a picture to scan, codes to keep, and the focus on what comes next.
    await desk.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    const { codes } = await factor(boss, server);
    assert.equal(codes.length, 10);
    assert.equal(await desk.evaluate(() => document.activeElement?.getAttribute("aria-label")), "Your recovery codes");
    for (const code of await desk.locator(".codes li").all()) {
      const lines = await code.evaluate((element) => element.getBoundingClientRect().height / Number.parseFloat(getComputedStyle(element).lineHeight));
      assert.ok(lines < 1.5, "a code stands on one line");
    }
    await boss.press("Copy");
    await desk.locator(".toast", { hasText: "Copied." }).waitFor();
    assert.equal(await desk.evaluate(() => navigator.clipboard.readText()), codes.join("\n"));
    await boss.press("I have them");
    await desk.getByText("recovery codes left").waitFor();
    await returns(boss, ADMIN, codes[0]);

    // Half a ticket is there again after the page was loaded anew; sent, it is not.
    await ada.page.goto(`${server.url}/#/tickets/new`);
    await ada.fills({ Subject: "The board was wrong", "What happened": "It had ten cells instead of nine." });
    await ada.page.getByLabel("About", { exact: true }).selectOption("gameplay");
    await ada.page.reload();
    assert.equal(await ada.page.getByLabel("What happened").inputValue(), "It had ten cells instead of nine.");
    assert.equal(await ada.page.getByLabel("About", { exact: true }).inputValue(), "gameplay");
    await ada.press("Send");
    await ada.reads("The board was wrong");
    await ada.page.waitForFunction(() => document.title === "The board was wrong · Everplay");
    const id = ada.page.url().split("/").pop();
    assert.equal(await ada.page.evaluate(() => JSON.stringify(Object.keys(sessionStorage).filter((key) => key.includes("draft")))), "[]");

    // The agent's words stay through every other control of the page.
    await desk.goto(`${server.url}/#/desk/${id}`);
    await boss.reads("The board was wrong");
    await boss.fills({ Answer: "Which of the ten was one too many?" });
    await desk.getByLabel("Internal note").check();
    await boss.press("Take it");
    await desk.getByText("Taken by you").waitFor();
    await desk.getByLabel("Priority").selectOption("urgent");
    await desk.locator(".facts .pill", { hasText: "Urgent" }).waitFor();
    assert.equal(await desk.getByLabel("Answer", { exact: true }).inputValue(), "Which of the ten was one too many?");
    assert.equal(await desk.getByLabel("Internal note").isChecked(), true);
    await desk.getByLabel("Internal note").uncheck();
    await desk.getByLabel("Answer", { exact: true }).focus();

    // What the player writes meanwhile comes by itself, and is to be read before the answer goes.
    await ada.fills({ "Your answer": "It was the tenth." });
    await ada.press("Send");
    await ada.page.locator(".said", { hasText: "It was the tenth." }).waitFor();
    await desk.locator(".said", { hasText: "It was the tenth." }).waitFor(LOOKED);
    await desk.getByText("The player wrote meanwhile").waitFor();
    assert.equal(await desk.getByLabel("Answer", { exact: true }).inputValue(), "Which of the ten was one too many?");
    assert.equal(await focus(boss), "reply");
    await boss.press("Send");
    await desk.locator(".said.mine", { hasText: "Which of the ten" }).waitFor();
    assert.equal(await desk.getByText("The player wrote meanwhile").count(), 0);
    assert.equal(await desk.getByLabel("Answer", { exact: true }).inputValue(), "");

    // An internal note changes the ticket, and the player does not see it: the ticket is theirs to close all the same.
    await ada.page.locator(".said", { hasText: "Which of the ten" }).waitFor(LOOKED);
    await desk.getByLabel("Internal note").check();
    await boss.fills({ Answer: "There is no tenth." });
    await boss.press("Send");
    await desk.locator(".said.internal strong", { hasText: "You, internal note" }).waitFor();
    await ada.fills({ "Your answer": "Never mind" });
    await ada.press("Close the ticket");
    await ada.page.getByRole("dialog").getByRole("button", { name: "Keep it open" }).click();
    assert.equal(await ada.page.getByLabel("Your answer").inputValue(), "Never mind");
    await ada.press("Close the ticket");
    await ada.page.getByRole("dialog").getByRole("button", { name: "Close it" }).click();
    await ada.page.getByText("This ticket is closed.").waitFor();

    // Nothing that would be refused is offered on a closed ticket.
    await desk.getByText("This ticket is closed.").waitFor(LOOKED);
    assert.deepEqual(await desk.getByRole("main").getByRole("button").allTextContents(), []);
    assert.equal(await desk.getByRole("main").getByRole("combobox").count(), 0);

    // A player has no desk, and is led to where the answers are.
    await ada.page.goto(`${server.url}/#/desk`);
    await ada.reads("The desk is for support agents");
    assert.equal(await ada.page.locator(".desk-filters").isVisible(), false);
    assert.equal(await ada.page.getByRole("main").getByRole("link").count(), 1);
    await allEnd([ada, boss], MEANT);
  });
});

describe("what is not there", { timeout: 60_000 }, () => {
  it("is said once, with one way on", async () => {
    const eve = await Person.arrive(chrome, server, "Eve");
    await eve.registers("eve@example.org");
    for (const [hash, heading] of [
      ["#/player/00000000-0000-4000-8000-000000000000", "No such player"],
      ["#/played/NoSuchRoom.1", "No such game"],
      ["#/help/no-such-answer", "No such answer"],
      ["#/tickets/000000000000", "No such ticket"],
    ]) {
      await eve.page.goto(`${server.url}/${hash}`);
      await eve.reads(heading);
      await eve.page.waitForFunction(() => document.title === "Not found · Everplay");
      const main = eve.page.getByRole("main");
      assert.equal(await main.getByRole("heading").count(), 1, hash);
      assert.equal(await main.getByRole("button", { name: "Try again" }).count(), 0, hash);
      assert.equal(await main.locator(".tile").count(), 0, hash);
      assert.equal(await main.locator(".invite a").count(), 1, hash);
    }
    await allEnd([eve], MEANT);
  });
});

describe("a form that is refused", { timeout: 90_000 }, () => {
  it("leads to the field that it is about", async () => {
    const kim = await Person.arrive(chrome, server, "");
    await kim.page.goto(`${server.url}/#/register`);
    await kim.fills({ "E-mail": "kim@example.org", Password: "everplay!" });
    await kim.press("Register");
    await kim.page.getByRole("alert").filter({ hasText: "must not hold" }).waitFor();
    assert.equal(await focus(kim), "password");
    const password = kim.page.getByLabel("Password", { exact: true });
    assert.equal(await password.getAttribute("aria-invalid"), "true");
    const told = await password.evaluate((field) => field.getAttribute("aria-describedby").split(" ").map((id) => document.getElementById(id).textContent));
    assert.match(told.join(" "), /8 characters at least.*must not hold/s);
    await kim.fills({ Password: PASSWORD });
    await kim.press("Register");
    // Who gives no name is a player with a number.
    await kim.page.locator("#account .me-name", { hasText: /^Player \d{4}$/ }).waitFor();

    await kim.page.goto(`${server.url}/#/account`);
    await kim.page.getByText("Change the password").first().click();
    await kim.page.locator("#old-password").fill("not the right one");
    await kim.page.locator("#new-password").fill("another long password");
    await kim.page.getByRole("button", { name: "Change the password" }).click();
    await kim.page.getByRole("alert").filter({ hasText: "That password is wrong." }).waitFor();
    assert.equal(await focus(kim), "old-password");
    await kim.page.locator("#old-password").fill(PASSWORD);
    await kim.page.locator("#new-password").fill("everplay!");
    await kim.page.getByRole("button", { name: "Change the password" }).click();
    await kim.page.locator("#new-password[aria-invalid]").waitFor();
    assert.equal(await focus(kim), "new-password");
    assert.equal(await kim.page.locator("#old-password[aria-invalid]").count(), 0);
    await allEnd([kim], MEANT);
  });
});

describe("a mail", { timeout: 60_000 }, () => {
  it("leads to pages of this house: a new password, and what a link that was used says", async () => {
    const lee = await Person.arrive(chrome, server, "Lee", { viewport: { width: 390, height: 844 } });
    await lee.registers("lee@example.org");
    await lee.page.goto(`${server.url}/#/forgot`);
    await lee.fills({ "E-mail": "lee@example.org" });
    await lee.press("Send the link");
    const link = await mailed(server, "/auth/reset-password", "lee@example.org");
    await lee.page.goto(link);
    await lee.reads("Choose a new password");
    await lee.page.getByText("8 characters at least.").waitFor();
    assert.equal(await focus(lee), "password");
    await lee.fills({ "New password": "everplay!" });
    await lee.press("Change it");
    await lee.page.getByRole("alert").waitFor();
    assert.equal(await lee.page.locator("#password[aria-invalid]").count(), 1);
    for (const control of await lee.page.locator("input:visible, button").all()) {
      assert.ok((await control.boundingBox()).height >= 46);
    }
    await lee.fills({ "New password": "a new password of mine" });
    await lee.press("Change it");
    await lee.reads("Thank you");
    await lee.page.getByRole("main").getByRole("link", { name: "Sign in" }).click();
    await lee.reads("Sign in");
    await lee.page.goto(link);
    await lee.reads("This link does not work");
    await lee.page.getByRole("link", { name: "Ask for a new link" }).click();
    await lee.reads("Forgotten password");
    await allEnd([lee], MEANT);
  });
});

describe("the API's page", { timeout: 60_000 }, () => {
  it("finds, says that there is nothing, and is read with a keyboard", async () => {
    const dev = await Person.arrive(chrome, server, "Dev");
    const { page } = dev;
    await page.goto(`${server.url}/docs/api`);
    const find = page.getByRole("searchbox");
    await page.locator("details").nth(20).waitFor();
    await find.fill("post replies");
    await page.getByRole("status").filter({ hasText: "One operation." }).waitFor();
    assert.deepEqual(await page.locator("h2:visible").allTextContents(), ["support"]);
    await page.locator("summary:visible").first().click();
    await page.locator("pre:visible").first().focus();
    assert.equal(await page.evaluate(() => document.activeElement.tagName), "PRE");
    await find.fill("zebra");
    await page.getByRole("status").filter({ hasText: "Nothing has “zebra”" }).waitFor();
    assert.equal(await page.locator("h2:visible").count(), 0);
    await find.fill("profile");
    assert.ok((await page.locator("summary:visible").count()) > 0);
    assert.equal(await page.locator("summary, p, td, .part").filter({ hasText: "`" }).count(), 0);
    await page.getByRole("link", { name: "To the arcade" }).click();
    await page.getByRole("heading", { level: 1 }).waitFor();
    await allEnd([dev], MEANT);
  });
});

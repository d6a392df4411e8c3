/**
 * A server to kill and people at its page, for the tests beside this file.
 *
 * The server is the program named by EVERPLAY_BIN (default: the debug build of this repository), on a free
 * port of 127.0.0.1 with a data directory of its own. The browser is CHROMIUM (default /usr/bin/chromium).
 * Everything started here is ended by its process id.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const BIN = process.env.EVERPLAY_BIN ?? fileURLToPath(new URL("../../target/debug/everplay", import.meta.url));
const START_MS = 20_000;
/** Statistics follow a game within seconds; a busy machine takes longer. */
const COUNTED_MS = 30_000;
/** A desk and a phone. */
export const SIZES = [["desktop", { width: 1280, height: 800 }], ["phone", { width: 390, height: 844 }]];
export const PASSWORD = "correct horse battery staple";

/** Settings of whoever runs the tests are not settings of the server under test. */
const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(EVERPLAY_|PORT$)/.test(name)));

/** One server with its data, which outlives the server's processes. */
export class Server {
  #child;
  #log = "";

  /** With more of the program's options, if any. */
  static async start(options = []) {
    const server = new Server();
    server.options = options;
    server.dir = await mkdtemp(join(tmpdir(), "everplay-browser-"));
    server.port = await freePort();
    server.url = `http://127.0.0.1:${server.port}`;
    await server.up().catch(async (error) => {
      await server.end();
      throw error;
    });
    return server;
  }

  /** Starts a process on the same port and data; returns when it says where it listens. */
  async up() {
    // All players of a test come from one address.
    const often = "--rate-matchmake=100000";
    const child = spawn(BIN, ["serve", "--port", String(this.port), "--data-dir", this.dir, often, ...this.options], {
      env: ENV,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    this.exited = new Promise((resolve) => child.once("exit", (code, signal) => resolve(signal ?? code)));
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no address after ${START_MS} ms:\n${this.#log}`)), START_MS);
      const hear = (chunk) => {
        this.#log = (this.#log + chunk).slice(-20_000);
        if (this.#log.includes(this.url)) {
          clearTimeout(timer);
          resolve();
        }
      };
      this.#log = "";
      child.stdout.on("data", hear);
      child.stderr.on("data", (chunk) => (this.#log = (this.#log + chunk).slice(-20_000)));
      child.once("error", reject);
      child.once("exit", (code, signal) => reject(new Error(`ended with ${signal ?? code}:\n${this.#log}`)));
    });
  }

  /** kill -9; returns when the process is gone. */
  async kill() {
    process.kill(this.#child.pid, "SIGKILL");
    await this.exited;
  }

  /** What the running process printed. */
  get log() {
    return this.#log;
  }

  async end() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.kill();
    await rm(this.dir, { recursive: true, force: true });
  }
}

async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** A browser; games that need WebGL ask for a way to compute it without a graphics card. */
export function browser(more = []) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync", ...more,
    ],
  });
}

/** Everybody leaves, and nobody's page had an error; what is refused on purpose, as `meant` says it, is not one. */
export async function allEnd(people, meant) {
  for (const person of people) {
    assert.deepEqual(person.faults.filter((fault) => !meant.test(fault)), [], `${person.name}'s page`);
    await person.leaves();
  }
}

/** One person: a browser context of their own, so that nothing is shared but the server. */
export class Person {
  /** What went wrong in the page; a test ends by looking that it stayed empty. */
  faults = [];

  static async arrive(chrome, server, name, options = {}) {
    const person = new Person();
    person.name = name;
    person.server = server;
    person.context = await chrome.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce", ...options });
    person.page = await person.context.newPage();
    person.page.setDefaultTimeout(15_000);
    person.page.on("pageerror", (error) => person.faults.push(String(error)));
    person.page.on("console", (message) => {
      // The SDK's attempts while the server is down are failed requests, as they should be.
      const text = message.text();
      // So is the question whether a room is there, which asks for a seat that nobody has.
      if (message.type() === "error" && !/ERR_CONNECTION_REFUSED|WebSocket connection|status of 52[24]/.test(text)) person.faults.push(text);
    });
    await person.page.goto(`${server.url}/${options.hash ?? ""}`);
    return person;
  }

  get status() {
    return this.page.locator(".status");
  }

  cell(index) {
    return this.page.locator(`[data-cell="${index}"]`);
  }

  async named() {
    await this.page.getByLabel("Your name").fill(this.name);
  }

  async press(button) {
    await this.page.getByRole("button", { name: button, exact: true }).click();
  }

  /** Goes to a place of the header, on a phone by its menu. */
  async goes(place) {
    const menu = this.page.getByRole("button", { name: "Menu" });
    if (await menu.isVisible()) await menu.click();
    await this.page.getByRole("navigation").getByRole("link", { name: place, exact: true }).click();
  }

  async fills(fields) {
    for (const [label, value] of Object.entries(fields)) await this.page.getByLabel(label, { exact: true }).fill(value);
  }

  /** Makes an account with an address and a password, by the form. */
  async registers(email, password = PASSWORD) {
    await this.page.getByRole("link", { name: "Sign in" }).first().click();
    await this.page.getByRole("link", { name: "Register" }).click();
    await this.fills({ "Name (optional)": this.name, "E-mail": email, Password: password });
    await this.press("Register");
    await this.isSignedIn();
  }

  async signsIn(email, password = PASSWORD) {
    await this.page.getByRole("link", { name: "Sign in" }).first().click();
    await this.fills({ "E-mail": email, Password: password });
    await this.press("Sign in");
  }

  /** Returns when the header shows the name. */
  async isSignedIn() {
    await this.page.locator("#account .me-name", { hasText: this.name }).waitFor();
  }

  /** Returns when the page's heading reads so. */
  async reads(heading) {
    await this.page.getByRole("heading", { level: 1, name: heading }).waitFor();
  }

  /** Returns when a tile of the statistics shows the value. */
  async counts(tile, value) {
    await this.page.locator(".tile", { has: this.page.locator("dt", { hasText: new RegExp(`^${tile}$`) }) })
      .locator("dd", { hasText: new RegExp(`^${value}`) }).waitFor({ timeout: COUNTED_MS });
  }

  /** Returns when the headline reads so. */
  async sees(text, timeout) {
    await this.page.locator(".status", { hasText: text }).waitFor({ timeout });
  }

  async seesNote(text) {
    await this.page.locator(".note", { hasText: text }).waitFor();
  }

  /** Plays a cell when it is this person's turn, and waits until the server has put the mark there. */
  async plays(index) {
    await this.sees("Your turn");
    await this.cell(index).click();
    await this.page.locator(`[data-cell="${index}"]:not([data-mark="0"])`).waitFor();
  }

  /** The board as nine characters. */
  async board() {
    const marks = await this.page.locator("[data-cell]").evaluateAll((cells) => cells.map((cell) => cell.dataset.mark));
    return marks.map((mark) => "-XO"[Number(mark ?? 0)]).join("");
  }

  async leaves() {
    await this.context.close();
  }
}

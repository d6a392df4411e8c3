// A real server process with the rooms made for these tests (tests/rooms), which can be killed and started
// again on the same port and data directory.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { until } from "./until.mjs";

const repository = path.resolve(import.meta.dirname, "../../..");

/** The program: named by the lane that built it, else where cargo puts it. */
function program() {
  const target = process.env.CARGO_TARGET_DIR ?? path.join(repository, "target");
  const file = process.env.EVERPLAY_TEST_ROOMS_BIN ?? path.join(target, "debug/everplay-test-rooms");
  if (!existsSync(file)) {
    throw new Error(`${file} is missing: cargo build -p everplay-test-rooms`);
  }
  return file;
}

/** Ours without the server's settings: those are the test's to choose, and unknown ones end the server. */
function environment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("EVERPLAY_")));
}

export class Server {
  #child;
  #log = "";

  /** A server that is ready, on a free port of this machine, with these further settings as flags. */
  static async start(...settings) {
    const server = new Server();
    server.settings = settings;
    server.directory = await mkdtemp(path.join(tmpdir(), "everplay-sdk-"));
    server.port = await freePort();
    await server.restart();
    return server;
  }

  /** Starts the program; resolves when it is ready for players. */
  async restart() {
    // All players of a test come from one address.
    const often = "--rate-matchmake=100000";
    const options = ["serve", "--port", String(this.port), "--data-dir", this.directory, often, ...this.settings];
    this.#child = spawn(program(), options, { env: environment(), stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.on("data", (text) => (this.#log = (this.#log + text).slice(-20_000)));
    }
    await until("the server is ready", async () => {
      if (this.#child.exitCode !== null) {
        throw new Error(`the server ended with ${this.#child.exitCode}:\n${this.#log}`);
      }
      const answer = await fetch(`${this.url}/health/ready`).catch(() => undefined);
      return answer?.ok;
    });
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** What the process printed lately. */
  get log() {
    return this.#log;
  }

  /** As a power cut: no chance to say goodbye. */
  async kill() {
    await this.#end("SIGKILL");
  }

  /** As a release: the server says goodbye to its clients. */
  async stop() {
    await this.#end("SIGTERM");
    return this.#child.exitCode;
  }

  /** Ends the process and forgets its rooms. */
  async remove() {
    await this.kill();
    await rm(this.directory, { recursive: true, force: true });
  }

  async #end(signal) {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill(signal);
    await ended;
  }
}

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

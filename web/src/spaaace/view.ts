/**
 * The arena on the page: picture, scores, feed, radar, what one can do now.
 *
 *   watching -> flying -> shot -> flying        "Join", "Try again"; the room decides
 *
 * While the connection is away the picture stands still; it goes on with the first patch of the next connection.
 * The element carries the newest state as `arena` and the predicted ship as `pilot`, for tests and the curious.
 */
import "./arena.css";
import { h, s, say, toast } from "../dom";
import { farewell } from "../errors";
import type { Link } from "../seat";
import { type Arena, type Kill, ranking, shortened, shotBy } from "./arena";
import type { Flight } from "./flight";
import { Camera, zoom } from "./geometry";
import { Keys } from "./keys";
import { drawRadar } from "./radar";
import { type Controls, type Motion, RELEASED, distance, offset } from "./rules";
import { type Kind, Scene } from "./scene";
import { refusal } from "./sentences";
import { Sound } from "./sound";
import { type Happening, World } from "./world";

/** Half of what can be heard, in world pixels. */
const EARSHOT = 900;
/** How long the explosion of the own ship is looked at before somebody is asked to fly again. */
const LOOK_MS = 900;
const FEED_LINES = 5;
/** Lines of the feed go after this many steps. */
const FEED_STEPS = 60 * 20;
const PING_MS = 1000;
/** A longer pause between two pictures was a pause. */
const LONGEST_MS = 250;
/** What a second click on "Try again" gets. */
const ALREADY_FLYING = 4300;
const MOTION = "everplay.motion";

export interface Exits {
  home(): void;
  resume(id: string): void;
  address(id: string): string;
  name(): string;
}

/** What the element shows of itself. */
export interface ArenaElement extends HTMLElement {
  arena?: Arena;
  pilot?: Motion | null;
  link?: Link;
}

const icon = (path: string) => s("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: path }));
const ICON = {
  loud: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM15.5 9a4 4 0 0 1 0 6M18 6.5a7.5 7.5 0 0 1 0 11",
  mute: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM16 9.5l5 5M21 9.5l-5 5",
  motion: "M3 8h9M3 12h13M3 16h7M17 7l4 5-4 5",
  calm: "M4 12h16",
  link: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7l-1 1M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7l1-1",
  leave: "M14 5H6v14h8M10.5 12H21M17 8l4 4-4 4",
};

export class ArenaView {
  readonly element: ArenaElement;
  #flight: Flight;
  #exits: Exits;
  #scene: Scene;
  #world: World;
  #camera = new Camera();
  #sound = new Sound();
  #keys: Keys;
  #frame = 0;
  #last = 0;
  #radarAt = 0;
  /** The picture stands still until the next patch. */
  #frozen = false;
  #link: Link = "live";
  #fellAt = 0;
  #was = false;
  #heardFeed = 0;
  #pings: number[] = [];
  #ping: ReturnType<typeof setInterval>;
  #sized: ResizeObserver;
  #off = new AbortController();
  #shownScores = "";
  #feedLines = new Map<string, HTMLLIElement>();
  #shownPanel = "";
  #calmMedia = matchMedia("(prefers-reduced-motion: reduce)");

  #stage = h("div", { class: "sky" });
  #latency = h("span", { class: "chip latency", title: "There and back; median of the last ten seconds" }, "– ms");
  #people = h("span", { class: "chip people" });
  #lost = h("p", { class: "chip lost", hidden: true }, "Reconnecting…");
  #scores = h("ol", { class: "scores", "aria-label": "Scores" });
  #feed = h("ul", { class: "feed", "aria-label": "Who shot whom" });
  #radar = h("canvas", { class: "radar", "aria-hidden": "true" });
  #fire = h("button", { type: "button", class: "fire", hidden: true, "aria-label": "Fire", tabindex: -1 }, "Fire");
  #panel = h("div", { class: "call", hidden: true });
  #hints = h("p", { class: "hints" });
  #live = h("p", { class: "sr", role: "status", "aria-live": "polite" });
  #soundButton = this.#tool("Sound", () => this.#toggleSound());
  #motionButton = this.#tool("Reduced motion", () => this.#toggleMotion());

  /** Fails where the browser has no WebGL. */
  static async open(flight: Flight, exits: Exits): Promise<ArenaView> {
    return new ArenaView(flight, exits, await Scene.start());
  }

  private constructor(flight: Flight, exits: Exits, scene: Scene) {
    this.#flight = flight;
    this.#exits = exits;
    this.#scene = scene;
    this.#world = new World(flight.session);
    const share = this.#tool("Copy link", () => void this.#share(), ICON.link);
    const leave = this.#tool("Leave", () => void this.leave(), ICON.leave);
    this.#stage.append(scene.canvas);
    this.element = h(
      "div",
      { class: "arena" },
      h("h1", { class: "sr" }, "Spaaace"),
      this.#stage,
      h("div", { class: "corner nw" }, h("a", { class: "chip brandmark", href: "#/", "aria-label": "Everplay, to the arcade" }, "Everplay"), this.#latency, this.#people, this.#lost),
      h("div", { class: "corner ne" }, h("div", { class: "tools" }, this.#soundButton, this.#motionButton, share, leave), this.#scores),
      h("div", { class: "corner sw" }, this.#feed),
      h("div", { class: "corner se" }, this.#radar, this.#fire),
      this.#hints,
      this.#panel,
      this.#live,
    );
    this.#keys = new Keys(this.#stage, this.#fire);
    this.#keys.onUsed = () => this.#sound.wake();
    this.#keys.onTouched = () => this.#hint();
    window.addEventListener("keydown", (event) => {
      if (event.code === "KeyM" && !event.repeat && !(event.target as Element).closest?.("input")) this.#toggleSound();
    }, { signal: this.#off.signal });
    document.addEventListener("visibilitychange", () => {
      // Nothing is drawn or sent in the background, and the room keeps the keys it knows.
      if (document.hidden && this.#world.flying && !this.#frozen) this.#send(RELEASED);
    }, { signal: this.#off.signal });
    this.#calmMedia.addEventListener("change", () => this.#drawTools(), { signal: this.#off.signal });
    this.#sized = new ResizeObserver(() => scene.resize(this.#stage.clientWidth, this.#stage.clientHeight));
    this.#sized.observe(this.#stage);
    flight.listener = {
      heard: (arena, consumed) => this.#heard(arena, consumed),
      link: (link) => this.#linkIs(link),
      refused: (code, message) => code !== ALREADY_FLYING && toast(refusal(code, message)),
      ended: (code) => this.#ended(code),
    };
    this.#drawTools();
    this.#hint();
    this.#ping = setInterval(() => flight.ping((took) => this.#pinged(took)), PING_MS);
    if (flight.arena.step > 0) this.#heard(flight.arena, null);
    this.#last = performance.now();
    this.#tick();
  }

  /** Gives the place up and goes home. */
  async leave(): Promise<void> {
    this.close();
    await this.#flight.leave();
    this.#exits.home();
  }

  /** Stops the view; the place is someone else's business. */
  close(): void {
    cancelAnimationFrame(this.#frame);
    clearInterval(this.#ping);
    this.#off.abort();
    this.#keys.close();
    this.#sized.disconnect();
    this.#sound.close();
    this.#flight.listener = null;
    this.#scene.close();
  }

  #heard(arena: Arena, consumed: number | null): void {
    if (this.#frozen) {
      this.#frozen = false;
      this.#world.restart();
    }
    this.#world.heard(arena, consumed, performance.now());
    this.element.arena = arena;
    this.#drawScores(arena);
    this.#drawFeed(arena);
    this.#announce(arena);
    this.#drawPanel();
  }

  #linkIs(link: Link): void {
    this.#link = this.element.link = link;
    const away = link === "reconnecting";
    this.#lost.hidden = !away;
    this.element.classList.toggle("away", away);
    if (away) {
      this.#frozen = true;
      this.#keys.release();
      this.#sound.thrust(false);
      this.#pings = [];
      say(this.#latency, "– ms");
    }
    say(this.#live, away ? "Connection lost. Reconnecting." : "You are back.");
    this.#drawPanel();
  }

  #tick(): void {
    this.#frame = requestAnimationFrame(() => this.#tick());
    const now = performance.now();
    const elapsed = Math.min(LONGEST_MS, now - this.#last);
    this.#last = now;
    const due = this.#world.due(now);
    if (this.#frozen) return;
    for (let step = 0; step < due && this.#world.flying; step += 1) {
      this.#send(this.#keys.read(this.#world.pilot.ship!.heading));
    }
    const picture = this.#world.picture(now);
    const own = picture.ships.find((ship) => ship.own);
    if (own) this.#camera.follow(own);
    else if (now - this.#fellAt > LOOK_MS * 2) this.#camera.drift(picture.ships, elapsed);
    this.element.pilot = this.#world.pilot.ship;
    this.#scene.draw(picture, {
      camera: this.#camera.at,
      scale: zoom(this.#scene.width, this.#scene.height),
      elapsed,
      calm: this.#calm,
      kind: (key) => this.#kind(key),
      name: (key) => this.#world.arena?.players.get(key)?.name ?? "",
    });
    for (const happening of picture.happened) this.#sounds(happening);
    this.#sound.thrust(own?.thrust === 5);
    if (now - this.#radarAt > 80) {
      this.#radarAt = now;
      drawRadar(this.#radar, this.#camera.at, picture.ships.map((ship) => ({ x: ship.x, y: ship.y, kind: this.#kind(ship.key) })));
    }
    if (this.#was !== this.#world.flying) this.#turned(now);
    else if (!this.#was && this.#fellAt && now - this.#fellAt > LOOK_MS) this.#drawPanel();
  }

  /** Sends the keys of a step, and flies it. */
  #send(keys: Controls): void {
    const seq = this.#flight.steer(keys);
    if (seq) this.#world.flown(seq, keys);
  }

  /** Got or lost the own ship. */
  #turned(now: number): void {
    this.#was = this.#world.flying;
    if (this.#was) {
      this.#sound.spawn();
      if (document.activeElement instanceof HTMLElement && this.element.contains(document.activeElement)) document.activeElement.blur();
    } else {
      this.#fellAt = now;
      this.#keys.release();
    }
    this.#fire.hidden = !(this.#was && this.#keys.touched);
    this.element.classList.toggle("flying", this.#was);
    this.#hint();
    this.#drawPanel();
  }

  #kind(key: string): Kind {
    if (key === this.#flight.session) return "own";
    return this.#world.arena?.players.get(key)?.bot ? "bot" : "pilot";
  }

  #sounds(happening: Happening): void {
    const near = Math.max(0, 1 - distance(this.#camera.at, happening) / EARSHOT);
    const side = offset(this.#camera.at.x, happening.x) / EARSHOT;
    if (happening.what === "hit") this.#sound.hit(happening.own ? 1 : near, side);
    else this.#sound.shot(happening.own ? 1 : near * 0.6, side);
  }

  #drawScores(arena: Arena): void {
    const lines = shortened(ranking(arena.players, this.#flight.session), this.#scene.width < 700 ? 4 : 8);
    const shown = JSON.stringify(lines.map((rank) => [rank.key, rank.place, rank.name, rank.kills, rank.deaths, rank.connected]));
    say(this.#people, `${arena.players.size} in the arena${arena.spectators ? `, ${arena.spectators} watching` : ""}`);
    if (shown === this.#shownScores) return;
    this.#shownScores = shown;
    this.#scores.replaceChildren(...lines.map((rank) =>
      h("li", { "data-key": rank.key, class: [rank.own ? "own" : rank.bot ? "bot" : "pilot", rank.connected ? "" : "gone"].join(" ") },
        h("span", { class: "place" }, String(rank.place)),
        h("span", { class: "name" }, rank.name),
        h("span", { class: "deaths", title: `shot down ${rank.deaths} times` }, String(rank.deaths)),
        h("b", { class: "kills", title: `${rank.kills} kills` }, String(rank.kills)))));
  }

  #drawFeed(arena: Arena): void {
    const lines = arena.kills.filter((kill) => arena.step - kill.step < FEED_STEPS).slice(-FEED_LINES);
    const shown = new Map(lines.map((kill) => [`${kill.step}/${kill.victim}`, kill]));
    const side = (key: string, name: string) => h("span", { class: this.#kind(key) }, name);
    // A line that stays is left alone: only a new one appears.
    for (const [key, line] of this.#feedLines) {
      if (shown.has(key)) continue;
      line.remove();
      this.#feedLines.delete(key);
    }
    for (const [key, kill] of shown) {
      if (this.#feedLines.has(key)) continue;
      const line = h("li", {}, side(kill.killer, kill.killerName), " ✕ ", side(kill.victim, kill.victimName));
      this.#feedLines.set(key, line);
      this.#feed.append(line);
    }
  }

  #announce(arena: Arena): void {
    const me = this.#flight.session;
    const news = arena.kills.filter((kill) => kill.step > this.#heardFeed && (kill.killer === me || kill.victim === me));
    this.#heardFeed = Math.max(this.#heardFeed, ...arena.kills.map((kill) => kill.step));
    const told = news.map((kill: Kill) => (kill.killer === me ? `You shot ${kill.victimName}.` : `${kill.killerName} shot you.`));
    if (told.length > 0) say(this.#live, told.join(" "));
  }

  /** The call in the middle: what happened and what one can do. */
  #drawPanel(): void {
    const arena = this.#world.arena;
    const mine = arena?.players.get(this.#flight.session);
    const waiting = !this.#world.flying && !!arena && !arena.ships.has(this.#flight.session);
    const looked = performance.now() - this.#fellAt > LOOK_MS;
    const state = this.#link === "ended" ? "ended"
      : this.#link === "reconnecting" ? "away"
      : waiting && mine ? (looked ? "shot" : "") : waiting ? "watching" : "";
    if (state === this.#shownPanel || this.#shownPanel === "ended") return;
    this.#shownPanel = state;
    this.#panel.hidden = state === "";
    this.#panel.className = `call ${state}`;
    const button = (label: string) => h("button", { type: "button", class: "button primary", onclick: () => this.#flight.spawn(this.#exits.name()) }, label);
    if (state === "away") {
      this.#panel.replaceChildren(h("strong", {}, "Reconnecting…"), h("span", {}, mine ? "Your ship is kept. Nothing to do." : "The arena is kept. Nothing to do."));
    } else if (state === "shot" && arena) {
      const by = shotBy(arena.kills, this.#flight.session);
      const again = button("Try again");
      this.#panel.replaceChildren(h("strong", {}, by ? `${by} shot you` : "Your ship is gone"), h("span", {}, "Your score stays."), again);
      again.focus({ preventScroll: true });
    } else if (state === "watching") {
      this.#panel.replaceChildren(h("span", {}, "You are watching"), button("Join"));
    }
  }

  #ended(code: number): void {
    this.#link = this.element.link = "ended";
    this.#frozen = true;
    this.#lost.hidden = true;
    this.#shownPanel = "ended";
    this.#panel.hidden = false;
    this.#panel.className = "call ended";
    const id = this.#flight.id;
    this.#panel.replaceChildren(
      h("strong", {}, farewell(code) || "You left the arena."),
      h("span", { class: "row" },
        code === 4003 ? h("button", { type: "button", class: "button primary", onclick: () => this.#exits.resume(id) }, "Try again") : null,
        h("button", { type: "button", class: "button", onclick: () => this.#exits.home() }, "To the arcade")));
    say(this.#live, farewell(code));
  }

  #pinged(took: number): void {
    this.#pings = [...this.#pings.slice(-9), took];
    const median = [...this.#pings].sort((a, b) => a - b)[this.#pings.length >> 1] ?? took;
    say(this.#latency, `${Math.round(median)} ms`);
    this.#latency.classList.toggle("slow", median > 150);
  }

  #hint(): void {
    this.#hints.classList.toggle("shown", this.#was);
    const touch = this.#keys.touched || matchMedia("(pointer: coarse)").matches;
    if (this.#was && touch) this.#fire.hidden = false;
    this.#hints.replaceChildren(...(touch
      ? ["Steer towards your finger · thrust when it is far"]
      : [h("kbd", {}, "←"), h("kbd", {}, "→"), " turn ", h("kbd", {}, "↑"), " thrust ", h("kbd", {}, "Space"), " fire ", h("kbd", {}, "M"), " sound"]));
  }

  get #calm(): boolean {
    const chosen = localStorage.getItem(MOTION);
    return chosen === null ? this.#calmMedia.matches : chosen === "calm";
  }

  #toggleMotion(): void {
    localStorage.setItem(MOTION, this.#calm ? "full" : "calm");
    this.#drawTools();
  }

  #toggleSound(): void {
    this.#sound.toggle();
    this.#drawTools();
  }

  #drawTools(): void {
    this.#soundButton.setAttribute("aria-pressed", String(this.#sound.on));
    this.#soundButton.replaceChildren(icon(this.#sound.on ? ICON.loud : ICON.mute));
    this.#motionButton.setAttribute("aria-pressed", String(this.#calm));
    this.#motionButton.replaceChildren(icon(this.#calm ? ICON.calm : ICON.motion));
    this.element.classList.toggle("calm", this.#calm);
  }

  #tool(label: string, act: () => void, path?: string): HTMLButtonElement {
    return h("button", {
      type: "button", class: "tool", "aria-label": label, title: label,
      onclick: (event: MouseEvent) => {
        act();
        // A click leaves the keys with the ship; a press of a key leaves the focus where it is.
        if (event.detail > 0) (event.currentTarget as HTMLElement | null)?.blur();
      },
    }, path ? icon(path) : null);
  }

  async #share(): Promise<void> {
    const address = this.#exits.address(this.#flight.id);
    try {
      await navigator.clipboard.writeText(address);
      toast("Link copied.");
    } catch {
      toast(address);
    }
  }
}

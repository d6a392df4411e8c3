/**
 * The way in and out of an arena. The arena itself, with all that draws it, is loaded when somebody goes in.
 */
import { h, s, toast } from "../dom";
import { instead, panel } from "../panels";
import { arenaHash } from "../route";
import { Elsewhere, gone, hasSeat } from "../seat";
import { Flight, MOST_BOTS, type Options, type Wishes } from "./flight";
import type { ArenaView } from "./view";

/** What the page does for the arena. */
export interface Surroundings {
  show(title: string, content: HTMLElement): void;
  goto(hash: string): void;
  failed(error: unknown): void;
  /** Says that the arena of the address is not there any more. */
  noGame(): void;
  /** The name entered last. */
  name(): string;
}

const TITLE = "Spaaace · Everplay";

export class Door {
  #around: Surroundings;
  #at: { flight: Flight; view: ArenaView } | null = null;

  constructor(around: Surroundings) {
    this.#around = around;
  }

  /** The arena we are in. */
  get id(): string | null {
    return this.#at?.flight.id ?? null;
  }

  /** Into whichever arena is open. */
  async enter(options: Options): Promise<void> {
    await this.#into(() => Flight.enter(options)).catch(this.#around.failed);
  }

  /** Into an arena of one's own, which others join by its link. */
  async create(wishes: Wishes): Promise<void> {
    await this.#into(() => Flight.create(wishes)).then(() => toast("Your own arena. Copy its link to invite others."), this.#around.failed);
  }

  /** Shows the arena of an address: our seat, a place to watch, or the question which. */
  async open(id: string, watch: boolean): Promise<void> {
    if (id === this.id) return;
    if (hasSeat(id)) return this.#resume(id);
    if (watch) return this.#into(() => Flight.join(id, { name: this.#around.name(), mode: "watch" })).catch(this.#around.failed);
    await this.#invite(id);
  }

  /** Gives the place up, if there is one. */
  async leave(): Promise<void> {
    const at = this.#at;
    this.#at = null;
    at?.view.close();
    await at?.flight.leave();
  }

  async #into(go: () => Promise<Flight>): Promise<void> {
    const parts = import("./view");
    const flight = await go();
    const { ArenaView } = await parts;
    await this.leave();
    const home = () => {
      this.#at = null;
      this.#around.goto("#/");
    };
    const view = await ArenaView.open(flight, {
      home,
      resume: (id) => {
        this.#at?.view.close();
        this.#at = null;
        void this.#resume(id);
      },
      address: (id) => `${location.href.split("#")[0]}${arenaHash(id)}`,
      name: () => this.#around.name(),
    }).catch(async (error: unknown) => {
      await flight.leave();
      toast("This game needs WebGL, which this browser does not offer.");
      throw error;
    });
    this.#at = { flight, view };
    if (location.hash !== arenaHash(flight.id)) history.pushState(null, "", arenaHash(flight.id));
    this.#around.show(TITLE, view.element);
  }

  async #resume(id: string, byForce = false): Promise<void> {
    this.#around.show(TITLE, h("p", { class: "loading" }, "Entering the arena…"));
    try {
      return await this.#into(async () => {
        const flight = await Flight.resume(id, byForce);
        if (!flight) throw new Error("no seat");
        return flight;
      });
    } catch (error) {
      if (error instanceof Elsewhere) return this.#around.show(TITLE, this.#invitation(id, () => void this.#resume(id, true)));
      if (!hasSeat(id)) return this.#invite(id);
      // The server did not answer: the ship may still be there.
      this.#around.show(TITLE, panel("The server does not answer", "Your ship may still be there.", ["Try again", () => void this.#resume(id)]));
    }
  }

  async #invite(id: string): Promise<void> {
    const invitation = this.#invitation(id);
    this.#around.show(TITLE, invitation);
    if ((await gone(id)) && invitation.isConnected) this.#around.noGame();
  }

  /** Asks somebody who opened a link how they want to come in; `here` brings a seat of another tab to this one. */
  #invitation(id: string, here?: () => void): HTMLElement {
    const name = h("input", { type: "text", id: "name", maxlength: 20, autocomplete: "nickname", spellcheck: "false", placeholder: "Pilot", value: this.#around.name() });
    const button = (label: string, look: string, mode: "play" | "watch") =>
      h("button", {
        type: "button", class: look,
        onclick: () => void this.#into(() => Flight.join(id, { name: name.value.trim(), mode })).catch(this.#around.failed),
      }, label);
    return h("div", { class: "invite" }, h("section", { class: "panel" },
      h("h1", {}, "You are invited to an arena"),
      h("p", { class: "lead" }, "Spaaace: ships, missiles, bots."),
      h("div", { class: "field" }, h("label", { for: "name" }, "Your name"), name),
      button("Fly", "button primary big", "play"),
      button("Watch", "button", "watch"),
      here ? instead(here) : null));
  }
}

const BOTS = "everplay.bots";

/** The number of bots for an arena of one's own, as chosen last time. */
export function botsField(): { element: HTMLElement; count(): number } {
  const saved = Number(localStorage.getItem(BOTS) ?? 3);
  const input = h("input", {
    type: "range", id: "bots", min: 0, max: MOST_BOTS, step: 1, value: String(saved >= 0 && saved <= MOST_BOTS ? saved : 3),
    oninput: () => shown(),
  });
  const count = () => Number(input.value);
  const number = h("output", { for: "bots" });
  const shown = () => {
    number.textContent = input.value;
    localStorage.setItem(BOTS, input.value);
  };
  shown();
  return { element: h("div", { class: "bots" }, h("label", { for: "bots" }, "Bots"), input, number), count };
}

/** The ship of the arcade's page. */
export const spaceship = (): SVGElement =>
  s("svg", { viewBox: "-30 -30 60 60", "aria-hidden": "true" }, s("path", {
    transform: "rotate(-45)", d: "M25 0L6 -7L-4 -8L-15 -20L-20 -19L-15 -7L-18 0L-15 7L-20 19L-15 20L-4 8L6 7Z",
  }));

/**
 * The table: board, players, clock, and what one can do now.
 *
 * Built once, then only changed where the state changed, so that focus and what a screen reader is at stay
 * where they are. The board takes clicks only on one's own turn with a live connection; the server decides
 * all the same.
 */
import { user } from "./account/session";
import { Countdown, clockText } from "./countdown";
import { confirm, h, markPicture, s, say, toast } from "./dom";
import { farewell, sentence } from "./errors";
import { type Game, cellLabel, holder, isMyTurn, lastMove, letter, me, note, opponent, status, step, strokes } from "./model";
import { pageHash, roomHash } from "./route";
import type { Table } from "./table";

/** From here on the clock is shown as urgent and once read out. */
const URGENT_MS = 10_000;

export interface Exits {
  home(): void;
  again(table: Table): void;
  resume(id: string): void;
  /** Gives the table up for another ranked search. */
  ranked(table: Table): void;
}

export class GameView {
  readonly element: HTMLElement;
  #table: Table;
  #exits: Exits;
  #countdown = new Countdown();
  #returns = 0;
  #shown: Game | null = null;
  #link = "live";
  #warned = "";
  #focus = 4;
  #frame = 0;

  #status = h("h1", { class: "status" });
  #note = h("p", { class: "note" });
  #live = h("p", { class: "sr", role: "status", "aria-live": "polite", id: "announcer" });
  #cells: HTMLButtonElement[] = [];
  #grid = h("div", { class: "grid", role: "grid", "aria-label": "Board", "aria-rowcount": 3, "aria-colcount": 3 });
  #strokes = s("svg", { class: "stroke", viewBox: "0 0 300 300", "aria-hidden": "true" });
  #veil = h("div", { class: "veil", hidden: true });
  #players = [1, 2].map(() => new PlayerCard());
  #clock = h("div", { class: "clock", hidden: true, role: "timer", "aria-label": "Time for this move" });
  #clockText = h("span", {});
  #clockBar = h("i", {});
  #watchers = h("p", { class: "watchers" });
  #share = h("div", { class: "share", hidden: true });
  #actions = h("div", { class: "actions" });
  /** In another tab: the game goes on. */
  #help = h("a", { class: "button quiet", target: "_blank", rel: "noopener", hidden: true }, "Get help");
  #buttons = {
    rematch: this.#action("Rematch", () => this.#table.rematch(), "button primary"),
    next: this.#action("Find another opponent", () => this.#exits.again(this.#table), "button"),
    ranked: this.#action("Another ranked match", () => this.#exits.ranked(this.#table), "button"),
    forfeit: this.#action("Give up", () => void this.#giveUp(), "button quiet"),
    leave: this.#action("Leave", () => void this.leave(), "button quiet"),
    watch: this.#action("Watch link", () => void this.#copy(true), "button quiet"),
  };

  constructor(table: Table, exits: Exits) {
    this.#table = table;
    this.#exits = exits;
    for (let row = 0; row < 3; row += 1) {
      const line = h("div", { role: "row", class: "cells" });
      for (let column = 0; column < 3; column += 1) {
        const cell = row * 3 + column;
        const button = h("button", { type: "button", class: "cell", tabindex: cell === this.#focus ? 0 : -1, "data-cell": cell, onclick: () => this.#play(cell), onfocus: () => this.#focusOn(cell, false) });
        this.#cells.push(button);
        line.append(h("div", { role: "gridcell", class: "slot" }, button));
      }
      this.#grid.append(line);
    }
    this.#grid.addEventListener("keydown", (event) => this.#key(event));
    this.#clock.append(this.#clockText, h("b", {}, this.#clockBar));
    this.#fillShare();
    const rules = s("svg", { class: "rules", viewBox: "0 0 300 300", "aria-hidden": "true" }, s("path", { d: "M100 10V290M200 10V290M10 100H290M10 200H290" }));
    this.#actions.append(...Object.values(this.#buttons), this.#help);
    this.element = h(
      "div",
      { class: "table" },
      h("div", { class: "heading" }, this.#status, this.#note),
      h("div", { class: "sides" }, this.#players[0]!.element, this.#clock, this.#players[1]!.element),
      h("div", { class: "board" }, rules, this.#grid, this.#strokes, this.#veil),
      h("div", { class: "below" }, this.#share, this.#actions, this.#watchers),
      this.#live,
    );
    table.listener = {
      changed: () => this.#render(),
      refused: (code, message) => toast(sentence(code, message)),
      ended: (code) => this.#ended(code),
    };
    this.#render();
    this.#tick();
  }

  /** Whether walking away now costs the game. */
  get committed(): boolean {
    const game = this.#table.game;
    return !!game && game.phase === "playing" && !!me(game, this.#table.session) && this.#table.link !== "ended";
  }

  async leave(): Promise<boolean> {
    if (this.committed && !(await confirm("Leave the game?", "The other side wins if you leave now.", "Leave"))) return false;
    this.close();
    await this.#table.leave();
    this.#exits.home();
    return true;
  }

  /** Stops the view; the seat is someone else's business. */
  close(): void {
    cancelAnimationFrame(this.#frame);
    this.#table.listener = null;
    linkBadge("");
  }

  #render(): void {
    const { game, session, link } = this.#table;
    const lost = link === "reconnecting";
    linkBadge(lost ? "Reconnecting…" : "");
    this.#veil.hidden = !lost;
    if (lost && !this.#veil.firstChild) {
      this.#veil.append(h("p", {}, h("strong", {}, "Reconnecting…"), h("span", {}, "Your game is kept. Nothing to do.")));
    }
    this.element.classList.toggle("away", lost);
    if (!game) {
      say(this.#status, "Entering the room…");
      return;
    }
    if (this.#returns !== this.#table.returns) {
      this.#returns = this.#table.returns;
      this.#countdown.restart();
    }
    this.#countdown.update({ game: game.game, moves: game.moves.length, clock: game.phase === "playing" ? game.clock : 0 }, performance.now());

    const headline = status(game, session);
    say(this.#status, headline);
    const mine = me(game, session);
    const won = game.phase === "finished" && !!mine && mine.mark === game.winner;
    this.#status.className = `status${won ? " won" : ""}${isMyTurn(game, session) ? " turn" : ""}`;
    const extra = this.#table.ranked && game.phase === "waiting" ? "The other one is on the way" : note(game, session);
    say(this.#note, extra);

    this.#renderBoard(game);
    this.#players.forEach((card, index) => card.render(game, index + 1, session));
    say(this.#watchers, game.spectators === 0 ? "" : game.spectators === 1 ? "1 person watches" : `${game.spectators} people watch`);
    this.#renderActions(game);
    this.#announce(game, headline, extra);

    const started = this.#shown?.game !== game.game && game.phase === "playing";
    if (started && mine && (document.activeElement === document.body || document.activeElement?.id === "main")) {
      this.#cells[this.#focus]?.focus({ preventScroll: true });
    }
    this.#shown = game;
  }

  #renderBoard(game: Game): void {
    const playable = isMyTurn(game, this.#table.session) && this.#table.link === "live";
    this.#grid.classList.toggle("playable", playable);
    const last = game.moves[game.moves.length - 1];
    this.#cells.forEach((button, cell) => {
      const mark = game.board[cell] ?? 0;
      if (button.dataset.mark !== String(mark)) {
        button.dataset.mark = String(mark);
        button.replaceChildren(...(mark ? [markPicture(mark)] : []));
      }
      button.setAttribute("aria-label", cellLabel(game, cell));
      button.setAttribute("aria-disabled", String(!playable || mark !== 0));
      button.classList.toggle("last", cell === last && game.phase === "playing");
      button.classList.toggle("winning", game.line.includes(cell));
      button.classList.toggle("dull", game.line.length > 0 && !game.line.includes(cell));
    });
    const drawn = game.line.join();
    if (this.#strokes.getAttribute("data-line") !== drawn) {
      this.#strokes.setAttribute("data-line", drawn);
      this.#strokes.replaceChildren(...strokes(game.line).map(([from, to]) => s("path", { d: throughCells(from, to), pathLength: 1 })));
    }
  }

  #renderActions(game: Game): void {
    const mine = me(game, this.#table.session);
    const other = opponent(game, this.#table.session);
    const live = this.#table.link === "live";
    const over = game.phase === "finished";
    const show = (button: HTMLButtonElement, shown: boolean, enabled = live) => {
      // Focus must not fall to the page's start because what it was on is gone.
      if (!shown && document.activeElement === button) this.#cells[this.#focus]?.focus({ preventScroll: true });
      button.hidden = !shown;
      button.setAttribute("aria-disabled", String(!enabled));
    };
    show(this.#buttons.rematch, over && !!mine && !!other && !other.left, live && !mine?.rematch);
    say(this.#buttons.rematch, mine?.rematch ? "Rematch offered" : other?.rematch ? "Accept rematch" : "Rematch");
    show(this.#buttons.next, over && !!mine && game.mode === "quick" && !!other?.left);
    show(this.#buttons.ranked, this.#table.ranked && game.phase !== "playing" && !!mine, true);
    show(this.#buttons.forfeit, game.phase === "playing" && !!mine);
    show(this.#buttons.watch, game.phase !== "waiting");
    show(this.#buttons.leave, true, true);
    this.#help.hidden = !(game.phase !== "waiting" && mine && user());
    // A game that is on is told by its room: the position is the one of now.
    this.#help.setAttribute("href", pageHash("tickets", ["new"], { game: over ? `${this.#table.id}.${game.game}` : this.#table.id }));
    this.#share.hidden = !(game.phase === "waiting" && game.mode === "private" && !this.#table.ranked);
  }

  #announce(game: Game, headline: string, extra: string): void {
    const move = lastMove(this.#shown, game);
    const changed = !this.#shown || move || status(this.#shown, this.#table.session) !== headline || note(this.#shown, this.#table.session) !== extra;
    if (this.#link !== this.#table.link) {
      this.#link = this.#table.link;
      say(this.#live, this.#link === "live" ? `You are back. ${headline}` : "Connection lost. Reconnecting.");
    } else if (changed) {
      say(this.#live, `${move}${headline}. ${extra}`);
    }
  }

  #tick(): void {
    const game = this.#table.game;
    // Without a connection nothing is known of the clock; what is shown would be a guess.
    const left = this.#table.link === "live" ? this.#countdown.left(performance.now()) : null;
    // Its place stays while the room has a clock, so that the board does not jump at the end of a game.
    this.#clock.hidden = !game?.moveTime;
    this.#clock.classList.toggle("idle", left === null);
    if (left !== null && game) {
      say(this.#clockText, clockText(left));
      this.#clockBar.style.transform = `scaleX(${Math.min(1, left / (game.moveTime || 1))})`;
      const urgent = left <= URGENT_MS;
      this.#clock.classList.toggle("urgent", urgent);
      const turn = `${game.game}/${game.moves.length}`;
      if (urgent && this.#warned !== turn && isMyTurn(game, this.#table.session)) {
        this.#warned = turn;
        say(this.#live, `${Math.ceil(left / 1000)} seconds left`);
      }
    }
    this.#frame = requestAnimationFrame(() => this.#tick());
  }

  #play(cell: number): void {
    const { game, session, link } = this.#table;
    if (!game || link !== "live") return;
    if (game.phase === "playing" && !isMyTurn(game, session)) return;
    if (game.phase !== "playing" || game.board[cell] !== 0) return;
    this.#table.play(cell);
  }

  #key(event: KeyboardEvent): void {
    const next = step(this.#focus, event.key);
    if (!["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    this.#focusOn(next, true);
  }

  #focusOn(cell: number, move: boolean): void {
    this.#focus = cell;
    this.#cells.forEach((button, index) => (button.tabIndex = index === cell ? 0 : -1));
    if (move) this.#cells[cell]?.focus();
  }

  #action(label: string, act: () => void, look: string): HTMLButtonElement {
    const button = h("button", { type: "button", class: look, hidden: true }, label);
    button.addEventListener("click", () => button.getAttribute("aria-disabled") !== "true" && act());
    return button;
  }

  async #giveUp(): Promise<void> {
    if (await confirm("Give up this game?", "The other side wins it. You keep your seat for a rematch.", "Give up")) this.#table.forfeit();
  }

  #fillShare(): void {
    const address = h("input", { type: "text", readonly: true, id: "share", value: this.#address(false), onfocus: (event: FocusEvent) => (event.target as HTMLInputElement).select() });
    this.#share.append(
      h("label", { for: "share" }, "Send this link to your opponent"),
      h("div", { class: "row" }, address, h("button", { type: "button", class: "button primary", onclick: () => void this.#copy(false) }, "Copy")),
    );
  }

  #address(watch: boolean): string {
    return `${location.href.split("#")[0]}${roomHash(this.#table.id, watch)}`;
  }

  async #copy(watch: boolean): Promise<void> {
    try {
      await navigator.clipboard.writeText(this.#address(watch));
      toast("Link copied.");
    } catch {
      // No permission or no secure context: show it to copy by hand.
      toast(this.#address(watch));
    }
  }

  #ended(code: number): void {
    cancelAnimationFrame(this.#frame);
    linkBadge("");
    this.#veil.hidden = false;
    const text = farewell(code);
    const id = this.#table.id;
    this.#veil.replaceChildren(
      h(
        "p",
        {},
        h("strong", {}, text || "You left the game."),
        h("span", { class: "row" },
          code === 4003 ? h("button", { type: "button", class: "button primary", onclick: () => this.#exits.resume(id) }, "Try again") : null,
          h("button", { type: "button", class: "button", onclick: () => this.#exits.home() }, "To the arcade")),
      ),
    );
    for (const button of [...Object.values(this.#buttons), this.#help]) button.hidden = true;
    this.#grid.classList.remove("playable");
    say(this.#live, text);
  }
}

/** Who holds a mark, how often they won, and whether they are there. */
class PlayerCard {
  #mark = h("span", { class: "sign" });
  #name = h("span", { class: "name" });
  #detail = h("span", { class: "detail" });
  #wins = h("span", { class: "wins" });
  readonly element = h("div", { class: "player" }, this.#mark, h("div", { class: "who" }, this.#name, this.#detail), this.#wins);
  #drawn = 0;

  render(game: Game, mark: number, session: string): void {
    const player = holder(game, mark as 1 | 2);
    if (this.#drawn !== mark) {
      this.#drawn = mark;
      this.#mark.replaceChildren(markPicture(mark), h("span", { class: "sr" }, letter(mark)));
    }
    say(this.#name, player?.name ?? "Open seat");
    const you = player?.id === session;
    const detail = !player
      ? "waiting"
      : player.left
        ? "left"
        : !player.connected
          ? "reconnecting…"
          : you
            ? "you"
            : player.computer
              ? game.level
              : "online";
    say(this.#detail, detail);
    say(this.#wins, player ? String(player.wins) : "");
    this.#wins.title = player ? `${player.wins} won` : "";
    this.element.className = [
      "player",
      mark === 1 ? "is-x" : "is-o",
      game.turn === mark && game.phase === "playing" ? "moving" : "",
      game.winner === mark && game.phase === "finished" ? "winner" : "",
      player ? "" : "open",
      player && (!player.connected || player.left) ? "gone" : "",
    ].join(" ").trim();
  }
}

/** The path from one cell's centre to another's in a box of 300, a little beyond both. */
function throughCells(from: number, to: number): string {
  const centre = (cell: number) => [50 + (cell % 3) * 100, 50 + Math.floor(cell / 3) * 100] as const;
  const [x1, y1] = centre(from);
  const [x2, y2] = centre(to);
  const beyond = 0.14;
  const dx = (x2 - x1) * beyond;
  const dy = (y2 - y1) * beyond;
  return `M${x1 - dx} ${y1 - dy}L${x2 + dx} ${y2 + dy}`;
}

function linkBadge(text: string): void {
  const badge = document.getElementById("link");
  if (!badge) return;
  say(badge, text);
  badge.hidden = text === "";
}

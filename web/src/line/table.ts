/** One table of the line: its board, who sits there, its clock. One's own is played on, by mouse, touch or keyboard. */
import { Countdown, clockText } from "../countdown";
import { h, markPicture, s, say } from "../dom";
import { type Mark, letter, step, strokes } from "../model";
import { type LineState, type LineTable, nameAt } from "./model";

export class TableView {
  readonly element: HTMLElement;
  #cells: HTMLButtonElement[] = [];
  #grid = h("div", { class: "grid", role: "grid" });
  #strokes = s("svg", { class: "stroke", viewBox: "0 0 300 300", "aria-hidden": "true" });
  #title = h("h2", {});
  #seats = ([1, 2] as const).map((mark) => ({ mark, name: h("span", { class: "name" }), wins: h("span", { class: "tag" }), element: h("p", { class: `seat ${mark === 1 ? "is-x" : "is-o"}` }, h("span", { class: "sign", "aria-hidden": "true" }, markPicture(mark))) }));
  #clock = h("span", { class: "table-clock", role: "timer" });
  #countdown = new Countdown();
  #focus = 4;

  constructor(number: number, play: (cell: number) => void) {
    for (let row = 0; row < 3; row += 1) {
      const line = h("div", { role: "row", class: "cells" });
      for (let column = 0; column < 3; column += 1) {
        const cell = row * 3 + column;
        const button = h("button", { type: "button", class: "cell", tabindex: -1, "data-cell": cell, onclick: () => button.getAttribute("aria-disabled") !== "true" && play(cell), onfocus: () => this.#focusOn(cell, false) });
        this.#cells.push(button);
        line.append(h("div", { role: "gridcell", class: "slot" }, button));
      }
      this.#grid.append(line);
    }
    this.#grid.setAttribute("aria-label", `Board of table ${number}`);
    this.#grid.addEventListener("keydown", (event) => {
      if (!/^(Arrow(Up|Down|Left|Right)|Home|End)$/.test(event.key)) return;
      event.preventDefault();
      this.#focusOn(step(this.#focus, event.key), true);
    });
    for (const seat of this.#seats) seat.element.append(seat.name, seat.wins);
    say(this.#title, `Table ${number}`);
    this.element = h("section", { class: "panel line-table", "aria-label": `Table ${number}` },
      h("div", { class: "line-table-head" }, this.#title, this.#clock),
      h("div", { class: "board" }, s("svg", { class: "rules", viewBox: "0 0 300 300", "aria-hidden": "true" }, s("path", { d: "M100 10V290M200 10V290M10 100H290M10 200H290" })), this.#grid, this.#strokes),
      h("div", { class: "seats" }, ...this.#seats.map((seat) => seat.element)));
  }

  render(state: LineState, table: LineTable, session: string, live: boolean): void {
    const mine = table.x === session ? 1 : table.o === session ? 2 : 0;
    const playable = live && mine !== 0 && table.stage === "playing" && table.turn === mine;
    this.element.classList.toggle("mine", mine !== 0);
    this.#grid.classList.toggle("playable", playable);
    this.#cells.forEach((button, cell) => {
      const mark = table.board[cell] ?? 0;
      if (button.dataset.mark !== String(mark)) {
        button.dataset.mark = String(mark);
        button.replaceChildren(...(mark ? [markPicture(mark)] : []));
      }
      button.setAttribute("aria-label", `Row ${Math.floor(cell / 3) + 1}, column ${(cell % 3) + 1}, ${letter(mark) || "empty"}`);
      button.setAttribute("aria-disabled", String(!playable || mark !== 0));
      button.tabIndex = mine !== 0 && cell === this.#focus ? 0 : -1;
      button.classList.toggle("dull", table.line.length > 0 && !table.line.includes(cell));
      button.classList.toggle("last", table.stage === "playing" && cell === table.moves[table.moves.length - 1]);
    });
    const drawn = table.line.join();
    if (this.#strokes.getAttribute("data-line") !== drawn) {
      this.#strokes.setAttribute("data-line", drawn);
      this.#strokes.replaceChildren(...strokes(table.line).map(([from, to]) => s("path", { d: `M${centre(from)}L${centre(to)}`, pathLength: 1 })));
    }
    for (const { mark, name, wins, element } of this.#seats) {
      const player = state.players.get(mark === 1 ? table.x : table.o);
      say(name, nameAt(state, table, mark as Mark) + (player && player.id === session ? " (you)" : ""));
      say(wins, player && !player.connected ? "away" : player && player.wins > 0 ? `${player.wins} in a row` : "");
      wins.hidden = wins.textContent === "";
      element.classList.toggle("moving", table.stage === "playing" && table.turn === mark);
      element.classList.toggle("winner", table.stage === "finished" && table.winner === mark);
      element.classList.toggle("open", !player);
    }
    this.#countdown.update({ game: table.game, moves: table.moves.length, clock: table.stage === "playing" ? table.clock : 0 }, performance.now());
  }

  /** Shows the time left; without a connection nothing is known of it. */
  tick(live: boolean): void {
    const left = live ? this.#countdown.left(performance.now()) : null;
    say(this.#clock, left === null ? "" : clockText(left));
    this.#clock.classList.toggle("urgent", left !== null && left <= 10_000);
  }

  focus(): void {
    this.#cells[this.#focus]?.focus({ preventScroll: true });
  }

  #focusOn(cell: number, move: boolean): void {
    this.#focus = cell;
    this.#cells.forEach((button, index) => (button.tabIndex = index === cell ? 0 : -1));
    if (move) this.#cells[cell]?.focus();
  }
}

const centre = (cell: number): string => `${50 + (cell % 3) * 100} ${50 + Math.floor(cell / 3) * 100}`;

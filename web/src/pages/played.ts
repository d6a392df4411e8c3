/** A game that was played: how it ended, and its moves one by one. */
import { type Schema, GET, answer } from "../api/client";
import { h, markPicture, s, say } from "../dom";
import { pageHash } from "../route";
import { gameName, position, since } from "./model";
import { Loaded, type Open, notFound, pill } from "./page";

export const open: Open = (at) => {
  const id = at.rest[0] ?? "";
  const game = new Loaded(() => answer(GET("/games/{id}", { params: { path: { id } } })), view,
    { title: (game) => `${gameName(game.kind)}, ${game.players.map((player) => player.name).join(" and ")}`, instead: notFound("No such game", "It was never played, or it is kept no longer.", "#/", "To the arcade") });
  return { title: "A game", element: h("div", { class: "page narrow" }, game.element) };
};

const REASONS: Record<string, string> = {
  line: "three in a row", draw: "a full board", forfeit: "given up", left: "the other side left", timeout: "time ran out",
};

/** Kinds whose moves are cells of a board of three by three. */
const BOARDS = ["tic_tac_toe", "line"];

function view(game: Schema<"Game">): HTMLElement {
  const side = Number(/^player(\d+)$/.exec(game.winner ?? "")?.[1]);
  const winner = game.players[side - 1];
  const ended = game.winner === "draw" ? "A draw" : winner ? `${winner.name} won` : "Over";
  const why = REASONS[game.reason] ?? game.reason;
  return h("section", { class: "panel" },
    h("div", {}, h("h1", {}, ended), h("p", { class: "quiet" }, [gameName(game.kind), why, since(game.updatedAt, Date.now())].filter(Boolean).join(" · "))),
    h("ul", { class: "sides-list" }, ...game.players.map((player) => h("li", {},
      pill(player.mark, player.mark === "X" ? "won" : "soft"),
      player.computer || !/^[0-9a-f-]{36}$/.test(player.id) ? h("span", {}, player.name) : h("a", { href: pageHash("player", [player.id]) }, player.name),
      player.computer ? h("span", { class: "quiet" }, "computer") : null))),
    BOARDS.includes(game.kind) && game.moves.length > 0 ? replay(game) : null,
    h("p", { class: "aside" }, "Was something wrong? ", h("a", { href: pageHash("tickets", ["new"], { game: game.gameId }) }, "Get help with this game")));
}

/** The board after each move, by buttons or by the slider. */
function replay(game: Schema<"Game">): HTMLElement {
  const cells = Array.from({ length: 9 }, () => h("span", { class: "past-cell" }));
  const board = h("div", { class: "past-board", role: "img" }, s("svg", { class: "rules", viewBox: "0 0 300 300", "aria-hidden": "true" }, s("path", { d: "M100 10V290M200 10V290M10 100H290M10 200H290" })), ...cells);
  const count = h("span", { class: "quiet", role: "status" });
  const slider = h("input", { type: "range", id: "move", min: 0, max: game.moves.length, step: 1, value: game.moves.length, oninput: () => draw() });
  const step = (by: number) => {
    slider.value = String(Number(slider.value) + by);
    draw();
  };
  const draw = () => {
    const at = Number(slider.value);
    const marks = position(game.moves, at);
    cells.forEach((cell, index) => {
      const mark = marks[index] ?? "";
      if (cell.dataset.mark === mark) return;
      cell.dataset.mark = mark;
      cell.replaceChildren(...(mark ? [markPicture(mark === "X" ? 1 : 2)] : []));
    });
    const last = game.moves[at - 1];
    cells.forEach((cell, index) => cell.classList.toggle("last", last?.played === index));
    say(count, at === 0 ? "Before the first move" : `Move ${at} of ${game.moves.length}`);
    board.setAttribute("aria-label", `The board, by rows: ${marks.map((mark) => mark ?? "empty").join(", ")}`);
  };
  draw();
  return h("div", { class: "replay" }, board,
    h("div", { class: "replay-bar" },
      h("button", { type: "button", class: "button small", "aria-label": "One move back", onclick: () => step(-1) }, "‹"),
      h("label", { class: "sr", for: "move" }, "Move"), slider,
      h("button", { type: "button", class: "button small", "aria-label": "One move on", onclick: () => step(1) }, "›")),
    count);
}

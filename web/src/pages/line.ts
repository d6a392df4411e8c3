/** The waiting line: tables where two play, everybody else in order, the winner stays. */
import { user } from "../account/session";
import { confirm, h, say, toast } from "../dom";
import { farewell, sentence } from "../errors";
import { LineLink } from "../line/link";
import { headline, isPlaying, isTurnOf, note, tableOf } from "../line/model";
import { TableView } from "../line/table";
import { playerName, saveName } from "../name";
import { pageHash } from "../route";
import { nameField, whoPlays } from "../who";
import { type Open, nothing } from "./page";
import "../line/line.css";

const TICK_MS = 200;

export const open: Open = () => {
  const element = h("div", { class: "page" });
  let link: LineLink | null = null;
  let timer = 0;
  let closed = false;

  const explain = "Two play at each table, the others wait in order. The winner stays, the loser goes to the back.";
  const door = () => {
    const name = nameField();
    const go = (watch: boolean) => async (event: Event) => {
      const button = event.currentTarget as HTMLElement;
      if (button.getAttribute("aria-busy")) return;
      button.setAttribute("aria-busy", "true");
      try {
        if (!user()) saveName(name.value);
        enter(await LineLink.enter({ name: playerName(), watch }));
      } catch (error) {
        const { code, message } = error as { code?: number; message?: string };
        toast(typeof code === "number" ? sentence(code, message) : sentence(undefined));
      } finally {
        button.removeAttribute("aria-busy");
      }
    };
    element.replaceChildren(h("div", { class: "invite line-door" }, h("section", { class: "panel" },
      h("h1", {}, "The line"), h("p", { class: "lead" }, explain), whoPlays(name),
      h("button", { type: "button", class: "button primary big", onclick: go(false) }, "Join the line"),
      h("button", { type: "button", class: "button", onclick: go(true) }, "Watch"))));
  };

  const enter = (entered: LineLink) => {
    // Left while it was on its way.
    if (closed) return void entered.leave();
    link = entered;
    const status = h("h1", { class: "status" });
    const more = h("p", { class: "note" });
    const announcer = h("p", { class: "sr", role: "status", "aria-live": "polite" });
    const tables = h("div", { class: "line-tables" });
    const queue = h("ol", { class: "queue" });
    const empty = nothing("Nobody waits.");
    const watchers = h("p", { class: "quiet" });
    const button = (text: string, look: string, act: () => void) => h("button", { type: "button", class: look, onclick: act }, text);
    const forfeit = button("Give up", "button quiet", async () => {
      if (await confirm("Give up this game?", "The other side wins it; you go to the back of the line.", "Give up")) entered.forfeit();
    });
    const out = button("Step out", "button quiet", async () => {
      const state = entered.state;
      if (state && isPlaying(state, entered.session) && !(await confirm("Step out of the line?", "The other side wins the game.", "Step out"))) return;
      entered.stepOut();
    });
    const into = button("Join the line", "button primary", () => void entered.stepIn(playerName()).catch((error: { code?: number; message?: string }) => toast(sentence(error.code, error.message))));
    const help = h("a", { class: "button quiet", target: "_blank", rel: "noopener", href: pageHash("tickets", ["new"], { game: entered.id }), hidden: true }, "Get help");
    const views: TableView[] = [];
    let sat: number | null = null;

    element.replaceChildren(
      h("div", { class: "line-head" }, status, more, announcer),
      h("div", { class: "line-columns" }, tables,
        h("section", { class: "panel", "aria-label": "Waiting" }, h("h2", {}, "Waiting"), queue, empty,
          h("div", { class: "actions" }, into, forfeit, out, help), watchers)));

    const draw = () => {
      const { state, session } = entered;
      const live = entered.link === "live";
      const badge = document.getElementById("link");
      if (badge) {
        say(badge, live ? "" : "Reconnecting…");
        badge.hidden = live;
      }
      if (!state) return say(status, "Entering the line…");
      while (views.length < state.tables.length) {
        const view = new TableView(views.length + 1, (cell) => entered.play(cell));
        views.push(view);
        tables.append(view.element);
      }
      tables.classList.toggle("many", state.tables.length > 1);
      state.tables.forEach((table, index) => views[index]!.render(state, table, session, live));
      const said = headline(state, session);
      if (status.textContent !== said) say(announcer, said);
      say(status, said);
      status.className = `status${isTurnOf(state, session) ? " turn" : ""}${said.startsWith("You win") ? " won" : ""}`;
      say(more, note(state, session, entered.standing));
      queue.replaceChildren(...state.queue.map((player, index) => h("li", { class: player.id === session ? "own" : "", "aria-current": player.id === session && "true" },
        h("span", { class: "place" }, String(index + 1)), h("span", { class: "grow" }, player.name),
        player.id === session ? h("span", { class: "tag" }, "you") : null, player.connected ? null : h("span", { class: "tag" }, "away"))));
      queue.hidden = state.queue.length === 0;
      empty.hidden = !queue.hidden;
      const me = state.players.get(session);
      into.hidden = me !== undefined;
      out.hidden = me === undefined;
      forfeit.hidden = !isPlaying(state, session);
      help.hidden = me === undefined || !user();
      say(watchers, state.watchers === 0 ? "" : state.watchers === 1 ? "1 person watches" : `${state.watchers} people watch`);
      const at = tableOf(state, session);
      if (at !== null && sat === null && (document.activeElement === document.body || document.activeElement?.id === "main")) views[at]!.focus();
      sat = at;
    };
    entered.listener = {
      changed: draw,
      refused: (code, message) => toast(sentence(code, message)),
      ended: (code) => {
        stop();
        toast(farewell(code));
        door();
      },
    };
    timer = window.setInterval(() => views.forEach((view) => view.tick(entered.link === "live")), TICK_MS);
    draw();
  };

  const stop = () => {
    clearInterval(timer);
    link = null;
    const badge = document.getElementById("link");
    if (badge) badge.hidden = true;
  };

  element.append(h("p", { class: "quiet", role: "status" }, "Loading…"));
  LineLink.resume().then((back) => (back ? enter(back) : door()), door);

  return {
    title: "Line",
    element,
    leave: async () => {
      const state = link?.state;
      if (!link || !state?.players.has(link.session)) return true;
      return isPlaying(state, link.session)
        ? confirm("Leave the line?", "The other side wins the game if you leave now.", "Leave")
        : confirm("Leave the line?", "Your place goes to the next one.", "Leave", "Stay");
    },
    close: () => {
      closed = true;
      const left = link;
      stop();
      void left?.leave();
    },
  };
};

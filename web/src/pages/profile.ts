/** A player: who it is, statistics, place on the board, games. One's own page follows the games as they are counted. */
import { type Schema, GET, answer } from "../api/client";
import { user } from "../account/session";
import { h } from "../dom";
import { pageHash } from "../route";
import { OUTCOMES, against, duration, gameName, initials, outcome, percent, regionName, since } from "./model";
import { Loaded, type Open, action, every, notFound, nothing, pill, signInFirst, staleMark } from "./page";

/** So often the statistics are asked for: results are counted within a second of the game's end. */
const AGAIN_MS = 5_000;
const GAMES = 20;

export const open: Open = (at) => {
  const me = user();
  const id = at.page === "player" ? at.rest[0] ?? "" : me?.id ?? "";
  if (!id) return { title: "Profile", element: signInFirst("Here are your statistics, your place on the board and your games, once it is known who you are.") };
  const own = id === me?.id;
  const path = { params: { path: { id } } };

  const who = new Loaded(() => answer(GET("/users/{id}", path)), (profile) => card(profile, own), {
    title: (profile) => (own ? "Your profile" : profile.displayName),
    instead: (error) => {
      const missing = nobody(error);
      if (!missing) return null;
      // Statistics of nobody are none, and are not asked for again.
      stop();
      for (const part of Array.from(page.children)) if (part !== who.element) part.remove();
      return missing;
    },
  });
  const place = new Loaded(() => answer(GET("/leaderboard/user/{id}", { params: { path: { id }, query: { rows: 0 } } })), (at) => standing(at, own));
  const games = history(id, own);
  let counted = -1;
  const stats = new Loaded(async () => {
    const now = await answer(GET("/users/{id}/stats", path));
    // One more game counted is one more in the list, and maybe another place.
    if (counted >= 0 && now.overall.gamesPlayed !== counted) {
      void place.again();
      games.again();
    }
    counted = now.overall.gamesPlayed;
    return now;
  }, statistics);
  const stop = every(AGAIN_MS, () => void stats.again());
  const page = h("div", { class: "page profile" }, who.element,
    h("div", { class: "columns" },
      h("section", { class: "panel", "aria-label": "Statistics" }, h("h2", {}, "Statistics"), stats.element, place.element),
      h("section", { class: "panel", "aria-label": "Games" }, h("h2", {}, "Games"), games.element)));
  return { title: own ? "Your profile" : "Player", element: page, close: stop };
};

const nobody = notFound("No such player", "The account was deleted, or there never was one.", pageHash("leaderboard"), "Leaderboard");

function card(profile: Schema<"UserProfile">, own: boolean): HTMLElement {
  const since = new Date(profile.createdAt).toLocaleDateString(undefined, { year: "numeric", month: "long" });
  const facts = [`@${profile.username}`, profile.region ? regionName(profile.region) : "", `since ${since}`].filter(Boolean).join(" · ");
  return h("div", { class: "player-head" },
    h("span", { class: "avatar", "aria-hidden": "true" }, initials(profile.displayName)),
    h("div", { class: "who" },
      h("h1", {}, profile.displayName, profile.guest ? pill("guest", "soft") : null),
      h("p", { class: "quiet" }, facts)),
    own
      ? h("div", { class: "row" },
        profile.guest ? h("a", { class: "button primary", href: pageHash("register") }, "Keep this account") : null,
        h("a", { class: "button", href: pageHash("account") }, "Settings"))
      : h("a", { class: "button quiet", href: pageHash("leaderboard") }, "Leaderboard"));
}

function statistics(stats: Schema<"UserStats">): HTMLElement {
  const all = stats.overall;
  const tile = (label: string, value: string, look = "", beside = "") =>
    h("div", { class: `tile ${look}`.trim() }, h("dt", {}, label), h("dd", {}, value, beside ? h("small", {}, beside) : null));
  const kinds = Object.entries(stats.games);
  return h("div", { class: "stack" },
    staleMark(stats),
    h("dl", { class: "tiles" },
      tile("Played", String(all.gamesPlayed)),
      tile("Won", String(all.gamesWon), "good"),
      tile("Lost", String(all.gamesLost)),
      tile("Drawn", String(all.gamesDrawn)),
      tile("Win rate", percent(all.winPercentage)),
      all.rating == null || all.gamesPlayed === 0 ? tile("Rating", "–") : tile("Rating", String(Math.round(all.rating)), "", `± ${Math.round(all.ratingDeviation ?? 0)}`),
      tile("Streak", String(all.currentStreak), "", `best ${all.bestStreak}`),
      tile("In games", duration(all.totalPlaytime))),
    kinds.length > 1 ? h("table", { class: "list" },
      h("caption", { class: "sr" }, "By game"),
      h("thead", {}, h("tr", {}, ...["Game", "Played", "Won", "Rating"].map((text, index) => h("th", { scope: "col", class: index ? "number" : "" }, text)))),
      h("tbody", {}, ...kinds.map(([kind, game]) => h("tr", {},
        h("th", { scope: "row" }, gameName(kind)),
        h("td", { class: "number" }, String(game.gamesPlayed)),
        h("td", { class: "number" }, String(game.gamesWon)),
        h("td", { class: "number" }, game.rating == null ? "–" : String(Math.round(game.rating))))))) : null);
}

function standing(place: Schema<"LeaderboardPlace">, own: boolean): HTMLElement {
  if (!place.row) {
    return h("p", { class: "quiet" }, own ? "Play five games with other players to stand on the leaderboard." : "Not on the leaderboard yet.");
  }
  return h("p", { class: "standing" }, h("strong", {}, `#${place.row.rank}`), ` of ${place.around.total} on the `,
    h("a", { href: pageHash("leaderboard") }, "leaderboard"));
}

/** The games, newest first, page after page. */
function history(id: string, own: boolean): { element: HTMLElement; again(): void } {
  const get = (after?: string) => answer(GET("/users/{id}/games", { params: { path: { id }, query: { limit: GAMES, ...(after ? { after } : {}) } } }));
  const list = new Loaded(() => get(), (first) => {
    if (first.games.length === 0) {
      return nothing(own ? "No games yet. What you play while signed in comes here." : "No games yet.",
        ...(own ? [h("a", { class: "button primary", href: "#/" }, "Play")] : []));
    }
    const items = h("ul", { class: "games" }, ...first.games.map(line));
    const box = h("div", { class: "stack" }, items);
    const more = (next: string | null | undefined) => {
      box.querySelector(".more")?.remove();
      if (!next) return;
      const problem = h("p", { class: "problem", role: "alert", hidden: true });
      const button = action("More games", async () => {
        const page = await get(next);
        items.append(...page.games.map(line));
        more(page.next);
      }, (text) => {
        problem.textContent = text;
        problem.hidden = false;
      }, "button quiet");
      box.append(h("div", { class: "more" }, problem, button));
    };
    more(first.next);
    return box;
  });
  return { element: list.element, again: () => void list.again() };
}

function line(game: Schema<"GameOfHistory">): HTMLElement {
  const how = outcome(game);
  return h("li", {}, h("a", { class: "game-line", href: pageHash("played", [game.gameId]) },
    pill(OUTCOMES[how], how),
    h("span", { class: "what" }, h("strong", {}, gameName(game.kind)), " ", against(game), game.status === "forfeited" ? h("span", { class: "quiet" }, " (given up)") : null),
    h("time", { class: "quiet", datetime: game.updatedAt, title: new Date(game.updatedAt).toLocaleString() }, since(game.updatedAt, Date.now()))));
}


/** Who stands where: everybody or one region, all games or one, all time or a season, by wins or by rating. */
import { type Schema, GET, answer } from "../api/client";
import { user } from "../account/session";
import { h } from "../dom";
import { type PageRoute, pageHash } from "../route";
import { LIVE_ROWS, type Live, follow } from "./live-board";
import { GAMES, REGIONS, paging, percent, rating, regionName, seasons } from "./model";
import { Loaded, type Open, every, heading, nothing, select, staleMark } from "./page";

const ROWS = 25;
const SEASONS = 4;
/** So often the board is asked for anew while somebody looks. */
const AGAIN_MS = 5_000;

interface Wanted {
  game: string;
  season: string;
  region: string;
  order: "wins" | "rating";
  offset: number;
}

interface Shown {
  board: Schema<"Leaderboard">;
  own: Schema<"LeaderboardRow"> | null;
}

export const open: Open = (at) => {
  const wanted = read(at);
  let shown: Shown | null = null;
  let live: Live | null = null;
  /** One's own row, as the room told it. */
  let place: Schema<"LeaderboardRow"> | null = null;
  const board = new Loaded(async () => {
    try {
      shown = await load(wanted);
    } catch (error) {
      // The room may bring the board where the services do not.
      if (!live || !shown) throw error;
    }
    return shown;
  }, (shown) => view(shown, wanted));
  const go = (change: Partial<Wanted>) => (location.hash = hash({ ...wanted, offset: 0, ...change }));
  const region = REGIONS.some(([key]) => key === wanted.region) || !wanted.region ? REGIONS : [...REGIONS, [wanted.region, wanted.region] as const];
  const filters = h("div", { class: "filters", role: "group", "aria-label": "Which board" },
    h("label", { for: "game" }, "Game"), select("game", [["", "All games"], ...GAMES], wanted.game, (game) => go({ game, season: "" })),
    h("label", { for: "season" }, "Season"),
    select("season", [["", "All time"], ...seasons(new Date(), SEASONS).map((name) => [name, name.replace("-", " ")] as const)], wanted.season,
      (season) => go({ season, game: wanted.game || GAMES[0][0] })),
    h("label", { for: "region" }, "Region"), select("region", [["", "Everywhere"], ...region], wanted.region, (region) => go({ region })),
    order(wanted, go));
  const mark = h("p", { class: "live-mark", hidden: true }, h("span", { class: "dot", "aria-hidden": "true" }), "Live");
  const fits = wanted.offset + ROWS <= LIVE_ROWS;
  const draw = () => {
    if (!live) return;
    shown = { own: shown?.own ?? place, board: { ...live, offset: wanted.offset, rows: live.rows.slice(wanted.offset, wanted.offset + ROWS) } };
    board.show(shown);
  };
  const unfollow = !fits ? null : follow({ game: wanted.game, season: wanted.season, region: wanted.region, order: wanted.order }, {
    board: (now) => {
      live = now;
      draw();
    },
    place: (own) => {
      place = own;
      if (shown) shown = { ...shown, own };
      draw();
    },
    live: (on) => {
      mark.hidden = !on;
      if (!on) live = null;
    },
  });
  const stop = every(AGAIN_MS, () => !live && void board.again());
  return {
    title: "Leaderboard",
    element: h("div", { class: "page" }, heading("Leaderboard", "Everybody with five games or more.", mark), filters, h("section", { class: "panel board-panel", "aria-label": "Board" }, board.element)),
    close: () => {
      stop();
      unfollow?.();
    },
  };
};

function order(wanted: Wanted, go: (change: Partial<Wanted>) => void): HTMLElement {
  const set = h("fieldset", { class: "levels two" }, h("legend", { class: "sr" }, "Sorted by"));
  for (const [value, text] of [["wins", "Win rate"], ["rating", "Rating"]] as const) {
    set.append(
      h("input", { type: "radio", name: "order", id: `order-${value}`, value, checked: wanted.order === value, onchange: () => go({ order: value }) }),
      h("label", { for: `order-${value}` }, text));
  }
  return set;
}

function read(at: PageRoute): Wanted {
  const game = at.query.get("game") ?? "";
  const from = Number(at.query.get("from") ?? 0);
  return {
    game,
    season: game ? at.query.get("season") ?? "" : "",
    region: at.query.get("region") ?? "",
    order: at.query.get("order") === "rating" ? "rating" : "wins",
    offset: Number.isSafeInteger(from) && from > 0 ? from : 0,
  };
}

const hash = ({ game, season, region, order, offset }: Wanted): string =>
  pageHash("leaderboard", [], { game, season, region, order: order === "wins" ? "" : order, from: offset ? String(offset) : "" });

async function load(wanted: Wanted): Promise<Shown> {
  const which = { order: wanted.order, ...(wanted.game && { game: wanted.game }), ...(wanted.season && { season: wanted.season }) };
  const query = { ...which, offset: wanted.offset, limit: ROWS };
  const me = user();
  const [board, place] = await Promise.all([
    wanted.region
      ? answer(GET("/leaderboard/regional/{region}", { params: { path: { region: wanted.region }, query } }))
      : answer(GET("/leaderboard/global", { params: { query } })),
    me ? answer(GET("/leaderboard/user/{id}", { params: { path: { id: me.id }, query: { ...which, rows: 0, ...(wanted.region && { region: wanted.region }) } } })) : null,
  ]);
  return { board, own: place?.row ?? null };
}

function view({ board, own }: Shown, wanted: Wanted): Node[] {
  const me = user();
  const stale = staleMark(board);
  if (board.total === 0) {
    return [...(stale ? [stale] : []), nothing("Nobody stands here yet. Five games with other players, and it could be you.", h("a", { class: "button primary", href: "#/" }, "Play"))];
  }
  const here = board.rows.some((row) => row.userId === own?.userId);
  const table = h("table", { class: "list board-table" },
    h("caption", { class: "sr" }, "Leaderboard"),
    h("thead", {}, h("tr", {},
      h("th", { scope: "col", class: "number" }, "#"), h("th", { scope: "col" }, "Player"),
      h("th", { scope: "col", class: "number wide" }, "Played"), h("th", { scope: "col", class: "number wide" }, "Won"),
      h("th", { scope: "col", class: "number wide" }, "Lost"), h("th", { scope: "col", class: "number wide" }, "Drawn"),
      h("th", { scope: "col", class: `number${wanted.order === "wins" ? " sorted" : " wide"}`, "aria-sort": wanted.order === "wins" && "descending" }, "Win rate"),
      h("th", { scope: "col", class: `number${wanted.order === "rating" ? " sorted" : " wide"}`, "aria-sort": wanted.order === "rating" && "descending" }, "Rating"),
      h("th", { scope: "col", class: "number wide" }, "Streak"))),
    h("tbody", {}, ...board.rows.map((row) => line(row, wanted, row.userId === me?.id)),
      ...(own && !here ? [line(own, wanted, true, true)] : [])));
  const { from, to, before, after } = paging(board.offset, ROWS, board.total);
  const step = (offset: number | null, text: string) =>
    offset === null ? h("span", { class: "button quiet small", "aria-disabled": "true" }, text) : h("a", { class: "button small", href: hash({ ...wanted, offset }) }, text);
  const mine = own && !here ? h("a", { class: "button small", href: hash({ ...wanted, offset: Math.floor((own.rank - 1) / ROWS) * ROWS }) }, "To my place") : null;
  return [...(stale ? [stale] : []), table, h("div", { class: "pager" },
    h("p", { class: "quiet" }, `${from} to ${to} of ${board.total}`),
    h("div", { class: "row" }, mine, board.total > ROWS ? step(before, "Before") : null, board.total > ROWS ? step(after, "Next") : null))];
}

function line(row: Schema<"LeaderboardRow">, wanted: Wanted, me: boolean, apart = false): HTMLElement {
  const medal = row.rank <= 3 ? ` medal m${row.rank}` : "";
  return h("tr", { class: `${me ? "own" : ""}${apart ? " apart" : ""}`.trim(), "aria-current": me && "true" },
    h("td", { class: `number rank${medal}` }, String(row.rank)),
    h("th", { scope: "row" }, h("a", { href: me ? pageHash("profile") : pageHash("player", [row.userId]) }, row.name),
      me ? h("span", { class: "tag" }, "you") : null,
      row.region && !wanted.region ? h("span", { class: "quiet region" }, regionName(row.region)) : null),
    h("td", { class: "number wide" }, String(row.gamesPlayed)), h("td", { class: "number wide" }, String(row.gamesWon)),
    h("td", { class: "number wide" }, String(row.gamesLost)), h("td", { class: "number wide" }, String(row.gamesDrawn)),
    h("td", { class: `number${wanted.order === "wins" ? " sorted" : " wide"}` }, percent(row.winPercentage)),
    h("td", { class: `number${wanted.order === "rating" ? " sorted" : " wide"}`, title: rating(row.rating, row.ratingDeviation) }, String(Math.round(row.rating))),
    h("td", { class: "number wide" }, String(row.currentStreak)));
}

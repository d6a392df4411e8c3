import { defineConfig } from "vite";

/** Where `npm run dev` finds the services and rooms: a server on its usual port. */
const SERVER = "http://127.0.0.1:2567";
const SERVICES = ["matchmake", "auth", "account", "admin", "users", "games", "leaderboard", "line", "tickets", "faq", "docs", "matchmaking", "status", "openapi.json"];

// Relative addresses: the binary may serve the page under any path. public/.gitkeep keeps dist/ in the repository.
export default defineConfig({
  base: "./",
  build: { target: "es2022", assetsInlineLimit: 0, emptyOutDir: true, modulePreload: { polyfill: false } },
  server: {
    proxy: {
      [`^/(${SERVICES.join("|")})(/|$|\\?)`]: { target: SERVER },
      "^/[^/]+/[^/]+\\?(.*&)?sessionId=": { target: SERVER, ws: true },
    },
  },
});

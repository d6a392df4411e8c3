import { defineConfig } from "vite";

// Relative addresses: the binary may serve the page under any path. public/.gitkeep keeps dist/ in the repository.
export default defineConfig({
  base: "./",
  build: { target: "es2022", assetsInlineLimit: 0, emptyOutDir: true, modulePreload: { polyfill: false } },
  server: {
    proxy: {
      // `npm run dev` beside a server on its usual port.
      "/matchmake": { target: "http://127.0.0.1:2567" },
    },
  },
});

/** The whole world on a small square, the own place in its middle. */
import { type Point, onRadar } from "./geometry";
import type { Kind } from "./scene";

const COLORS: Record<Kind, string> = { own: "#39ff88", pilot: "#b8ffe0", bot: "#ffc857" };

export interface Blip extends Point {
  kind: Kind;
}

export function drawRadar(canvas: HTMLCanvasElement, camera: Point, blips: readonly Blip[]): void {
  const sharp = Math.min(2, window.devicePixelRatio || 1);
  const size = canvas.clientWidth || 150;
  if (canvas.width !== size * sharp) canvas.width = canvas.height = size * sharp;
  const on = canvas.getContext("2d");
  if (!on) return;
  on.setTransform(sharp, 0, 0, sharp, 0, 0);
  on.clearRect(0, 0, size, size);
  // The world's edge, where a pilot would look for it if there were one.
  const corner = onRadar({ x: 0, y: 0 }, camera, size);
  on.strokeStyle = "#39ff8833";
  on.lineWidth = 1;
  on.setLineDash([3, 4]);
  on.beginPath();
  on.moveTo(Math.round(corner.x) + 0.5, 0);
  on.lineTo(Math.round(corner.x) + 0.5, size);
  on.moveTo(0, Math.round(corner.y) + 0.5);
  on.lineTo(size, Math.round(corner.y) + 0.5);
  on.stroke();
  on.setLineDash([]);
  on.strokeStyle = "#39ff8826";
  for (const radius of [0.2, 0.4]) {
    on.beginPath();
    on.arc(size / 2, size / 2, size * radius, 0, 7);
    on.stroke();
  }
  for (const blip of blips) {
    const at = onRadar(blip, camera, size);
    on.fillStyle = on.shadowColor = COLORS[blip.kind];
    on.shadowBlur = 6;
    on.beginPath();
    on.arc(at.x, at.y, blip.kind === "own" ? 3.4 : 2.5, 0, 7);
    on.fill();
  }
  on.shadowBlur = 0;
}

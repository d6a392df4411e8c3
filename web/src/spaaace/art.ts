/** Everything that is drawn, painted once on canvases: no image files, sharp at any size up to `SHARP`. */

/** Pixels of a picture per pixel of the world. */
export const SHARP = 3;

export const COLOR = { own: 0x39ff88, pilot: 0xb8ffe0, bot: 0xffc857, hostile: 0xff7a59 };

const css = (color: number, alpha = 1) =>
  `rgba(${color >> 16},${(color >> 8) & 255},${color & 255},${alpha})`;

function paint(width: number, height: number, draw: (on: CanvasRenderingContext2D) => void): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const on = canvas.getContext("2d");
  if (on) draw(on);
  return canvas;
}

/** A ship, nose to the right, in a box of 72 by 72 world pixels. */
export function shipPicture(color: number): HTMLCanvasElement {
  const size = 72 * SHARP;
  return paint(size, size, (on) => {
    on.translate(size / 2, size / 2);
    on.scale(SHARP, SHARP);
    on.lineJoin = "round";
    const hull = new Path2D("M25 0 L6 -7 L-4 -8 L-15 -20 L-20 -19 L-15 -7 L-18 0 L-15 7 L-20 19 L-15 20 L-4 8 L6 7 Z");
    on.shadowColor = css(color, 0.9);
    on.shadowBlur = 9 * SHARP;
    const body = on.createLinearGradient(-20, 0, 25, 0);
    body.addColorStop(0, "#0a1610");
    body.addColorStop(0.4, css(color, 0.22));
    body.addColorStop(1, css(color, 0.7));
    on.fillStyle = body;
    on.fill(hull);
    on.shadowBlur = 4 * SHARP;
    on.strokeStyle = css(color);
    on.lineWidth = 2;
    on.stroke(hull);
    on.shadowBlur = 0;
    on.lineWidth = 1;
    on.strokeStyle = css(color, 0.5);
    on.stroke(new Path2D("M-12 0 H-2 M-13 -14 L-6 -6 M-13 14 L-6 6"));
    on.shadowColor = css(color);
    on.shadowBlur = 5 * SHARP;
    on.fillStyle = css(0xffffff, 0.92);
    on.fill(new Path2D("M13 0 L5 -3 L1 0 L5 3 Z"));
  });
}

/** A missile, tip to the right, in a box of 56 by 16. */
export function missilePicture(color: number): HTMLCanvasElement {
  return paint(56 * SHARP, 16 * SHARP, (on) => {
    on.scale(SHARP, SHARP);
    const tail = on.createLinearGradient(4, 8, 48, 8);
    tail.addColorStop(0, css(color, 0));
    tail.addColorStop(0.7, css(color, 0.75));
    tail.addColorStop(1, "#ffffff");
    on.shadowColor = css(color);
    on.shadowBlur = 5 * SHARP;
    on.fillStyle = tail;
    on.fill(new Path2D("M4 8 L40 5.4 Q50 5.4 51 8 Q50 10.6 40 10.6 Z"));
  });
}

/** A soft white dot, to be tinted. */
export function dotPicture(): HTMLCanvasElement {
  return paint(64, 64, (on) => {
    const glow = on.createRadialGradient(32, 32, 0, 32, 32, 32);
    glow.addColorStop(0, "rgba(255,255,255,1)");
    glow.addColorStop(0.25, "rgba(255,255,255,0.65)");
    glow.addColorStop(1, "rgba(255,255,255,0)");
    on.fillStyle = glow;
    on.fillRect(0, 0, 64, 64);
  });
}

/** A thin white ring of 200 pixels. */
export function ringPicture(): HTMLCanvasElement {
  return paint(256, 256, (on) => {
    on.strokeStyle = "#fff";
    on.lineWidth = 5;
    on.shadowColor = "#fff";
    on.shadowBlur = 16;
    on.beginPath();
    on.arc(128, 128, 100, 0, 7);
    on.stroke();
  });
}

/** An arrow to the right in a box of 24. */
export function arrowPicture(): HTMLCanvasElement {
  return paint(24 * SHARP, 24 * SHARP, (on) => {
    on.scale(SHARP, SHARP);
    on.fillStyle = "#fff";
    on.fill(new Path2D("M20 12 L6 4.5 L9.5 12 L6 19.5 Z"));
  });
}

/** Numbers that look like chance and are the same each time. */
function scatter(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A tile of stars that joins with itself; `large` is the radius of the largest. */
export function starsPicture(size: number, count: number, large: number, seed: number): HTMLCanvasElement {
  const chance = scatter(seed);
  const tints = ["#ffffff", "#d7ffe6", "#b8ffe0", "#e8f4ff", "#fff1cf"];
  return paint(size, size, (on) => {
    for (let index = 0; index < count; index += 1) {
      const radius = 0.35 + chance() ** 4 * large;
      const [x, y] = [chance() * size, chance() * size];
      on.globalAlpha = 0.25 + chance() * 0.75;
      on.fillStyle = on.shadowColor = tints[Math.floor(chance() * tints.length)]!;
      on.shadowBlur = radius > 1.2 ? radius * 5 : 0;
      for (const dx of [-size, 0, size]) {
        for (const dy of [-size, 0, size]) {
          if (x + dx < -20 || x + dx > size + 20 || y + dy < -20 || y + dy > size + 20) continue;
          on.beginPath();
          on.arc(x + dx, y + dy, radius, 0, 7);
          on.fill();
        }
      }
    }
  });
}

/** A tile of clouds on black that joins with itself, to be added faintly: bright here, so that it has shades there. */
export function cloudsPicture(size: number, colors: readonly number[], seed: number): HTMLCanvasElement {
  const chance = scatter(seed);
  return paint(size, size, (on) => {
    on.fillStyle = "#000";
    on.fillRect(0, 0, size, size);
    on.globalCompositeOperation = "lighter";
    for (let index = 0; index < 40; index += 1) {
      const [x, y, radius] = [chance() * size, chance() * size, size * (0.08 + chance() * 0.2)];
      const color = colors[Math.floor(chance() * colors.length)]!;
      const alpha = 0.1 + chance() * 0.22;
      for (const dx of [-size, 0, size]) {
        for (const dy of [-size, 0, size]) {
          const glow = on.createRadialGradient(x + dx, y + dy, 0, x + dx, y + dy, radius);
          glow.addColorStop(0, css(color, alpha));
          glow.addColorStop(1, css(color, 0));
          on.fillStyle = glow;
          on.fillRect(x + dx - radius, y + dy - radius, radius * 2, radius * 2);
        }
      }
    }
  });
}

/** The grid of the house, 250 world pixels a field: 12 of them are the world. */
export function gridPicture(): HTMLCanvasElement {
  return paint(500, 500, (on) => {
    on.strokeStyle = css(COLOR.own, 0.16);
    on.lineWidth = 2;
    on.strokeRect(0, 0, 1000, 1000);
    on.fillStyle = css(COLOR.own, 0.5);
    for (const [x, y] of [[0, 0], [500, 0], [0, 500], [500, 500]] as const) {
      on.beginPath();
      on.arc(x, y, 5, 0, 7);
      on.fill();
    }
  });
}

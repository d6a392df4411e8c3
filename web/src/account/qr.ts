/** A text as a picture for the camera of a phone. */
import { encode } from "uqr";
import { s } from "../dom";

/** Modules of quiet around it, without which cameras do not find it. */
const QUIET = 4;

/** Dark on light whatever the page's colours are: many readers know nothing else. */
export function qr(text: string, label: string): SVGElement {
  const { data, size } = encode(text, { ecc: "M", border: 0 });
  const dark = data.flatMap((row, y) => row.flatMap((on, x) => (on ? [`M${x + QUIET} ${y + QUIET}h1v1h-1z`] : [])));
  const side = size + 2 * QUIET;
  return s("svg", { viewBox: `0 0 ${side} ${side}`, class: "qr", role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    s("rect", { width: side, height: side, fill: "#fff" }), s("path", { d: dark.join(""), fill: "#000" }));
}

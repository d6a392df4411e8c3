/** Small builders for page elements. Text always goes in as text, never as markup. */

type Attributes = Record<string, string | number | boolean | ((event: any) => void)>;
type Child = Node | string | null;

/** An element; attributes starting with `on` are listeners, false ones are left out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function s(tag: string, attributes: Attributes = {}, ...children: Child[]): SVGElement {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill<E extends Element>(element: E, attributes: Attributes, children: Child[]): E {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== null));
  return element;
}

/** Changes text only when it differs, so that nothing is read out twice. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** The mark in a box of 100 by 100. */
export function markPicture(mark: number): SVGElement {
  const picture = s("svg", { viewBox: "0 0 100 100", class: mark === 1 ? "mark x" : "mark o", "aria-hidden": "true" });
  if (mark === 1) {
    picture.append(s("path", { d: "M26 26 L74 74", pathLength: 1 }), s("path", { d: "M74 26 L26 74", pathLength: 1, class: "second" }));
  } else {
    picture.append(s("circle", { cx: 50, cy: 50, r: 26, pathLength: 1, transform: "rotate(-90 50 50)" }));
  }
  return picture;
}

/** A short sentence at the edge of the page that goes away by itself. */
export function toast(text: string): void {
  const box = document.getElementById("toasts");
  if (!box || !text) return;
  // The same sentence twice in a row says nothing new.
  if (box.lastElementChild?.textContent === text) return;
  const item = h("p", { class: "toast" }, text);
  box.append(item);
  while (box.childElementCount > 3) box.firstElementChild?.remove();
  setTimeout(() => item.remove(), 5000);
}

/** Asks before something that cannot be undone. Esc and the first button say no. */
export function confirm(question: string, explanation: string, yes: string, no = "Keep playing"): Promise<boolean> {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog",
      { class: "dialog", "aria-labelledby": "dialog-title" },
      h("h2", { id: "dialog-title" }, question),
      h("p", {}, explanation),
      h(
        "div",
        { class: "row end" },
        h("button", { type: "button", class: "button quiet", onclick: () => dialog.close("no") }, no),
        h("button", { type: "button", class: "button", onclick: () => dialog.close("yes") }, yes),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

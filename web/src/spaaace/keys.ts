/**
 * What the pilot holds down: keyboard, and fingers on the picture. One finger is steered towards, and thrust for
 * when it is away from the ship; a second one, or the button, fires.
 *
 * A press of fire that ends before it was read counts for one reading. Nothing stays down when the page loses the
 * focus.
 */
import { steering } from "./geometry";
import { type Controls, radians } from "./rules";

const KEYS: Record<string, keyof Controls> = {
  ArrowUp: "up", KeyW: "up", ArrowLeft: "left", KeyA: "left", ArrowRight: "right", KeyD: "right", Space: "fire",
};

export class Keys {
  #down = new Set<string>();
  #pressed = false;
  #fingers = new Map<number, { x: number; y: number }>();
  #button = false;
  #off = new AbortController();
  #surface: HTMLElement;
  /** Whether a finger was ever used: the page then has a button to fire. */
  touched = false;
  onTouched: (() => void) | null = null;
  /** Any key or finger: browsers allow sound from now on. */
  onUsed: (() => void) | null = null;

  constructor(surface: HTMLElement, fire: HTMLElement) {
    this.#surface = surface;
    const { signal } = this.#off;
    window.addEventListener("keydown", (event) => this.#key(event), { signal });
    window.addEventListener("keyup", (event) => this.#down.delete(event.code), { signal });
    window.addEventListener("blur", () => this.release(), { signal });
    document.addEventListener("visibilitychange", () => this.release(), { signal });
    surface.addEventListener("pointerdown", (event) => this.#finger(event), { signal });
    surface.addEventListener("pointermove", (event) => {
      if (this.#fingers.has(event.pointerId)) this.#fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    }, { signal });
    for (const end of ["pointerup", "pointercancel"] as const) {
      window.addEventListener(end, (event) => {
        this.#fingers.delete(event.pointerId);
        this.#button = false;
      }, { signal });
    }
    fire.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      this.#pressed = this.#button = true;
      this.onUsed?.();
    }, { signal });
    fire.addEventListener("contextmenu", (event) => event.preventDefault(), { signal });
  }

  /** Reads the controls for a step; `heading` of the own ship, which is in the middle of the surface. */
  read(heading: number): Controls {
    const held = (control: keyof Controls) => [...this.#down].some((code) => KEYS[code] === control);
    const controls = { up: held("up"), left: held("left"), right: held("right"), fire: held("fire") || this.#button || this.#pressed };
    this.#pressed = false;
    const [finger] = this.#fingers.values();
    if (finger) {
      const box = this.#surface.getBoundingClientRect();
      const steer = steering(finger.x - box.left - box.width / 2, finger.y - box.top - box.height / 2, radians(heading));
      controls.up ||= steer.up;
      controls.left ||= steer.left;
      controls.right ||= steer.right;
      controls.fire ||= this.#fingers.size > 1;
    }
    return controls;
  }

  release(): void {
    this.#down.clear();
    this.#fingers.clear();
    this.#pressed = this.#button = false;
  }

  close(): void {
    this.#off.abort();
    this.release();
  }

  #key(event: KeyboardEvent): void {
    const control = KEYS[event.code];
    if (!control || event.ctrlKey || event.altKey || event.metaKey) return;
    // A button or a field that has the focus keeps its keys.
    if (event.target instanceof Element && event.target.closest("input, dialog")) return;
    if (event.code === "Space" && event.target instanceof Element && event.target.closest("button, a")) return;
    event.preventDefault();
    this.onUsed?.();
    if (event.repeat) return;
    this.#down.add(event.code);
    if (control === "fire") this.#pressed = true;
  }

  #finger(event: PointerEvent): void {
    this.onUsed?.();
    if (event.pointerType === "mouse") return;
    event.preventDefault();
    if (!this.touched) {
      this.touched = true;
      this.onTouched?.();
    }
    this.#fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.#fingers.size > 1) this.#pressed = true;
  }
}

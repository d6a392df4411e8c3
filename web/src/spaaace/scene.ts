/**
 * Draws pictures of the world with WebGL. Knows nothing of rooms and time: a picture in, pixels out.
 *
 * Pixi without what it would add by itself (events, accessibility, DOM), and without code made from text, which a
 * page's content security policy may forbid. Loaded only with the game.
 */
import "pixi.js/unsafe-eval";
import "pixi.js/sprite-tiling";
import "pixi.js/text";
import { Container, Sprite, Text, Texture, TilingSprite, WebGLRenderer } from "pixi.js";
import { COLOR, SHARP, arrowPicture, cloudsPicture, dotPicture, gridPicture, missilePicture, ringPicture, shipPicture, starsPicture } from "./art";
import { type Point, arrow, onScreen } from "./geometry";
import { RATE, offset, radians } from "./rules";
import type { Happening, Picture, SeenShip, SeenShot } from "./world";

/** What a ship is to who looks. */
export type Kind = "own" | "pilot" | "bot";

export interface View {
  camera: Point;
  scale: number;
  /** Milliseconds since the last drawing. */
  elapsed: number;
  /** No shaking, flashing or drifting about. */
  calm: boolean;
  kind(key: string): Kind;
  name(key: string): string;
}

/** Most sparks at a time; the oldest go first. */
const SPARKS = 500;
/** Arrows to the nearest ships only. */
const ARROWS = 8;
const EDGE = 30;
/** Less than 25 pictures a second is slow, when it lasts for this many pictures. */
const SLOW_MS = 40;
const PATIENCE = 90;

interface Spark {
  sprite: Sprite;
  x: number;
  y: number;
  vx: number;
  vy: number;
  age: number;
  life: number;
  size: number;
  grow: number;
}

interface DrawnShip {
  whole: Container;
  hull: Sprite;
  flame: Sprite;
  shield: Sprite;
  name: Text;
  kind: Kind;
  seen: boolean;
  since: number;
}

/** A layer that tiles the sky and moves with a part of the camera's speed. */
interface Sky {
  tiles: TilingSprite;
  part: number;
  /** World pixels per pixel of the tile. */
  size: number;
}

export class Scene {
  readonly canvas: HTMLCanvasElement;
  #renderer: WebGLRenderer;
  #stage = new Container();
  #world = new Container();
  #sparks = new Container();
  #shipLayer = new Container();
  #shotLayer = new Container();
  #arrows = new Container();
  #sky: Sky[] = [];
  #travelled: Point = { x: 0, y: 0 };
  #last: Point | null = null;
  #ships = new Map<string, DrawnShip>();
  #shots = new Map<string, { sprite: Sprite; seen: boolean }>();
  #live: Spark[] = [];
  #spare: Sprite[] = [];
  #shake = 0;
  #time = 0;
  #elapsed = 0;
  /** The usual time between two drawings. */
  #pace = 16;
  #drawings = 0;
  #thrifty = false;
  #art: Record<"own" | "pilot" | "bot" | "ownShot" | "hostile" | "dot" | "ring" | "arrow", Texture>;
  width = 1;
  height = 1;

  private constructor(renderer: WebGLRenderer) {
    this.#renderer = renderer;
    this.canvas = renderer.canvas as HTMLCanvasElement;
    const texture = (canvas: HTMLCanvasElement) => Texture.from(canvas);
    this.#art = {
      own: texture(shipPicture(COLOR.own)),
      pilot: texture(shipPicture(COLOR.pilot)),
      bot: texture(shipPicture(COLOR.bot)),
      ownShot: texture(missilePicture(COLOR.own)),
      hostile: texture(missilePicture(COLOR.hostile)),
      dot: texture(dotPicture()),
      ring: texture(ringPicture()),
      arrow: texture(arrowPicture()),
    };
    const layers: [HTMLCanvasElement, number, number, number, "add" | "normal"][] = [
      [starsPicture(1024, 420, 0.9, 11), 0.02, 1, 1, "normal"],
      [cloudsPicture(512, [0x0f9a5c, 0x0a6f86, 0x1d7f52, 0x123a6a], 5), 0.05, 4.4, 0.36, "add"],
      [starsPicture(1024, 190, 1.5, 23), 0.12, 1, 1, "add"],
      [cloudsPicture(512, [0x39ff88, 0x1c9ab0, 0x0c7a4a], 9), 0.3, 3.4, 0.11, "add"],
      [starsPicture(1024, 40, 2.4, 37), 0.45, 1, 1, "add"],
      [gridPicture(), 1, 0.5, 0.5, "add"],
    ];
    for (const [canvas, part, size, alpha, blendMode] of layers) {
      const tiles = new TilingSprite({ texture: texture(canvas), width: 1, height: 1 });
      tiles.alpha = alpha;
      tiles.blendMode = blendMode;
      this.#sky.push({ tiles, part, size });
      this.#stage.addChild(tiles);
    }
    this.#world.addChild(this.#sparks, this.#shotLayer, this.#shipLayer);
    this.#stage.addChild(this.#world, this.#arrows);
    for (let index = 0; index < ARROWS; index += 1) {
      const sprite = new Sprite(this.#art.arrow);
      sprite.anchor.set(0.5);
      sprite.visible = false;
      this.#arrows.addChild(sprite);
    }
  }

  /** Fails where the browser has no WebGL. */
  static async start(): Promise<Scene> {
    const renderer = new WebGLRenderer();
    await renderer.init({
      width: 320, height: 320, background: 0x030504, antialias: false, autoDensity: true, skipExtensionImports: true,
      resolution: Math.min(2, window.devicePixelRatio || 1), powerPreference: "high-performance",
    });
    return new Scene(renderer);
  }

  resize(width: number, height: number): void {
    this.width = Math.max(1, width);
    this.height = Math.max(1, height);
    const sharp = Math.min(2, window.devicePixelRatio || 1);
    this.#renderer.resize(this.width, this.height, this.#thrifty ? sharp * 0.6 : sharp);
  }

  /** A machine that cannot keep up gets a plainer sky and fewer pixels, once and for good. */
  #watchPace(elapsed: number): void {
    this.#drawings += 1;
    this.#pace += (elapsed - this.#pace) * 0.05;
    if (this.#thrifty || this.#drawings < PATIENCE || this.#pace < SLOW_MS) return;
    this.#thrifty = true;
    for (const { tiles, part } of this.#sky) tiles.visible = part === 1 || part === 0.12;
    this.resize(this.width, this.height);
  }

  close(): void {
    this.#stage.destroy({ children: true });
    for (const texture of Object.values(this.#art)) texture.destroy(true);
    this.#renderer.destroy();
  }

  draw(picture: Picture, view: View): void {
    this.#time += view.elapsed;
    this.#elapsed = view.elapsed;
    this.#watchPace(view.elapsed);
    this.#shake = view.calm ? 0 : this.#shake * Math.exp(-view.elapsed / 120);
    const jolt = () => (Math.random() - 0.5) * this.#shake;
    const camera = { x: view.camera.x + jolt(), y: view.camera.y + jolt() };
    this.#drawSky(camera, view.scale);
    this.#world.scale.set(view.scale);
    const place = (point: Point): Point => {
      const at = onScreen(point, camera, 1, this.width / view.scale, this.height / view.scale);
      return at;
    };
    for (const happening of picture.happened) this.#happen(happening, view);
    this.#drawShips(picture.ships, place, view);
    this.#drawShots(picture.shots, place, view);
    this.#drawSparks(place, view.elapsed);
    this.#drawArrows(picture.ships, camera, view);
    this.#renderer.render(this.#stage);
  }

  #drawSky(camera: Point, scale: number): void {
    // The way travelled has no edges: at the world's edge the sky must not jump.
    if (this.#last) {
      this.#travelled.x += offset(this.#last.x, camera.x);
      this.#travelled.y += offset(this.#last.y, camera.y);
    } else {
      this.#travelled = { ...camera };
    }
    this.#last = camera;
    for (const { tiles, part, size } of this.#sky) {
      tiles.width = this.width;
      tiles.height = this.height;
      // Far things do not grow with the picture.
      const near = part === 1 ? scale : 0.55 + 0.45 * scale;
      tiles.tileScale.set(size * near);
      tiles.tilePosition.set(this.width / 2 - this.#travelled.x * part * near, this.height / 2 - this.#travelled.y * part * near);
    }
  }

  #drawShips(ships: readonly SeenShip[], place: (point: Point) => Point, view: View): void {
    for (const drawn of this.#ships.values()) drawn.seen = false;
    for (const ship of ships) {
      const kind = view.kind(ship.key);
      let drawn = this.#ships.get(ship.key);
      if (!drawn || drawn.kind !== kind) {
        drawn?.whole.destroy({ children: true });
        this.#ships.set(ship.key, (drawn = this.#newShip(kind)));
      }
      drawn.seen = true;
      const at = place(ship);
      const angle = radians(ship.heading);
      drawn.whole.position.set(at.x, at.y);
      drawn.hull.rotation = angle;
      const power = ship.thrust / 5;
      drawn.flame.visible = power > 0;
      if (power > 0) {
        const flicker = view.calm ? 1 : 0.85 + Math.random() * 0.35;
        drawn.flame.rotation = angle;
        drawn.flame.position.set(-Math.cos(angle) * 27, -Math.sin(angle) * 27);
        drawn.flame.scale.set(0.62 * power * flicker, 0.24);
        this.#exhaust(ship, angle, view);
      }
      drawn.shield.visible = ship.safe;
      if (ship.safe) drawn.shield.alpha = view.calm ? 0.5 : 0.45 + 0.3 * Math.sin(this.#time / 160);
      // A ship that appears does so quickly, not at once.
      drawn.since += view.elapsed;
      const grown = view.calm ? 1 : Math.min(1, drawn.since / 220);
      drawn.whole.alpha = grown;
      drawn.hull.scale.set((1 / SHARP) * (0.6 + 0.4 * grown));
      const name = ship.own ? "" : view.name(ship.key);
      if (drawn.name.text !== name) drawn.name.text = name;
      drawn.name.scale.set(1 / view.scale);
    }
    for (const [key, drawn] of this.#ships) {
      if (drawn.seen) continue;
      drawn.whole.destroy({ children: true });
      this.#ships.delete(key);
    }
  }

  #newShip(kind: Kind): DrawnShip {
    const sprite = (texture: Texture, tint = 0xffffff) => {
      const made = new Sprite(texture);
      made.anchor.set(0.5);
      made.tint = tint;
      return made;
    };
    const hull = sprite(this.#art[kind]);
    const flame = sprite(this.#art.dot, kind === "own" ? 0x9dffc8 : 0xffb066);
    flame.blendMode = "add";
    const shield = sprite(this.#art.ring, COLOR[kind]);
    shield.scale.set(0.36);
    shield.blendMode = "add";
    const name = new Text({
      text: "",
      style: { fontFamily: "system-ui, sans-serif", fontSize: 12, fontWeight: "600", fill: COLOR[kind] },
      resolution: Math.max(2, window.devicePixelRatio || 1),
    });
    name.anchor.set(0.5);
    name.position.set(0, -42);
    name.alpha = 0.8;
    const whole = new Container();
    whole.addChild(flame, hull, shield, name);
    this.#shipLayer.addChild(whole);
    return { whole, hull, flame, shield, name, kind, seen: true, since: 0 };
  }

  #drawShots(shots: readonly SeenShot[], place: (point: Point) => Point, view: View): void {
    for (const drawn of this.#shots.values()) drawn.seen = false;
    for (const shot of shots) {
      let drawn = this.#shots.get(shot.key);
      if (!drawn) {
        const sprite = new Sprite(shot.own ? this.#art.ownShot : this.#art.hostile);
        sprite.anchor.set(0.7, 0.5);
        sprite.scale.set(1 / SHARP);
        sprite.blendMode = "add";
        this.#shotLayer.addChild(sprite);
        this.#shots.set(shot.key, (drawn = { sprite, seen: true }));
      }
      drawn.seen = true;
      const at = place(shot);
      drawn.sprite.position.set(at.x, at.y);
      drawn.sprite.rotation = Math.atan2(shot.vy, shot.vx);
      for (let left = view.calm ? 0 : view.elapsed / 30; left > Math.random(); left -= 1) {
        const tint = shot.own ? COLOR.own : COLOR.hostile;
        this.#spark({ x: shot.x, y: shot.y, vx: shot.vx * 4, vy: shot.vy * 4, life: 260, size: 0.13, grow: -0.1, tint }, this.#art.dot, shot);
      }
    }
    for (const [key, drawn] of this.#shots) {
      if (drawn.seen) continue;
      drawn.sprite.destroy();
      this.#shots.delete(key);
    }
  }

  #exhaust(ship: SeenShip, angle: number, view: View): void {
    const chance = view.elapsed / (view.calm ? 60 : 14);
    for (let left = chance; left > 0; left -= 1) {
      if (Math.random() > left) continue;
      const spread = angle + Math.PI + (Math.random() - 0.5) * 0.5;
      const speed = 110 + Math.random() * 90;
      this.#spark({
        x: ship.x - Math.cos(angle) * 24, y: ship.y - Math.sin(angle) * 24,
        vx: ship.vx * RATE + Math.cos(spread) * speed, vy: ship.vy * RATE + Math.sin(spread) * speed,
        life: 320 + Math.random() * 260, size: 0.24, grow: 0.25, tint: ship.own ? 0x6bffa7 : 0xff8a3c,
      }, this.#art.dot, ship);
    }
  }

  #happen(happening: Happening, view: View): void {
    const { x, y } = happening;
    if (happening.what === "shot") {
      this.#spark({ x, y, vx: 0, vy: 0, life: 110, size: 0.8, grow: 0.6, tint: happening.own ? COLOR.own : COLOR.hostile });
      return;
    }
    const tints = [0xffffff, 0xffe08a, 0xffb03c, 0xff7a3c, 0xff4b3a];
    this.#spark({ x, y, vx: 0, vy: 0, life: view.calm ? 350 : 240, size: view.calm ? 1.2 : 3.2, grow: 0.4, tint: 0xffe9b8 });
    this.#spark({ x, y, vx: 0, vy: 0, life: 620, size: 0.12, grow: 1, tint: 0xffc857 }, this.#art.ring);
    for (let index = 0; index < (view.calm ? 14 : 64); index += 1) {
      const [angle, speed] = [Math.random() * 2 * Math.PI, 30 + Math.random() ** 2 * 330];
      this.#spark({
        x, y, vx: Math.cos(angle) * speed, vy: Math.sin(angle) * speed, life: 350 + Math.random() * 700,
        size: 0.14 + Math.random() * 0.32, grow: -0.15, tint: tints[Math.floor(Math.random() * tints.length)]!,
      });
    }
    if (happening.own) this.#shake = 26;
    else if (happening.mine) this.#shake = 7;
  }

  /** Adds a spark; `from` is the velocity of what it comes from, in pixels per step. */
  #spark(spark: { x: number; y: number; vx: number; vy: number; life: number; size: number; grow: number; tint: number }, texture = this.#art.dot, from = { vx: 0, vy: 0 }): void {
    if (this.#live.length >= SPARKS) this.#spare.push(this.#live.shift()!.sprite);
    const sprite = this.#spare.pop() ?? this.#sparks.addChild(new Sprite());
    sprite.texture = texture;
    sprite.anchor.set(0.5);
    sprite.blendMode = "add";
    sprite.tint = spark.tint;
    sprite.visible = true;
    // Those of one drawing began at any time since the one before, or a slow machine would show clumps.
    const age = Math.random() * Math.min(this.#elapsed, spark.life / 2);
    const x = spark.x + ((spark.vx - from.vx * RATE) * age) / 1000;
    const y = spark.y + ((spark.vy - from.vy * RATE) * age) / 1000;
    this.#live.push({ ...spark, x, y, sprite, age });
  }

  #drawSparks(place: (point: Point) => Point, elapsed: number): void {
    const slow = Math.exp(-elapsed / 500);
    this.#live = this.#live.filter((spark) => {
      spark.age += elapsed;
      if (spark.age >= spark.life) {
        spark.sprite.visible = false;
        this.#spare.push(spark.sprite);
        return false;
      }
      spark.x += (spark.vx * elapsed) / 1000;
      spark.y += (spark.vy * elapsed) / 1000;
      spark.vx *= slow;
      spark.vy *= slow;
      const part = spark.age / spark.life;
      const at = place(spark);
      spark.sprite.position.set(at.x, at.y);
      spark.sprite.scale.set(Math.max(0.02, spark.size + spark.grow * part));
      spark.sprite.alpha = (1 - part) ** 1.5;
      return true;
    });
  }

  #drawArrows(ships: readonly SeenShip[], camera: Point, view: View): void {
    const away = ships
      .filter((ship) => !ship.own)
      .map((ship) => ({ ship, far: Math.hypot(offset(camera.x, ship.x), offset(camera.y, ship.y)), at: onScreen(ship, camera, view.scale, this.width, this.height) }))
      .sort((a, b) => a.far - b.far);
    const arrows = away.flatMap(({ ship, far, at }) => {
      const found = arrow(at, this.width, this.height, EDGE);
      return found ? [{ ...found, ship, far }] : [];
    });
    this.#arrows.children.forEach((child, index) => {
      const found = arrows[index];
      child.visible = !!found;
      if (!found) return;
      child.position.set(found.x, found.y);
      child.rotation = found.angle;
      const near = Math.max(0, 1 - found.far / 2200);
      child.alpha = 0.35 + 0.55 * near;
      child.scale.set((0.7 + 0.5 * near) / SHARP);
      (child as Sprite).tint = COLOR[view.kind(found.ship.key)];
    });
  }
}

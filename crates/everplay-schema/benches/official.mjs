// The same three measurements with the official encoder; prints ns per change, one per line. See encode.rs.
import { createRequire } from 'node:module';

const { schema, t, Encoder, MapSchema } = createRequire(new URL('../tests/official/', import.meta.url))('schema5');

const Entity = schema({ x: t.float32(), y: t.float32(), angle: t.float32(), score: t.uint16() }, 'Entity');
const Arena = schema({ tick: t.uint32(), entities: t.map(Entity) }, 'Arena');

function arena(count) {
  Encoder.BUFFER_SIZE = 4 * 1024 * 1024;
  const state = new Arena();
  const encoder = new Encoder(state);
  for (let i = 0; i < count; i++) {
    const entity = new Entity();
    Object.assign(entity, { x: i, y: i * 2, angle: 0.5, score: 3 });
    state.entities.set(`e${i}`, entity);
  }
  encoder.encode({ offset: 0 });
  encoder.discardChanges();
  return { state, encoder };
}

function median(rounds, round) {
  const times = [];
  for (let i = 0; i < rounds; i++) {
    const start = process.hrtime.bigint();
    round(i);
    times.push(Number(process.hrtime.bigint() - start));
  }
  times.sort((a, b) => a - b);
  return times[rounds >> 1];
}

const patch = (encoder) => {
  const bytes = encoder.encode({ offset: 0 });
  encoder.discardChanges();
  return bytes.length;
};

{
  const { state, encoder } = arena(1000);
  const keys = Array.from({ length: 1000 }, (_, i) => `e${i}`);
  const batch = 100;
  const time = median(400, (number) => {
    for (let change = 0; change < batch; change++) {
      state.entities.get(keys[(number * 7 + change) % 1000]).x = number * batch + change;
      patch(encoder);
    }
  });
  console.log(time / batch);
}
{
  const { state, encoder } = arena(1000);
  const time = median(500, (number) => {
    state.entities.forEach((entity) => {
      entity.x = number + 0.5;
      entity.y = number + 0.25;
    });
    patch(encoder);
  });
  console.log(time / 2000);
}
{
  const { encoder } = arena(10_000);
  const buffer = new Uint8Array(4 * 1024 * 1024);
  const time = median(100, () => encoder.encodeAll({ offset: 0 }, buffer));
  console.log(time / 10_000);
}

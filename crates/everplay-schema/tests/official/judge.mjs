// Decodes a folder of emitted cases with the official decoders and compares with the recorded states.
//
// usage: node judge.mjs DIR       (made by: cargo run -p everplay-schema --example vectors -- IN --emit DIR --handshakes)
//
// Prints one JSON object: per generation the number of cases that pass and the cases that do not, with the reason.
// A state is right when it is the recorded one, or what the server held where that is recorded apart.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const dir = process.argv[2];
const generations = {
  schema5: { library: require('schema5'), handshake: (c) => c.handshake },
  schema4: { library: require('schema4'), handshake: (c) => c.handshakes.schema4 },
  schema3: { library: require('schema3'), handshake: (c) => c.handshakes.schema4 },
  'schema5 polyglot': { library: require('schema5'), handshake: (c) => c.handshakes.polyglot, polyglot: true },
  'schema4 polyglot': { library: require('schema4'), handshake: (c) => c.handshakes.polyglot, polyglot: true },
  'schema3 polyglot': { library: require('schema3'), handshake: (c) => c.handshakes.polyglot, polyglot: true },
};

const metadata = Symbol.metadata ?? Symbol.for('Symbol.metadata');

function number(v) {
  if (typeof v === 'bigint') return { $big: v.toString() };
  if (typeof v !== 'number') return v;
  if (Number.isNaN(v)) return { $num: 'NaN' };
  if (Object.is(v, -0)) return { $num: '-0' };
  return Number.isFinite(v) ? v : { $num: v > 0 ? 'Infinity' : '-Infinity' };
}

function plain(value) {
  if (value === null || typeof value !== 'object') return number(value);
  const fields = value.constructor?.[metadata];
  if (fields && typeof value.assign === 'function') {
    const out = {};
    for (let i = 0; fields[i] !== undefined; i++) {
      if (fields[i].deprecated) continue;
      const field = value[fields[i].name];
      if (field !== undefined && field !== null) out[fields[i].name] = plain(field);
    }
    return out;
  }
  if (typeof value.toArray === 'function' && !(value.$items instanceof Map)) return value.toArray().map(plain);
  const items = value.$items instanceof Map ? value.$items : new Map(value.entries());
  if (typeof value.set === 'function') {
    return Object.fromEntries([...items.keys()].sort().map((key) => [key, plain(items.get(key))]));
  }
  return [...items.values()].map(plain);
}

function quietly(work) {
  const logs = [];
  const { warn, error } = console;
  console.warn = console.error = (...args) => logs.push(args.map(String).join(' ').slice(0, 160));
  try {
    work();
  } finally {
    Object.assign(console, { warn, error });
  }
  return logs;
}

const same = (a, b) => JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

const bytes = (hex) => Buffer.from(hex, 'hex');

// Throws the first difference.
function judge(c, { library, handshake, polyglot }) {
  const views = c.steps.some((step) => step.patches) || c.initial?._shared !== undefined;
  const clients = new Map();
  // What each client was fed, to bring another one to the same state.
  const fed = new Map();
  const decoder = () => {
    let made;
    const logs = quietly(() => { made = library.Reflection.decode(bytes(handshake(c))); });
    // Old decoders warn about the part of a polyglot handshake that is not for them.
    if (logs.length && !polyglot) throw new Error(`handshake: ${logs[0]}`);
    return made;
  };
  const feed = (target, hex, where, ...wanted) => {
    const logs = quietly(() => target.decode(bytes(hex)));
    if (logs.length) throw new Error(`${where}: ${logs[0]}`);
    const state = plain(target.state);
    if (!wanted.some((one) => one !== undefined && same(one, state))) {
      throw new Error(`${where}: ${JSON.stringify(state).slice(0, 160)} instead of ${JSON.stringify(wanted[0]).slice(0, 160)}`);
    }
  };
  const join = (name, entry, where) => {
    clients.set(name, decoder());
    fed.set(name, entry ? [entry.bytes] : []);
    if (entry) feed(clients.get(name), entry.bytes, where, entry.state);
  };
  if (c.mode === 'patch-only') join('_shared');
  else if (views) for (const name of Object.keys(c.initial)) join(name, c.initial[name], `initial of ${name}`);
  else join('_shared', c.initial, 'initial');
  c.steps.forEach((step, number) => {
    const server = step.serverState;
    for (const [name, entry] of Object.entries(step.joins ?? {})) join(name, entry, `step ${number} join of ${name}`);
    if (step.lateJoin) {
      const late = decoder();
      feed(late, step.lateJoin.bytes, `step ${number} late join`, step.lateJoin.state, server);
    }
    const patches = views ? step.patches : step.patch ? { _shared: step.patch } : {};
    for (const [name, entry] of Object.entries(patches)) {
      if (!clients.has(name)) join(name);
      const rejoin = step.rejoin?.[name];
      if (rejoin) {
        const back = decoder();
        quietly(() => fed.get(name).forEach((hex) => back.decode(bytes(hex))));
        feed(back, rejoin.bytes, `step ${number} rejoin of ${name}`, rejoin.state);
      }
      fed.get(name).push(entry.bytes);
      feed(clients.get(name), entry.bytes, `step ${number} patch of ${name}`, entry.state, server);
    }
    for (const [name, entry] of Object.entries(views ? step.full : { _shared: step.full })) {
      feed(decoder(), entry.bytes, `step ${number} full of ${name}`, entry.state, server);
    }
  });
}

const result = {};
for (const [name, generation] of Object.entries(generations)) {
  result[name] = { passed: 0, failed: {} };
  for (const file of fs.readdirSync(dir).sort()) {
    if (file === 'index.json' || !file.endsWith('.json')) continue;
    const c = JSON.parse(fs.readFileSync(path.join(dir, file), 'utf8'));
    if (!generation.handshake(c)) continue;
    try {
      judge(c, generation);
      result[name].passed++;
    } catch (error) {
      result[name].failed[c.name] = error.message;
    }
  }
}
console.log(JSON.stringify(result, null, 1));

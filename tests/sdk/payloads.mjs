// What players may send: one of each kind of value and each boundary of its encoding.
//
// `back` is what returns when it is not the value itself. It says what the SDK's own encoding loses, which no
// server could give back.

const repeat = (count, of) => Array.from({ length: count }, (_, at) => of(at));

const same = (payload) => ({ payload, back: payload });

/** The payloads whose bytes were recorded from the official server. `undefined` alone is no bytes at all. */
export const RECORDED = [
  // null and booleans
  null, true, false,
  // integers around each width; 64 to 127 collide with the ids of msgpackr's records
  0, 1, 31, 32, 63, 64, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, 9007199254740991,
  -1, -32, -33, -128, -129, -32769, -2147483649,
  // floats
  0.5, 3.14159, 1e300,
  // texts around each length form
  "", "short", "é漢😀", "x".repeat(40), "y".repeat(300),
  // lists and objects; objects are records on the way in
  [], [1, "two", null, [3]], {}, { a: 1 }, { a: 1, b: "two", c: [1, 2], d: { e: true } },
  [{ x: 1, y: 2 }, { x: 3, y: 4 }, { z: 5 }], { k64: 64, k100: 100 }, [64, 65, 100],
  // extensions
  new Date(0), new Uint8Array([1, 2, 3]), 12345678901234567890n, undefined, { u: undefined }, [undefined, 1],
  // longer than a length of four bits
  repeat(20, (at) => at), Object.fromEntries(repeat(20, (at) => [`key${at}`, at])),
].map(same);

/** More values a game may send, some of them nearly as large as a frame may be. */
export const MORE = [
  same(NaN), same(Infinity), same(-Infinity), same(-9007199254740991),
  same(new Date(1_700_000_000_123)), same(new Date(-1)), same(-1234567890123456789n),
  same("z".repeat(60_000)), same(repeat(20_000, (at) => at % 7)), same(new Uint8Array(60_000).fill(9)),
  same(repeat(100, (at) => ({ [`shape${at}`]: at }))),
  // An integer on the wire, which has no negative zero.
  { payload: -0, back: 0 },
  // A map on the wire, which the SDKs read as an object.
  { payload: new Map([["a", 1], ["b", { c: 2 }]]), back: { a: 1, b: { c: 2 } } },
  // A list on the wire.
  { payload: new Set([1, "two"]), back: [1, "two"] },
];

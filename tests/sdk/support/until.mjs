// Waiting for conditions, never for times.

/** Long enough for a slow machine, short enough to notice a hang. */
const PATIENCE_MS = 20_000;

/** Resolves with the first truthy value of `probe`; an error names what was waited for. */
export async function until(what, probe, patience = PATIENCE_MS) {
  const deadline = Date.now() + patience;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`did not happen in ${patience} ms: ${what}`);
    await new Promise((resume) => setTimeout(resume, 5));
  }
}

/** Rejects when `promise` takes too long. */
export async function soon(what, promise, patience = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`did not happen in ${patience} ms: ${what}`)), patience);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

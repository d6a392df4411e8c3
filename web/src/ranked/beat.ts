/** Counts seconds where a browser does not slow them down: timers of a page that nobody looks at come once a minute. */
setInterval(() => postMessage(0), 1000);

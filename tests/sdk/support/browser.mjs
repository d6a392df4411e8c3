// As much of a browser as a sign-in needs: cookies per host, redirects, and forms that are filled in and sent.

export class Browser {
  #cookies = new Map();

  /** Everything that was asked for, in order. */
  visited = [];

  /** Goes there and wherever that leads. */
  async open(url, init = {}, referer = undefined) {
    for (let hops = 0; hops < 20; hops += 1) {
      const at = new URL(url);
      const jar = this.#jar(at.host);
      const cookie = [...jar].filter(([, { path }]) => at.pathname.startsWith(path)).map(([name, { value }]) => `${name}=${value}`);
      const headers = { ...init.headers, ...(cookie.length > 0 && { cookie: cookie.join("; ") }), ...(referer && { referer }) };
      const answer = await fetch(url, { ...init, headers, redirect: "manual" });
      this.visited.push(`${init.method ?? "GET"} ${url}`);
      for (const line of answer.headers.getSetCookie()) this.#keep(jar, line);
      const location = answer.headers.get("location");
      if (location === null) {
        return { url, status: answer.status, headers: answer.headers, text: await answer.text() };
      }
      url = new URL(location, url).href;
      init = {};
      referer = undefined;
    }
    throw new Error(`redirected without end: ${this.visited.join("\n")}`);
  }

  /** Sends the form of a page with these fields filled in. */
  async submit(page, fields = {}) {
    const action = /<form[^>]*action="([^"]*)"/.exec(page.text)?.[1] ?? page.url;
    const inputs = [...page.text.matchAll(/<input[^>]*>/g)].map(([tag]) => {
      const of = (name) => new RegExp(`${name}="?([^"> ]*)`).exec(tag)?.[1] ?? "";
      return [of("name"), of("value")];
    });
    const body = new URLSearchParams({ ...Object.fromEntries(inputs.filter(([name]) => name)), ...fields });
    const headers = { "content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin" };
    return this.open(new URL(action, page.url).href, { method: "POST", body, headers });
  }

  #jar(host) {
    if (!this.#cookies.has(host)) this.#cookies.set(host, new Map());
    return this.#cookies.get(host);
  }

  #keep(jar, line) {
    const [pair, ...attributes] = line.split(";").map((part) => part.trim());
    const [name, ...value] = pair.split("=");
    const path = attributes.find((one) => /^path=/i.test(one))?.slice(5) ?? "/";
    const ended = attributes.some((one) => /^max-age=0$/i.test(one) || /^expires=.*1970/i.test(one));
    if (ended) jar.delete(name);
    else jar.set(name, { value: value.join("="), path });
  }
}

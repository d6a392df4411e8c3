// Shows the API document: what there is, what it takes, what it answers. It adds text only, never markup.

const METHODS = ["get", "post", "put", "patch", "delete"];

const make = (name, text, ...children) => {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
};

/** Text whose `words` between backticks are code. */
const prose = (name, text) =>
  make(name, "", ...(text ?? "").split(/`([^`]+)`/).map((part, index) => (index % 2 ? make("code", part) : part)));

/** A schema with its references followed, as far as a reader wants to go. */
const follow = (api, schema, depth = 0) => {
  if (!schema || typeof schema !== "object") return schema;
  if (Array.isArray(schema)) return schema.map((one) => follow(api, one, depth));
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return depth > 4 ? name : follow(api, api.components.schemas[name], depth + 1);
  }
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, follow(api, value, depth)]));
};

/** What is long scrolls, and a keyboard gets there. */
const contents = (api, title, content) =>
  Object.entries(content ?? {}).map(([type, { schema }]) => {
    const text = make("pre", JSON.stringify(follow(api, schema), null, 2));
    text.tabIndex = 0;
    text.setAttribute("role", "group");
    text.setAttribute("aria-label", `${title}, ${type}`);
    return make("div", "", make("div", `${title} (${type})`), text);
  });

const table = (parameters) => {
  const head = make("tr", "", ...["Name", "In", "What"].map((text) => Object.assign(make("th", text), { scope: "col" })));
  const line = (one) =>
    make("tr", "", Object.assign(make("th", "", make("code", one.name)), { scope: "row" }), make("td", one.in), prose("td", one.description));
  return make("table", "", make("thead", "", head), make("tbody", "", ...parameters.map(line)));
};

/** One operation; its inside is made when it is opened first. */
const show = (api, path, method, operation) => {
  const label = make("b", method.toUpperCase());
  label.className = method;
  const element = make("details", "", make("summary", "", label, make("code", path), " ", prose("span", operation.summary)));
  element.addEventListener("toggle", () => {
    if (element.children.length > 1) return;
    const body = make("div", "");
    for (const text of (operation.description ?? "").split(/\n\s*\n/).filter(Boolean)) body.append(prose("p", text));
    if (operation.parameters?.length > 0) body.append(table(operation.parameters));
    body.append(...contents(api, "Body", operation.requestBody?.content));
    for (const [status, answer] of Object.entries(operation.responses ?? {})) {
      const part = prose("div", `${status}: ${answer.description ?? ""}`);
      part.className = "part";
      body.append(part, ...contents(api, "Answer", answer.content));
    }
    element.append(body);
  });
  return element;
};

const routes = document.querySelector("#routes");
const found = document.querySelector("#found");
const find = document.querySelector("#find");

const read = async () => {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
};

try {
  const api = await read();
  document.querySelector("#about").textContent = `${api.info.description ?? ""} Version ${api.info.version}.`;
  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((one) => item[one])) {
      const operation = item[method];
      const tag = operation.tags?.[0] ?? "other";
      const words = `${method} ${path} ${operation.summary ?? ""} ${tag}`.toLowerCase();
      groups.set(tag, [...(groups.get(tag) ?? []), { words, element: show(api, path, method, operation) }]);
    }
  }
  const sections = [...groups].map(([tag, list]) => ({ list, element: make("section", "", make("h2", tag), ...list.map(({ element }) => element)) }));
  routes.replaceChildren(...sections.map(({ element }) => element));
  const seek = () => {
    const wanted = find.value.trim().toLowerCase();
    let count = 0;
    for (const { list, element } of sections) {
      for (const one of list) one.element.hidden = !wanted.split(/\s+/).every((word) => one.words.includes(word));
      const here = list.filter((one) => !one.element.hidden).length;
      element.hidden = here === 0;
      count += here;
    }
    if (!wanted) found.textContent = "";
    else if (count === 0) found.textContent = `Nothing has “${find.value.trim()}” in its path or its title.`;
    else found.textContent = count === 1 ? "One operation." : `${count} operations.`;
  };
  find.addEventListener("input", seek);
  // What was typed while the document loaded, or before the page was left, counts too.
  seek();
} catch {
  routes.textContent = "The document did not arrive. Load the page again in a moment.";
}

// Shows the API document: what there is, what it takes, what it answers. It adds text only, never markup.

const METHODS = ["get", "post", "put", "patch", "delete"];

const api = await (await fetch("/openapi.json")).json();
document.querySelector("#about").textContent = `${api.info.description ?? ""} Version ${api.info.version}.`;

const make = (name, text, ...children) => {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
};

/** A schema with its references followed, as far as a reader wants to go. */
const follow = (schema, depth = 0) => {
  if (!schema || typeof schema !== "object") return schema;
  if (Array.isArray(schema)) return schema.map((one) => follow(one, depth));
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return depth > 4 ? name : follow(api.components.schemas[name], depth + 1);
  }
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, follow(value, depth)]));
};

const contents = (title, content) =>
  Object.entries(content ?? {}).map(([type, { schema }]) =>
    make("div", "", make("div", `${title} (${type})`), make("pre", JSON.stringify(follow(schema), null, 2))),
  );

const show = (path, method, operation) => {
  const label = make("b", method.toUpperCase());
  label.className = method;
  const body = make("div", "", make("p", operation.description ?? ""));
  const parameters = (operation.parameters ?? []).map((one) =>
    make("tr", "", make("td", one.name), make("td", one.in), make("td", one.description ?? "")),
  );
  if (parameters.length > 0) body.append(make("table", "", ...parameters));
  body.append(...contents("Body", operation.requestBody?.content));
  for (const [status, answer] of Object.entries(operation.responses ?? {})) {
    body.append(make("div", `${status}: ${answer.description ?? ""}`), ...contents("Answer", answer.content));
  }
  const summary = make("summary", "", label, make("code", path), ` ${operation.summary ?? ""}`);
  return make("details", "", summary, body);
};

const groups = new Map();
for (const [path, item] of Object.entries(api.paths)) {
  for (const method of METHODS.filter((one) => item[one])) {
    const tag = item[method].tags?.[0] ?? "other";
    groups.set(tag, [...(groups.get(tag) ?? []), { path, element: show(path, method, item[method]) }]);
  }
}

const routes = document.querySelector("#routes");
routes.replaceChildren();
for (const [tag, list] of groups) routes.append(make("h2", tag), ...list.map(({ element }) => element));

document.querySelector("#find").addEventListener("input", ({ target }) => {
  for (const { path, element } of [...groups.values()].flat()) element.hidden = !path.includes(target.value);
});

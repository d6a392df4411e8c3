// The nodes beside the game: looked at twice a second, each with its buttons.

const list = document.getElementById("nodes");
const said = document.getElementById("said");
const buttons = {
  plays: [["kill", "Kill", "kill"], ["freeze", "Freeze", ""]],
  starts: [["kill", "Kill", "kill"]],
  frozen: [["wake", "Wake up", ""], ["kill", "Kill", "kill"]],
  dead: [["start", "Start", "start"]],
};

const rows = [];

function row(at) {
  if (rows[at]) return rows[at];
  const item = document.createElement("li");
  item.innerHTML = "<header><b></b><span></span></header><div></div><nav></nav>";
  list.append(item);
  return (rows[at] = item);
}

function show(nodes) {
  nodes.forEach((node, at) => {
    const item = row(at);
    const count = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
    item.querySelector("b").textContent = `${node.name}, zone ${node.zone}`;
    item.querySelector("span").textContent = node.state;
    item.querySelector("div").textContent = `${count(node.rooms, "room")}, ${count(node.sockets, "socket")}`;
    item.dataset.rooms = node.rooms > 0 ? "some" : "none";
    if (item.dataset.state === node.state) return;
    item.dataset.state = node.state;
    item.querySelector("nav").replaceChildren(
      ...buttons[node.state].map(([what, text, look]) => {
        const button = document.createElement("button");
        button.textContent = text;
        button.className = look;
        button.setAttribute("aria-label", `${text} ${node.name}`);
        button.addEventListener("click", () => act(at, node.name, what, text));
        return button;
      }),
    );
  });
}

async function act(at, name, what, text) {
  const answer = await fetch(`/nodes/${at}/${what}`, { method: "POST", headers: { "x-everplay-stage": "1" } });
  said.textContent = answer.ok ? `${text}: ${name}` : await answer.text();
  await look();
}

async function look() {
  const answer = await fetch("/nodes");
  if (answer.ok) show(await answer.json());
}

async function watch() {
  for (;;) {
    await look().catch(() => (said.textContent = "The region is stopped."));
    await new Promise((done) => setTimeout(done, 500));
  }
}

watch();

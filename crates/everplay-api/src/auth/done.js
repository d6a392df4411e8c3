// Tells the page that opened this window how the sign-in went. The browser delivers it to that origin only.
const { outcome, target } = document.querySelector("#outcome").dataset;
window.opener?.postMessage(JSON.parse(outcome), target);

/** Asks for a name before a game, or says as whom one plays. */
import { user } from "./account/session";
import { h } from "./dom";
import { NAME_LENGTH, playerName, saveName, savedName } from "./name";
import { pageHash } from "./route";

/** For the name of somebody who is not signed in; kept on this device. */
export function nameField(): HTMLInputElement {
  const input = h("input", {
    type: "text", id: "name", maxlength: NAME_LENGTH, autocomplete: "nickname", spellcheck: "false",
    placeholder: "Player", value: user() ? playerName() : savedName(),
    oninput: () => !user() && saveName(input.value),
  });
  return input;
}

/** A name for this device; an account brings its own, and has its games counted. */
export function whoPlays(name: HTMLInputElement): HTMLElement {
  const me = user();
  if (me) return h("p", { class: "plays" }, "You play as ", h("a", { href: pageHash("profile") }, playerName()),
    playerName() === me.displayName ? "; games with others count." : `: games show the first ${NAME_LENGTH} characters of a name. Games with others count.`);
  return h("div", { class: "field" }, h("label", { for: "name" }, "Your name"), name,
    h("p", { class: "hint" }, h("a", { href: pageHash("sign-in") }, "Sign in"), " to have your games counted."));
}

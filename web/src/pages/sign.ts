/** The ways in: sign in, register or keep a guest's account, come as a guest, another site, a forgotten password. */
import { type Schema, GET, POST, answer } from "../api/client";
import { Refusal } from "../api/refusal";
import { elsewhere } from "../account/elsewhere";
import { type Tokens, enter, signOut, user } from "../account/session";
import { h, toast } from "../dom";
import { NAME_LENGTH, savedName } from "../name";
import { backTo, pageHash } from "../route";
import { Loaded, type Open, type Page, action, field, form, title } from "./page";

export const open: Open = (at) => {
  const next = backTo(at.query.get("next"));
  const link = (page: "sign-in" | "register" | "forgot", text: string) =>
    h("a", { href: pageHash(page, [], { next: next === "#/" ? "" : next }) }, text);
  const panel = h("section", { class: "panel" });
  const page = (title: string): Page => ({ title, element: h("div", { class: "invite" }, panel) });

  /** In: back to where one came from. */
  const done = (tokens: Tokens) => {
    enter(tokens);
    toast(`Welcome, ${user()?.displayName ?? "player"}.`);
    location.hash = next;
  };
  const wentIn = (tokens: Schema<"Tokens">) => done(tokens);
  /** In, or asked for the code of a second factor first. */
  const tried = async (attempt: Promise<Schema<"Tokens">>) => {
    try {
      wentIn(await attempt);
    } catch (error) {
      const challenge = error instanceof Refusal && error.code === "second_factor_required" ? error.details.challenge : null;
      if (typeof challenge !== "string") throw error;
      panel.replaceChildren(...secondFactor(challenge, wentIn));
      title("Second factor");
      panel.querySelector("input")?.focus();
    }
  };

  const me = user();
  if (at.page === "forgot") {
    panel.replaceChildren(...forgot(link("sign-in", "Back to sign in")));
    return page("Forgotten password");
  }
  if (me && !me.anonymous) {
    // A sign-in that ended elsewhere, as by a new password, is noticed here, and then there is something to fill in.
    void answer(GET("/account")).catch(() => user() || window.dispatchEvent(new HashChangeEvent("hashchange")));
    panel.replaceChildren(
      h("h1", {}, `You are signed in as ${me.displayName}`),
      h("a", { class: "button primary big", href: pageHash("profile") }, "To your profile"),
      action("Sign out", async () => {
        await signOut();
        location.hash = "#/";
      }, toast));
    return page("Signed in");
  }
  if (at.page === "register") {
    panel.replaceChildren(...register(me !== null, tried), providers(tried, me !== null), h("p", { class: "aside" }, "Have an account? ", link("sign-in", "Sign in")));
    return page(me ? "Keep your account" : "Register");
  }
  panel.replaceChildren(...signIn(tried, link("forgot", "Forgotten your password?")), providers(tried, false),
    me ? h("p", { class: "aside" }, "You play as a guest. ", link("register", "Keep this account")) : guest(wentIn),
    me ? h("p", { class: "aside" }, "Signing in to another account leaves the guest’s games behind.") : h("p", { class: "aside" }, "New here? ", link("register", "Register")));
  return page("Sign in");
};

type Tried = (attempt: Promise<Schema<"Tokens">>) => Promise<void>;

function signIn(tried: Tried, forgotten: Node): Node[] {
  const email = emailField();
  const password = passwordField("current-password");
  return [
    h("h1", {}, "Sign in"),
    h("p", { class: "lead" }, "Your games, your rank, your tickets: on every device."),
    form({ label: "Sign in", button: "Sign in", look: "button primary big", aside: h("p", { class: "aside" }, forgotten),
      act: () => tried(answer(POST("/auth/login", { body: { email: email.value.trim(), password: password.value } }))) },
      field("E-mail", email), field("Password", password)),
  ];
}

function register(guest: boolean, tried: Tried): Node[] {
  const email = emailField();
  const password = passwordField("new-password");
  const name = h("input", { type: "text", id: "display-name", name: "displayName", maxlength: 50, autocomplete: "nickname", value: savedName() });
  return [
    h("h1", {}, guest ? "Keep your account" : "Register"),
    h("p", { class: "lead" }, guest ? "All that you have played stays with it." : "An address and a password are enough."),
    form({ label: "Register", button: guest ? "Keep it" : "Register", look: "button primary big",
      act: () => tried(answer(POST("/auth/register", {
        body: { email: email.value.trim(), password: password.value, options: guest ? {} : { displayName: name.value.trim() || somebody() } },
      }))) },
      guest ? null : field("Name (optional)", name, `Shown to others; games show its first ${NAME_LENGTH} characters.`),
      field("E-mail", email), field("Password", password, "8 characters at least.")),
  ];
}

/** What somebody is called who gave no name. */
const somebody = (): string => `Player ${1000 + Math.floor(Math.random() * 9000)}`;

function guest(wentIn: (tokens: Schema<"Tokens">) => void): HTMLElement {
  const problem = (text: string) => toast(text);
  return action("Continue as a guest", async () => {
    const name = savedName();
    wentIn(await answer(POST("/auth/anonymous", { body: { options: name ? { displayName: name } : {} } })));
  }, problem);
}

function secondFactor(challenge: string, wentIn: (tokens: Schema<"Tokens">) => void): Node[] {
  const code = h("input", { type: "text", id: "code", name: "code", autocomplete: "one-time-code", inputmode: "text", spellcheck: "false", required: true, maxlength: 40 });
  return [
    h("h1", {}, "Your second factor"),
    h("p", { class: "lead" }, "Six digits of your authenticator, or one of your recovery codes."),
    form({ label: "Second factor", button: "Continue", look: "button primary big",
      act: async () => wentIn(await answer(POST("/auth/second-factor", { body: { challenge, code: code.value.trim() } }))) },
      field("Code", code)),
  ];
}

function forgot(back: Node): Node[] {
  const email = emailField();
  const said = h("p", { class: "good", role: "status", hidden: true });
  return [
    h("h1", {}, "Forgotten password"),
    h("p", { class: "lead" }, "We send a link to choose a new one."),
    form({ label: "Forgotten password", button: "Send the link", look: "button primary big",
      act: async () => {
        await answer(POST("/auth/forgot-password", { body: { email: email.value.trim() } }));
        said.textContent = "If that address has an account, a mail is on its way.";
        said.hidden = false;
      } },
      field("E-mail", email)),
    said,
    h("p", { class: "aside" }, back),
  ];
}

/** Buttons of other sites, when the server knows any. */
function providers(tried: Tried, link: boolean): HTMLElement {
  const list = new Loaded(() => answer(GET("/auth/providers")), (names) =>
    names.map((name) => action(`Continue with ${label(name)}`, () => tried(elsewhere(name, link)), (text) => toast(text))));
  const box = h("div", { class: "providers", hidden: true }, h("p", { class: "or" }, "or"), list.element);
  // Without any there is nothing to see, not even that there is nothing.
  const watch = new MutationObserver(() => (box.hidden = !list.element.querySelector("button:not(.small)")));
  watch.observe(list.element, { childList: true });
  return box;
}

export const label = (provider: string): string => provider.charAt(0).toUpperCase() + provider.slice(1);

function emailField(): HTMLInputElement {
  return h("input", { type: "email", id: "email", name: "email", autocomplete: "email", required: true, maxlength: 254 });
}

function passwordField(autocomplete: "current-password" | "new-password"): HTMLInputElement {
  return h("input", { type: "password", id: "password", name: "password", autocomplete, required: true, minlength: autocomplete === "new-password" ? 8 : 1 });
}

/** One's own account: name and region, address and password, second factor, other sites, sign-ins, export, deletion. */
import { type Schema, DELETE, GET, POST, PUT, answer } from "../api/client";
import { elsewhere } from "../account/elsewhere";
import { qr } from "../account/qr";
import { change, enter, forget, signOut, user } from "../account/session";
import { confirm, h, toast } from "../dom";
import { NAME_LENGTH } from "../name";
import { pageHash } from "../route";
import { REGIONS, since } from "./model";
import { Loaded, type Open, action, field, focusOn, form, heading, pill, select, signInFirst } from "./page";
import { label } from "./sign";

type Account = Schema<"Account">;

export const open: Open = () => {
  const me = user();
  if (!me) return { title: "Settings", element: signInFirst("Settings are of an account.") };
  const whole: Loaded<Account> = new Loaded(() => answer(GET("/account")), (account) => {
    // The newest word on the account: an address may have been confirmed since the sign-in.
    change({ email: account.email ?? null, emailConfirmed: account.emailConfirmed, roles: account.roles, displayName: account.displayName, anonymous: account.guest });
    return parts(account, () => void whole.again());
  });
  return {
    title: "Settings",
    element: h("div", { class: "page" },
      heading("Settings", "", h("div", { class: "row" },
        h("a", { class: "button quiet", href: pageHash("profile") }, "Profile"),
        action("Sign out", async () => {
          await signOut();
          location.hash = "#/";
        }, toast))),
      whole.element),
  };
};

function parts(account: Account, again: () => void): HTMLElement {
  return h("div", { class: "columns settings" },
    h("div", { class: "column" }, profile(account), account.guest ? keep() : access(account, again)),
    h("div", { class: "column" }, account.guest ? null : factor(), account.guest ? null : sites(), logins(), leaving(account)));
}

const panel = (title: string, ...content: (Node | null)[]): HTMLElement => h("section", { class: "panel", "aria-label": title }, h("h2", {}, title), ...content);

function profile(account: Account): HTMLElement {
  const name = h("input", { type: "text", id: "display-name", name: "displayName", maxlength: 50, required: true, autocomplete: "nickname", value: account.displayName });
  const username = h("input", { type: "text", id: "username", name: "username", minlength: 3, maxlength: 50, required: true, autocomplete: "username", spellcheck: "false", value: account.username });
  const own = account.region ?? "";
  const known = own && !REGIONS.some(([key]) => key === own) ? [...REGIONS, [own, own] as const] : REGIONS;
  const region = select("region", [["", "Not told"], ...known], own, () => undefined);
  return panel("Profile", form({ label: "Profile", button: "Save", act: async () => {
    const wanted = { displayName: name.value.trim(), region: region.value, ...(username.value !== account.username && { username: username.value.trim() }) };
    const now = await answer(PUT("/users/{id}", { params: { path: { id: "me" } }, body: wanted }));
    account.username = now.username;
    change({ displayName: now.displayName, username: now.username, region: now.region ?? null });
    toast("Saved.");
  } },
  field("Name", name, `Shown to others; games show its first ${NAME_LENGTH} characters.`), field("Username", username, "Yours alone: letters, digits, _ - and full stops."),
  field("Region", region, "For regional boards, from the next game on.")));
}

const keep = (): HTMLElement => panel("Keep this account",
  h("p", { class: "quiet" }, "You play as a guest: when this browser forgets you, nobody can bring the account back. With an address and a password it is yours on every device, with all you have played."),
  h("a", { class: "button primary", href: pageHash("register", [], { next: pageHash("account") }) }, "Keep this account"));

function access(account: Account, again: () => void): HTMLElement {
  const email = h("input", { type: "email", id: "email", name: "email", required: true, autocomplete: "email", value: account.email ?? "" });
  const proof = h("input", { type: "password", id: "email-password", name: "password", required: true, autocomplete: "current-password" });
  const code = h("input", { id: "email-code", name: "code", autocomplete: "one-time-code" });
  const old = h("input", { type: "password", id: "old-password", name: "oldPassword", required: true, autocomplete: "current-password" });
  const next = h("input", { type: "password", id: "new-password", name: "newPassword", required: true, minlength: 8, autocomplete: "new-password" });
  return panel("Address and password",
    account.email ? h("div", { class: "line" }, h("span", { class: "grow" }, account.email), account.emailConfirmed ? pill("confirmed", "won") : pill("not confirmed", "warn"),
      account.emailConfirmed ? null : action("Send the mail again", async () => {
        await answer(POST("/account/email/confirmation"));
        toast("A mail is on its way.");
      }, toast, "button small")) : null,
    fold("Change the address", form({ label: "Change the address", button: "Change the address", look: "button", act: async () => {
      await answer(PUT("/account/email", { body: { email: email.value.trim(), password: proof.value, code: code.value.trim() || null } }));
      toast("A mail with a link is on its way to the new address.");
      again();
    } }, field("New address", email), field("Password", proof), field("Code of your authenticator", code, "If you have one."))),
    fold("Change the password", form({ label: "Change the password", button: "Change the password", look: "button", act: async () => {
      await answer(PUT("/account/password", { body: { oldPassword: old.value, newPassword: next.value } }));
      old.value = next.value = "";
      toast("Changed. Other devices are signed out.");
    } }, field("Password until now", old), field("New password", next, "8 characters at least."))));
}

const fold = (title: string, content: Node): HTMLElement => h("details", { class: "fold" }, h("summary", {}, title), content);

/** An authenticator: begun, shown a first code, then in force. Each step takes the focus, so that it is read out. */
function factor(): HTMLElement {
  const state = new Loaded(() => answer(GET("/account/factor")), (status) => (status.enabled ? enabled(status.recoveryCodes) : disabled()));
  const code = (id: string) => h("input", { type: "text", id, name: "code", required: true, autocomplete: "one-time-code", inputmode: "numeric", maxlength: 40, spellcheck: "false" });

  function disabled(): HTMLElement {
    const password = h("input", { type: "password", id: "factor-password", name: "password", required: true, autocomplete: "current-password" });
    return h("div", { class: "stack" }, h("p", { class: "quiet" }, "A code of your phone besides the password. Staff cannot do without."),
      fold("Set up", form({ label: "Set up a second factor", button: "Begin", look: "button", act: async () => {
        const begun = await answer(POST("/account/factor", { body: { password: password.value } }));
        turn(begin(begun.url));
      } }, field("Password", password))));
  }

  function begin(url: string): HTMLElement {
    const first = code("factor-first");
    const secret = new URL(url).searchParams.get("secret") ?? "";
    return h("div", { class: "stack", role: "group", "aria-label": "Your authenticator", "aria-describedby": "factor-how" },
      h("p", { id: "factor-how" }, "Scan this picture with your authenticator, type the key into it, or ", h("a", { href: url }, "open it on this device"), "; then enter the code it shows."),
      h("div", { class: "factor-key" }, qr(url, "The key as a QR code"),
        h("div", { class: "stack" }, h("p", { class: "quiet", id: "factor-key" }, "The key"), h("p", { class: "secret", "aria-labelledby": "factor-key" }, secret.replace(/(.{4})(?=.)/g, "$1 ")))),
      form({ label: "Confirm the authenticator", button: "Confirm", act: async () => {
        codes((await answer(POST("/account/factor/confirm", { body: { code: first.value.trim() } }))).recoveryCodes);
      } }, field("First code", first)));
  }

  function enabled(left: number): HTMLElement {
    const again = code("factor-codes");
    const last = code("factor-remove");
    return h("div", { class: "stack" },
      h("div", { class: "line" }, h("span", { class: "grow" }, `${left} recovery codes left`), pill("on", "won")),
      fold("New recovery codes", form({ label: "New recovery codes", button: "Make new ones", look: "button", act: async () => {
        codes((await answer(POST("/account/factor/recovery-codes", { body: { code: again.value.trim() } }))).recoveryCodes);
      } }, field("Code", again))),
      fold("Remove", form({ label: "Remove the second factor", button: "Remove it", look: "button", act: async () => {
        await answer(POST("/account/factor/remove", { body: { code: last.value.trim() } }));
        await state.again();
        toast("Your second factor is removed.");
      } }, field("Code", last))));
  }

  function codes(list: string[]): void {
    turn(h("div", { class: "stack", role: "group", "aria-label": "Your recovery codes", "aria-describedby": "codes-why codes" },
      h("p", { id: "codes-why" }, "Keep these recovery codes: each opens the account once when the authenticator is lost. They are shown only now."),
      h("ul", { class: "codes", id: "codes" }, ...list.map((code) => h("li", {}, code))),
      h("div", { class: "row" },
        action("Copy", async () => {
          try {
            await navigator.clipboard.writeText(list.join("\n"));
            toast("Copied.");
          } catch {
            toast("The browser does not let us copy: select them and copy by hand.");
          }
        }, toast),
        action("I have them", () => state.again(), toast, "button primary"))));
  }

  function turn(step: HTMLElement): void {
    state.element.replaceChildren(step);
    focusOn(step);
  }
  return panel("Second factor", state.element);
}

function sites(): HTMLElement {
  const list = new Loaded(
    () => Promise.all([answer(GET("/account/identities")), answer(GET("/auth/providers"))]),
    ([identities, providers]) => {
      const others = providers.filter((name) => !identities.some((identity) => identity.provider === name));
      if (identities.length + others.length === 0) return h("p", { class: "quiet" }, "This server knows no other sites to sign in with.");
      return h("ul", { class: "rows" },
        ...identities.map((identity) => h("li", { class: "line" },
          h("span", { class: "grow" }, label(identity.provider), identity.email ? h("span", { class: "quiet" }, ` ${identity.email}`) : null),
          action("Unlink", async () => {
            await answer(DELETE("/account/identities/{provider}", { params: { path: { provider: identity.provider } } }));
            await list.again();
          }, toast, "button small"))),
        ...others.map((name) => h("li", { class: "line" }, h("span", { class: "grow" }, label(name)),
          action("Link", async () => {
            enter(await elsewhere(name, true));
            await list.again();
          }, toast, "button small"))));
    });
  return panel("Other sites", list.element);
}

function logins(): HTMLElement {
  const list = new Loaded(() => answer(GET("/account/logins")), (logins) => h("div", { class: "stack" },
    h("ul", { class: "rows" }, ...logins.map((login) => h("li", { class: "line" },
      h("div", { class: "grow" }, h("p", { class: "clip", title: login.agent }, device(login.agent)), h("p", { class: "quiet" }, `${login.network}, ${since(login.lastUsed, Date.now())}`)),
      login.current ? pill("here", "won") : action("Sign out", async () => {
        await answer(DELETE("/account/logins/{id}", { params: { path: { id: login.id } } }));
        await list.again();
      }, toast, "button small")))),
    logins.length > 1 ? action("Sign out everywhere else", async () => {
      const { ended } = await answer(DELETE("/account/logins"));
      toast(ended === 1 ? "One sign-in ended." : `${ended} sign-ins ended.`);
      await list.again();
    }, toast, "button quiet") : null));
  return panel("Signed in", list.element);
}

/** `Mozilla/5.0 (X11; Linux x86_64) ... Chrome/130.0` is Chrome on Linux. */
function device(agent: string): string {
  const browser = ["Edg", "OPR", "Firefox", "Chrome", "Safari"].find((name) => agent.includes(`${name}/`));
  const system = ["Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux"].find((name) => agent.includes(name));
  const name = browser === "Edg" ? "Edge" : browser === "OPR" ? "Opera" : browser;
  return name ? `${name}${system ? ` on ${system}` : ""}` : agent || "Unknown device";
}

function leaving(account: Account): HTMLElement {
  const password = h("input", { type: "password", id: "delete-password", name: "password", autocomplete: "current-password", required: !account.guest });
  return panel("Your data",
    h("p", { class: "quiet" }, "Everything that is kept of you, as one file."),
    action("Download", async () => {
      const all = await answer(GET("/account/export"));
      const address = URL.createObjectURL(new Blob([JSON.stringify(all, null, 2)], { type: "application/json" }));
      h("a", { href: address, download: "everplay.json" }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
    }, toast),
    fold("Delete the account", form({ label: "Delete the account", button: "Delete for ever", look: "button danger", act: async () => {
      if (!(await confirm("Delete this account?", "Name, address, statistics and sign-ins go at once. This cannot be undone.", "Delete it", "Keep it"))) return;
      await answer(DELETE("/account", { body: { password: password.value } }));
      forget();
      location.hash = "#/";
      toast("Your account is deleted.");
    } }, account.guest ? null : field("Password", password))));
}

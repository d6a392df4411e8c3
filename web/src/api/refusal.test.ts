import { describe, expect, it } from "vitest";
import { Refusal, fieldsOf, offline, refusal, words } from "./refusal";

const envelope = (code: string, message = "", details: unknown = null) => ({
  error: { code, message, details, timestamp: "2026-01-31T12:00:00.000Z", requestId: "r" },
});

describe("refusals", () => {
  it("are read from the envelope, from the SDK's form and from nothing at all", () => {
    expect(refusal(404, envelope("NOT_FOUND"))).toMatchObject({ code: "NOT_FOUND", status: 404, passing: false });
    expect(refusal(401, { error: "second_factor_required", challenge: "c" })).toMatchObject({ code: "second_factor_required", details: { challenge: "c" } });
    for (const body of [null, undefined, "<html>", 7, [], { error: null }]) {
      expect(refusal(502, body)).toMatchObject({ code: "INTERNAL", passing: true });
    }
  });

  it("are told in words", () => {
    expect(words(refusal(401, { error: "invalid_credentials" }))).toBe("That address and password do not belong together.");
    expect(words(refusal(404, envelope("NOT_FOUND", "there is no such ticket")))).toBe("That is not there, or not any more.");
    expect(words(offline())).toMatch(/does not answer/);
    expect(words(refusal(503, envelope("MAINTENANCE", "the service is being worked on", { level: "maintenance", message: "new disks", until: null })))).toBe("The service is being worked on. New disks.");
    expect(words(refusal(503, envelope("READ_ONLY")))).toBe("Nothing can be changed at the moment.");
    expect(words(new TypeError("x is not a function"))).toBe("Something broke on our side.");
    expect(words(refusal(403, { error: "banned", reason: "spam", until: null }))).toBe("This account is banned: spam.");
    expect(words(refusal(409, envelope("TICKET_CLOSED", "the ticket is closed")))).toBe("The ticket is closed.");
  });

  it("name the field they are about", () => {
    const refused = refusal(400, envelope("INVALID_REQUEST", "1 to 50 characters", { field: "displayName" }));
    expect(fieldsOf(refused)).toEqual(["displayName"]);
    expect(words(refused)).toBe("Display name: 1 to 50 characters.");
  });

  it("are about the field of their code, where they name none", () => {
    const of = (code: string) => fieldsOf(refusal(400, { error: code }))[0];
    expect(["email_malformed", "email_already_in_use", "EMAIL_TAKEN"].map(of)).toEqual(["email", "email", "email"]);
    expect(["password_too_short", "password_holds_own_name"].map(of)).toEqual(["newPassword", "newPassword"]);
    expect(["INVALID_CREDENTIALS", "WRONG_CODE", "NAME_TAKEN"].map(of)).toEqual(["oldPassword", "code", "username"]);
    expect(fieldsOf(refusal(400, envelope("INVALID_REQUEST", "x", { field: "password" })))).toEqual(["newPassword", "password"]);
    for (const none of [offline(), refusal(403, envelope("FORBIDDEN")), new TypeError("x")]) expect(fieldsOf(none)).toEqual([]);
  });

  it("say that only the password was wrong where only the password was asked", () => {
    expect(words(refusal(401, envelope("INVALID_CREDENTIALS")))).toBe("That password is wrong.");
    expect(words(refusal(409, envelope("VERSION_CONFLICT", "the ticket has changed meanwhile; it is version 3 now")))).toMatch(/changed meanwhile/);
  });

  it("say when to come again", () => {
    const told = (seconds: string | null) => words(refusal(429, envelope("RATE_LIMITED"), seconds));
    expect(told("1")).toBe("Too many requests. Try again in a second.");
    expect(told("30")).toBe("Too many requests. Try again in 30 seconds.");
    expect(told("100")).toBe("Too many requests. Try again in 2 minutes.");
    expect(told("soon")).toBe("Too many requests. Try again in a moment.");
    expect(new Refusal("X", 429, "").passing).toBe(true);
  });
});

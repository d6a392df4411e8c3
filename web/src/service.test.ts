import { describe, expect, it } from "vitest";
import { lasting } from "./api/refusal";
import { notice } from "./service";

const NOW = new Date(2026, 0, 31, 12, 0).getTime();
const at = (day: number, hour: number) => new Date(2026, 0, day, hour, 30).toISOString();

describe("the strip", () => {
  it("is there when there is less than everything, or something is said", () => {
    expect(notice({ level: "full", message: "" }, NOW)).toBe(null);
    expect(notice({ level: "limited", message: "the boards are away" }, NOW)).toEqual({ title: "Limited service", text: "The boards are away. Some lists may be old." });
    expect(notice({ level: "maintenance", message: "", until: null }, NOW)).toEqual({ title: "Maintenance", text: "Games go on; the rest comes back." });
    expect(notice({ level: "full", message: "A tournament begins at eight!" }, NOW)).toEqual({ title: "Notice", text: "A tournament begins at eight!" });
    // A level of a later server is told by its words.
    expect(notice({ level: "slow", message: "patience" }, NOW)?.text).toBe("Patience.");
  });

  it("says until when, with the day when it is another one", () => {
    expect(lasting("new disks", at(31, 14), NOW)).toMatch(/^New disks\. Until about 1?[24][:.]30/);
    expect(lasting("", at(31, 14), NOW)).toMatch(/^Until about \S+( ?PM)?\.$/);
    expect(lasting("", at(30, 14), NOW)).toBe("");
    expect(lasting("", "soon", NOW)).toBe("");
    expect(lasting("Until later.", new Date(2026, 1, 3, 9, 30).toISOString(), NOW)).toMatch(/Until about .*3.*30/);
  });
});

import { describe, expect, it } from "vitest";
import { Refusal, offline } from "../api/refusal";
import { Search, type Services, type Ticket, toAccept } from "./search";

const ticket = (status: string, more: Partial<Ticket> = {}): Ticket => ({
  ticketId: "1", status, rating: 1500, window: 50, createdAt: "2026-01-31T12:00:00.000Z", waitedMs: 0, ...more,
});
const proposal = (accepted: boolean) => ({ acceptBy: "2026-01-31T12:00:20.000Z", accepted, opponentRating: 1510 });

/** A search whose services answer what stands in the script, in order; what was asked is kept. */
function scripted(...answers: (Ticket | Refusal)[]) {
  const asked: string[] = [];
  const next = (call: string) => {
    asked.push(call);
    const answer = answers.shift() ?? ticket("searching");
    return answer instanceof Refusal ? Promise.reject(answer) : Promise.resolve(answer);
  };
  const services: Services = {
    make: () => next("make"), see: (id) => next(`see ${id}`), accept: (id) => next(`accept ${id}`), cancel: (id) => next(`cancel ${id}`),
  };
  const search = new Search(services);
  const seats: unknown[] = [];
  search.listener = { changed: () => undefined, seat: (seat) => seats.push(seat) };
  return { search, asked, seats };
}

describe("a ranked search", () => {
  it("goes from a ticket over a proposal to a seat", async () => {
    const { search, asked, seats } = scripted(
      ticket("searching"), ticket("proposed", { proposal: proposal(false) }), ticket("proposed", { proposal: proposal(true) }),
      ticket("matched"), ticket("matched", { reservation: { roomId: "r" } }));
    await search.beat();
    await search.beat();
    expect(search.ticket?.status).toBe("proposed");
    await search.accept();
    await search.beat();
    expect(search.matched).toBe(true);
    await search.beat();
    expect(seats).toEqual([{ roomId: "r" }]);
    expect(asked).toEqual(["make", "see 1", "accept 1", "see 1", "see 1"]);
    search.close();
    expect(asked.length).toBe(5);
  });

  it("goes on with the ticket that is open already", async () => {
    const { search, asked } = scripted(new Refusal("ALREADY_SEARCHING", 409, "", { ticketId: "7" }), ticket("searching", { ticketId: "7" }));
    await search.beat();
    expect(search.ticket?.ticketId).toBe("7");
    await search.beat();
    expect(asked).toEqual(["make", "see 7", "see 7"]);
  });

  it("asks for its own when the one that is open was just being taken back", async () => {
    const { search, asked } = scripted(new Refusal("ALREADY_SEARCHING", 409, "", { ticketId: "7" }), ticket("cancelled", { ticketId: "7" }));
    await search.beat();
    await search.beat();
    expect(search.end).toBe(null);
    expect(asked).toEqual(["make", "see 7", "make"]);
    // Also when it was seen open once more.
    const late = scripted(new Refusal("ALREADY_SEARCHING", 409, "", { ticketId: "7" }), ticket("searching", { ticketId: "7" }), ticket("cancelled", { ticketId: "7" }));
    for (let beat = 0; beat < 3; beat += 1) await late.search.beat();
    expect(late.search.end).toBe(null);
    expect(late.asked).toEqual(["make", "see 7", "see 7", "make"]);
  });

  it("searches anew when the server does not know the ticket any more, and when it lapsed unasked", async () => {
    const { search, asked } = scripted(ticket("searching"), new Refusal("NOT_FOUND", 404, ""), ticket("searching", { ticketId: "2" }), ticket("lapsed", { ticketId: "2" }));
    for (let beat = 0; beat < 5; beat += 1) await search.beat();
    expect(asked).toEqual(["make", "see 1", "make", "see 2", "make"]);
    expect(search.end).toBe(null);
  });

  it("waits for what passes, no longer than five beats, and keeps its ticket", async () => {
    const { search, asked } = scripted(ticket("searching"), offline(), new Refusal("MAINTENANCE", 503, "", {}, 600));
    await search.beat();
    await search.beat();
    expect(search.refusal?.code).toBe("OFFLINE");
    for (let beat = 0; beat < 2; beat += 1) await search.beat();
    expect(search.refusal?.code).toBe("MAINTENANCE");
    for (let beat = 0; beat < 5; beat += 1) await search.beat();
    expect(asked.length).toBe(3);
    await search.beat();
    expect(asked).toEqual(["make", "see 1", "see 1", "see 1"]);
    expect(search.refusal).toBe(null);
  });

  it("ends with what does not pass", async () => {
    const { search, asked } = scripted(new Refusal("BANNED", 403, ""));
    await search.beat();
    await search.beat();
    expect(search.end).toBe("refused");
    expect(asked).toEqual(["make"]);
  });

  it("says when the other did not accept, and when oneself did not answer", async () => {
    const { search } = scripted(ticket("searching"), ticket("proposed", { proposal: proposal(true) }), ticket("searching"), ticket("proposed", { proposal: proposal(false) }), ticket("lapsed"));
    for (let beat = 0; beat < 3; beat += 1) await search.beat();
    expect(search.inVain).toBe(true);
    await search.beat();
    expect(search.inVain).toBe(false);
    await search.beat();
    expect(search.end).toBe("unanswered");
  });

  it("is taken back, declined, or ended by another tab", async () => {
    const back = scripted(ticket("searching"), ticket("cancelled"));
    await back.search.beat();
    await back.search.cancel();
    expect(back.search.end).toBe("cancelled");
    const no = scripted(ticket("proposed", { proposal: proposal(false) }), ticket("cancelled"));
    await no.search.beat();
    await no.search.cancel();
    expect(no.search.end).toBe("declined");
    const other = scripted(ticket("searching"), ticket("cancelled"));
    await other.search.beat();
    await other.search.beat();
    expect(other.search.end).toBe("elsewhere");
    const unasked = scripted();
    await unasked.search.cancel();
    expect([unasked.search.end, unasked.asked]).toEqual(["cancelled", []]);
  });

  it("goes on when it was matched before it could be taken back", async () => {
    const { search, seats } = scripted(ticket("proposed", { proposal: proposal(true) }), new Refusal("MATCHED", 409, ""), ticket("matched", { reservation: 1 }));
    await search.beat();
    await search.cancel();
    expect(search.end).toBe(null);
    await search.beat();
    expect(seats).toEqual([1]);
  });

  it("gives an open ticket back when nobody looks any more, one that is on its way too", async () => {
    const { search, asked } = scripted(ticket("searching"));
    await search.beat();
    search.close();
    search.close();
    expect(asked).toEqual(["make", "cancel 1"]);
    const late = scripted(ticket("searching"));
    const beat = late.search.beat();
    late.search.close();
    await beat;
    expect(late.asked).toEqual(["make", "cancel 1"]);
  });

  it("counts the time to accept by the server's clock", () => {
    const now = ticket("proposed", { waitedMs: 8000, proposal: proposal(false) });
    expect(toAccept(now, 0)).toBe(12_000);
    expect(toAccept(now, 2000)).toBe(10_000);
    expect(toAccept(now, 60_000)).toBe(0);
    expect(toAccept(ticket("searching"), 0)).toBe(0);
  });
});

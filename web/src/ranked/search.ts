/**
 * A search for an opponent of one's own strength, as docs/matchmaking.md has it.
 *
 *   no ticket -> searching <-> proposed -> matched -> the seat is handed over
 *       ^            |            |
 *       |            |            '-> ended   declined, not answered, taken back
 *       '------------'                        404 (the server began anew) and lapsed while away: another ticket
 *
 * What passes by itself (no answer, busy, maintenance) is told and waited for; what does not ends the search. Pure: no
 * page and no clock, a beat is a second; services are given.
 */
import { Refusal } from "../api/refusal";

export interface Ticket {
  ticketId: string;
  status: string;
  rating: number;
  /** The gap in rating that is fine now. */
  window: number;
  /** RFC 3339, by the server's clock. */
  createdAt: string;
  waitedMs: number;
  estimatedWaitMs?: number | null;
  proposal?: { acceptBy: string; accepted: boolean; opponentRating?: number | null } | null;
  /** The seat, for the SDK; null until it is there. */
  reservation?: unknown;
}

export interface Services {
  make(): Promise<Ticket>;
  see(id: string): Promise<Ticket>;
  accept(id: string): Promise<Ticket>;
  cancel(id: string): Promise<Ticket>;
}

/** Why a search is over without a game. */
export type End = "cancelled" | "declined" | "unanswered" | "elsewhere" | "refused";

export interface Listener {
  changed(): void;
  /** Both accepted, and the seat waits. */
  seat(reservation: unknown): void;
}

/** Most beats between two attempts when the server is away or busy. */
const MOST_PAUSE = 5;
/** Answers in which a ticket that was found open may turn out to be on its way out. */
const FOUND = 3;

export class Search {
  ticket: Ticket | null = null;
  end: End | null = null;
  /** What ended the search, or what it waits for to pass. */
  refusal: Refusal | null = null;
  /** The last opponent that was proposed did not accept, although we did. */
  inVain = false;
  /** Set by whoever shows the search. */
  listener: Listener | null = null;
  #services: Services;
  #work: Promise<void> = Promise.resolve();
  #busy = false;
  #pause = 0;
  #leaving: End | null = null;
  /** For so many more answers the ticket, which was there before us, may be one that a page before this one is taking back. */
  #found = 0;
  #closed = false;

  constructor(services: Services) {
    this.#services = services;
  }

  /** The seat is on its way. */
  get matched(): boolean {
    return this.ticket?.status === "matched" && this.end === null;
  }

  /** Once a second: asks how the search stands, or for a ticket when there is none. */
  beat(): Promise<void> {
    if (this.#over || this.#busy) return this.#work;
    if (this.#pause > 0) {
      this.#pause -= 1;
      return this.#work;
    }
    return this.#do(() => (this.ticket ? this.#services.see(this.ticket.ticketId) : this.#make()));
  }

  /** Accepts who is proposed. */
  accept(): Promise<void> {
    return this.#with((id) => this.#services.accept(id));
  }

  /** Takes the search back, or declines who is proposed. */
  async cancel(): Promise<void> {
    if (this.#over) return;
    this.#leaving = this.ticket?.status === "proposed" ? "declined" : "cancelled";
    // Before the first answer there is nothing that the server knows of.
    if (!this.ticket && !this.#busy) return this.#finish(this.#leaving);
    await this.#work;
    if (!this.ticket) return this.#over ? undefined : this.#finish(this.#leaving);
    await this.#with((id) => this.#services.cancel(id));
  }

  /** Nobody looks any more: an open ticket is given back. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.listener = null;
    const open = this.ticket && ["searching", "proposed"].includes(this.ticket.status) && this.end === null;
    if (open) this.#services.cancel(this.ticket!.ticketId).catch(() => undefined);
  }

  get #over(): boolean {
    return this.#closed || this.end !== null;
  }

  async #make(): Promise<Ticket> {
    try {
      const ticket = await this.#services.make();
      this.#found = 0;
      return ticket;
    } catch (error) {
      const open = error instanceof Refusal && error.code === "ALREADY_SEARCHING" ? error.details.ticketId : null;
      if (typeof open !== "string") throw error;
      this.#found = FOUND;
      return this.#services.see(open);
    }
  }

  #with(call: (id: string) => Promise<Ticket>): Promise<void> {
    return this.#do(() => (this.ticket ? call(this.ticket.ticketId) : Promise.reject(new Refusal("NOT_FOUND", 404, ""))));
  }

  /** One request after the other. */
  #do(call: () => Promise<Ticket>): Promise<void> {
    this.#work = this.#work.then(async () => {
      if (this.end !== null) return;
      this.#busy = true;
      try {
        this.#heard(await call());
      } catch (error) {
        this.#refused(error);
      } finally {
        this.#busy = false;
      }
      if (!this.#closed) this.listener?.changed();
    });
    return this.#work;
  }

  #heard(next: Ticket): void {
    const before = this.ticket;
    const found = this.#found > 0;
    this.#found = Math.max(0, this.#found - 1);
    this.refusal = null;
    this.ticket = next;
    // It came while we went.
    if (this.#closed) return void (next.status === "searching" && this.#services.cancel(next.ticketId).catch(() => undefined));
    switch (next.status) {
      case "searching":
        if (before?.ticketId !== next.ticketId) this.inVain = false;
        else if (before.status === "proposed") this.inVain = before.proposal?.accepted === true;
        return;
      case "matched":
        if (next.reservation) {
          this.#closed = true;
          this.listener?.seat(next.reservation);
        }
        return;
      case "cancelled":
        if (this.#leaving) return this.#finish(this.#leaving);
        // What was found open was on its way out: ours comes after it.
        if (found) this.ticket = null;
        else this.#finish("elsewhere");
        return;
      case "lapsed":
        if (before?.status === "proposed" && !before.proposal?.accepted) this.#finish("unanswered");
        else this.ticket = null;
        return;
      default:
        this.inVain = false;
    }
  }

  #refused(error: unknown): void {
    if (this.#closed) return;
    const refusal = error instanceof Refusal ? error : new Refusal("INTERNAL", 500, "");
    if (this.#leaving) {
      // It could not be taken back because it went on meanwhile: what it is now is seen with the next beat.
      if (refusal.code === "MATCHED") this.#leaving = null;
      else this.#finish(this.#leaving);
      return;
    }
    if (refusal.code === "NOTHING_PROPOSED") return;
    if (refusal.status === 404 && this.ticket) {
      this.ticket = null;
      return;
    }
    this.refusal = refusal;
    if (refusal.passing) this.#pause = Math.min(MOST_PAUSE, Math.max(1, refusal.retryAfter ?? 1));
    else this.#finish("refused");
  }

  #finish(end: End): void {
    this.end = end;
    this.listener?.changed();
  }
}

/** Milliseconds that are left to accept, of the ticket as it was heard `ago` milliseconds before; by the server's clock alone. */
export function toAccept(ticket: Ticket, ago: number): number {
  if (!ticket.proposal) return 0;
  const told = Date.parse(ticket.createdAt) + ticket.waitedMs;
  return Math.max(0, Date.parse(ticket.proposal.acceptBy) - told - ago);
}

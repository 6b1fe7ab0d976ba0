/**
 * A session's numbers: what was sent and not yet acknowledged, and what came in.
 *
 * Pure: no socket and no clock. The rule of the file: a frame leaves `outbox` only when the server
 * says that it has it, so a socket may drop at any moment and nothing is lost or done twice.
 */

import type { ClientFrame, Welcome } from "./protocol";

export type Numbered = ClientFrame & { seq: number };

export interface Session {
  readonly name: string;
  /** The highest `seq` that we sent. */
  readonly sent: number;
  /** The highest `seq` that came in. */
  readonly received: number;
  readonly outbox: readonly Numbered[];
}

/** As many as the server keeps; a page that is offline for longer begins anew anyhow. */
const OUTBOX_LIMIT = 256;

export function freshSession(name: string): Session {
  return { name, sent: 0, received: 0, outbox: [] };
}

/** A name for a session: 32 characters of the alphabet that the protocol allows. */
export function sessionName(random: (bytes: Uint8Array<ArrayBuffer>) => void): string {
  const bytes = new Uint8Array(16);
  random(bytes);
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function numbered(session: Session, frame: ClientFrame): [Session, Numbered] {
  const next = { ...frame, seq: session.sent + 1 };
  const outbox = [...session.outbox, next].slice(-OUTBOX_LIMIT);
  return [{ ...session, sent: next.seq, outbox }, next];
}

export function acknowledged(session: Session, ack: number): Session {
  return { ...session, outbox: session.outbox.filter(({ seq }) => seq > ack) };
}

/** Take a frame's number in; `isNew` is false for one that was seen before the socket dropped. */
export function receivedFrame(session: Session, seq: number): [Session, isNew: boolean] {
  if (seq <= session.received) return [session, false];
  return [{ ...session, received: seq }, true];
}

/** What a welcome makes of the session, and which frames to send again. */
export function welcomed(
  session: Session,
  { resumed, ack }: Pick<Welcome, "resumed" | "ack">,
): [Session, again: readonly Numbered[]] {
  if (!resumed) return [freshSession(session.name), []];
  const kept = acknowledged(session, ack);
  // The server may have more than we remember, after a reload that lost what was sent last.
  const next = { ...kept, sent: Math.max(kept.sent, ack) };
  return [next, next.outbox];
}

/**
 * How long to wait before the `attempt`-th connect (0 is the first), in ms.
 *
 * At once, 0.5 s, 1 s, 2 s, then every 3 s; up to a fifth more, so that a server that comes back is
 * not met by everybody in the same instant.
 */
export function reconnectDelay(attempt: number, chance: number): number {
  const steps = [0, 500, 1000, 2000];
  return (steps[attempt] ?? 3000) * (1 + chance / 5);
}

const STORE = "calto.session";

export function storedSession(store: Pick<Storage, "getItem">): Session | null {
  try {
    const kept: unknown = JSON.parse(store.getItem(STORE) ?? "null");
    return isSession(kept) ? kept : null;
  } catch {
    return null;
  }
}

export function storeSession(store: Pick<Storage, "setItem">, session: Session): void {
  store.setItem(STORE, JSON.stringify(session));
}

function isSession(kept: unknown): kept is Session {
  if (typeof kept !== "object" || kept === null) return false;
  const { name, sent, received, outbox } = kept as Record<string, unknown>;
  return (
    typeof name === "string" &&
    typeof sent === "number" &&
    typeof received === "number" &&
    Array.isArray(outbox)
  );
}

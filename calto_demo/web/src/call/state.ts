/**
 * A call as its page shows it: a state machine without sockets, clocks or peer connections.
 *
 *     calling → ringing ┐
 *     incoming ─────────┴→ connecting → connected ⇄ reconnecting → ended
 *
 * The rule of the file: what does not fit the phase changes nothing, so a frame that comes late or
 * twice is harmless.
 */

import type {
  CallRecord,
  Direction,
  LiveCall,
  Nat,
  PathChoice,
  Reason,
  Sdp,
  ServerFrame,
  User,
} from "../net/protocol";

export type Phase =
  "calling" | "ringing" | "incoming" | "connecting" | "connected" | "reconnecting" | "ended";

export interface CallView {
  call: string;
  direction: Direction;
  peer: User;
  peerNat: Nat;
  path: PathChoice;
  phase: Phase;
  /** Unix seconds. */
  startedAt: number;
  /** Unix seconds, of the first audio; null before. */
  connectedAt: number | null;
  muted: boolean;
  peerMuted: boolean;
  /** False while the other side's socket is away; its audio may well go on. */
  peerThere: boolean;
  /** The caller's offer, until it is answered. */
  offer: string | null;
  outcome: Outcome | null;
}

export interface Outcome {
  reason: Reason | "answered-elsewhere";
  /** True when this side ended it. */
  mine: boolean;
  message: string | null;
  record: CallRecord | null;
}

export type Happening =
  "ringing" | "accept" | "accepted" | "media-up" | "media-down" | "stop" | "ended";

const TRANSITIONS: Record<Phase, Partial<Record<Happening, Phase>>> = {
  calling: { ringing: "ringing", accepted: "connecting", ended: "ended" },
  ringing: { accepted: "connecting", ended: "ended" },
  incoming: { accept: "connecting", stop: "ended", ended: "ended" },
  connecting: { "media-up": "connected", ended: "ended" },
  connected: { "media-down": "reconnecting", ended: "ended" },
  reconnecting: { "media-up": "connected", ended: "ended" },
  ended: {},
};

/** The phase after `happening`; null when it does not fit. */
export function nextPhase(phase: Phase, happening: Happening): Phase | null {
  return TRANSITIONS[phase][happening] ?? null;
}

export function isLive(view: CallView | null): view is CallView {
  return view !== null && view.phase !== "ended";
}

export function isTalking({ phase }: CallView): boolean {
  return phase === "connecting" || phase === "connected" || phase === "reconnecting";
}

const NEW = {
  connectedAt: null,
  muted: false,
  peerMuted: false,
  peerThere: true,
  offer: null,
  outcome: null,
};

export function outgoing(
  call: string,
  peer: User,
  peerNat: Nat,
  path: PathChoice,
  startedAt: number,
): CallView {
  return { ...NEW, call, direction: "out", peer, peerNat, path, phase: "calling", startedAt };
}

export function incoming(frame: Extract<ServerFrame, { type: "incoming" }>): CallView {
  return {
    ...NEW,
    call: frame.call,
    direction: "in",
    peer: frame.peer,
    peerNat: frame.peer_nat,
    path: frame.path,
    phase: "incoming",
    startedAt: frame.started_at,
    offer: sdpText(frame.sdp),
  };
}

/** A call that the server still knows, after the page was loaded again. */
export function rejoined(live: LiveCall): CallView | null {
  const phase = phaseOf(live);
  if (!phase) return null;
  return {
    ...NEW,
    call: live.call,
    direction: live.direction,
    peer: live.peer,
    peerNat: live.peer_nat,
    path: live.path,
    phase,
    startedAt: live.started_at,
    connectedAt: phase === "reconnecting" ? live.started_at : null,
    offer: live.sdp ? sdpText(live.sdp) : null,
  };
}

function phaseOf({ state, direction }: LiveCall): Phase | null {
  switch (state) {
    case "calling":
    case "ringing":
      return direction === "in" ? "incoming" : state;
    case "accepted":
      return "connecting";
    case "connected":
      return "reconnecting";
    case "ended":
      return null;
  }
}

/** Apply what happened; the same view comes back when it does not fit. */
export function step(
  view: CallView,
  happening: Happening,
  change: Partial<CallView> = {},
): CallView {
  const phase = nextPhase(view.phase, happening);
  return phase === null ? view : { ...view, ...change, phase };
}

/** Apply a frame of the server to the call that it is about. */
export function applyFrame(view: CallView, frame: ServerFrame, me: string): CallView {
  if (!("call" in frame) || frame.call !== view.call) return view;
  switch (frame.type) {
    case "ringing":
      return step(view, "ringing");
    case "accepted":
      return step(view, "accepted", { peerNat: frame.peer_nat });
    case "stop":
      return step(view, "stop", { outcome: elsewhere(frame.reason) });
    case "mute":
      return { ...view, peerMuted: frame.muted };
    case "peer":
      return { ...view, peerThere: frame.signalling === "back" };
    case "ended": {
      const { reason, by, message, record } = frame;
      // We hung up, and said so to ourselves: what was still missing is the record.
      if (view.outcome) return { ...view, outcome: { ...view.outcome, record } };
      return step(view, "ended", { outcome: { reason, mine: by === me, message, record } });
    }
    case "incoming":
    case "candidate":
    case "offer":
    case "answer":
    case "connected":
      return view;
  }
}

function elsewhere(reason: string): Outcome {
  return {
    reason: reason === "answered-elsewhere" ? reason : "lost",
    mine: true,
    message: null,
    record: null,
  };
}

export function sdpText(sdp: string | Sdp): string {
  return typeof sdp === "string" ? sdp : sdp.sdp;
}

/** How a call ended, for its screen and for the list of calls. */
export function outcomeWords({ reason, mine, message }: Outcome, peer: string): string {
  switch (reason) {
    case "hangup":
      return mine ? "You hung up." : `${peer} hung up.`;
    case "declined":
      return mine ? "You declined." : `${peer} declined.`;
    case "busy":
      return `${peer} is in another call.`;
    case "cancelled":
      return mine ? "You cancelled." : `${peer} gave up before you answered.`;
    case "no-answer":
      return "Nobody answered.";
    case "offline":
      return `${peer} is not online.`;
    case "failed":
      return message ?? "No audio could get through.";
    case "lost":
      return "The connection was lost.";
    case "glare":
      return `${peer} called you in the same moment.`;
    case "answered-elsewhere":
      return "Answered on another of your devices.";
  }
}

/** A past call in a word or two: "Missed", "Declined", "2:05". */
export function recordOutcome(record: CallRecord): string {
  const { reason, direction, connected_at, ended_at } = record;
  if (connected_at !== null && ended_at !== null) return duration(ended_at - connected_at);
  switch (reason) {
    case "no-answer":
    case "cancelled":
      return direction === "in" ? "Missed" : reason === "cancelled" ? "Cancelled" : "No answer";
    case "declined":
      return "Declined";
    case "busy":
      return direction === "in" ? "Missed, you were busy" : "Busy";
    case "offline":
      return direction === "in" ? "Missed" : "Not online";
    case "glare":
      return "Called each other";
    case "failed":
      return "Failed";
    case "lost":
      return "Lost";
    case "hangup":
      return "Ended before audio";
    case null:
      return "Going on";
  }
}

/** Seconds as `m:ss`, or `h:mm:ss` from an hour on. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const pad = (n: number) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}

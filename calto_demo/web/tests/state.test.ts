import { describe, expect, test } from "vitest";
import {
  applyFrame,
  type CallView,
  duration,
  type Happening,
  incoming,
  nextPhase,
  outcomeWords,
  outgoing,
  type Phase,
  recordOutcome,
  rejoined,
  step,
} from "../src/call/state";
import type { CallRecord, LiveCall, ServerFrame, User } from "../src/net/protocol";

const BOB: User = { id: "u-bob", name: "Bob", kind: "guest" };
const ME = "u-ada";

const RECORD: CallRecord = {
  call: "c",
  direction: "out",
  peer: BOB,
  state: "ended",
  reason: "hangup",
  path: "auto",
  started_at: 100,
  ringing_at: 101,
  answered_at: 104,
  connected_at: 105,
  ended_at: 230,
  mine: null,
  theirs: null,
};

const dialled = () => outgoing("c", BOB, "cone", "auto", 100);
const rung = () =>
  incoming({
    type: "incoming",
    call: "c",
    peer: BOB,
    peer_nat: "cone",
    path: "auto",
    sdp: "v=0 offer",
    started_at: 100,
  });

function after(view: CallView, ...frames: ServerFrame[]): CallView {
  return frames.reduce((now, frame) => applyFrame(now, frame, ME), view);
}

const RINGING: ServerFrame = { type: "ringing", call: "c" };
const ACCEPTED: ServerFrame = { type: "accepted", call: "c", sdp: "v=0", peer_nat: "symmetric" };
const ended = (reason: "declined" | "hangup", by: string | null): ServerFrame => ({
  type: "ended",
  call: "c",
  reason,
  by,
  message: null,
  record: RECORD,
});

describe("a call from here", () => {
  test("rings only when the other side says so", () => {
    expect(dialled().phase).toBe("calling");
    expect(after(dialled(), RINGING).phase).toBe("ringing");
  });

  test("is answered, heard, lost for a while and found again", () => {
    let view = after(dialled(), RINGING, ACCEPTED);
    expect([view.phase, view.peerNat]).toEqual(["connecting", "symmetric"]);
    view = step(view, "media-up", { connectedAt: 105 });
    view = step(view, "media-down");
    expect(view.phase).toBe("reconnecting");
    expect(step(view, "media-up").phase).toBe("connected");
  });

  test("may be accepted before it was said to ring", () => {
    expect(after(dialled(), ACCEPTED).phase).toBe("connecting");
  });

  test("keeps who ended it, and how", () => {
    const { phase, outcome } = after(dialled(), RINGING, ended("declined", "u-bob"));
    expect([phase, outcome?.reason, outcome?.mine]).toEqual(["ended", "declined", false]);
    expect(after(dialled(), ACCEPTED, ended("hangup", ME)).outcome?.mine).toBe(true);
  });

  test("gets its record although this side said first that it has ended", () => {
    const over = { ...dialled(), phase: "ended" as const };
    const outcome = { reason: "cancelled" as const, mine: true, message: null, record: null };
    const view = after({ ...over, outcome }, ended("hangup", ME));
    expect(view.outcome).toEqual({ ...outcome, record: RECORD });
  });
});

describe("a call from the other side", () => {
  test("brings the offer that is answered later", () => {
    expect([rung().phase, rung().offer]).toEqual(["incoming", "v=0 offer"]);
  });

  test("stops ringing here when another device takes it", () => {
    const view = after(rung(), { type: "stop", call: "c", reason: "answered-elsewhere" });
    expect([view.phase, view.outcome?.reason]).toEqual(["ended", "answered-elsewhere"]);
  });
});

const PHASES: Phase[] = [
  "calling",
  "ringing",
  "incoming",
  "connecting",
  "connected",
  "reconnecting",
  "ended",
];
const HAPPENINGS: Happening[] = [
  "ringing",
  "accept",
  "accepted",
  "media-up",
  "media-down",
  "stop",
  "ended",
];

test("nothing leads out of an ended call, and everything but that can end", () => {
  for (const happening of HAPPENINGS) expect(nextPhase("ended", happening)).toBeNull();
  for (const phase of PHASES.slice(0, -1)) expect(nextPhase(phase, "ended")).toBe("ended");
});

test("a frame that does not fit the phase changes nothing", () => {
  for (const phase of PHASES)
    for (const happening of HAPPENINGS) {
      const view = { ...dialled(), phase };
      const next = step(view, happening);
      if (nextPhase(phase, happening) === null) expect(next).toBe(view);
      else expect(next.phase).toBe(nextPhase(phase, happening));
    }
});

test("frames of another call are not for this one", () => {
  const view = dialled();
  expect(after(view, { type: "ringing", call: "other" })).toBe(view);
});

test("the other side's mute and lost link are shown, whatever the phase", () => {
  const view = after(
    dialled(),
    { type: "mute", call: "c", muted: true },
    { type: "peer", call: "c", signalling: "lost" },
  );
  expect([view.peerMuted, view.peerThere]).toEqual([true, false]);
  expect(after(view, { type: "peer", call: "c", signalling: "back" }).peerThere).toBe(true);
});

describe("after a reload", () => {
  const live = (state: LiveCall["state"], direction: "in" | "out"): LiveCall => ({
    call: "c",
    direction,
    peer: BOB,
    state,
    path: "auto",
    started_at: 100,
    sdp: direction === "in" ? { type: "offer", sdp: "v=0 offer" } : null,
    peer_nat: "cone",
  });

  test.each([
    ["calling", "out", "calling"],
    ["ringing", "out", "ringing"],
    ["calling", "in", "incoming"],
    ["ringing", "in", "incoming"],
    ["accepted", "in", "connecting"],
    ["connected", "out", "reconnecting"],
  ] as const)("a call that is %s (%s) is shown as %s", (state, direction, phase) => {
    expect(rejoined(live(state, direction))?.phase).toBe(phase);
  });

  test("an ended call is not taken up again", () => {
    expect(rejoined(live("ended", "in"))).toBeNull();
  });

  test("the offer comes back, to be answered", () => {
    const view = rejoined(live("ringing", "in"));
    expect(view?.offer).toBe("v=0 offer");
  });
});

test("a past call is a duration, or why there was none", () => {
  expect(recordOutcome(RECORD)).toBe("2:05");
  const unheard = { ...RECORD, connected_at: null, reason: "no-answer" as const };
  expect(recordOutcome(unheard)).toBe("No answer");
  expect(recordOutcome({ ...unheard, direction: "in" })).toBe("Missed");
});

test("a failed call says what the message says", () => {
  const outcome = { reason: "failed" as const, mine: false, message: null, record: null };
  expect(outcomeWords(outcome, "Bob")).toBe("No audio could get through.");
  expect(outcomeWords({ ...outcome, message: "The microphone is blocked." }, "Bob")).toBe(
    "The microphone is blocked.",
  );
});

test.each([
  [0, "0:00"],
  [59.9, "0:59"],
  [60, "1:00"],
  [3599, "59:59"],
  [3600, "1:00:00"],
])("%d seconds are %s", (seconds, words) => {
  expect(duration(seconds)).toBe(words);
});

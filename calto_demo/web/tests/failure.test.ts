import { afterEach, expect, test, vi } from "vitest";
import { Leg } from "../src/call/leg";
import { Failure, wordsOf } from "../src/failure";
import { ApiError } from "../src/net/api";

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const RAW = "Failed to execute 'setRemoteDescription' on 'RTCPeerConnection': Invalid SDP line.";

class Picky {
  signalingState = "have-local-offer";
  setRemoteDescription = () => Promise.reject(new DOMException(RAW, "OperationError"));
}

function leg(): Leg {
  vi.stubGlobal("RTCPeerConnection", Picky);
  const settings = { servers: [], policy: "auto", isCaller: false, hold: false } as const;
  const events = { candidate() {}, state() {}, audio() {}, gone() {} };
  const microphone = { getAudioTracks: () => [] } as unknown as MediaStream;
  return new Leg(settings, microphone, events);
}

test.each([
  ["offer", (it: Leg) => it.answer("garbage")],
  ["answer", (it: Leg) => it.answered("garbage")],
])("an %s that the browser does not take is told in words, with what to do", async (_, take) => {
  const error = await take(leg()).catch((it: unknown) => it);
  expect(error).toBeInstanceOf(Failure);
  expect(wordsOf(error)).toMatch(/could not agree.*call again/i);
  expect(((error as Error).cause as Error).message).toBe(RAW);
});

test("words for people are shown as they are, those of a browser never", () => {
  const logged = vi.spyOn(console, "error").mockImplementation(() => {});
  expect(wordsOf(new Failure("No microphone was found."))).toBe("No microphone was found.");
  expect(wordsOf(new ApiError(429, "too-many", "You ring too often.", null))).toMatch(/^You ring/);
  for (const raw of [new DOMException(RAW), new TypeError("x is undefined"), "text"]) {
    expect(wordsOf(raw)).toMatch(/^The browser could not do it\. Load the page again/);
    expect(logged).toHaveBeenLastCalledWith(raw);
  }
});

import { expect, test } from "vitest";
import type { ClientFrame } from "../src/net/protocol";
import {
  acknowledged,
  freshSession,
  numbered,
  receivedFrame,
  reconnectDelay,
  type Session,
  sessionName,
  storedSession,
  storeSession,
  welcomed,
} from "../src/net/session";

const RINGING: ClientFrame = { type: "ringing", call: "c" };

function sending(count: number): Session {
  let session = freshSession("tab");
  for (let n = 0; n < count; n++) [session] = numbered(session, RINGING);
  return session;
}

test("frames are numbered from 1 without a gap", () => {
  expect(sending(3).outbox.map(({ seq }) => seq)).toEqual([1, 2, 3]);
});

test("a frame is kept until it is acknowledged", () => {
  expect(acknowledged(sending(3), 2).outbox.map(({ seq }) => seq)).toEqual([3]);
});

test("after a resumed session exactly what the server lacks is sent again", () => {
  const [session, again] = welcomed(sending(4), { resumed: true, ack: 2 });
  expect(again.map(({ seq }) => seq)).toEqual([3, 4]);
  expect(numbered(session, RINGING)[1].seq).toBe(5);
});

test("a server that does not know the session is begun with at 1, with nothing sent again", () => {
  const [session, again] = welcomed(sending(4), { resumed: false, ack: 0 });
  expect(again).toEqual([]);
  expect(numbered(session, RINGING)[1].seq).toBe(1);
  expect(session.name).toBe("tab");
});

test("numbers go on after the server's when a reload forgot what was sent last", () => {
  const [session] = welcomed(sending(2), { resumed: true, ack: 7 });
  expect(numbered(session, RINGING)[1].seq).toBe(8);
});

test("a frame that comes twice counts once", () => {
  const [session, first] = receivedFrame(freshSession("tab"), 1);
  const [, second] = receivedFrame(session, 1);
  expect([first, second]).toEqual([true, false]);
});

test("no more than 256 frames are kept, the newest", () => {
  const { outbox } = sending(300);
  expect([outbox.length, outbox[0]?.seq]).toEqual([256, 45]);
});

test.each([
  [0, 0],
  [1, 500],
  [2, 1000],
  [3, 2000],
  [4, 3000],
  [99, 3000],
])("connect number %i waits %i ms, and a fifth more at most", (attempt, wait) => {
  expect(reconnectDelay(attempt, 0)).toBe(wait);
  expect(reconnectDelay(attempt, 1)).toBeCloseTo(wait * 1.2);
});

test("a session outlives a reload, and nonsense in the store does not pass for one", () => {
  const kept = new Map<string, string>();
  const store = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
  };
  expect(storedSession(store)).toBeNull();
  storeSession(store, sending(2));
  expect(storedSession(store)).toEqual(sending(2));
  for (const nonsense of ["{", "3", '{"name":1}']) {
    kept.set("calto.session", nonsense);
    expect(storedSession(store)).toBeNull();
  }
});

test("a session's name has what the protocol allows", () => {
  expect(sessionName((bytes) => bytes.fill(255))).toMatch(/^[A-Za-z0-9_-]{16,64}$/);
});

import { expect, test } from "vitest";
import { conclude, MICROPHONE, NAT, plan, type StepState, STUN, wayOf } from "../src/check/steps";
import { refusalWords } from "../src/check/gather";

const RELAY = "turn:turn.example.org";

function after(states: Record<string, StepState>) {
  const steps = plan([RELAY]).map((step) => ({ ...step, state: states[step.id] ?? "good" }));
  return conclude(steps);
}

test.each([
  ["turn:turn.example.org", "UDP"],
  ["turn:turn.example.org?transport=tcp", "TCP"],
  ["turns:turn.example.org?transport=tcp", "TLS"],
  ["turns:turn.example.org", "TLS"],
  ["turns:turn.example.org?transport=udp", "DTLS"],
])("%s goes over %s", (url, way) => {
  expect(wayOf(url)).toBe(way);
});

test("there is no conclusion before every step has ended", () => {
  expect(after({ [RELAY]: "running" })).toBeNull();
});

test("what does not work decides what is said", () => {
  expect(after({})?.state).toBe("good");
  expect(after({ [MICROPHONE]: "bad" })?.words).toMatch(/microphone/);
  expect(after({ [STUN]: "bad", [RELAY]: "bad" })?.words).toMatch(/will not work/);
  expect(after({ [STUN]: "bad" })?.words).toMatch(/all of them through the relay/);
  expect(after({ [RELAY]: "bad" })?.words).toMatch(/where one needs the relay/);
  expect(after({ [NAT]: "warning" })?.words).toMatch(/many of them/);
});

test("a refusal has words, and one without a name has its number", () => {
  expect(refusalWords(401, "Unauthorized")).toMatch(/name and password/);
  expect(refusalWords(701, "")).toMatch(/firewall/);
  expect(refusalWords(437, "Mismatch")).toBe("The relay refused: Mismatch (437).");
});

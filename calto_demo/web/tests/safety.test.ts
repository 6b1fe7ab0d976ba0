import { expect, test } from "vitest";
import { fingerprint, safetyNumber } from "../src/path/safety";

const ADA = "sha-256 AA:BB:CC";
const BOB = "sha-256 11:22:33";

test("both sides get the same number", async () => {
  expect(await safetyNumber(ADA, BOB)).toEqual(await safetyNumber(BOB, ADA));
});

test("another certificate on either side gives another number", async () => {
  const number = await safetyNumber(ADA, BOB);
  expect(await safetyNumber(ADA, "sha-256 11:22:34")).not.toEqual(number);
  expect(await safetyNumber("sha-256 AA:BB:CD", BOB)).not.toEqual(number);
});

test("it is eight groups of five digits", async () => {
  const number = await safetyNumber(ADA, BOB);
  expect(number).toHaveLength(8);
  for (const group of number) expect(group).toMatch(/^\d{5}$/);
});

test("a fingerprint is read from a description, however it is written", () => {
  expect(fingerprint("v=0\r\na=fingerprint:SHA-256 aa:bb:cc\r\na=mid:0\r\n")).toBe(ADA);
  expect(fingerprint("v=0\r\n")).toBeNull();
  expect(fingerprint(undefined)).toBeNull();
});

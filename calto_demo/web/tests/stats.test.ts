import { expect, test } from "vitest";
import { endpoint, quality, snapshot } from "../src/path/stats";
import { chromiumReport } from "./paths";

test("the selected pair is the transport's, with what relayed it and how", () => {
  const { selected, pairs } = snapshot(chromiumReport(1000, 0, 0));
  expect(pairs).toHaveLength(2);
  expect(selected).toMatchObject({
    id: "CP1",
    selected: true,
    rttMs: 24,
    local: { type: "relay", protocol: "tls", url: "turns:turn.example.org:443?transport=tcp" },
    remote: { type: "srflx", address: "198.51.100.4" },
  });
});

test("a browser that does not tell the selected pair has the nominated one that works", () => {
  const report = chromiumReport(1000, 0, 0).map((entry) =>
    entry.type === "transport" ? { ...entry, selectedCandidatePairId: undefined } : entry,
  );
  expect(snapshot(report).selected?.id).toBe("CP1");
});

test("before there is a pair nothing is selected, and nothing is 0 that is not known", () => {
  const seen = snapshot([{ id: "T01", type: "transport", timestamp: 5 }]);
  expect(seen).toMatchObject({
    selected: null,
    pairs: [],
    rttMs: null,
    jitterMs: null,
    dtls: null,
  });
});

test("this host's own addresses are known, without loopback and names", () => {
  const more = ["127.0.0.1", "::1", "5a1c.local"].map((address, n) => ({
    id: `H${n}`,
    type: "local-candidate",
    candidateType: "host",
    address,
  }));
  expect(snapshot([...chromiumReport(1000, 0, 0), ...more]).hosts).toEqual(["192.168.1.5"]);
});

test("encryption and codec are named", () => {
  const { dtls, srtp, codec } = snapshot(chromiumReport(1000, 0, 0));
  expect([dtls, srtp, codec]).toEqual(["DTLS 1.2", "SRTP_AES128_CM_HMAC_SHA1_80", "opus"]);
});

test("loss and rates are those of the interval, of the audio alone", () => {
  const before = snapshot(chromiumReport(1000, 1000, 500));
  const now = snapshot(chromiumReport(3000, 1095, 505));
  const { loss, receivedBps, sentBps, jitterMs } = quality(before, now);
  expect(loss).toBeCloseTo(0.05);
  expect(receivedBps).toBeCloseTo((95 * 80 * 8) / 2);
  expect(sentBps).toBeCloseTo((95 * 40 * 8) / 2);
  expect(jitterMs).toBe(4);
});

test("packets that were late and not lost do not make the loss negative", () => {
  const before = snapshot(chromiumReport(1000, 100, 5));
  expect(quality(before, snapshot(chromiumReport(2000, 150, 3))).loss).toBe(0);
});

test("without packets the loss is unknown, not none", () => {
  const before = snapshot(chromiumReport(1000, 100, 5));
  expect(quality(before, snapshot(chromiumReport(2000, 100, 5))).loss).toBeNull();
  expect(quality(null, before).receivedBps).toBeNull();
});

test.each([
  ["192.0.2.1", "192.0.2.1:9"],
  ["fd00::2", "[fd00::2]:9"],
  ["hidden", "hidden:9"],
])("%s has its port behind it as %s", (address, text) => {
  expect(endpoint(address, 9)).toBe(text);
});

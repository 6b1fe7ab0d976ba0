import { expect, test } from "vitest";
import type { Nat } from "../src/net/protocol";
import { HIDDEN, quality, snapshot } from "../src/path/stats";
import {
  encryptionOf,
  forecast,
  label,
  meaning,
  recordLabel,
  reportOf,
  uriHost,
} from "../src/path/describe";
import {
  chromiumReport,
  HOST,
  MAPPED,
  pair,
  PEER_HOST,
  PEER_MAPPED,
  PEER_RELAYED,
  RELAYED,
  SEEN,
} from "./paths";

test.each([
  ["Direct (same network)", pair(HOST, PEER_HOST)],
  ["Direct (through NAT)", pair(MAPPED, PEER_MAPPED)],
  ["Relayed by turn.example.org over UDP", pair(RELAYED, PEER_MAPPED)],
  ["Relayed by turn.example.org over TLS", pair({ ...RELAYED, protocol: "tls" }, PEER_RELAYED)],
  ["Relayed on the other side", pair(MAPPED, PEER_RELAYED)],
])("a path is called %s", (words, it) => {
  expect(label(it, SEEN)).toBe(words);
});

test("an address that nobody told may be a NAT's or come from next door: which is said where it is known", () => {
  const surprise = pair(HOST, { ...PEER_MAPPED, type: "prflx", address: HIDDEN });
  expect(label(surprise, SEEN)).toBe("Direct");
  expect(label(surprise, { ...SEEN, myNat: "open", peerNat: "open" })).toBe("Direct");
  expect(label(surprise, { ...SEEN, myNat: "open", peerNat: "unknown" })).toBe("Direct");
  const known = { ...SEEN, myNat: "open", peerNat: "symmetric" } as const;
  expect(label(surprise, known)).toBe("Direct (through NAT)");
  const ours = pair({ ...MAPPED, type: "prflx" }, surprise.remote);
  expect(label(ours, SEEN)).toBe("Direct (through NAT)");
});

test("a call of the past has the label that it had", () => {
  const seen = snapshot(chromiumReport(0, 0, 0));
  const surprise = pair(HOST, { ...PEER_MAPPED, type: "prflx", address: HIDDEN });
  const search = { local: [], remote: [], asked: [] };
  const then = (peerNat: Nat) => {
    const nats = { ...SEEN, myNat: "open", peerNat } as const;
    return reportOf({ ...seen, selected: surprise }, quality(null, seen), null, nats, search);
  };
  expect(recordLabel(then("cone"))).toBe("Direct (through NAT)");
  expect(recordLabel(then("unknown"))).toBe("Direct");
});

test("a relay that the browser does not name is named by its URI, then by its address", () => {
  const nameless = pair({ ...RELAYED, url: null }, PEER_MAPPED);
  expect(label(nameless, SEEN)).toContain("turn.example.org");
  expect(label(nameless, { ...SEEN, relays: [] })).toContain("203.0.113.99");
});

test.each([
  ["turn:turn.example.org:3478?transport=udp", "turn.example.org"],
  ["turns:turn.example.org", "turn.example.org"],
  ["turn:[2001:db8::1]:3478", "2001:db8::1"],
  ["https://example.org", null],
])("the host of %s", (uri, host) => {
  expect(uriHost(uri)).toBe(host);
});

test("what a way means: whose wish the relay was, what it can do, and that a direct way has none", () => {
  const relayed = pair(RELAYED, PEER_MAPPED);
  const wanted = { ...SEEN, choice: "relay" } as const;
  expect(meaning(relayed, { ...wanted, mine: "relay" })).toMatch(/^You asked for the relay/);
  expect(meaning(relayed, wanted)).toMatch(/^Bob asked for the relay/);
  expect(meaning(pair(MAPPED, PEER_RELAYED), wanted)).toMatch(/^Bob asked for the relay/);
  expect(meaning(relayed, SEEN)).toMatch(/^The relay turn\.example\.org .* UDP; it cannot listen/);
  expect(meaning(pair(MAPPED, PEER_MAPPED), SEEN)).toMatch(/straight to Bob: no server/);
});

test("nothing is forecast where a NAT is not known", () => {
  expect(forecast("unknown", "cone")).toBeNull();
  expect(forecast("cone", "cone")).toMatch(/likely/);
  expect(forecast("symmetric", "symmetric")).toMatch(/will need the relay/);
  expect(forecast("cone", "symmetric")).toMatch(/^Their NAT/);
  expect(forecast("symmetric", "cone")).toMatch(/^Your NAT/);
  expect(forecast("symmetric", "open")).toMatch(/likely/);
});

test("ciphers have the names that people know", () => {
  expect(encryptionOf({ dtls: "DTLS 1.2", srtp: "SRTP_AES128_CM_HMAC_SHA1_80" })).toBe(
    "DTLS 1.2, SRTP AES-128",
  );
  expect(encryptionOf({ dtls: "DTLS 1.3", srtp: "SRTP_AEAD_AES_256_GCM" })).toBe(
    "DTLS 1.3, SRTP AES-256-GCM",
  );
  expect(encryptionOf({ dtls: null, srtp: null })).toBeNull();
});

test("a report has the way, all pairs and the search, and reads back as the same label", () => {
  const [before, now] = [snapshot(chromiumReport(0, 0, 0)), snapshot(chromiumReport(1000, 50, 0))];
  const search = { local: [], remote: [], asked: [{ url: "stun:a.example.org", error: 701 }] };
  const report = reportOf(now, quality(before, now), 120, SEEN, search);
  expect(report).toMatchObject({
    kind: "relayed",
    relay: "turns:turn.example.org:443?transport=tcp",
    local: { type: "relay", protocol: "tls" },
    quality: { rtt_ms: 24, loss: 0, setup_ms: 120 },
  });
  expect(report.pairs?.map(({ state }) => state)).toEqual(["selected", "failed"]);
  expect(report.pairs?.[0]).toMatchObject({ nominated: true, sent: 3, answered: 2, received: 1 });
  expect(report.search).toEqual({
    role: "controlled",
    nat: "cone",
    peer_nat: "cone",
    ...search,
  });
  expect(recordLabel(report)).toBe("Relayed by turn.example.org over TLS");
});

test("a path that was never found is reported as unknown", () => {
  const nothing = snapshot([]);
  expect(reportOf(nothing, quality(null, nothing), null, SEEN, null).kind).toBe("unknown");
  expect(recordLabel(null)).toBeNull();
});

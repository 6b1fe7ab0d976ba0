import { describe, expect, test } from "vitest";
import { quality, snapshot } from "../src/path/stats";
import {
  encryptionOf,
  explain,
  forecast,
  label,
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
  ["Direct (through NAT)", pair(HOST, { ...PEER_MAPPED, type: "prflx" })],
  ["Relayed by turn.example.org over UDP", pair(RELAYED, PEER_MAPPED)],
  ["Relayed by turn.example.org over TLS", pair({ ...RELAYED, protocol: "tls" }, PEER_RELAYED)],
  ["Relayed on the other side", pair(MAPPED, PEER_RELAYED)],
])("a path is called %s", (words, it) => {
  expect(label(it)).toBe(words);
});

test("a relay that the browser does not name is named by its URI, then by its address", () => {
  const nameless = pair({ ...RELAYED, url: null }, PEER_MAPPED);
  expect(label(nameless, SEEN.relays)).toContain("turn.example.org");
  expect(label(nameless, [])).toContain("203.0.113.99");
});

test.each([
  ["turn:turn.example.org:3478?transport=udp", "turn.example.org"],
  ["turns:turn.example.org", "turn.example.org"],
  ["turn:[2001:db8::1]:3478", "2001:db8::1"],
  ["https://example.org", null],
])("the host of %s", (uri, host) => {
  expect(uriHost(uri)).toBe(host);
});

describe("the reason of a relayed call", () => {
  const relayed = pair(RELAYED, PEER_MAPPED);

  test("is the wish, where one of the two wanted it", () => {
    const wanted = { ...SEEN, choice: "relay" } as const;
    expect(explain(relayed, { ...wanted, mine: "relay" })).toMatch(/^You asked for the relay/);
    expect(explain(relayed, wanted)).toMatch(/^Bob asked for the relay/);
    expect(explain(pair(MAPPED, PEER_RELAYED), wanted)).toMatch(/^Bob asked for the relay/);
  });

  test("is the symmetric NAT, and whose it is", () => {
    expect(explain(relayed, { ...SEEN, myNat: "symmetric" })).toMatch(/^Your NAT gives every/);
    expect(explain(relayed, { ...SEEN, peerNat: "symmetric" })).toMatch(/^Bob's NAT gives every/);
    const both = { ...SEEN, myNat: "symmetric", peerNat: "symmetric" } as const;
    expect(explain(relayed, both)).toMatch(/^Both NATs/);
  });

  test("is a firewall where the NATs are not to blame", () => {
    expect(explain(relayed, SEEN)).toMatch(/firewall/);
  });

  test("comes with what the relay can do, and cannot", () => {
    expect(explain(relayed, SEEN)).toMatch(/The relay turn\.example\.org .* UDP; it cannot listen/);
  });
});

test("a direct call says who is behind a NAT", () => {
  expect(explain(pair(MAPPED, PEER_MAPPED), SEEN)).toMatch(/both of you are behind NATs/);
  expect(explain(pair(HOST, PEER_MAPPED), SEEN)).toMatch(/Bob is behind a NAT/);
  expect(explain(pair(MAPPED, PEER_HOST), SEEN)).toMatch(/you are behind a NAT/);
  expect(explain(pair(HOST, PEER_HOST), SEEN)).toMatch(/no NAT lies between/);
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

test("a report has the way, the words and all pairs, and reads back as the same label", () => {
  const [before, now] = [snapshot(chromiumReport(0, 0, 0)), snapshot(chromiumReport(1000, 50, 0))];
  const report = reportOf(now, quality(before, now), 120, SEEN);
  expect(report).toMatchObject({
    kind: "relayed",
    relay: "turns:turn.example.org:443?transport=tcp",
    local: { type: "relay", protocol: "tls" },
    quality: { rtt_ms: 24, loss: 0, setup_ms: 120 },
  });
  expect(report.pairs?.map(({ state }) => state)).toEqual(["selected", "failed"]);
  expect(recordLabel(report)).toBe("Relayed by turn.example.org over TLS");
});

test("a path that was never found is reported as unknown", () => {
  const nothing = snapshot([]);
  expect(reportOf(nothing, quality(null, nothing), null, SEEN).kind).toBe("unknown");
  expect(recordLabel(null)).toBeNull();
});

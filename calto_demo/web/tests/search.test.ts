import { expect, test } from "vitest";
import { candidatesIn, SearchLog } from "../src/path/search";

const MAPPED = {
  type: "srflx" as const,
  address: "203.0.113.7",
  port: 61000,
  protocol: "udp" as const,
  priority: 9,
  relatedAddress: "192.168.1.5",
  relatedPort: 50000,
  usernameFragment: "aaaa",
  url: "stun:stun.example.org",
};
const RELAYED = { ...MAPPED, type: "relay" as const, relayProtocol: "tls", port: 49160 };

test("what was found, told and asked goes into the report, the relay with its own protocol", () => {
  const log = new SearchLog(["stun:stun.example.org", "turn:turn.example.org"]);
  log.found(MAPPED);
  log.found(RELAYED);
  log.told({ ...MAPPED, address: null, relatedAddress: null, url: null });
  log.told({ ...MAPPED, address: "[2001:db8::1]" });
  log.unanswered("turn:turn.example.org", 701);
  expect(log.search.local).toEqual([
    {
      type: "srflx",
      address: "203.0.113.7",
      port: 61000,
      protocol: "udp",
      related: { address: "192.168.1.5", port: 50000 },
      priority: 9,
      url: "stun:stun.example.org",
    },
    expect.objectContaining({ type: "relay", protocol: "tls" }),
  ]);
  expect(log.search.remote).toMatchObject([
    { address: null, related: null, url: null },
    { address: "2001:db8::1" },
  ]);
  expect(log.search.asked.map(({ error }) => error)).toEqual([null, 701]);
});

test("a restart forgets the candidates of before, and the end of them is none", () => {
  const log = new SearchLog([]);
  log.found(MAPPED);
  log.found({ ...RELAYED, usernameFragment: "bbbb" });
  log.found({ ...MAPPED, type: null, usernameFragment: "bbbb" });
  expect(log.search.local.map(({ type }) => type)).toEqual(["relay"]);
});

test("the candidates that a description has in itself are those of its fragment", () => {
  const sdp = "v=0\r\na=ice-ufrag:abcd\r\na=candidate:1 1 udp 9 10.0.0.1 5 typ host\r\n";
  expect(candidatesIn(sdp)).toEqual([
    {
      candidate: "candidate:1 1 udp 9 10.0.0.1 5 typ host",
      sdpMLineIndex: 0,
      usernameFragment: "abcd",
    },
  ]);
});

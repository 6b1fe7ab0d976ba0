import { expect, test } from "vitest";
import {
  admits,
  admitted,
  configuration,
  isCompareLeg,
  policyFor,
  relayUrls,
} from "../src/call/policy";

const SERVERS: RTCIceServer[] = [
  { urls: "stun:stun.example.org" },
  { urls: ["turn:turn.example.org", "turns:turn.example.org"], username: "u", credential: "c" },
];
const RELAY = "candidate:1 1 udp 1 203.0.113.99 49160 typ relay raddr 0.0.0.0 rport 0";
const HOST = "candidate:2 1 udp 2 192.168.1.5 50000 typ host";

test("relay only makes the browser use nothing else", () => {
  expect(configuration(SERVERS, "relay").iceTransportPolicy).toBe("relay");
  expect(configuration(SERVERS, "auto").iceTransportPolicy).toBe("all");
});

test("direct only asks no relay, and still asks STUN", () => {
  expect(configuration(SERVERS, "direct").iceServers).toEqual([
    { urls: ["stun:stun.example.org"] },
  ]);
});

test("direct only takes no relay of the other side, in a candidate or in a description", () => {
  expect([admits("direct", RELAY), admits("direct", HOST), admits("auto", RELAY)]).toEqual([
    false,
    true,
    true,
  ]);
  const sdp = `v=0\r\na=${RELAY}\r\na=${HOST}\r\n`;
  expect(admitted("direct", sdp)).toBe(`v=0\r\na=${HOST}\r\n`);
  expect(admitted("relay", sdp)).toBe(sdp);
});

test("whoever hides their address does so whatever the caller wants", () => {
  expect(policyFor("direct", "relay", false)).toBe("relay");
  expect(policyFor("auto", "relay", false)).toBe("relay");
});

test("a caller's hidden address asks nothing of the callee, a direct call does", () => {
  expect(policyFor("relay", "auto", false)).toBe("auto");
  expect(policyFor("direct", "auto", false)).toBe("direct");
  expect(policyFor("relay", "auto", true)).toBe("relay");
});

test("the relay's URIs are found among all servers", () => {
  expect(relayUrls(SERVERS)).toEqual(["turn:turn.example.org", "turns:turn.example.org"]);
});

test("only the two legs of a comparison are taken for one", () => {
  expect(["relay", "direct", "main", "compare"].map(isCompareLeg)).toEqual([
    true,
    true,
    false,
    false,
  ]);
});

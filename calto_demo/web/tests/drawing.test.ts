import { expect, test } from "vitest";
import { drawing, type Known, shortened, spoken } from "../src/path/drawing";
import { HIDDEN } from "../src/path/stats";
import { HOST, MAPPED, pair, PEER_HOST, PEER_MAPPED, PEER_RELAYED, RELAYED } from "./paths";

const KNOWN: Known = {
  peer: "Bob",
  relays: [],
  relayRttMs: null,
  hosts: [],
  myNat: "unknown",
  peerNat: "unknown",
};
const HOME = ["192.168.1.5"];

const kinds = (it: ReturnType<typeof drawing>) => it.stations.map(({ kind }) => kind);

test("on one network there is nothing between the two", () => {
  const it = drawing(pair(HOST, PEER_HOST), KNOWN);
  expect(kinds(it)).toEqual(["me", "network", "peer"]);
  expect(it.stations[2]?.detail).toBe("192.168.1.9:40000");
});

test("a direct call goes through both NATs, and the other's inside stays unknown", () => {
  const it = drawing(pair(MAPPED, PEER_MAPPED), KNOWN);
  expect(kinds(it)).toEqual(["me", "nat", "internet", "nat", "peer"]);
  expect(it.stations.map(({ detail }) => detail)).toEqual([
    "192.168.1.5:50000",
    "203.0.113.7:61000",
    null,
    "198.51.100.4:7",
    null,
  ]);
});

test("between two who may be next door nothing is drawn that nobody has seen", () => {
  const hidden = { ...PEER_MAPPED, type: "prflx", address: HIDDEN } as const;
  const it = drawing(pair(HOST, hidden), KNOWN);
  expect(kinds(it)).toEqual(["me", "peer"]);
  expect(it.stations[1]?.detail).toBeNull();
  const nat = drawing(pair(HOST, hidden), { ...KNOWN, myNat: "open", peerNat: "cone" });
  expect(kinds(nat)).toEqual(["me", "internet", "nat", "peer"]);
});

test("the relay stands where it passes packets on", () => {
  expect(kinds(drawing(pair(RELAYED, PEER_MAPPED), KNOWN))).toEqual(["me", "relay", "nat", "peer"]);
  expect(kinds(drawing(pair(MAPPED, PEER_RELAYED), KNOWN))).toEqual(["me", "nat", "relay", "peer"]);
});

test("one server that relays for both is drawn once, two servers are two", () => {
  expect(kinds(drawing(pair(RELAYED, PEER_RELAYED), KNOWN))).toEqual(["me", "relay", "peer"]);
  const other = { ...PEER_RELAYED, address: "198.51.100.50" };
  expect(kinds(drawing(pair(RELAYED, other), KNOWN))).toEqual(["me", "relay", "relay", "peer"]);
});

test("only the leg to the relay has the relay's transport", () => {
  const { legs } = drawing(pair({ ...RELAYED, protocol: "tls" }, PEER_MAPPED), KNOWN);
  expect(legs.map(({ protocol }) => protocol)).toEqual(["TLS", "UDP", "UDP"]);
  expect(legs.map(({ relayed }) => relayed)).toEqual([true, false, false]);
});

test("a leg that nobody measured has no round trip", () => {
  const { legs } = drawing(pair(RELAYED, PEER_HOST, 30), KNOWN);
  expect(legs.map(({ rttMs }) => rttMs)).toEqual([null, null]);
});

test("the measured leg to the relay leaves the rest for the other leg", () => {
  const measured = { ...KNOWN, relayRttMs: 12 };
  const rtts = (rtt: number | null) =>
    drawing(pair(RELAYED, PEER_HOST, rtt), measured).legs.map(({ rttMs }) => rttMs);
  expect(rtts(30)).toEqual([12, 18]);
  // Measured at different times, the parts may not add up: then the rest is not known.
  expect(rtts(10)).toEqual([12, null]);
  expect(rtts(null)).toEqual([12, null]);
});

test("between us and our relay stands our NAT, with the address that the relay sees", () => {
  const { stations } = drawing(pair(RELAYED, PEER_HOST), { ...KNOWN, hosts: HOME });
  expect(stations.slice(0, 3)).toMatchObject([
    { kind: "me", detail: "192.168.1.5" },
    { kind: "nat", detail: "203.0.113.7:61001" },
    { kind: "relay" },
  ]);
});

test("a relay that sees our own address has no NAT before it", () => {
  const it = drawing(pair(RELAYED, PEER_HOST), { ...KNOWN, hosts: ["203.0.113.7"] });
  expect(kinds(it)).toEqual(["me", "relay", "peer"]);
  expect(it.stations[0]?.detail).toBe("203.0.113.7:61001");
});

test("where addresses are hidden, a NAT that was measured is drawn without one", () => {
  const secret = { ...RELAYED, related: { address: "0.0.0.0", port: 0 } };
  const known = { ...KNOWN, hosts: HOME, myNat: "cone", peerNat: "symmetric" } as const;
  const it = drawing(pair(secret, PEER_RELAYED), known);
  expect(kinds(it)).toEqual(["me", "nat", "relay", "nat", "peer"]);
  expect(it.stations.map(({ detail }) => detail)).toEqual([
    null,
    null,
    "203.0.113.99:49160",
    null,
    null,
  ]);
});

test("a measured way that has more than one leg says how far it reaches", () => {
  const known = { ...KNOWN, hosts: HOME, relayRttMs: 12 };
  const { legs } = drawing(pair(RELAYED, PEER_MAPPED, 30), known);
  expect(legs.map(({ rttMs, reach }) => [rttMs, reach])).toEqual([
    [null, null],
    [12, "me"],
    [18, "peer"],
    [null, null],
  ]);
  expect(legs.map(({ relayed }) => relayed)).toEqual([true, true, false, false]);
});

test("IPv6 addresses have brackets, and long ones lose their middle", () => {
  const six = { ...PEER_HOST, address: "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff" };
  const detail = drawing(pair(HOST, six), KNOWN).stations[2]?.detail;
  expect(detail).toBe("[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:40000");
  const short = shortened(detail ?? "");
  expect(short).toContain("…");
  expect(short.length).toBeLessThanOrEqual(22);
  expect(shortened("192.168.1.9:40000")).toBe("192.168.1.9:40000");
});

test("whoever cannot see the picture hears the way, station by station", () => {
  expect(spoken(drawing(pair(HOST, PEER_HOST, 20), KNOWN))).toBe(
    "You at 192.168.1.5:50000, then over UDP to Same network, then over UDP to Bob at " +
      "192.168.1.9:40000. There and back takes 20 ms.",
  );
});

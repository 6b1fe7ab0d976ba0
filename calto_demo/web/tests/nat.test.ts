import { expect, test } from "vitest";
import { baseOf, judgeNat } from "../src/path/nat";

const HOSTS = ["192.168.1.5"];
const seen = (port: number, base = "192.168.1.5 50000", address = "203.0.113.7") => ({
  address,
  port,
  base,
});

test("one socket with two ports is behind a symmetric NAT", () => {
  expect(judgeNat(HOSTS, [seen(61000), seen(61001)], 0).kind).toBe("symmetric");
});

test("one port for both servers is a cone", () => {
  expect(judgeNat(HOSTS, [seen(61000)], 0).kind).toBe("cone");
});

test("two sockets, on Wi-Fi and on a cable, are not taken for one", () => {
  expect(judgeNat(HOSTS, [seen(61000), seen(61001, "192.168.1.6 50001")], 0).kind).toBe("cone");
});

test("a mapping that is the host's own address is no NAT, said or left out", () => {
  expect(judgeNat(HOSTS, [seen(50000, "foundation 1", "192.168.1.5")], 0).kind).toBe("open");
  expect(judgeNat(HOSTS, [], 0).kind).toBe("open");
});

test("with one server silent nothing can be compared, unless two ports were seen", () => {
  expect(judgeNat(HOSTS, [seen(61000)], 1).kind).toBe("unknown");
  expect(judgeNat(HOSTS, [seen(61000), seen(61001)], 1).kind).toBe("symmetric");
});

test("silence is unknown, and is said", () => {
  expect(judgeNat(HOSTS, [], 2)).toMatchObject({ kind: "unknown", words: /No STUN server/ });
  expect(judgeNat([], [], 0).kind).toBe("unknown");
});

test("where the browser hides the base, the foundation tells sockets apart", () => {
  const hidden = { relatedAddress: "0.0.0.0", relatedPort: 0, foundation: "842163049" };
  expect(baseOf(hidden)).toBe("foundation 842163049");
  const shown = { relatedAddress: "192.168.1.5", relatedPort: 50000, foundation: "1" };
  expect(baseOf(shown)).toBe("192.168.1.5 50000");
});

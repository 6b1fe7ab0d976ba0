import { expect, test } from "vitest";
import { baseOf, type Gathered, judgeNat, type MappedSeen } from "../src/path/nat";

const WIFI = { address: "192.168.1.5", port: 50000 };
const LOOPBACK = { address: "127.0.0.1", port: 40000 };

const mapped = (port: number, more: Partial<MappedSeen> = {}): MappedSeen => ({
  address: "203.0.113.7",
  port,
  base: "192.168.1.5 50000",
  basePort: 50000,
  ...more,
});

function kind(found: Partial<Gathered>): string {
  const nothing = { sockets: [WIFI], mapped: [], unanswered: [], complete: true };
  return judgeNat({ ...nothing, ...found }).kind;
}

test("one socket with two ports is behind a symmetric NAT", () => {
  expect(kind({ mapped: [mapped(61000), mapped(61001)] })).toBe("symmetric");
});

test("one port for both servers is a cone", () => {
  expect(kind({ mapped: [mapped(61000)] })).toBe("cone");
});

test("two sockets, on Wi-Fi and on a cable, are not taken for one", () => {
  const cable = mapped(61001, { base: "192.168.1.6 50001", basePort: 50001 });
  expect(kind({ mapped: [mapped(61000), cable] })).toBe("cone");
});

test("a mapping that is the host's own address is no NAT, said or left out", () => {
  expect(kind({ mapped: [mapped(50000, { address: WIFI.address })] })).toBe("open");
  expect(kind({})).toBe("open");
});

test("an interface that leads nowhere does not hide what another one found", () => {
  const sockets = [LOOPBACK, WIFI];
  const unanswered = [LOOPBACK.port, LOOPBACK.port];
  expect(kind({ sockets, unanswered, mapped: [mapped(61000)] })).toBe("cone");
  expect(kind({ sockets, unanswered })).toBe("open");
});

test("with one server silent nothing can be compared, unless two ports were seen", () => {
  const unanswered = [WIFI.port];
  expect(kind({ unanswered, mapped: [mapped(61000)] })).toBe("unknown");
  expect(kind({ unanswered, mapped: [mapped(61000), mapped(61001)] })).toBe("symmetric");
});

test("what was not waited for is not taken for an answer", () => {
  expect(kind({ complete: false, mapped: [mapped(61000)] })).toBe("unknown");
  expect(kind({ complete: false })).toBe("unknown");
});

test("silence is unknown", () => {
  expect(kind({ unanswered: [WIFI.port, WIFI.port] })).toBe("unknown");
  expect(kind({ sockets: [] })).toBe("unknown");
});

test("where the browser hides the base, any socket's answers count for it", () => {
  const hidden = { relatedAddress: "0.0.0.0", relatedPort: 0, foundation: "842163049" };
  expect(baseOf(hidden)).toEqual({ base: "foundation 842163049", basePort: null });
  const behind = mapped(61000, baseOf(hidden));
  expect(kind({ mapped: [behind] })).toBe("cone");
  expect(kind({ mapped: [behind], unanswered: [WIFI.port] })).toBe("unknown");
});

test("where the browser shows the base, it is that", () => {
  const shown = { relatedAddress: "192.168.1.5", relatedPort: 50000, foundation: "1" };
  expect(baseOf(shown)).toEqual({ base: "192.168.1.5 50000", basePort: 50000 });
});

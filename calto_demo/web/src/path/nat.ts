/**
 * What kind of NAT this is, from how two STUN ports of one server see one socket.
 *
 * Pure. Coarse on purpose: a browser cannot ask what `natkit probe` asks (filtering, hairpinning).
 */

import type { Nat } from "../net/protocol";

export interface MappedSeen {
  address: string;
  port: number;
  /** What is the same for mappings of one socket, and differs between sockets. */
  base: string;
}

/**
 * What tells sockets apart: the address behind the mapping, or, where the browser hides that, the
 * candidate's foundation (RFC 8445 §5.1.1.3), which is made of type and base.
 */
export function baseOf(
  candidate: Pick<RTCIceCandidate, "relatedAddress" | "relatedPort" | "foundation">,
): string {
  const { relatedAddress, relatedPort, foundation } = candidate;
  const hidden = !relatedAddress || relatedAddress === "0.0.0.0" || relatedAddress === "::";
  return hidden ? `foundation ${foundation}` : `${relatedAddress} ${relatedPort}`;
}

export interface NatSeen {
  kind: Nat;
  words: string;
  mapped: MappedSeen[];
}

/**
 * Judge what was gathered from two servers.
 *
 * Args: hosts: addresses of this host's sockets; mapped: what STUN said, without repeats;
 *       silent: how many of the servers did not answer.
 */
export function judgeNat(
  hosts: readonly string[],
  mapped: readonly MappedSeen[],
  silent: number,
): NatSeen {
  const seen = [...mapped];
  const first = seen[0];
  // The browser leaves out what STUN saw when it is the host's own address: then there is no NAT.
  if (!first && silent === 0 && hosts.length > 0)
    return verdict("open", "No NAT between you and the server: it sees your own address.", seen);
  if (!first) return verdict("unknown", "No STUN server answered over UDP.", seen);
  if (differs(seen)) return verdict("symmetric", SYMMETRIC, seen);
  if (silent > 0)
    return verdict(
      "unknown",
      "Only one of the two STUN ports answered, so nothing to compare.",
      seen,
    );
  if (seen.every(({ address }) => hosts.includes(address)))
    return verdict("open", "No NAT between you and the server: it sees your own address.", seen);
  return verdict("cone", CONE, seen);
}

const SYMMETRIC =
  "Symmetric: your NAT gives every destination another port, so calls to strict networks need the relay.";
const CONE =
  "The same port for every destination (endpoint-independent mapping): direct calls usually work.";

/** Two mappings of one socket: the NAT chose by destination. */
function differs(seen: readonly MappedSeen[]): boolean {
  return seen.some((one, n) => seen.slice(n + 1).some((other) => other.base === one.base));
}

function verdict(kind: Nat, words: string, mapped: MappedSeen[]): NatSeen {
  return { kind, words, mapped };
}

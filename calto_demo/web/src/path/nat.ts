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
  /** The socket's own port; null where the browser hides it. */
  basePort: number | null;
}

/** What came of asking two STUN ports from every UDP socket that the browser opened. */
export interface Gathered {
  sockets: { address: string | null; port: number }[];
  /** Without repeats: the browser leaves out what it knows already, the socket's own address too. */
  mapped: MappedSeen[];
  /** Ports of sockets that a server did not answer. */
  unanswered: number[];
  /** False: it was not waited for to the end, so there may be more that was not answered. */
  complete: boolean;
}

/**
 * What tells sockets apart: the address behind the mapping, or, where the browser hides that, the
 * candidate's foundation (RFC 8445 §5.1.1.3), which is made of type and base.
 */
export function baseOf(
  candidate: Pick<RTCIceCandidate, "relatedAddress" | "relatedPort" | "foundation">,
): Pick<MappedSeen, "base" | "basePort"> {
  const { relatedAddress, relatedPort, foundation } = candidate;
  const hidden = !relatedAddress || relatedAddress === "0.0.0.0" || relatedAddress === "::";
  if (hidden) return { base: `foundation ${foundation}`, basePort: null };
  return { base: `${relatedAddress} ${relatedPort}`, basePort: relatedPort };
}

export interface NatSeen {
  kind: Nat;
  words: string;
  mapped: MappedSeen[];
}

/** Judge what was gathered. */
export function judgeNat(gathered: Gathered): NatSeen {
  const { sockets, mapped } = gathered;
  const heard = answered(gathered);
  // An interface that leads nowhere (a tunnel, loopback) must not hide what another one found.
  if (mapped.length === 0)
    return sockets.some(({ port }) => heard(port))
      ? verdict("open", OPEN, mapped)
      : verdict("unknown", "No STUN server answered over UDP.", mapped);
  if (differs(mapped)) return verdict("symmetric", SYMMETRIC, mapped);
  if (!mapped.some(({ basePort }) => heard(basePort)))
    return verdict(
      "unknown",
      "Only one of the two STUN ports answered, so nothing to compare.",
      mapped,
    );
  const own = mapped.every((it) => sockets.some(({ address }) => address === it.address));
  return own ? verdict("open", OPEN, mapped) : verdict("cone", CONE, mapped);
}

/** Whether both servers answered a socket; with its port hidden, whether they answered any. */
function answered({ sockets, unanswered, complete }: Gathered): (port: number | null) => boolean {
  const whole = (port: number) => complete && !unanswered.includes(port);
  return (port) => (port === null ? sockets.some((socket) => whole(socket.port)) : whole(port));
}

const OPEN = "No NAT between you and the server: it sees your own address.";
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

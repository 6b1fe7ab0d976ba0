/**
 * The path card's picture, before it is drawn: the stations of a call, and the legs between them.
 *
 * Pure. A station that this side cannot see (the other's private address) is drawn without one, and
 * a leg without a measurement has none: unknown is never shown as 0.
 */

import { kindOf, relayName } from "./describe";
import type { Pair, PathCandidate } from "./stats";

export type StationKind = "me" | "nat" | "internet" | "relay" | "network" | "peer";

export interface Station {
  kind: StationKind;
  title: string;
  detail: string | null;
}

export interface Leg {
  /** How packets go on this leg: "UDP", "TLS". */
  protocol: string;
  rttMs: number | null;
  /** True where the relay's wrapping (TURN) is on the wire. */
  relayed: boolean;
}

export interface Drawing {
  stations: Station[];
  /** One fewer than stations: `legs[n]` joins stations n and n + 1. */
  legs: Leg[];
  /** The whole way, there and back. */
  rttMs: number | null;
}

export interface Known {
  peer: string;
  relays: readonly string[];
  /** There and back between here and the relay, in ms, as the check before the call measured it. */
  relayRttMs: number | null;
  /** Our own address in the local network, where a candidate told it. */
  myAddress: string | null;
}

export function drawing(pair: Pair, known: Known): Drawing {
  const near = nearSide(pair.local, known);
  const far = farSide(pair.remote, known.peer);
  const middle = middleOf(pair, known);
  const stations = [...near, ...middle, ...far];
  const legs = stations.slice(1).map((station, at) => legTo(pair, stations[at]!, station));
  spreadRtt(pair, stations, legs, known);
  return { stations, legs, rttMs: pair.rttMs };
}

function nearSide(local: PathCandidate, known: Known): Station[] {
  const inside = local.type === "host" ? at(local) : (related(local) ?? known.myAddress);
  const me: Station = { kind: "me", title: "You", detail: inside };
  if (local.type === "host" || local.type === "relay") return [me];
  return [me, { kind: "nat", title: "Your NAT", detail: at(local) }];
}

function farSide(remote: PathCandidate, peer: string): Station[] {
  const them: Station = { kind: "peer", title: peer, detail: null };
  if (remote.type === "host") return [{ ...them, detail: at(remote) }];
  if (remote.type === "relay") return [them];
  return [{ kind: "nat", title: "Their NAT", detail: at(remote) }, them];
}

function middleOf(pair: Pair, { relays }: Known): Station[] {
  const servers: Station[] = [];
  const mine = pair.local.type === "relay";
  const theirs = pair.remote.type === "relay";
  if (mine) servers.push(relay(relayName(pair.local, relays), pair.local));
  // The same server on both sides passes the packets on to itself: one station.
  if (theirs && !(mine && pair.local.address === pair.remote.address))
    servers.push(relay(mine ? "Their relay" : pair.remote.address, pair.remote));
  if (servers.length > 0) return servers;
  if (kindOf(pair) === "same-network")
    return [{ kind: "network", title: "Same network", detail: null }];
  return [{ kind: "internet", title: "Internet", detail: null }];
}

function relay(title: string, candidate: PathCandidate): Station {
  return { kind: "relay", title, detail: at(candidate) };
}

function legTo(pair: Pair, from: Station, to: Station): Leg {
  const mineToRelay = pair.local.type === "relay" && to.kind === "relay" && from.kind === "me";
  const theirsToRelay = pair.remote.type === "relay" && from.kind === "relay" && to.kind === "peer";
  const direct = pair.local.type === "relay" ? "UDP" : pair.local.protocol.toUpperCase();
  return {
    // How the other side reaches its own relay is not told to us.
    protocol: mineToRelay ? pair.local.protocol.toUpperCase() : theirsToRelay ? "" : direct,
    rttMs: null,
    relayed: mineToRelay || theirsToRelay,
  };
}

/**
 * Put round trips on the legs where they are known.
 *
 * The browser measures the whole way. The check before a call measures the leg to our relay; what is
 * left of the whole is the rest of the way.
 */
function spreadRtt(pair: Pair, stations: Station[], legs: Leg[], known: Known): void {
  if (legs.length === 1) legs[0]!.rttMs = pair.rttMs;
  const relayAt = stations.findIndex((station) => station.kind === "relay");
  if (pair.local.type !== "relay" || relayAt !== 1 || known.relayRttMs === null) return;
  legs[0]!.rttMs = known.relayRttMs;
  if (legs.length === 2 && pair.rttMs !== null && pair.rttMs >= known.relayRttMs)
    legs[1]!.rttMs = pair.rttMs - known.relayRttMs;
}

function at({ address, port }: { address: string; port: number }): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

function related({ related: behind, type }: PathCandidate): string | null {
  // A relayed candidate's related address is the mapped one, not ours inside.
  if (!behind || type === "relay" || behind.address === "0.0.0.0") return null;
  return at(behind);
}

/** An address that fits into the picture: the middle of a long one is left out. */
export function shortened(text: string, most = 22): string {
  if (text.length <= most) return text;
  const keep = Math.floor((most - 1) / 2);
  return `${text.slice(0, keep)}…${text.slice(-keep)}`;
}

/** The picture in words, for whoever cannot see it. */
export function spoken({ stations, legs, rttMs }: Drawing): string {
  const way = stations
    .map(({ title, detail }, n) => {
      const leg = legs[n - 1];
      const by = leg?.protocol ? ` over ${leg.protocol}` : "";
      return `${n ? `then${by} to ` : ""}${title}${detail ? ` at ${detail}` : ""}`;
    })
    .join(", ");
  return rttMs === null ? `${way}.` : `${way}. There and back takes ${Math.round(rttMs)} ms.`;
}

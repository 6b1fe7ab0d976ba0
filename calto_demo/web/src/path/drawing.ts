/**
 * The path card's picture, before it is drawn: the stations of a call, and the legs between them.
 *
 * Pure. A station that this side cannot see (the other's private address) is drawn without one, and
 * a leg without a measurement has none: unknown is never shown as 0.
 */

import type { Nat } from "../net/protocol";
import { isNat, kindOf, relayName } from "./describe";
import { endpoint, HIDDEN } from "./stats";
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
  /** Where the measured way has more legs than this one: whose end it begins or ends at. */
  reach: "me" | "peer" | null;
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
  /** There and back between here and the relay, in ms, as it was measured beside the call. */
  relayRttMs: number | null;
  /** Our own addresses, where candidates told them. */
  hosts: readonly string[];
  myNat: Nat;
  peerNat: Nat;
}

export function drawing(pair: Pair, known: Known): Drawing {
  const near = nearSide(pair.local, known);
  const far = farSide(pair, known);
  const stations = [...near, ...middleOf(pair, known), ...far];
  const relayAt = stations.findIndex(({ kind }) => kind === "relay");
  const lastRelayAt = stations.findLastIndex(({ kind }) => kind === "relay");
  const legs = stations.slice(1).map((_, n) => legOf(pair, n < relayAt, n >= lastRelayAt));
  spreadRtt(pair, legs, relayAt, known);
  return { stations, legs, rttMs: pair.rttMs };
}

function nearSide(local: PathCandidate, known: Known): Station[] {
  const me: Station = { kind: "me", title: "You", detail: null };
  const nat = (detail: string | null): Station => ({ kind: "nat", title: "Your NAT", detail });
  const behind = local.related && !hidden(local.related.address) ? local.related : null;
  if (local.type === "host") return [{ ...me, detail: at(local) }];
  if (local.type !== "relay") return [{ ...me, detail: behind && at(behind) }, nat(at(local))];
  // What a relayed candidate is related to is how the relay sees us: outside of our NAT.
  if (behind && known.hosts.includes(behind.address)) return [{ ...me, detail: at(behind) }];
  const only = known.hosts.length === 1 ? known.hosts[0]! : null;
  if (behind && known.hosts.length > 0) return [{ ...me, detail: only }, nat(at(behind))];
  return isNat(known.myNat) ? [me, nat(null)] : [me];
}

function farSide(pair: Pair, known: Known): Station[] {
  const { remote } = pair;
  const { peer, peerNat } = known;
  const them: Station = { kind: "peer", title: peer, detail: null };
  const nat = (detail: string | null): Station => ({ kind: "nat", title: "Their NAT", detail });
  const itself = remote.type === "host" || kindOf(pair, known) === "direct";
  if (itself) return [{ ...them, detail: at(remote) }];
  if (remote.type !== "relay") return [nat(at(remote)), them];
  return isNat(peerNat) ? [nat(null), them] : [them];
}

function middleOf(pair: Pair, known: Known): Station[] {
  const { relays } = known;
  const servers: Station[] = [];
  const mine = pair.local.type === "relay";
  const theirs = pair.remote.type === "relay";
  if (mine) servers.push(relay(relayName(pair.local, relays), pair.local));
  // The same server on both sides passes the packets on to itself: one station.
  if (theirs && !(mine && pair.local.address === pair.remote.address))
    servers.push(relay(mine ? "Their relay" : pair.remote.address, pair.remote));
  if (servers.length > 0) return servers;
  const kind = kindOf(pair, known);
  // What is between the two is not known.
  if (kind === "direct") return [];
  if (kind === "same-network") return [{ kind: "network", title: "Same network", detail: null }];
  return [{ kind: "internet", title: "Internet", detail: null }];
}

function relay(title: string, candidate: PathCandidate): Station {
  return { kind: "relay", title, detail: at(candidate) };
}

function legOf({ local, remote }: Pair, beforeRelay: boolean, afterRelay: boolean): Leg {
  const mine = beforeRelay && local.type === "relay";
  const theirs = afterRelay && remote.type === "relay";
  const between = local.type === "relay" ? "UDP" : local.protocol.toUpperCase();
  // How the other side reaches its own relay is not told to us.
  const protocol = theirs ? "" : mine ? local.protocol.toUpperCase() : between;
  return { protocol, rttMs: null, reach: null, relayed: mine || theirs };
}

/**
 * Put round trips on the legs where they are known.
 *
 * The browser measures the whole way, and the page the way to our relay: what is left of the whole
 * is the rest. Each stands at the relay, and says how far it reaches when that is not the next station.
 */
function spreadRtt(pair: Pair, legs: Leg[], relayAt: number, { relayRttMs }: Known): void {
  if (pair.local.type !== "relay" || relayRttMs === null) return;
  const [before, after] = [legs[relayAt - 1]!, legs[relayAt]!];
  before.rttMs = relayRttMs;
  before.reach = relayAt > 1 ? "me" : null;
  if (pair.rttMs === null || pair.rttMs < relayRttMs) return;
  after.rttMs = pair.rttMs - relayRttMs;
  after.reach = legs.length - relayAt > 1 ? "peer" : null;
}

function hidden(address: string): boolean {
  return address === "0.0.0.0" || address === "::";
}

/** The address as the picture has it; null where the browser keeps it to itself. */
function at({ address, port }: { address: string; port: number }): string | null {
  return address === HIDDEN ? null : endpoint(address, port);
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

/** A call's way in words: what kind it is, by which relay, and why. */

import type { Nat, PathChoice, PathReport, WireCandidate } from "../net/protocol";
import type { Search } from "./search";
import { HIDDEN } from "./stats";
import type { Pair, PathCandidate, Quality, Snapshot } from "./stats";

export type Kind = "same-network" | "direct" | "through-nat" | "relayed" | "relayed-there";

export interface Circumstances {
  /** What the caller asked for. */
  choice: PathChoice;
  /** What this side lets its own connection do. */
  mine: PathChoice;
  myNat: Nat;
  peerNat: Nat;
  peer: string;
  /** Our relay's URIs, to name the relay when the browser does not say which one it used. */
  relays: readonly string[];
  /** True where this side calls. */
  calls: boolean;
}

type Nats = Pick<Circumstances, "myNat" | "peerNat">;

const UNMEASURED: Nats = { myNat: "unknown", peerNat: "unknown" };

/** What kind of way it is; "direct" where nobody knows yet whether a NAT is in it. */
export function kindOf(
  { local, remote }: Pick<Pair, "local" | "remote">,
  { myNat, peerNat } = UNMEASURED,
): Kind {
  if (local.type === "relay") return "relayed";
  if (remote.type === "relay") return "relayed-there";
  if (local.type !== "host" || remote.type === "srflx") return "through-nat";
  if (remote.type === "host") return "same-network";
  // Peer-reflexive is what came from where nobody had told (RFC 8445 §7.3.1.3): a NAT's address, or
  // one whose candidate is still on its way, as between two tabs. It is a NAT's where only they have one.
  return myNat === "open" && isNat(peerNat) ? "through-nat" : "direct";
}

export function isNat(nat: Nat): boolean {
  return nat === "cone" || nat === "symmetric";
}

export function isRelayed(kind: Kind): boolean {
  return kind === "relayed" || kind === "relayed-there";
}

/** The one line that says it: "Direct (through NAT)", "Relayed by turn.example over TLS". */
export function label(
  pair: Pick<Pair, "local" | "remote">,
  { relays, ...nats }: Nats & Pick<Circumstances, "relays">,
): string {
  switch (kindOf(pair, nats)) {
    case "direct":
      return "Direct";
    case "same-network":
      return "Direct (same network)";
    case "through-nat":
      return "Direct (through NAT)";
    case "relayed-there":
      return "Relayed on the other side";
    case "relayed":
      return `Relayed by ${relayName(pair.local, relays)} over ${pair.local.protocol.toUpperCase()}`;
  }
}

/** The host of the relay's URI, else the relayed address itself. */
export function relayName(local: PathCandidate, relays: readonly string[]): string {
  return uriHost(local.url ?? relays[0] ?? null) ?? local.address;
}

/** `turn:host:3478?transport=udp` → `host`; with brackets around IPv6 kept out. */
export function uriHost(uri: string | null): string | null {
  const found = uri?.match(/^(?:turns?|stuns?):(\[[^\]]+\]|[^:?]+)/);
  return found?.[1]?.replace(/^\[|\]$/g, "") ?? null;
}

/** What the way means for who talks; why it is this one, natkit's words say. */
export function meaning(pair: Pair, seen: Circumstances): string {
  const kind = kindOf(pair);
  if (!isRelayed(kind))
    return `Your packets go straight to ${seen.peer}: no server carries the call.`;
  return [whoseWish(seen), whatRelayDoes(kind, pair, seen)].filter(Boolean).join(" ");
}

function whoseWish({ choice, mine, peer }: Circumstances): string | null {
  if (mine === "relay") return `You asked for the relay, so ${peer} does not see your address.`;
  if (choice === "relay") return `${peer} asked for the relay and keeps their address hidden.`;
  return null;
}

function whatRelayDoes(kind: Kind, pair: Pair, { relays, peer }: Circumstances): string {
  if (kind === "relayed-there")
    return `${peer}'s relay passes on what you send; it cannot listen, since the audio is encrypted end to end.`;
  const how = pair.local.protocol.toUpperCase();
  return (
    `The relay ${relayName(pair.local, relays)} passes the packets on, reached over ${how}; it cannot listen, ` +
    "since the audio is encrypted end to end."
  );
}

/** Whether two kinds of NAT keep a call from going directly; null where one is not known. */
export function needsRelay(mine: Nat, theirs: Nat): boolean | null {
  if (mine === "unknown" || theirs === "unknown") return null;
  if (mine === "open" || theirs === "open") return false;
  return mine === "symmetric" || theirs === "symmetric";
}

/** What to expect of a call, before it is made. */
export function forecast(mine: Nat, theirs: Nat): string | null {
  const needed = needsRelay(mine, theirs);
  if (needed === null) return null;
  if (!needed) return "A direct way is likely.";
  if (mine === theirs)
    return "Both of you are behind symmetric NATs: this call will need the relay.";
  const whose = mine === "symmetric" ? "Your" : "Their";
  return `${whose} NAT is symmetric: this call will probably need the relay.`;
}

export function encryptionOf({ dtls, srtp }: Pick<Snapshot, "dtls" | "srtp">): string | null {
  if (!dtls && !srtp) return null;
  return [dtls, srtp && srtpName(srtp)].filter(Boolean).join(", ");
}

/** `SRTP_AES128_CM_HMAC_SHA1_80` and `AES_CM_128_HMAC_SHA1_80` → `SRTP AES-128`. */
function srtpName(cipher: string): string {
  const bits = cipher.includes("256") ? "256" : "128";
  return `SRTP AES-${bits}${cipher.includes("GCM") ? "-GCM" : ""}`;
}

/** More pairs, and candidates of one side, make no report longer. */
const MOST = 50;

/** What the server keeps of this call's way, and makes natkit's words of. */
export function reportOf(
  seen: Snapshot,
  figures: Quality,
  setupMs: number | null,
  circumstances: Circumstances,
  search: Search | null,
): PathReport {
  const { selected } = seen;
  const quality = {
    rtt_ms: figures.rttMs,
    jitter_ms: figures.jitterMs,
    loss: figures.loss,
    bitrate_bps: figures.receivedBps,
    setup_ms: setupMs,
  };
  if (!selected) return { kind: "unknown", quality };
  const kind = kindOf(selected);
  const others = seen.pairs.filter((pair) => !pair.selected);
  return {
    kind: isRelayed(kind) ? "relayed" : "direct",
    local: onWire(selected.local),
    remote: onWire(selected.remote),
    relay: kind === "relayed" ? (selected.local.url ?? circumstances.relays[0] ?? null) : null,
    encryption: encryptionOf(seen),
    quality,
    pairs: [selected, ...others].slice(0, MOST).map((pair) => ({
      local: onWire(pair.local),
      remote: onWire(pair.remote),
      state: pair.selected ? "selected" : pair.state,
      rtt_ms: pair.rttMs,
      priority: pair.priority,
      nominated: pair.nominated,
      ...pair.checks,
    })),
    search: search && {
      role: (seen.controlling ?? circumstances.calls) ? "controlling" : "controlled",
      nat: circumstances.myNat,
      peer_nat: circumstances.peerNat,
      ...search,
    },
  };
}

function onWire({ type, address, port, protocol }: PathCandidate): WireCandidate {
  return { type, address: address === HIDDEN ? null : address, port, protocol };
}

/** The line for a call of the past, from what was kept of it. */
export function recordLabel(report: PathReport | null): string | null {
  if (!report || !report.local || !report.remote) {
    if (report?.kind === "direct") return "Direct";
    return report?.kind === "relayed" ? "Relayed" : null;
  }
  const widen = (it: WireCandidate, url: string | null): PathCandidate => ({
    ...it,
    address: it.address ?? HIDDEN,
    url,
    related: null,
  });
  const local = widen(report.local, report.relay ?? null);
  const { nat: myNat = "unknown", peer_nat: peerNat = "unknown" } = report.search ?? {};
  return label({ local, remote: widen(report.remote, null) }, { relays: [], myNat, peerNat });
}

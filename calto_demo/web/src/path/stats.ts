/**
 * What `getStats` says, reduced to a call's way and its quality.
 *
 * Pure: takes the entries of an RTCStatsReport, and gives back plain values. Two snapshots make the
 * figures per interval, since the browser counts from the beginning of the connection.
 */

export type CandidateType = "host" | "srflx" | "prflx" | "relay";

export interface PathCandidate {
  type: CandidateType;
  address: string;
  port: number;
  /** How packets leave this host: for a relayed candidate, the way to the relay. */
  protocol: "udp" | "tcp" | "tls";
  /** The relay's or the STUN server's URI, where the browser tells it. */
  url: string | null;
  /** The address behind a mapped or relayed one. */
  related: { address: string; port: number } | null;
}

/** In place of an address that the browser does not tell. */
export const HIDDEN = "hidden";

/** An address with its port; an IPv6 one stands in brackets (RFC 5952 §6). */
export function endpoint(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

export interface Pair {
  id: string;
  local: PathCandidate;
  remote: PathCandidate;
  state: string;
  nominated: boolean;
  selected: boolean;
  rttMs: number | null;
  priority: number;
  /** Checks of ICE. */
  checks: { sent: number; answered: number; received: number };
}

export interface Counters {
  packetsReceived: number;
  packetsLost: number;
  bytesReceived: number;
  bytesSent: number;
}

export interface Snapshot {
  /** Milliseconds, of the clock that the browser stamps its entries with. */
  at: number;
  selected: Pair | null;
  pairs: Pair[];
  /** True where this side nominates; null where the browser does not tell. */
  controlling: boolean | null;
  /** This host's own addresses, as far as the browser tells them; without loopback. */
  hosts: string[];
  dtls: string | null;
  srtp: string | null;
  codec: string | null;
  rttMs: number | null;
  jitterMs: number | null;
  counters: Counters;
}

export interface Quality {
  rttMs: number | null;
  jitterMs: number | null;
  /** Lost of what was expected in the interval, 0 to 1. */
  loss: number | null;
  receivedBps: number | null;
  sentBps: number | null;
}

type Entry = Record<string, unknown> & { id: string; type: string };
type Entries = ReadonlyMap<string, Entry>;

export function snapshot(report: Iterable<Entry>): Snapshot {
  const entries: Entries = new Map([...report].map((entry) => [entry.id, entry]));
  const transport = first(entries, "transport");
  const selectedId = selectedPairId(entries, transport);
  const pairs = every(entries, "candidate-pair").flatMap((entry) =>
    pairOf(entry, entries, selectedId),
  );
  const selected = pairs.find((pair) => pair.selected) ?? null;
  const inbound = first(entries, "inbound-rtp");
  const remote = first(entries, "remote-inbound-rtp");
  return {
    at: number(inbound?.timestamp ?? transport?.timestamp) ?? 0,
    selected,
    pairs,
    controlling: transport?.iceRole ? transport.iceRole === "controlling" : null,
    hosts: hostsOf(entries),
    dtls: dtlsVersion(transport),
    srtp: text(transport?.srtpCipher),
    codec: codecOf(entries, inbound),
    rttMs: selected?.rttMs ?? milliseconds(remote?.roundTripTime),
    jitterMs: milliseconds(inbound?.jitter),
    counters: countersOf(inbound, first(entries, "outbound-rtp")),
  };
}

/** The figures of the time between two snapshots of the same connection. */
export function quality(before: Snapshot | null, now: Snapshot): Quality {
  const seconds = before ? (now.at - before.at) / 1000 : 0;
  const held = { rttMs: now.rttMs, jitterMs: now.jitterMs };
  if (!before || seconds <= 0) return { ...held, loss: null, receivedBps: null, sentBps: null };
  const grown = (name: keyof Counters) => now.counters[name] - before.counters[name];
  return {
    ...held,
    loss: lossOf(grown("packetsReceived"), grown("packetsLost")),
    receivedBps: rate(grown("bytesReceived"), seconds),
    sentBps: rate(grown("bytesSent"), seconds),
  };
}

/** Late packets are counted as lost and then un-counted, so the difference may be below zero. */
function lossOf(received: number, lost: number): number | null {
  const expected = received + lost;
  return expected > 0 ? Math.min(1, Math.max(0, lost / expected)) : null;
}

function rate(bytes: number, seconds: number): number {
  return Math.max(0, (bytes * 8) / seconds);
}

/** Older browsers have no `selectedCandidatePairId`: then it is the nominated pair that works. */
function selectedPairId(entries: Entries, transport: Entry | undefined): string | null {
  const told = text(transport?.selectedCandidatePairId);
  if (told && entries.has(told)) return told;
  const working = every(entries, "candidate-pair").filter(
    (pair) => pair.nominated === true && pair.state === "succeeded",
  );
  return working[0]?.id ?? null;
}

function pairOf(entry: Entry, entries: Entries, selectedId: string | null): Pair[] {
  const local = candidateOf(entries.get(String(entry.localCandidateId)));
  const remote = candidateOf(entries.get(String(entry.remoteCandidateId)));
  if (!local || !remote) return [];
  return [
    {
      id: entry.id,
      local,
      remote,
      state: String(entry.state),
      nominated: entry.nominated === true,
      selected: entry.id === selectedId,
      rttMs: milliseconds(entry.currentRoundTripTime),
      priority: number(entry.priority) ?? 0,
      checks: {
        sent: number(entry.requestsSent) ?? 0,
        answered: number(entry.responsesReceived) ?? 0,
        received: number(entry.requestsReceived) ?? 0,
      },
    },
  ];
}

function candidateOf(entry: Entry | undefined): PathCandidate | null {
  if (!entry) return null;
  const protocol = text(entry.relayProtocol) ?? text(entry.protocol) ?? "udp";
  const related = text(entry.relatedAddress);
  return {
    type: entry.candidateType as CandidateType,
    // A remote one that is known by an mDNS name only has no address until it is resolved.
    address: text(entry.address) ?? text(entry.ip) ?? HIDDEN,
    port: number(entry.port) ?? 0,
    protocol: protocol as PathCandidate["protocol"],
    url: text(entry.url),
    related: related ? { address: related, port: number(entry.relatedPort) ?? 0 } : null,
  };
}

function hostsOf(entries: Entries): string[] {
  const all = every(entries, "local-candidate")
    .filter((entry) => entry.candidateType === "host")
    .map((entry) => text(entry.address) ?? text(entry.ip) ?? "");
  return [...new Set(all)].filter((address) => address && !/^(127\.|::1$)|\.local$/.test(address));
}

const DTLS: Record<string, string> = { FEFF: "1.0", FEFD: "1.2", FEFC: "1.3", "0304": "1.3" };

function dtlsVersion(transport: Entry | undefined): string | null {
  const code = text(transport?.tlsVersion);
  return code ? `DTLS ${DTLS[code.toUpperCase()] ?? code}` : null;
}

function codecOf(entries: Entries, inbound: Entry | undefined): string | null {
  const codec = entries.get(String(inbound?.codecId));
  return text(codec?.mimeType)?.replace("audio/", "") ?? null;
}

function countersOf(inbound: Entry | undefined, outbound: Entry | undefined): Counters {
  return {
    packetsReceived: number(inbound?.packetsReceived) ?? 0,
    packetsLost: number(inbound?.packetsLost) ?? 0,
    bytesReceived: number(inbound?.bytesReceived) ?? 0,
    bytesSent: number(outbound?.bytesSent) ?? 0,
  };
}

const AUDIO = new Set(["inbound-rtp", "outbound-rtp", "remote-inbound-rtp"]);

function every(entries: Entries, type: string): Entry[] {
  return [...entries.values()].filter(
    (entry) => entry.type === type && (!AUDIO.has(type) || entry.kind === "audio"),
  );
}

function first(entries: Entries, type: string): Entry | undefined {
  return every(entries, type)[0];
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function milliseconds(value: unknown): number | null {
  const seconds = number(value);
  return seconds === null ? null : seconds * 1000;
}

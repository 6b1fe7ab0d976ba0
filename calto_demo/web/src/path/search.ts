/**
 * How a connection looked for its way: the candidates of both sides, and who was asked for ours.
 *
 * Kept beside the connection, since its statistics forget what is in no pair any more.
 */

import type { AskedServer, WireFound } from "../net/protocol";

export interface Search {
  local: WireFound[];
  remote: WireFound[];
  asked: AskedServer[];
}

type Told = Pick<
  RTCIceCandidate,
  "type" | "address" | "port" | "protocol" | "priority" | "relatedAddress" | "relatedPort"
> & {
  usernameFragment: string | null;
  /** Not in every browser. */
  relayProtocol?: string | null;
  url?: string | null;
};

/** More candidates of one side make no report longer. */
const MOST = 50;

export class SearchLog {
  private readonly asked: AskedServer[];
  private local: Told[] = [];
  private remote: Told[] = [];

  constructor(urls: readonly string[]) {
    this.asked = urls.map((url) => ({ url, error: null }));
  }

  /** One that does not answer on one interface may do so on another. */
  unanswered(url: string, code: number): void {
    for (const asked of this.asked) if (asked.url === url) asked.error = code;
  }

  found(candidate: Told): void {
    this.local = joined(this.local, candidate);
  }

  told(candidate: Told): void {
    this.remote = joined(this.remote, candidate);
  }

  get search(): Search {
    const { asked, local, remote } = this;
    return { asked: asked.slice(0, MOST), local: local.map(onWire), remote: remote.map(onWire) };
  }
}

/** After a restart those of before count no more. */
function joined(list: readonly Told[], one: Told): Told[] {
  if (!one.type) return [...list];
  const same = list.filter(({ usernameFragment }) => usernameFragment === one.usernameFragment);
  return [...same, one].slice(0, MOST);
}

function onWire(it: Told): WireFound {
  const related = bare(it.relatedAddress);
  const over = it.type === "relay" ? it.relayProtocol : it.protocol;
  return {
    type: it.type!,
    address: bare(it.address),
    port: it.port ?? 0,
    protocol: (over ?? "udp") as WireFound["protocol"],
    related: related ? { address: related, port: it.relatedPort ?? 0 } : null,
    priority: it.priority ?? 0,
    url: it.url || null,
  };
}

/** Chromium has brackets around IPv6 here, and none in its statistics. */
function bare(address: string | null): string | null {
  return address?.replace(/^\[|\]$/g, "") || null;
}

/** The candidates that a description has in itself. */
export function candidatesIn(sdp: string): RTCIceCandidateInit[] {
  const usernameFragment = sdp.match(/^a=ice-ufrag:(\S+)/m)?.[1] ?? null;
  const lines = sdp.split(/\r?\n/).filter((line) => line.startsWith("a=candidate:"));
  return lines.map((line) => ({ candidate: line.slice(2), sdpMLineIndex: 0, usernameFragment }));
}

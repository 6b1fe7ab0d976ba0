/** Which ways a connection may take, and how that is made of what a browser offers. */

import type { PathChoice } from "../net/protocol";

/**
 * The ways that this side lets a connection take.
 *
 * Hiding the own address is a wish of each side for itself, and wins. "Direct only" is for the call:
 * both sides leave their relays out. "Relay only" of the other side asks nothing of this one.
 */
export function policyFor(call: PathChoice, mine: PathChoice, isCaller: boolean): PathChoice {
  if (isCaller) return call;
  if (mine === "relay") return "relay";
  return call === "direct" ? "direct" : "auto";
}

/** Beside "main": a comparison's leg is named after its way, so that both know what to leave out. */
export type CompareLeg = "relay" | "direct";

export function isCompareLeg(leg: string): leg is CompareLeg {
  return leg === "relay" || leg === "direct";
}

export function configuration(
  servers: readonly RTCIceServer[],
  policy: PathChoice,
): RTCConfiguration {
  return {
    iceServers: policy === "direct" ? withoutRelays(servers) : [...servers],
    iceTransportPolicy: policy === "relay" ? "relay" : "all",
    bundlePolicy: "max-bundle",
  };
}

function withoutRelays(servers: readonly RTCIceServer[]): RTCIceServer[] {
  return servers.flatMap((server) => {
    const urls = urlsOf(server).filter((url) => url.startsWith("stun"));
    return urls.length > 0 ? [{ ...server, urls }] : [];
  });
}

/** The servers that a connection asks under a policy. */
export function askedUrls(servers: readonly RTCIceServer[], policy: PathChoice): string[] {
  const all = servers.flatMap(urlsOf);
  if (policy === "auto") return all;
  return all.filter((url) => url.startsWith(policy === "relay" ? "turn" : "stun"));
}

export function relayUrls(servers: readonly RTCIceServer[]): string[] {
  return servers.flatMap((server) => urlsOf(server).filter((url) => url.startsWith("turn")));
}

function urlsOf({ urls }: RTCIceServer): string[] {
  return typeof urls === "string" ? [urls] : urls;
}

/** Whether the policy lets us use a candidate of the other side. */
export function admits(policy: PathChoice, candidate: string): boolean {
  return policy !== "direct" || !/ typ relay( |$)/.test(candidate);
}

/** The description without the candidates that the policy leaves out. */
export function admitted(policy: PathChoice, sdp: string): string {
  return sdp
    .split("\r\n")
    .filter((line) => !line.startsWith("a=candidate:") || admits(policy, line))
    .join("\r\n");
}

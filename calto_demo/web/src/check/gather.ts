/** Asks STUN and TURN through the browser: what answers, what it says, and how long it takes. */

import { baseOf, type Gathered, judgeNat, type NatSeen } from "../path/nat";

/** Longer than a browser asks a STUN server that does not answer (about 9.5 s in Chromium). */
const GATHER_MS = 12_000;
const RELAY_MS = 8000;

/** Learn the kind of NAT from two STUN ports of one server. */
export async function natSeen(stun: readonly string[]): Promise<NatSeen> {
  const connection = new RTCPeerConnection({ iceServers: [{ urls: [...stun] }] });
  const found: Gathered = { sockets: [], mapped: [], unanswered: [], complete: false };
  connection.createDataChannel("check");
  connection.onicecandidateerror = ({ port }) => void (port && found.unanswered.push(port));
  const done = new Promise<void>((resolve) => {
    connection.onicecandidate = ({ candidate }) => {
      if (candidate) note(found, candidate);
      else {
        found.complete = true;
        resolve();
      }
    };
  });
  await connection.setLocalDescription();
  await Promise.race([done, pause(GATHER_MS)]);
  connection.close();
  return judgeNat(found);
}

function note(found: Gathered, candidate: RTCIceCandidate): void {
  const { address, port, protocol, type } = candidate;
  if (protocol !== "udp" || port === null) return;
  if (type === "host") found.sockets.push({ address, port });
  if (type === "srflx" && address) found.mapped.push({ address, port, ...baseOf(candidate) });
}

export interface RelaySeen {
  works: boolean;
  words: string;
  /** There and back between here and the relay. */
  rttMs: number | null;
}

/**
 * Call ourselves through one of the relay's URIs.
 *
 * Both ends may use the relay only, so what is measured goes here → relay → here and back again:
 * twice there and back.
 */
export async function relaySeen(server: RTCIceServer, url: string): Promise<RelaySeen> {
  const configuration: RTCConfiguration = {
    iceServers: [{ ...server, urls: url }],
    iceTransportPolicy: "relay",
  };
  const [one, other] = [new RTCPeerConnection(configuration), new RTCPeerConnection(configuration)];
  let refusal: string | null = null;
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.onicecandidate = ({ candidate }) => void to.addIceCandidate(candidate ?? undefined);
    from.onicecandidateerror = ({ errorCode, errorText }) =>
      (refusal = refusalWords(errorCode, errorText));
  }
  try {
    const fastest = fastestEcho(one, other);
    await connect(one, other);
    const silence = pause(RELAY_MS).then(() => Promise.reject(new Error("silent")));
    const twice = await Promise.race([fastest, silence]);
    return { works: true, words: "Works.", rttMs: twice / 2 };
  } catch {
    const words = refusal ?? "The relay did not answer in time.";
    return { works: false, words, rttMs: null };
  } finally {
    one.close();
    other.close();
  }
}

async function connect(one: RTCPeerConnection, other: RTCPeerConnection): Promise<void> {
  await one.setLocalDescription();
  await other.setRemoteDescription(one.localDescription!);
  await other.setLocalDescription();
  await one.setRemoteDescription(other.localDescription!);
}

/** How many messages go there and back; the fastest was held up least by others. */
const ECHOES = 10;

/** How long the fastest message takes from `one` to `other` and back, in ms. */
function fastestEcho(one: RTCPeerConnection, other: RTCPeerConnection): Promise<number> {
  const channel = one.createDataChannel("check");
  other.ondatachannel = ({ channel: far }) => {
    far.onmessage = ({ data }) => far.send(data);
  };
  return new Promise((resolve) => {
    const took: number[] = [];
    let sentAt = 0;
    const send = () => {
      sentAt = performance.now();
      channel.send("echo");
    };
    channel.onopen = send;
    channel.onmessage = () => {
      took.push(performance.now() - sentAt);
      if (took.length < ECHOES) send();
      else resolve(Math.min(...took));
    };
  });
}

/** `icecandidateerror`: STUN's codes, and the browser's own 701 for silence. */
export function refusalWords(code: number, text: string): string {
  switch (code) {
    case 401:
      return "The relay refused our name and password (401).";
    case 403:
      return "The relay forbids this (403).";
    case 486:
      return "The relay has no place left for you (486).";
    case 508:
      return "The relay has no port left (508).";
    case 701:
      return "Nothing answered: a firewall may block the way to the relay.";
    default:
      return `The relay refused: ${text || "no reason given"} (${code}).`;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

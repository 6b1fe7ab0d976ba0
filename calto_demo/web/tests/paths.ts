/** What several tests of paths need: candidates, pairs, and a report as Chromium gives it. */

import type { Circumstances } from "../src/path/describe";
import type { Pair, PathCandidate } from "../src/path/stats";

export const HOST: PathCandidate = {
  type: "host",
  address: "192.168.1.5",
  port: 50000,
  protocol: "udp",
  url: null,
  related: null,
};
export const MAPPED: PathCandidate = {
  ...HOST,
  type: "srflx",
  address: "203.0.113.7",
  port: 61000,
  related: { address: "192.168.1.5", port: 50000 },
};
export const PEER_HOST: PathCandidate = { ...HOST, address: "192.168.1.9", port: 40000 };
export const PEER_MAPPED: PathCandidate = {
  ...HOST,
  type: "srflx",
  address: "198.51.100.4",
  port: 7,
};
export const RELAYED: PathCandidate = {
  ...HOST,
  type: "relay",
  address: "203.0.113.99",
  port: 49160,
  url: "turn:turn.example.org:3478?transport=udp",
  related: { address: "203.0.113.7", port: 61001 },
};
export const PEER_RELAYED: PathCandidate = { ...RELAYED, port: 49170, url: null, related: null };

export function pair(local: PathCandidate, remote: PathCandidate, rttMs: number | null = 20): Pair {
  const checks = { sent: 1, answered: 1, received: 1 };
  const worked = { state: "succeeded", nominated: true, selected: true };
  return { id: "p", local, remote, ...worked, rttMs, priority: 1, checks };
}

export const SEEN: Circumstances = {
  choice: "auto",
  mine: "auto",
  myNat: "cone",
  peerNat: "cone",
  peer: "Bob",
  relays: ["turn:turn.example.org:3478?transport=udp"],
  calls: true,
};

type Entry = Record<string, unknown> & { id: string; type: string };

/** The entries of an RTCStatsReport: one relayed pair, one that failed, audio both ways. */
export function chromiumReport(at: number, packets: number, lost: number): Entry[] {
  return [
    {
      id: "T01",
      type: "transport",
      timestamp: at,
      selectedCandidatePairId: "CP1",
      tlsVersion: "FEFD",
      srtpCipher: "SRTP_AES128_CM_HMAC_SHA1_80",
      iceRole: "controlled",
    },
    {
      id: "CP1",
      type: "candidate-pair",
      localCandidateId: "L1",
      remoteCandidateId: "R1",
      state: "succeeded",
      nominated: true,
      currentRoundTripTime: 0.024,
      priority: 99,
      requestsSent: 3,
      responsesReceived: 2,
      requestsReceived: 1,
    },
    {
      id: "CP2",
      type: "candidate-pair",
      localCandidateId: "L2",
      remoteCandidateId: "R1",
      state: "failed",
      nominated: false,
    },
    {
      id: "L1",
      type: "local-candidate",
      candidateType: "relay",
      address: "203.0.113.99",
      port: 49160,
      protocol: "udp",
      relayProtocol: "tls",
      url: "turns:turn.example.org:443?transport=tcp",
    },
    {
      id: "L2",
      type: "local-candidate",
      candidateType: "host",
      ip: "192.168.1.5",
      port: 5,
      protocol: "udp",
    },
    {
      id: "R1",
      type: "remote-candidate",
      candidateType: "srflx",
      address: "198.51.100.4",
      port: 7,
      protocol: "udp",
    },
    {
      id: "V1",
      type: "inbound-rtp",
      kind: "video",
      timestamp: at,
      packetsReceived: 9999,
      packetsLost: 999,
    },
    {
      id: "I1",
      type: "inbound-rtp",
      kind: "audio",
      timestamp: at,
      codecId: "C1",
      packetsReceived: packets,
      packetsLost: lost,
      bytesReceived: packets * 80,
      jitter: 0.004,
    },
    { id: "O1", type: "outbound-rtp", kind: "audio", bytesSent: packets * 40 },
    { id: "C1", type: "codec", mimeType: "audio/opus" },
  ];
}

/** What the server and the page say to each other: docs/calto-protocol.md, as types. */

export type Nat = "open" | "cone" | "symmetric" | "unknown";
export type PathChoice = "auto" | "relay" | "direct";
export type CallState = "calling" | "ringing" | "accepted" | "connected" | "ended";
export type Reason =
  | "hangup"
  | "declined"
  | "busy"
  | "cancelled"
  | "no-answer"
  | "offline"
  | "failed"
  | "lost"
  | "glare";
export type Direction = "out" | "in";

export interface User {
  id: string;
  name: string;
  kind: "guest" | "account" | "echo";
}

export interface Person extends User {
  online: boolean;
  busy: boolean;
  nat: Nat;
  contact?: boolean;
  last_seen: number | null;
}

export interface WireCandidate {
  type: "host" | "srflx" | "prflx" | "relay";
  /** null where the browser hides it. */
  address: string | null;
  port: number;
  protocol: "udp" | "tcp" | "tls";
}

/** A candidate of the search, whether a pair has it or not. */
export interface WireFound extends WireCandidate {
  related: { address: string; port: number } | null;
  priority: number;
  url: string | null;
}

/** A server that was asked for candidates; the code of RTCPeerConnectionIceErrorEvent. */
export interface AskedServer {
  url: string;
  error: number | null;
}

export interface WireQuality {
  rtt_ms: number | null;
  jitter_ms: number | null;
  loss: number | null;
  bitrate_bps: number | null;
  setup_ms: number | null;
}

export interface PathReport {
  kind: "direct" | "relayed" | "failed" | "unknown";
  /** natkit's words: the server's, and not the client's. */
  explanation?: string;
  local?: WireCandidate | null;
  remote?: WireCandidate | null;
  relay?: string | null;
  encryption?: string | null;
  quality?: WireQuality;
  pairs?: {
    local: WireCandidate | null;
    remote: WireCandidate | null;
    state: string;
    rtt_ms: number | null;
    priority: number;
    nominated: boolean;
    sent: number;
    answered: number;
    received: number;
  }[];
  search?: {
    role: "controlling" | "controlled";
    nat: Nat;
    peer_nat: Nat;
    local: WireFound[];
    remote: WireFound[];
    asked: AskedServer[];
  } | null;
}

export interface CallRecord {
  call: string;
  direction: Direction;
  peer: User;
  state: CallState;
  reason: Reason | null;
  path: PathChoice;
  started_at: number;
  ringing_at: number | null;
  answered_at: number | null;
  connected_at: number | null;
  ended_at: number | null;
  mine: PathReport | null;
  theirs: PathReport | null;
}

export interface LiveCall {
  call: string;
  direction: Direction;
  peer: User;
  state: CallState;
  path: PathChoice;
  started_at: number;
  sdp?: string | Sdp | null;
  peer_nat: Nat;
}

export interface ServerInfo {
  name: string;
  version: string;
  protocol: number;
  sign_in: { guest: boolean; oidc: { name: string; url: string } | null };
  echo: string | null;
}

export interface SignedIn {
  token: string;
  expires_at: number;
  me: User;
}

export interface IceServers {
  iceServers: RTCIceServer[];
  stun: string[];
  expires_at: number;
}

/** Where the protocol says "offer" or "answer": the text of it, or what WebRTC calls a description. */
export type Sdp = { type: RTCSdpType; sdp: string };

/** Frames with a `seq`, as they come from the server. */
export type ServerFrame =
  | {
      type: "incoming";
      call: string;
      peer: User;
      peer_nat: Nat;
      path: PathChoice;
      sdp: string | Sdp;
      started_at: number;
    }
  | { type: "ringing"; call: string }
  | { type: "accepted"; call: string; sdp: string | Sdp; peer_nat: Nat }
  | { type: "stop"; call: string; reason: string }
  | { type: "candidate"; call: string; candidate: RTCIceCandidateInit | null; leg?: string }
  | { type: "offer"; call: string; sdp: string | Sdp; leg?: string; fresh?: boolean }
  | { type: "answer"; call: string; sdp: string | Sdp; leg?: string }
  | { type: "connected"; call: string }
  | { type: "mute"; call: string; muted: boolean }
  | { type: "peer"; call: string; signalling: "lost" | "back" }
  | {
      type: "ended";
      call: string;
      reason: Reason;
      by: string | null;
      message: string | null;
      record: CallRecord;
    }
  | { type: "presence"; person: Person };

/** Frames with a `seq`, as the page sends them; the session numbers them. */
export type ClientFrame =
  | { type: "ring"; call: string; to: string; sdp: string; path: PathChoice }
  | { type: "ringing"; call: string }
  | { type: "accept"; call: string; sdp: string }
  | { type: "decline"; call: string }
  | { type: "hangup"; call: string; reason: "hangup" | "failed"; message: string | null }
  | { type: "candidate"; call: string; candidate: RTCIceCandidateInit | null; leg: string }
  | { type: "offer"; call: string; sdp: string; leg: string; fresh: boolean }
  | { type: "answer"; call: string; sdp: string; leg: string }
  | { type: "connected"; call: string }
  | { type: "mute"; call: string; muted: boolean }
  | { type: "status"; nat: Nat };

export interface Welcome {
  type: "welcome";
  me: User;
  resumed: boolean;
  ack: number;
  calls: LiveCall[];
  time: number;
}

export interface ErrorFrame {
  type: "error";
  code: string;
  message: string;
  hint: string | null;
  of: number | null;
  call: string | null;
}

/** Everything that screens show. */

import type { CallView } from "./call/state";
import type { CompareLeg } from "./call/policy";
import type { Measured } from "./call/meter";
import type { LinkState } from "./net/socket";
import type { CallRecord, Nat, PathChoice, Person, ServerInfo, User } from "./net/protocol";

export interface Settings {
  path: PathChoice;
  microphone: string | null;
  speaker: string | null;
}

export interface Comparison {
  leg: CompareLeg;
  /** True where this side asked for it. */
  mine: boolean;
  state: "connecting" | "connected" | "failed" | "stopped";
  measured: Measured | null;
}

export interface Notice {
  message: string;
  hint: string | null;
}

export interface AppState {
  server: string;
  info: ServerInfo | null;
  me: User | null;
  link: LinkState;
  notice: Notice | null;
  people: Person[];
  records: CallRecord[];
  settings: Settings;
  nat: Nat;
  relayRttMs: number | null;

  call: CallView | null;
  policy: PathChoice;
  relays: string[];
  measured: Measured | null;
  setupMs: number | null;
  /** natkit's words for a pair that was in use. */
  explained: { pair: string; words: string } | null;
  comparison: Comparison | null;
  safety: string[] | null;
  microphone: MediaStream | null;
  audio: MediaStream | null;
}

export const NO_CALL = {
  call: null,
  policy: "auto",
  relays: [],
  measured: null,
  setupMs: null,
  explained: null,
  comparison: null,
  safety: null,
  microphone: null,
  audio: null,
} satisfies Partial<AppState>;

const SETTINGS = "calto.settings";

export function storedSettings(store: Storage): Settings {
  const usual: Settings = { path: "auto", microphone: null, speaker: null };
  try {
    return { ...usual, ...JSON.parse(store.getItem(SETTINGS) ?? "{}") };
  } catch {
    return usual;
  }
}

export function storeSettings(store: Storage, settings: Settings): void {
  store.setItem(SETTINGS, JSON.stringify(settings));
}

/** Everything that screens show. */

import type { CallView } from "./call/state";
import type { CompareLeg } from "./call/policy";
import type { Measured } from "./call/meter";
import type { LinkState } from "./net/socket";
import { CALLS_AT_ONCE } from "./net/api";
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
  /** There may be calls before the oldest of `records`. */
  olderRecords: boolean;
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

/** `older` calls behind those that are known by now. */
export function continued(
  { records }: Pick<AppState, "records">,
  older: CallRecord[],
): Pick<AppState, "records" | "olderRecords"> {
  const known = new Set(records.map(({ call }) => call));
  const others = older.filter(({ call }) => !known.has(call));
  return { records: [...records, ...others], olderRecords: older.length === CALLS_AT_ONCE };
}

/** The newest calls in place of what was known of them; older ones that were fetched stay. */
export function refreshed(
  { records, olderRecords }: Pick<AppState, "records" | "olderRecords">,
  newest: CallRecord[],
): Pick<AppState, "records" | "olderRecords"> {
  if (newest.length < CALLS_AT_ONCE) return { records: newest, olderRecords: false };
  const from = newest.at(-1)!.started_at;
  const older = records.filter(({ started_at }) => started_at < from);
  return { records: [...newest, ...older], olderRecords: olderRecords || older.length === 0 };
}

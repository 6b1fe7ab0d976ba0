import { expect, test } from "vitest";
import { extended, EMPTY_SERIES } from "../src/call/meter";
import { serverUrl, socketUrl } from "../src/config";
import { AccountStore, returned } from "../src/net/account";
import type { CallRecord, SignedIn } from "../src/net/protocol";
import { refreshed } from "../src/state";
import { initials } from "../src/ui/initials";
import { ago } from "../src/ui/time";

test("without another server the page's own origin is the server", () => {
  expect(serverUrl(null, "https://calto.example/app/#x")).toBe("https://calto.example");
});

test("a server may be of another origin, and under a path", () => {
  const page = "https://static.example/";
  expect(serverUrl("https://api.example/", page)).toBe("https://api.example");
  expect(serverUrl("http://127.0.0.1:8000/calto/", page)).toBe("http://127.0.0.1:8000/calto");
  expect(socketUrl("https://api.example/calto")).toBe("wss://api.example/calto/ws");
  expect(socketUrl("http://127.0.0.1:8000")).toBe("ws://127.0.0.1:8000/ws");
});

test("a server that is no web address is refused", () => {
  expect(() => serverUrl("javascript:alert(1)", "https://a.example/")).toThrow(/http/);
});

class Memory implements Storage {
  private kept = new Map<string, string>();
  get length() {
    return this.kept.size;
  }
  clear = () => this.kept.clear();
  getItem = (key: string) => this.kept.get(key) ?? null;
  key = (n: number) => [...this.kept.keys()][n] ?? null;
  removeItem = (key: string) => void this.kept.delete(key);
  setItem = (key: string, value: string) => void this.kept.set(key, value);
}

const ADA: SignedIn = {
  token: "t",
  expires_at: 100,
  me: { id: "u-ada", name: "Ada", kind: "guest" },
};

test("a token is kept for the server that gave it, and for no other", () => {
  const [tab, browser] = [new Memory(), new Memory()];
  new AccountStore("https://a.example", tab, browser).keep(ADA);
  expect(new AccountStore("https://a.example", tab, browser).current()).toEqual(ADA);
  expect(new AccountStore("https://b.example", tab, browser).current()).toBeNull();
});

test("another tab is not signed in by itself, and may go on as who was here, while that is good", () => {
  const browser = new Memory();
  new AccountStore("https://a.example", new Memory(), browser).keep(ADA);
  const other = new AccountStore("https://a.example", new Memory(), browser);
  expect(other.current()).toBeNull();
  expect(other.remembered(99)).toEqual(ADA);
  expect(other.remembered(100)).toBeNull();
});

test("signing out makes the browser forget this account, and not another tab's", () => {
  const browser = new Memory();
  const one = new AccountStore("https://a.example", new Memory(), browser);
  const other = new AccountStore("https://a.example", new Memory(), browser);
  one.keep(ADA);
  other.keep({ ...ADA, token: "other" });
  one.forget(true);
  expect(other.remembered(0)?.token).toBe("other");
  other.forget(true);
  expect(other.remembered(0)).toBeNull();
});

test("a provider's page comes back with a token, or with what went wrong", () => {
  expect(returned("#token=abc")).toEqual({ token: "abc" });
  expect(returned("#error=access_denied")).toEqual({ error: "access_denied" });
  expect(returned("")).toBeNull();
});

test("a chart keeps the last three minutes, and a gap stays a gap", () => {
  let series = EMPTY_SERIES;
  const figures = { rttMs: null, jitterMs: 4, loss: 0.5, receivedBps: 32000, sentBps: null };
  for (let second = 0; second < 200; second++) series = extended(series, second, figures);
  expect([series.at.length, series.at[0]]).toEqual([180, 20]);
  expect([series.rttMs[0], series.lossPercent[0], series.kbps[0]]).toEqual([null, 50, 32]);
});

test.each([
  ["Ada Lovelace", "AL"],
  ["ada", "A"],
  ["  ", "?"],
  ["𝒵oe 😀", "𝒵😀"],
])("the initials of %j are %s", (name, letters) => {
  expect(initials(name)).toBe(letters);
});

test.each([
  [30, "just now"],
  [120, "2 min ago"],
  [7200, "2 h ago"],
  [200_000, "2 d ago"],
])("%d seconds are %s", (seconds, words) => {
  expect(ago(1_000_000 - seconds, 1_000_000)).toBe(words);
});

test("older calls that were fetched stay when the newest are fetched again", () => {
  const record = (started_at: number) => ({ started_at }) as CallRecord;
  const page = (from: number) => Array.from({ length: 50 }, (_, n) => record(from - n));
  const first = refreshed({ records: [], olderRecords: false }, page(100));
  expect(first).toMatchObject({ olderRecords: true, records: { length: 50 } });
  const all = { records: [...first.records, record(50)], olderRecords: false };
  const next = refreshed(all, page(101));
  expect(next.records.map(({ started_at }) => started_at)).toEqual(
    Array.from({ length: 52 }, (_, n) => 101 - n),
  );
  expect(refreshed(all, [record(9)])).toEqual({ records: [record(9)], olderRecords: false });
});

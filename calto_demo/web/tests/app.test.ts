import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { App } from "../src/app";
import type { CallRecord } from "../src/net/protocol";

const STORAGE = { getItem: () => null, setItem: () => {}, removeItem: () => {} };

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("sessionStorage", STORAGE);
  vi.stubGlobal("localStorage", STORAGE);
  vi.stubGlobal("window", { addEventListener: () => {} });
  vi.stubGlobal("HTMLMediaElement", class {});
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const record = (started_at: number) => ({ call: `c-${started_at}`, started_at }) as CallRecord;

/** As many calls as the server has in one answer, the newest first. */
const page = (from: number) => Array.from({ length: 50 }, (_, n) => record(from - n));

/** An app with a server's first 50 calls, whose next answers the test gives. */
async function withCalls(): Promise<{ app: App; answers: ((records: CallRecord[]) => void)[] }> {
  const { App } = await import("../src/app"); // it looks at what the browser has at once
  const app = new App("http://calto.example");
  const answers: ((records: CallRecord[]) => void)[] = [];
  app.api.people = async () => [];
  app.api.calls = () => new Promise((answer) => answers.push(answer));
  const refreshing = app.refresh();
  answers.shift()!(page(100));
  await refreshing;
  return { app, answers };
}

const known = (app: App) => app.store.get().records.map(({ started_at }) => started_at);

test("a call that ends while older ones are fetched is in the list", async () => {
  const { app, answers } = await withCalls();
  const fetching = app.olderCalls();
  const refreshing = app.refresh();
  answers[1]!(page(101));
  await refreshing;
  answers[0]!([record(50), record(49)]);
  await fetching;
  expect(known(app)).toEqual(Array.from({ length: 53 }, (_, n) => 101 - n));
  expect(app.store.get().olderRecords).toBe(false);
});

test("older calls that are asked for twice are in the list once", async () => {
  const { app, answers } = await withCalls();
  const fetching = [app.olderCalls(), app.olderCalls()];
  for (const answer of answers) answer(page(50));
  await Promise.all(fetching);
  expect(known(app)).toEqual(Array.from({ length: 100 }, (_, n) => 100 - n));
  expect(app.store.get().olderRecords).toBe(true);
});

/**
 * Tells the server during a call which way it goes, and how well; the last one is kept.
 *
 * The answer is natkit's words for that way, which the page shows.
 */

import type { Api } from "../net/api";
import { type Circumstances, reportOf } from "../path/describe";
import type { Search } from "../path/search";
import type { AppState } from "../state";
import type { Store } from "../store";
import type { Measured } from "./meter";
import type { CallView } from "./state";

/** The first figures of an interval are there after two seconds. */
const FIRST_AFTER_MS = 2500;
const EVERY_MS = 10_000;

export class Reporter {
  private first: ReturnType<typeof setTimeout> | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;
  private told: string | null = null;

  constructor(
    private readonly store: Store<AppState>,
    private readonly api: Api,
    private readonly search: () => Search | null,
  ) {}

  begin(): void {
    this.stop();
    this.first = setTimeout(() => void this.report(), FIRST_AFTER_MS);
    this.timer = setInterval(() => void this.report(), EVERY_MS);
  }

  /** Another pair has other words: they are not waited for. */
  saw({ seen }: Measured): void {
    if (seen.selected && seen.selected.id !== this.told) void this.report();
  }

  /** Args: talked: there is something to say for the last time. */
  end(talked: boolean): void {
    this.stop();
    if (talked) void this.report();
  }

  private stop(): void {
    this.told = null;
    clearTimeout(this.first);
    clearInterval(this.timer);
  }

  private async report(): Promise<void> {
    const { call: view, measured, setupMs } = this.store.get();
    if (!view || !measured?.seen.selected) return;
    const { seen, quality } = measured;
    const { id: pair } = measured.seen.selected;
    this.told = pair;
    const path = reportOf(seen, quality, setupMs, this.circumstances(view), this.search());
    try {
      const { explanation: words } = await this.api.report(view.call, path);
      if (this.store.get().call?.call === view.call) this.store.set({ explained: { pair, words } });
    } catch (error) {
      console.debug("the path was not reported", error);
    }
  }

  private circumstances(view: CallView): Circumstances {
    const { nat, relays, policy } = this.store.get();
    const { path, peerNat, peer, direction } = view;
    const calls = direction === "out";
    return { choice: path, mine: policy, myNat: nat, peerNat, peer: peer.name, relays, calls };
  }
}

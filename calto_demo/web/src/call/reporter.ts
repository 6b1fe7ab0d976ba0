/** Tells the server during a call which way it goes, and how well; the last one is kept. */

import type { Api } from "../net/api";
import { type Circumstances, reportOf } from "../path/describe";
import type { AppState } from "../state";
import type { Store } from "../store";
import type { CallView } from "./state";

/** The first figures of an interval are there after two seconds. */
const FIRST_AFTER_MS = 2500;
const EVERY_MS = 10_000;

export class Reporter {
  private first: ReturnType<typeof setTimeout> | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly store: Store<AppState>,
    private readonly api: Api,
  ) {}

  begin(): void {
    this.stop();
    this.first = setTimeout(() => void this.report(), FIRST_AFTER_MS);
    this.timer = setInterval(() => void this.report(), EVERY_MS);
  }

  /** Args: talked: there is something to say for the last time. */
  end(talked: boolean): void {
    this.stop();
    if (talked) void this.report();
  }

  private stop(): void {
    clearTimeout(this.first);
    clearInterval(this.timer);
  }

  private async report(): Promise<void> {
    const { call: view, measured, setupMs } = this.store.get();
    if (!view || !measured?.seen.selected) return;
    const path = reportOf(measured.seen, measured.quality, setupMs, this.circumstances(view));
    try {
      await this.api.report(view.call, path);
    } catch (error) {
      console.debug("the path was not reported", error);
    }
  }

  private circumstances(view: CallView): Circumstances {
    const { nat, relays, policy } = this.store.get();
    const { path, peerNat, peer } = view;
    return { choice: path, mine: policy, myNat: nat, peerNat, peer: peer.name, relays };
  }
}

/** Reads a connection's statistics once a second, and keeps the last minutes of them. */

import { type Quality, quality, type Snapshot, snapshot } from "../path/stats";

export interface Series {
  /** Unix seconds. */
  at: number[];
  rttMs: (number | null)[];
  jitterMs: (number | null)[];
  /** Per cent. */
  lossPercent: (number | null)[];
  kbps: (number | null)[];
}

export interface Measured {
  seen: Snapshot;
  quality: Quality;
  series: Series;
}

export const EMPTY_SERIES: Series = { at: [], rttMs: [], jitterMs: [], lossPercent: [], kbps: [] };

/** Three minutes: what one looks back at while talking. */
const POINTS = 180;
const EVERY_MS = 1000;

export class Meter {
  private last: Measured | null = null;
  private readonly timer: ReturnType<typeof setInterval>;

  constructor(
    private readonly connection: RTCPeerConnection,
    private readonly show: (measured: Measured) => void,
  ) {
    this.timer = setInterval(() => void this.look(), EVERY_MS);
  }

  async look(): Promise<void> {
    const report = await this.connection.getStats();
    const seen = snapshot(report.values());
    const figures = quality(this.last?.seen ?? null, seen);
    const series = extended(this.last?.series ?? EMPTY_SERIES, Date.now() / 1000, figures);
    this.last = { seen, quality: figures, series };
    this.show(this.last);
  }

  stop(): void {
    clearInterval(this.timer);
  }
}

export function extended(series: Series, at: number, figures: Quality): Series {
  const put = <T>(list: T[], value: T) => [...list, value].slice(-POINTS);
  const scaled = (value: number | null, by: number) => (value === null ? null : value * by);
  return {
    at: put(series.at, at),
    rttMs: put(series.rttMs, figures.rttMs),
    jitterMs: put(series.jitterMs, figures.jitterMs),
    lossPercent: put(series.lossPercent, scaled(figures.loss, 100)),
    kbps: put(series.kbps, scaled(figures.receivedBps, 1 / 1000)),
  };
}

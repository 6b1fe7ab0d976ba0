/** Round trip, jitter, loss and bitrate of a connection, live. */

import { EMPTY_SERIES, type Measured, type Series } from "../call/meter";
import { Chart } from "./Chart";
import { formatMs } from "./time";

interface Figure {
  title: string;
  series: Exclude<keyof Series, "at">;
  /** The top of the chart, where all values are below. */
  atLeast: number;
  value: (measured: Measured | null) => string;
}

/** "–" where nothing was measured: unknown is not 0. */
function shown(value: number | null | undefined, words: (value: number) => string): string {
  return value === null || value === undefined ? "–" : words(value);
}

export const FIGURES: readonly Figure[] = [
  {
    title: "Round trip",
    series: "rttMs",
    atLeast: 20,
    value: (it) => shown(it?.quality.rttMs, formatMs),
  },
  {
    title: "Jitter",
    series: "jitterMs",
    atLeast: 20,
    value: (it) => shown(it?.quality.jitterMs, formatMs),
  },
  {
    title: "Loss",
    series: "lossPercent",
    atLeast: 5,
    value: (it) => shown(it?.quality.loss, (loss) => `${(loss * 100).toFixed(1)} %`),
  },
  {
    title: "Received",
    series: "kbps",
    atLeast: 40,
    value: (it) => shown(it?.quality.receivedBps, (bps) => `${Math.round(bps / 1000)} kb/s`),
  },
];

export function QualityCharts({ measured }: { measured: Measured | null }) {
  const series = measured?.series ?? EMPTY_SERIES;
  return (
    <div className="grid grid-cols-2 gap-2 lg:grid-cols-4">
      {FIGURES.map(({ title, series: name, atLeast, value }) => (
        <Chart
          key={title}
          title={title}
          value={value(measured)}
          at={series.at}
          values={series[name]}
          atLeast={atLeast}
        />
      ))}
    </div>
  );
}

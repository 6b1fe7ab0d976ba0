/** Round trip, jitter, loss and bitrate of a connection, live. */

import type { Measured } from "../call/meter";
import { EMPTY_SERIES } from "../call/meter";
import { formatMs } from "./time";
import { Chart } from "./Chart";

export function QualityCharts({ measured }: { measured: Measured | null }) {
  const series = measured?.series ?? EMPTY_SERIES;
  const figures = valuesOf(measured);
  return (
    <div className="grid grid-cols-2 gap-2 lg:grid-cols-4">
      <Chart
        title="Round trip"
        value={figures.rtt}
        at={series.at}
        values={series.rttMs}
        atLeast={20}
      />
      <Chart
        title="Jitter"
        value={figures.jitter}
        at={series.at}
        values={series.jitterMs}
        atLeast={20}
      />
      <Chart
        title="Loss"
        value={figures.loss}
        at={series.at}
        values={series.lossPercent}
        atLeast={5}
      />
      <Chart
        title="Received"
        value={figures.rate}
        at={series.at}
        values={series.kbps}
        atLeast={40}
      />
    </div>
  );
}

/** "–" where nothing was measured: unknown is not 0. */
export function valuesOf(measured: Measured | null) {
  const {
    rttMs = null,
    jitterMs = null,
    loss = null,
    receivedBps = null,
  } = measured?.quality ?? {};
  return {
    rtt: rttMs === null ? "–" : formatMs(rttMs),
    jitter: jitterMs === null ? "–" : formatMs(jitterMs),
    loss: loss === null ? "–" : `${(loss * 100).toFixed(1)} %`,
    rate: receivedBps === null ? "–" : `${Math.round(receivedBps / 1000)} kbit/s`,
  };
}

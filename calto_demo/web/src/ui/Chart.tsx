/** One live figure: its name, its value, and its last three minutes (uPlot). */

import { useEffect, useRef, useSyncExternalStore } from "react";
import uPlot from "uplot";

interface Props {
  title: string;
  /** The value with its unit, or that there is none. */
  value: string;
  at: readonly number[];
  values: readonly (number | null)[];
  /** The scale reaches at least to here, so that noise near 0 does not look like mountains. */
  atLeast: number;
}

const HEIGHT = 84;

export function Chart({ title, value, at, values, atLeast }: Props) {
  return (
    <figure className="min-w-0 rounded-xl bg-sunken p-3">
      <figcaption className="flex items-baseline justify-between gap-2">
        <span className="text-xs text-quiet">{title}</span>
        <span className="text-sm font-semibold tabular-nums">{value}</span>
      </figcaption>
      <Plot at={at} values={values} atLeast={atLeast} />
    </figure>
  );
}

function Plot({ at, values, atLeast }: Pick<Props, "at" | "values" | "atLeast">) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const dark = useDark();
  useEffect(() => {
    const element = place.current!;
    const made = new uPlot(options(element, atLeast), [[], []], element);
    plot.current = made;
    const observer = new ResizeObserver(() =>
      made.setSize({ width: element.clientWidth, height: HEIGHT }),
    );
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [atLeast, dark]);
  useEffect(() => {
    plot.current?.setData([[...at], [...values]]);
  }, [at, values, dark]);
  return <div ref={place} aria-hidden className="mt-2 h-21 overflow-hidden" />;
}

function options(element: HTMLElement, atLeast: number): uPlot.Options {
  const colour = (name: string) => getComputedStyle(element).getPropertyValue(name).trim();
  const accent = colour("--accent");
  return {
    width: element.clientWidth,
    height: HEIGHT,
    cursor: { show: false },
    legend: { show: false },
    padding: [6, 2, 2, 0],
    scales: {
      x: { time: false },
      y: { range: (_plot, _min, max) => [0, Math.max(atLeast, max * 1.15)] },
    },
    axes: [
      { show: false },
      {
        size: 34,
        stroke: colour("--quiet"),
        font: "10px system-ui, sans-serif",
        ticks: { show: false },
        grid: { stroke: colour("--line"), width: 1 },
        space: 24,
      },
    ],
    series: [
      {},
      {
        stroke: accent,
        width: 1.5,
        fill: `color-mix(in srgb, ${accent} 14%, transparent)`,
        points: { show: false },
      },
    ],
  };
}

/** A canvas does not follow CSS: it is drawn again when the scheme changes. */
function useDark(): boolean {
  return useSyncExternalStore(
    (changed) => {
      DARK.addEventListener("change", changed);
      return () => DARK.removeEventListener("change", changed);
    },
    () => DARK.matches,
  );
}

const DARK = matchMedia("(prefers-color-scheme: dark)");

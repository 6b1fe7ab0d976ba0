/** Both ways of one call beside each other. */

import { X } from "lucide-react";
import type { App } from "../app";
import type { Measured } from "../call/meter";
import type { Comparison } from "../state";
import { useStore } from "../store";
import { Button } from "../ui/Button";
import { PathCard } from "../ui/PathCard";
import { FIGURES } from "../ui/QualityCharts";
import { useCircumstances, useExplanation } from "./circumstances";

export function Compare({ app, comparison }: { app: App; comparison: Comparison }) {
  const measured = useStore(app.store, (state) => state.measured);
  const relayRttMs = useStore(app.store, (state) => state.relayRttMs);
  const circumstances = useCircumstances(app)!;
  const explanation = useExplanation(app);
  const other = comparison.leg;
  const shared = { relayRttMs, narrow: true };
  return (
    <div className="space-y-3" data-testid="comparison" data-state={comparison.state}>
      <div className="flex items-center justify-between gap-4">
        <p role="status" className="text-sm text-quiet">
          {stateWords(comparison, circumstances.peer, other)}
        </p>
        {(comparison.state === "failed" || comparison.state === "stopped") && (
          <Button onClick={() => app.store.set({ comparison: null })}>
            <X aria-hidden className="size-4" /> Close
          </Button>
        )}
      </div>
      <div className="rounded-2xl border border-line bg-surface px-1">
        <Table main={measured} other={comparison.measured} />
      </div>
      <div className="grid items-start gap-3 md:grid-cols-2">
        <PathCard
          {...shared}
          title="What you hear"
          seen={measured?.seen ?? null}
          circumstances={circumstances}
          explanation={explanation}
        />
        {comparison.state !== "failed" && (
          <PathCard
            {...shared}
            title="The same over the other way"
            seen={comparison.measured?.seen ?? null}
            circumstances={circumstances}
            meaning={FOR_COMPARISON[other]}
          />
        )}
      </div>
    </div>
  );
}

const FOR_COMPARISON = {
  relay: "Only the relay may be used here, so that its way can be held against the direct one.",
  direct: "No relay may be used here, so that the direct way can be held against the relay's.",
};

function stateWords({ state, mine }: Comparison, peer: string, other: "relay" | "direct"): string {
  const way = other === "relay" ? "through the relay" : "directly";
  switch (state) {
    case "connecting":
      return `Trying the same call ${way} …`;
    case "connected":
      return mine
        ? `Your audio goes both ways now; you hear the first one.`
        : `${peer} compares this call with the one ${way}.`;
    case "failed":
      return `The same call ${way} did not come about: nothing got through, or ${peer} does not take part.`;
    case "stopped":
      return "The comparison has ended; this is what was measured last.";
  }
}

function Table({ main, other }: { main: Measured | null; other: Measured | null }) {
  return (
    <table className="w-full text-sm tabular-nums">
      <thead className="text-quiet">
        <tr>
          <th className="p-3 text-left font-medium">Measured now</th>
          <th className="p-3 text-left font-medium">What you hear</th>
          <th className="p-3 text-left font-medium">The other way</th>
        </tr>
      </thead>
      <tbody>
        {FIGURES.map(({ title, value }) => (
          <tr key={title} className="border-t border-line">
            <th className="p-3 text-left font-normal text-quiet">{title}</th>
            <td className="p-3">{value(main)}</td>
            <td className="p-3">{value(other)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

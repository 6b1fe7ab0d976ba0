/** All candidate pairs of a connection with their state, for who wants to know it exactly. */

import { ChevronDown } from "lucide-react";
import { Collapsible } from "radix-ui";
import { formatMs } from "./time";
import { endpoint, type Pair, type PathCandidate } from "../path/stats";

export function PairsTable({ pairs }: { pairs: readonly Pair[] }) {
  return (
    <Collapsible.Root>
      <Collapsible.Trigger className="group flex min-h-8 items-center gap-1.5 rounded text-sm font-medium text-quiet hover:text-ink">
        <ChevronDown
          aria-hidden
          className="size-4 transition-transform group-data-[state=open]:rotate-180"
        />
        {pairs.length === 1 ? "The one candidate pair" : `All ${pairs.length} candidate pairs`}
      </Collapsible.Trigger>
      <Collapsible.Content>
        <div
          className="mt-2 max-h-80 overflow-auto"
          tabIndex={0}
          role="region"
          aria-label="Candidate pairs"
        >
          <table className="w-full text-left text-xs">
            <thead className="text-quiet">
              <tr className="border-b border-line">
                <th className="py-1.5 pr-3 font-medium">State</th>
                <th className="py-1.5 pr-3 font-medium">From here</th>
                <th className="py-1.5 pr-3 font-medium">To there</th>
                <th className="py-1.5 text-right font-medium">Round trip</th>
              </tr>
            </thead>
            <tbody>{[...pairs].sort(order).map(row)}</tbody>
          </table>
        </div>
      </Collapsible.Content>
    </Collapsible.Root>
  );
}

function row(pair: Pair) {
  return (
    <tr key={pair.id} className="border-b border-line last:border-0">
      <td className={`py-1.5 pr-3 ${pair.selected ? "font-semibold text-accent" : "text-quiet"}`}>
        {pair.selected ? "selected" : pair.state}
      </td>
      <td className="py-1.5 pr-3">
        <Candidate candidate={pair.local} />
      </td>
      <td className="py-1.5 pr-3">
        <Candidate candidate={pair.remote} />
      </td>
      <td className="py-1.5 text-right whitespace-nowrap tabular-nums">
        {pair.rttMs === null ? "–" : formatMs(pair.rttMs)}
      </td>
    </tr>
  );
}

function Candidate({ candidate: { type, address, port, protocol } }: { candidate: PathCandidate }) {
  return (
    <span className="whitespace-nowrap">
      <span className="text-quiet">
        {type} {protocol}{" "}
      </span>
      <span className="font-mono text-[11px]">{endpoint(address, port)}</span>
    </span>
  );
}

const STATES = ["succeeded", "in-progress", "failed", "waiting", "frozen"];

/** The selected one, then what has been tried, then what waits. */
function order(one: Pair, other: Pair): number {
  const rank = ({ selected, state }: Pair) => (selected ? -1 : STATES.indexOf(state));
  return rank(one) - rank(other);
}

/** Calls of the past: with whom, how they ended, how long, and which way they went. */

import { PhoneIncoming, PhoneMissed, PhoneOutgoing } from "lucide-react";
import { useState } from "react";
import type { App } from "../app";
import { recordOutcome } from "../call/state";
import type { CallRecord } from "../net/protocol";
import { recordLabel } from "../path/describe";
import { useStore } from "../store";
import { Button } from "../ui/Button";
import { when } from "../ui/time";
import { RecordPanel } from "./RecordPanel";

export function Recents({ app }: { app: App }) {
  const records = useStore(app.store, (state) => state.records);
  const older = useStore(app.store, (state) => state.olderRecords);
  const [shown, setShown] = useState<CallRecord | null>(null);
  if (records.length === 0)
    return <p className="px-2 py-6 text-center text-sm text-quiet">No calls yet.</p>;
  return (
    <>
      <ul>
        {records.map((record) => (
          <li key={record.call}>
            <button
              type="button"
              onClick={() => setShown(record)}
              className="flex w-full items-center gap-3 rounded-xl px-2 py-2 text-left hover:bg-sunken"
            >
              <Line record={record} />
            </button>
          </li>
        ))}
      </ul>
      {older && (
        <div className="mt-2 text-center">
          <Button onClick={() => void app.olderCalls()}>Older calls</Button>
        </div>
      )}
      <RecordPanel app={app} record={shown} close={() => setShown(null)} />
    </>
  );
}

function Line({ record }: { record: CallRecord }) {
  const missed = isMissed(record);
  const Icon = missed ? PhoneMissed : record.direction === "in" ? PhoneIncoming : PhoneOutgoing;
  // The relay has no room in the list; the panel names it.
  const path = recordLabel(record.mine)?.replace(/ by .* over /, " over ");
  return (
    <>
      <span
        aria-hidden
        className={`inline-flex size-10 shrink-0 items-center justify-center rounded-full bg-sunken ${missed ? "text-danger" : "text-quiet"}`}
      >
        <Icon className="size-4" />
      </span>
      <span className="min-w-0 flex-1">
        <span className={`block truncate font-medium ${missed ? "text-danger" : ""}`}>
          {record.peer.name}
        </span>
        <span className="block truncate text-xs text-quiet">
          <span className="sr-only">{record.direction === "in" ? "Incoming, " : "Outgoing, "}</span>
          {[recordOutcome(record), path].filter(Boolean).join(" · ")}
        </span>
      </span>
      <span className="shrink-0 text-xs text-quiet tabular-nums">{when(record.started_at)}</span>
    </>
  );
}

function isMissed({ direction, reason, answered_at }: CallRecord): boolean {
  const unheard = ["no-answer", "cancelled", "busy", "offline"];
  return direction === "in" && answered_at === null && reason !== null && unheard.includes(reason);
}

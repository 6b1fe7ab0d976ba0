/** What was kept of one call: its times, its way as both sides saw it, and its quality. */

import { Phone } from "lucide-react";
import type { ReactNode } from "react";
import type { App } from "../app";
import { recordOutcome } from "../call/state";
import { formatMs } from "../ui/time";
import type { CallRecord, PathReport, WireCandidate, WireQuality } from "../net/protocol";
import { recordLabel } from "../path/describe";
import { endpoint, HIDDEN } from "../path/stats";
import { Button } from "../ui/Button";
import { Panel } from "../ui/Panel";

interface Props {
  app: App;
  record: CallRecord | null;
  close: () => void;
}

export function RecordPanel({ app, record, close }: Props) {
  return (
    <Panel title={record?.peer.name ?? ""} open={record !== null} close={close}>
      {record && (
        <div className="space-y-5">
          <Facts facts={timesOf(record)} />
          <Side title="As you measured it" report={record.mine} />
          <Side title={`As ${record.peer.name} measured it`} report={record.theirs} />
          <Button
            look="primary"
            onClick={() => {
              close();
              void app.calls.dial(record.peer);
            }}
          >
            <Phone aria-hidden className="size-4" /> Call again
          </Button>
        </div>
      )}
    </Panel>
  );
}

type Fact = [name: string, value: ReactNode];

function Facts({ facts }: { facts: Fact[] }) {
  return (
    <dl className="grid grid-cols-[auto_1fr] gap-x-5 gap-y-1.5 text-sm">
      {facts.map(([name, value]) => (
        <div key={name} className="contents">
          <dt className="text-quiet">{name}</dt>
          <dd className="min-w-0 break-words tabular-nums">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function timesOf(record: CallRecord): Fact[] {
  const begun = new Date(record.started_at * 1000).toLocaleString();
  const after = (at: number | null) =>
    at === null ? "never" : `after ${(at - record.started_at).toFixed(1)} s`;
  const asked = { auto: "automatic", relay: "relay only", direct: "direct only" }[record.path];
  return [
    [record.direction === "out" ? "You called" : "You were called", begun],
    ["Rang", after(record.ringing_at)],
    ["Answered", after(record.answered_at)],
    ["Audio", after(record.connected_at)],
    ["Outcome", recordOutcome(record)],
    ["Path asked for", asked],
  ];
}

function Side({ title, report }: { title: string; report: PathReport | null }) {
  return (
    <section className="rounded-2xl bg-sunken p-4">
      <h3 className="mb-2 text-sm font-medium text-quiet">{title}</h3>
      {report ? (
        <>
          {report.explanation && <p className="mb-3 text-sm">{report.explanation}</p>}
          <Facts facts={wayOf(report)} />
        </>
      ) : (
        <p className="text-sm text-quiet">Nothing was reported.</p>
      )}
    </section>
  );
}

function wayOf(report: PathReport): Fact[] {
  const facts: Fact[] = [["Path", recordLabel(report) ?? "unknown"]];
  if (report.local) facts.push(["From", candidate(report.local)]);
  if (report.remote) facts.push(["To", candidate(report.remote)]);
  if (report.encryption) facts.push(["Encryption", report.encryption]);
  if (report.quality) facts.push(["Quality", qualityWords(report.quality)]);
  return facts;
}

function candidate({ type, address, port, protocol }: WireCandidate): ReactNode {
  return (
    <>
      {type} {protocol}{" "}
      <span className="font-mono text-xs">{endpoint(address ?? HIDDEN, port)}</span>
    </>
  );
}

function qualityWords({ rtt_ms, jitter_ms, loss, bitrate_bps, setup_ms }: WireQuality): string {
  const words = [
    rtt_ms !== null && `round trip ${formatMs(rtt_ms)}`,
    jitter_ms !== null && `jitter ${formatMs(jitter_ms)}`,
    loss !== null && `loss ${(loss * 100).toFixed(1)} %`,
    bitrate_bps !== null && `${Math.round(bitrate_bps / 1000)} kb/s`,
    setup_ms !== null && `set up in ${formatMs(setup_ms)}`,
  ];
  return words.filter(Boolean).join(", ") || "not measured";
}

/** A call, from the first ring to its last word. */

import { Phone, PhoneOff } from "lucide-react";
import { useEffect, useRef } from "react";
import type { App } from "../app";
import { type CallView, duration, isTalking, outcomeWords, type Phase } from "../call/state";
import { forecast } from "../path/describe";
import { useStore } from "../store";
import { Avatar } from "../ui/Avatar";
import { Button, CallButton } from "../ui/Button";
import { InCall } from "./InCall";
import { PathSummary } from "./PathSummary";

export function CallScreen({ app, view }: { app: App; view: CallView }) {
  if (isTalking(view)) return <InCall app={app} view={view} />;
  return (
    <section
      aria-label={`Call with ${view.peer.name}`}
      className="flex flex-col items-center gap-6 rounded-2xl border border-line bg-surface px-5 py-10 text-center"
    >
      <Ripple name={view.peer.name} phase={view.phase} />
      <div>
        <h2 className="text-2xl font-semibold tracking-tight break-words">{view.peer.name}</h2>
        <p role="status" className="mt-1 text-quiet" data-testid="call-status">
          {statusWords(view)}
        </p>
        <Forecast app={app} view={view} />
      </div>
      {view.phase === "ended" ? (
        <Ended app={app} view={view} />
      ) : (
        <RingButtons app={app} view={view} />
      )}
    </section>
  );
}

function Ripple({ name, phase }: { name: string; phase: Phase }) {
  const rings = phase === "incoming" || phase === "ringing";
  return (
    <span className="relative my-2 inline-flex">
      {rings && (
        <span aria-hidden className="breathe absolute inset-0 rounded-full bg-accent-soft" />
      )}
      <span className="relative">
        <Avatar name={name} size="large" />
      </span>
    </span>
  );
}

function statusWords(view: CallView): string {
  switch (view.phase) {
    case "calling":
      return "Connecting …";
    case "ringing":
      return "Ringing …";
    case "incoming":
      return "is calling you";
    default:
      return view.outcome ? outcomeWords(view.outcome, view.peer.name) : "";
  }
}

/** What both kinds of NAT let expect, said before the call is answered. */
function Forecast({ app, view }: { app: App; view: CallView }) {
  const nat = useStore(app.store, (state) => state.nat);
  if (view.phase === "ended") return null;
  const words =
    view.path === "relay"
      ? view.direction === "out"
        ? "Through the relay: your address stays hidden."
        : "They hide their address: the call goes through the relay."
      : forecast(nat, view.peerNat);
  return words && <p className="mt-3 text-sm text-quiet">{words}</p>;
}

function RingButtons({ app, view }: { app: App; view: CallView }) {
  const accept = useRef<HTMLButtonElement>(null);
  useEffect(() => accept.current?.focus(), []);
  if (view.phase !== "incoming")
    return (
      <CallButton look="danger" label="Cancel" onClick={() => app.calls.hangUp()}>
        <PhoneOff className="size-6" />
      </CallButton>
    );
  return (
    <div className="flex gap-10">
      <CallButton look="danger" label="Decline" onClick={() => app.calls.decline()}>
        <PhoneOff className="size-6" />
      </CallButton>
      <CallButton
        ref={accept}
        look="primary"
        label="Accept"
        onClick={() => void app.calls.accept()}
      >
        <Phone className="size-6" />
      </CallButton>
    </div>
  );
}

function Ended({ app, view }: { app: App; view: CallView }) {
  const record = view.outcome?.record ?? null;
  const talked =
    view.connectedAt !== null && record?.ended_at ? record.ended_at - view.connectedAt : null;
  return (
    <>
      {talked !== null && (
        <p className="text-sm text-quiet">
          You talked for <span className="text-ink tabular-nums">{duration(talked)}</span>
        </p>
      )}
      <PathSummary app={app} />
      <div className="flex gap-3">
        <Button
          look="primary"
          onClick={() => void app.calls.dial({ ...view.peer, nat: view.peerNat })}
        >
          <Phone aria-hidden className="size-4" /> Call again
        </Button>
        <Button onClick={() => app.calls.dismiss()}>Close</Button>
      </div>
    </>
  );
}

/** While one talks: the timer, the controls, the path card, the quality. */

import { GitCompareArrows, Mic, MicOff, PhoneOff, Settings2 } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import type { App } from "../app";
import { type CallView, duration } from "../call/state";
import { useStore } from "../store";
import { Avatar } from "../ui/Avatar";
import { Button, CallButton } from "../ui/Button";
import { DevicePickers } from "../ui/DevicePickers";
import { LevelMeter } from "../ui/LevelMeter";
import { Panel } from "../ui/Panel";
import { PathCard } from "../ui/PathCard";
import { QualityCharts } from "../ui/QualityCharts";
import { useCircumstances, useExplanation } from "./circumstances";
import { Compare } from "./Compare";
import { SafetyNumber } from "./SafetyNumber";

export function InCall({ app, view }: { app: App; view: CallView }) {
  const measured = useStore(app.store, (state) => state.measured);
  const comparison = useStore(app.store, (state) => state.comparison);
  const relayRttMs = useStore(app.store, (state) => state.relayRttMs);
  const circumstances = useCircumstances(app)!;
  const explanation = useExplanation(app);
  return (
    <section aria-label={`Call with ${view.peer.name}`} className="space-y-4">
      <Talk app={app} view={view} />
      <RemoteAudio app={app} />
      {comparison ? (
        <Compare app={app} comparison={comparison} />
      ) : (
        <PathCard
          seen={measured?.seen ?? null}
          circumstances={circumstances}
          relayRttMs={relayRttMs}
          explanation={explanation}
        />
      )}
      <section aria-label="Quality" className="rounded-2xl border border-line bg-surface p-3">
        <QualityCharts measured={measured} />
      </section>
      <SafetyNumber app={app} peer={view.peer.name} />
    </section>
  );
}

function Talk({ app, view }: { app: App; view: CallView }) {
  const microphone = useStore(app.store, (state) => state.microphone);
  const audio = useStore(app.store, (state) => state.audio);
  return (
    <div className="rounded-2xl border border-line bg-surface p-4 sm:p-5">
      <div className="flex flex-wrap items-center gap-x-6 gap-y-4">
        <div className="flex min-w-0 flex-1 items-center gap-4">
          <Avatar name={view.peer.name} />
          <div className="min-w-0">
            <h2 className="truncate text-lg font-semibold">{view.peer.name}</h2>
            <p role="status" className="text-sm text-quiet" data-testid="call-status">
              <Status view={view} />
            </p>
          </div>
        </div>
        <div className="w-full space-y-2 sm:w-52">
          <LevelMeter stream={audio} label={view.peer.name} />
          <LevelMeter
            stream={view.muted ? null : microphone}
            label="You"
            key={String(view.muted)}
          />
        </div>
      </div>
      <Controls app={app} view={view} />
    </div>
  );
}

function Status({ view }: { view: CallView }) {
  if (view.phase === "connecting") return <>Connecting …</>;
  if (view.phase === "reconnecting") return <>Reconnecting: looking for another way …</>;
  return (
    <>
      <Timer since={view.connectedAt ?? view.startedAt} />
      {view.peerMuted && " · muted over there"}
      {!view.peerThere && " · their link to the server is away, the audio goes on"}
    </>
  );
}

/** Ticks by itself, and out of the way of screen readers, which would read out every second. */
function Timer({ since }: { since: number }) {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now() / 1000), 500);
    return () => clearInterval(timer);
  }, []);
  return (
    <>
      <span className="sr-only">Connected</span>
      <span aria-hidden className="tabular-nums" data-testid="timer">
        {duration(now - since)}
      </span>
    </>
  );
}

function Controls({ app, view }: { app: App; view: CallView }) {
  const settings = useStore(app.store, (state) => state.settings);
  const [choosing, setChoosing] = useState(false);
  return (
    <div className="mt-5 flex justify-center gap-2 sm:gap-4">
      <CallButton
        look={view.muted ? "primary" : "quiet"}
        label={view.muted ? "Unmute" : "Mute"}
        onClick={() => app.calls.mute(!view.muted)}
      >
        {view.muted ? <MicOff className="size-6" /> : <Mic className="size-6" />}
      </CallButton>
      <CallButton label="Sound" onClick={() => setChoosing(true)}>
        <Settings2 className="size-6" />
      </CallButton>
      <CompareButton app={app} view={view} />
      <CallButton look="danger" label="Hang up" onClick={() => app.calls.hangUp()}>
        <PhoneOff className="size-6" />
      </CallButton>
      <Panel title="Sound" open={choosing} close={() => setChoosing(false)}>
        <DevicePickers settings={settings} change={(change) => app.settings(change)} />
      </Panel>
    </div>
  );
}

function CompareButton({ app, view }: { app: App; view: CallView }) {
  const policy = useStore(app.store, (state) => state.policy);
  const comparison = useStore(app.store, (state) => state.comparison);
  const runs = comparison?.state === "connecting" || comparison?.state === "connected";
  // What the other way is, is known once there is one.
  const found = useStore(app.store, (state) => Boolean(state.measured?.seen.selected));
  const hidden = policy === "relay";
  return (
    <CallButton
      look={runs ? "primary" : "quiet"}
      label={runs ? "Stop" : "Compare"}
      disabled={!runs && (view.phase !== "connected" || hidden || !found)}
      title={
        hidden ? "You hide your address in this call: the direct way would show it." : undefined
      }
      onClick={() => (runs ? app.calls.stopComparing() : void app.calls.compare())}
    >
      <GitCompareArrows className="size-6" />
    </CallButton>
  );
}

/** What the other side says. A browser that wants a click before it plays gets one. */
function RemoteAudio({ app }: { app: App }) {
  const audio = useStore(app.store, (state) => state.audio);
  const speaker = useStore(app.store, (state) => state.settings.speaker);
  const element = useRef<HTMLAudioElement>(null);
  const [blocked, setBlocked] = useState(false);
  const start = () =>
    element.current?.play().then(
      () => setBlocked(false),
      (error: DOMException) => setBlocked(error.name === "NotAllowedError"),
    );
  useEffect(() => {
    if (!element.current || !audio) return;
    element.current.srcObject = audio;
    void start();
  }, [audio]);
  useEffect(() => {
    if (element.current && "setSinkId" in element.current)
      void element.current.setSinkId(speaker ?? "").catch(() => {});
  }, [speaker]);
  return (
    <>
      <audio ref={element} autoPlay data-testid="remote-audio" />
      {blocked && (
        <Button look="primary" onClick={() => void start()}>
          Turn the sound on
        </Button>
      )}
    </>
  );
}

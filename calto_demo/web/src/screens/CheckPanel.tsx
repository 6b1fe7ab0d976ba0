/** The check before a call, step by step as it runs. */

import {
  CircleAlert,
  CircleCheck,
  CircleDashed,
  CircleX,
  LoaderCircle,
  Volume2,
} from "lucide-react";
import { useEffect, useRef, useState } from "react";
import type { App } from "../app";
import { relayUrls } from "../call/policy";
import { play } from "../call/tones";
import { runCheck } from "../check/check";
import { conclude, MICROPHONE, plan, type Step, type StepState } from "../check/steps";
import { wordsOf } from "../failure";
import { Button } from "../ui/Button";
import { LevelBar } from "../ui/LevelMeter";
import { Panel } from "../ui/Panel";

interface Props {
  app: App;
  open: boolean;
  close: () => void;
}

export function CheckPanel({ app, open, close }: Props) {
  return (
    <Panel title="Check before a call" open={open} close={close}>
      <Check app={app} />
    </Panel>
  );
}

function Check({ app }: { app: App }) {
  const [steps, setSteps] = useState<Step[]>([]);
  const [round, setRound] = useState(0);
  const [problem, setProblem] = useState<string | null>(null);
  const bar = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    let here = true;
    const tell = (id: string, change: Partial<Step>) =>
      here && setSteps((all) => all.map((it) => (it.id === id ? { ...it, ...change } : it)));
    const level = (value: number) => {
      if (bar.current) bar.current.style.transform = `scaleX(${value.toFixed(3)})`;
    };
    const run = async () => {
      const ice = await app.api.ice();
      if (!here) return;
      setSteps(plan(relayUrls(ice.iceServers)));
      const { microphone } = app.store.get().settings;
      const { nat, relayRttMs } = await runCheck(ice, microphone, tell, level);
      if (here) app.measuredNat(nat, relayRttMs);
    };
    setProblem(null);
    run().catch((error: unknown) => here && setProblem(wordsOf(error)));
    return () => {
      here = false;
    };
  }, [app, round]);
  const conclusion = conclude(steps);
  return (
    <div className="space-y-4">
      <ol className="divide-y divide-line">
        {steps.map((step) => (
          <Line key={step.id} step={step} bar={step.id === MICROPHONE ? bar : null} />
        ))}
      </ol>
      {problem && <p role="alert">{problem}</p>}
      <div role="status" className="min-h-6 font-medium" data-testid="check-conclusion">
        {steps.length > 0 && conclusion && conclusion.words}
      </div>
      <div className="flex flex-wrap gap-2">
        <Button look="primary" disabled={!conclusion} onClick={() => setRound(round + 1)}>
          Check again
        </Button>
        <Button onClick={() => play("test")}>
          <Volume2 aria-hidden className="size-4" /> Play a sound
        </Button>
      </div>
    </div>
  );
}

function Line({ step, bar }: { step: Step; bar: React.Ref<HTMLSpanElement> | null }) {
  return (
    <li className="flex gap-3 py-2.5" data-step={step.id} data-state={step.state}>
      <StateIcon state={step.state} />
      <div className="min-w-0 flex-1">
        <p className="font-medium">
          {step.title} <span className="sr-only">({SAID[step.state]})</span>
        </p>
        {step.words && <p className="text-sm text-quiet">{step.words}</p>}
        {bar && step.state === "running" && (
          <p className="mt-2 flex max-w-60">
            <LevelBar bar={bar} />
          </p>
        )}
      </div>
    </li>
  );
}

const SAID: Record<StepState, string> = {
  waiting: "waiting",
  running: "running",
  good: "good",
  warning: "warning",
  bad: "does not work",
};

function StateIcon({ state }: { state: StepState }) {
  const shared = "mt-0.5 size-5 shrink-0";
  switch (state) {
    case "waiting":
      return <CircleDashed aria-hidden className={`${shared} text-quiet`} />;
    case "running":
      return (
        <LoaderCircle aria-hidden className={`${shared} text-accent motion-safe:animate-spin`} />
      );
    case "good":
      return <CircleCheck aria-hidden className={`${shared} text-accent`} />;
    case "warning":
      return <CircleAlert aria-hidden className={`${shared} text-warning`} />;
    case "bad":
      return <CircleX aria-hidden className={`${shared} text-danger`} />;
  }
}
